"""The review of a generated folder: which frames a person is to look at, and what came of it.

    review.csv    one row a frame: the fields of `Review`
    review.json   the audit's sample: the fields of `AuditSample`
    reviewed/<name>.png   the mask of each frame that a person has accepted, by the mask contract

Predictions in masks/ are never changed. Frames of the audit say how good a model is, so they never train, nor do the
other frames of their bursts and their near copies: `AuditSample.never_train` lists them all.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from surgseg.files import (
    LockedError,
    UserError,
    atomic_path,
    list_some,
    read_csv,
    read_json,
    sole_writer,
    write_bytes,
    write_json,
    write_rows,
    write_through,
)
from surgseg.frames import images_by_name

SCHEMA = "surgseg.review/1"
PURPOSES = ("correct", "audit", "extra")
WITH_MASK = ("accepted", "corrected", "empty")  # statuses of frames whose mask lies in reviewed/
STATUSES = ("open", *WITH_MASK, "unusable")
TABLE, RECORD, MASKS = "review.csv", "review.json", "reviewed"


@dataclass(frozen=True)
class Review:
    """One row of `review.csv`; its columns are these fields.

    `purpose`: to correct, chosen by select_frames.py; for the audit; or extra, opened by the person. `rank` is the
    place in its queue from 1, `reason` why it was chosen. `stratum` and `probability` (of inclusion, 0-1) are those of
    the audit's sample, "" and 0 for other frames. `status`: accepted as predicted, corrected, empty (no instrument),
    or unusable (no frame of the operation; it has no mask). `seconds` of work, `changed_pixels` against the prediction,
    `time` of the last save (UTC, ISO 8601).
    """

    name: str
    purpose: str
    rank: int = 0
    reason: str = ""
    stratum: str = ""
    probability: float = 0.0
    status: str = "open"
    seconds: float = 0.0
    changed_pixels: int = 0
    time: str = ""

    @property
    def has_mask(self) -> bool:
        return self.status in WITH_MASK


_READ = {item.name: {"str": str, "int": int, "float": float}[item.type] for item in fields(Review)}
COLUMNS = tuple(_READ)


@dataclass(frozen=True)
class AuditSample:
    """How the frames of the audit were drawn.

    `population` counts the frames that could be drawn in each stratum. `names` are those that were drawn. `reserve`
    are the next ones of each stratum in the same random order, kept for a larger audit. `never_train` names all frames
    of the audit and of the reserve, the rest of their bursts, and their near copies.
    """

    seed: int = 0
    population: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    reserve: dict[str, list[str]] = field(default_factory=dict)
    never_train: list[str] = field(default_factory=list)


def has_reviews(folder: Path | str) -> bool:
    return (Path(folder) / TABLE).is_file()


def reviewed_path(folder: Path | str, name: str) -> Path:
    """Return the path of a frame's reviewed mask, whether it exists or not."""
    return Path(folder) / MASKS / f"{name}.png"


def check_no_review(*folders: Path | str) -> None:
    """Raise `UserError` if one of the folders is a generated folder with a review, or one of its own folders."""
    for folder in (part for given in folders for part in (Path(given).resolve(), Path(given).resolve().parent)):
        if has_reviews(folder):
            raise UserError(
                f"{folder} holds a review, and frames of its audit must never train: give it as --data-root, which "
                "leaves them out"
            )


def masks_by_name(folder: Path | str) -> dict[str, Path]:
    """Return `images_by_name` of a folder of masks; of reviewed/ those alone that count by `review.csv`."""
    found, parent = images_by_name(folder), Path(folder).resolve().parent
    if Path(folder).resolve().name != MASKS or not has_reviews(parent):
        return found
    return {name: found[name] for name, review in read_reviews(parent).items() if review.has_mask and name in found}


