"""The two lists of a prepared folder: manifest.csv (its frames) and the journal .prepare.jsonl (finished work).

A record of the journal is one finished frame: its names and stamps, its sizes, the pixels of every source code.
Manifest rows and the audit are made from the records, so an interrupted and resumed run writes the same folder as an
uninterrupted one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from surgseg.data.dataset import MANIFEST_FIELDS
from surgseg.data.splits import assign_by_video
from surgseg.files import UserError, list_some, natural_key, read_csv, write_csv, write_text
from surgseg.labels import VOID, Scheme

JOURNAL = ".prepare.jsonl"
_SHARED = MANIFEST_FIELDS[:6]  # name to height: a manifest row takes them from its record
_RECORD_KEYS = {*_SHARED, "codes", "mode", "digest", "mask_digest", "sources", "bytes"}


def read_manifest(root: Path) -> list[dict[str, str]]:
    """The rows of `root`/manifest.csv; none if there is no such file."""
    path = root / "manifest.csv"
    return read_csv(path, MANIFEST_FIELDS) if path.is_file() else []


def write_manifest(root: Path, rows: list[dict]) -> None:
    write_csv(root / "manifest.csv", MANIFEST_FIELDS, rows)


def with_splits(rows: list[dict], prescribed: dict[str, str], predicted: Collection[str] = ()) -> list[dict]:
    """Return the rows in natural order with their parts: `prescribed` (by name) by the data set, otherwise by video.

    `predicted` names the frames whose mask a model made: a video of such frames alone trains if two others are left.
    Without a prescribed part, the frames of a single video get the part "". Raises `UserError` if only some frames
    have a prescribed part: the data set's split would be lost.
    """
    ordered = sorted(rows, key=lambda row: natural_key(row["name"]))
    without = [row["name"] for row in ordered if not prescribed.get(row["name"])]
    if not without:
        return [{**row, "split": prescribed[row["name"]]} for row in ordered]
    if len(without) < len(ordered):
        raise UserError(
            f"{len(ordered) - len(without)} frames have a part (train, val, test) that their data set prescribes, "
            f"{len(without)} have none ({list_some(without, 3)}): prepare them into another --output-root"
        )
    assignment = assign_by_video([{**row, "predicted": row["name"] in predicted} for row in rows]) or {}
    return [{**row, "split": assignment.get(row["video"], "")} for row in ordered]


def manifest_row(record: dict, scheme: Scheme) -> dict:
    """A record as a manifest row. Its fractions: instrument / non-void pixels (0 if all is void), void / all pixels."""
    counts = class_counts(record, scheme)
    total = sum(counts.values())
    valid = total - counts[VOID]
    instrument = sum(counts[class_id] for class_id in scheme.instrument_ids)
    return {
        **{key: record[key] for key in _SHARED},
        "instrument_fraction": f"{instrument / valid if valid else 0:.6f}",
        "void_fraction": f"{counts[VOID] / total:.6f}",
        "split": "",
    }


def class_counts(record: dict, scheme: Scheme) -> Counter[int]:
    """Pixels per class id (255: void) of a record."""
    lookup, counts = scheme.lookup(), Counter()
    for code, pixels in record["codes"].items():
        counts[int(lookup[int(code)])] += pixels
    return counts


def read_journal(root: Path) -> dict[str, dict]:
    """The last record of each name. Lines that are no whole record are skipped, for example after a killed run."""
    path = root / JOURNAL
    if not path.is_file():
        return {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    records: dict[str, dict] = {}
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("redo"):
            records.pop(record["name"], None)
        elif isinstance(record, dict) and record.keys() >= _RECORD_KEYS:
            records[record["name"]] = record
    return records


class Journal:
    """Appends a record for each finished frame, and writes it to the file at once."""

    def __init__(self, root: Path):
        self.path = root / JOURNAL
        self.stream = None

    def __enter__(self) -> Journal:
        return self

    def add(self, record: dict) -> None:
        try:
            if self.stream is None:
                self.stream = self.path.open("a", encoding="utf-8")
                self.stream.write("\n")  # ends an unfinished line of a killed run
            self.stream.write(json.dumps(record) + "\n")
            self.stream.flush()
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error

    def __exit__(self, kind, value, trace) -> None:
        if self.stream is not None:
            self.stream.close()


def write_journal(root: Path, records: Iterable[dict]) -> None:
    """Replace the journal by `records`, in natural order of their names."""
    lines = [json.dumps(record) for record in sorted(records, key=lambda record: natural_key(record["name"]))]
    write_text(root / JOURNAL, "\n".join(lines) + "\n")
