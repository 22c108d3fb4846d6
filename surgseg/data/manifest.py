"""A prepared folder's bookkeeping: manifest.csv (its frames) and .prepare.jsonl (what was done, to resume it).

A record of the journal is one finished frame: its names and stamps, its sizes, the pixels of every source code.
Manifest rows and the audit are derived from records, so that a run that was killed and run again ends in the
same folder as one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from surgseg.data.dataset import MANIFEST_FIELDS
from surgseg.data.splits import assign_by_video
from surgseg.files import UserError, list_some, natural_key, read_csv, write_csv, write_text
from surgseg.labels import VOID, Scheme

JOURNAL = ".prepare.jsonl"
_RECORD = {
    "name",
    "video",
    "clip",
    "frame",
    "width",
    "height",
    "codes",
    "mode",
    "digest",
    "mask_digest",
    "sources",
    "bytes",
}


def read_manifest(root: Path) -> list[dict[str, str]]:
    """Rows of `root`/manifest.csv; none where there is no such file."""
    path = root / "manifest.csv"
    return read_csv(path, MANIFEST_FIELDS) if path.is_file() else []


def write_manifest(root: Path, rows: list[dict]) -> None:
    write_csv(root / "manifest.csv", MANIFEST_FIELDS, rows)


def with_splits(rows: list[dict], prescribed: dict[str, str]) -> list[dict]:
    """The rows in natural order with their parts: those that the data set prescribes (by name), otherwise by video.

    Without either a part is "" (there is one video only). Raises `UserError` where only some frames have a prescribed
    part: their data set's split would be lost.
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
    assignment = assign_by_video(rows) or {}
    return [{**row, "split": assignment.get(row["video"], "")} for row in ordered]


def manifest_row(record: dict, scheme: Scheme) -> dict:
    """A record as a manifest row: instrument pixels / non-void pixels (0 if all is void), void / all pixels."""
    ids = class_counts(record, scheme)
    total = sum(ids.values())
    valid = total - ids.get(VOID, 0)
    instrument = sum(ids.get(item, 0) for item in scheme.instrument_ids)
    return {
        **{key: record[key] for key in ("name", "video", "clip", "frame", "width", "height")},
        "instrument_fraction": f"{instrument / valid if valid else 0:.6f}",
        "void_fraction": f"{(total - valid) / total:.6f}",
        "split": "",
    }


def class_counts(record: dict, scheme: Scheme) -> dict[int, int]:
    """Pixels per class id (255: void) of a record."""
    lookup = scheme.lookup()
    counts: dict[int, int] = {}
    for code, pixels in record["codes"].items():
        class_id = int(lookup[int(code)])
        counts[class_id] = counts.get(class_id, 0) + pixels
    return counts


def read_journal(root: Path) -> dict[str, dict]:
    """The last record of each name. A line that a killed run left unfinished is passed over."""
    path = root / JOURNAL
    records: dict[str, dict] = {}
    if path.is_file():
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and record.get("redo"):
                records.pop(record["name"], None)
            elif isinstance(record, dict) and record.keys() >= _RECORD:  # a foreign line is no record
                records[record["name"]] = record
    return records


class Journal:
    """Append records as frames are finished; each stands in the file before the next frame is reported."""

    def __init__(self, root: Path):
        self.path = root / JOURNAL
        self.stream = None

    def __enter__(self) -> Journal:
        return self

    def add(self, record: dict) -> None:
        try:
            if self.stream is None:
                self.stream = self.path.open("a", encoding="utf-8")
                self.stream.write("\n")  # ends a line that a killed run left unfinished
            self.stream.write(json.dumps(record) + "\n")
            self.stream.flush()
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error

    def __exit__(self, kind, value, trace) -> None:
        if self.stream is not None:
            self.stream.close()


def write_journal(root: Path, records: Iterable[dict]) -> None:
    """Replace the journal by one record per name, in natural order."""
    lines = [json.dumps(record) for record in sorted(records, key=lambda record: natural_key(record["name"]))]
    write_text(root / JOURNAL, "\n".join(lines) + "\n")