def read_reviews(folder: Path | str, *, complete: bool = True) -> dict[str, Review]:
    """Return the rows of `review.csv` by name, in its order; {} without the file.

    Raises `UserError` for rows that are not valid (a table edited by hand), for frames of the audit that are no longer
    its own, and for accepted masks that are missing. With `complete` false, rows of the audit may be missing: a
    select_frames.py that was killed had written its record only.
    """
    folder = Path(folder)
    path = folder / TABLE
    if not path.is_file():
        return {}
    found: dict[str, Review] = {}
    for number, row in enumerate(read_csv(path, COLUMNS), 2):
        try:
            review = Review(**{name: read(row[name]) for name, read in _READ.items()})
            _check_review(review)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}, line {number}: not a row of reviews ({error})") from error
        if review.name in found:
            raise UserError(f"{path}, line {number}: {review.name} has two rows; keep one of them")
        found[review.name] = review
    audit = read_audit_sample(folder)
    listed = [name for name, review in found.items() if review.purpose == "audit"]
    differing = set(listed) ^ set(audit.names) if complete else set(listed) - set(audit.names)
    if differing:
        raise UserError(
            f"{path} and {RECORD} disagree on the frames of the audit ({list_some(sorted(differing), 4)}): an audit "
            "that was chosen by hand says nothing; select_frames.py --budget 0 restores rows that were drawn"
        )
    present = {path.name for path in (folder / MASKS).glob("*.png")}
    lost = [name for name, review in found.items() if review.has_mask and f"{name}.png" not in present]
    if lost:
        raise UserError(
            f"{path}: the masks of {len(lost)} reviewed frames are missing in {folder / MASKS}: {list_some(lost, 4)}; "
            "put them back, or set the status of these rows to open"
        )
    return found


def _check_review(review: Review) -> None:
    """Raise ValueError if a value is not allowed."""
    if not review.name or Path(review.name).name != review.name:
        raise ValueError("the name is no name of a frame")
    if review.purpose not in PURPOSES:
        raise ValueError(f"purpose {review.purpose!r} is none of {', '.join(PURPOSES)}")
    if review.status not in STATUSES:
        raise ValueError(f"status {review.status!r} is none of {', '.join(STATUSES)}")
    if review.purpose == "audit" and not (0 < review.probability <= 1 and review.stratum):
        raise ValueError("a frame of the audit needs a stratum and a probability of inclusion above 0")
    if not (math.isfinite(review.seconds) and min(review.seconds, review.changed_pixels) >= 0):
        raise ValueError("seconds or changed_pixels is no number from 0 on")


def count_reviewed(reviews: Mapping[str, Review], names: Iterable[str]) -> dict[str, int]:
    """Count the frames `names` by the status of their reviewed mask, else as predicted; and all unusable frames."""
    masks = {name: review.status for name, review in reviews.items() if review.has_mask}
    found = Counter(masks.get(name, "predicted") for name in names)
    unusable = sum(review.status == "unusable" for review in reviews.values())
    return {**{status: found[status] for status in (*WITH_MASK, "predicted")}, "unusable_left_out": unusable}


def reviewed_words(counts: Mapping[str, int]) -> str:
    """Return the result of `count_reviewed` as a sentence without its full stop."""
    reviewed, unusable = sum(counts[status] for status in WITH_MASK), counts["unusable_left_out"]
    kinds = ", ".join(f"{counts[status]} {status}" for status in WITH_MASK)
    said = f"{reviewed} of {reviewed + counts['predicted']} masks are reviewed ({kinds}), the others predicted"
    return said + f"; {unusable} unusable frame{'s' * (unusable != 1)} left out"


@contextlib.contextmanager
def lock_reviews(folder: Path | str, patience_s: float = 10.0) -> Iterator[None]:
    """Hold the reviews of a folder: who changes them reads and writes them within this block.

    Waits while another process or thread holds them. Raises `LockedError` after `patience_s`.
    """
    until = time.monotonic() + patience_s
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(sole_writer(Path(folder) / MASKS))
                break
            except LockedError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
        yield


def write_reviews(folder: Path | str, reviews: Iterable[Review], masks: Mapping[str, bytes] | None = None) -> None:
    """Write the reviewed `masks` (name -> PNG), then `review.csv`, each atomically and through to the disk.

    The table is written first, under another name: a full disk stops before a mask replaces an older one.
    """
    with atomic_path(Path(folder) / TABLE) as table:
        write_rows(table, COLUMNS, map(vars, reviews))
        write_through(table)
        for name, data in (masks or {}).items():
            write_bytes(reviewed_path(folder, name), data, durable=True)


def read_audit_sample(folder: Path | str) -> AuditSample:
    """Return the audit of `review.json`; an empty one without the file. Raises `UserError` if it is not valid."""
    path = Path(folder) / RECORD
    if not path.is_file():
        return AuditSample()
    record = read_json(path)
    if not isinstance(record, Mapping) or record.get("schema") != SCHEMA:
        raise UserError(f"{path} was not written by this version of select_frames.py")
    try:
        return AuditSample(
            **{item.name: type(getattr(AuditSample(), item.name))(record[item.name]) for item in fields(AuditSample)}
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} was changed: {error!r}") from error


def write_audit_sample(folder: Path | str, audit: AuditSample) -> None:
    """Write `review.json`, atomically."""
    write_json(Path(folder) / RECORD, {"schema": SCHEMA, **asdict(audit)})
