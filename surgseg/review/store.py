"""The frames, masks and reviews of a generated folder, for the page where a person corrects them.

Nothing is kept in memory that a person has done: each save is read, compared and written under the lock of the folder,
so that several tabs, people and programs can work on it.
"""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from surgseg.files import UserError, check_folder, list_some, sole_writer
from surgseg.frames import open_image
from surgseg.generate.folder import FrameRow, Generated, read_generated
from surgseg.labels import VOID
from surgseg.masks import decode_codes, encode_mask, read_mask
from surgseg.reviews import MASKS, TABLE, Review, lock_reviews, read_reviews, reviewed_path, write_reviews


class Conflict(Exception):
    """A frame was saved by someone else since its mask was read: `review` and `version` as they are now."""

    def __init__(self, review: Review, version: str):
        super().__init__(review.name)
        self.review, self.version = review, version


class InvalidMask(Exception):
    """A mask that does not fit its frame or the class scheme."""


@dataclass(frozen=True)
class ReviewFolder:
    """A generated folder whose frames and masks all have the size (`height`, `width`).

    `blank_audit`: frames of the audit start from an empty mask, and nothing of their predictions is told.
    """

    generated: Generated
    height: int
    width: int
    blank_audit: bool

    @property
    def path(self) -> Path:
        return self.generated.folder

    def frame_path(self, index: int) -> Path:
        return self.generated.frame_path(self.generated.rows[index])

    def reviews(self) -> dict[str, Review]:
        """Return the table as `read_reviews` does; it is read again when it has changed."""
        try:
            found = (self.path / TABLE).stat()
        except FileNotFoundError:
            return {}
        return _reviews_of(self.path, found.st_mtime_ns, found.st_size, found.st_ino)


@functools.lru_cache(maxsize=1)
def _reviews_of(folder: Path, *stamp: int) -> dict[str, Review]:
    return read_reviews(folder)


def open_for_review(folder: Path | str, blank_audit: bool = False) -> ReviewFolder:
    """Check a generated folder and return it.

    Raises `UserError` if a run is writing it now, if it holds no masks or no frames, if their sizes differ, and as
    `read_generated` and `read_reviews` do.
    """
    generated = read_generated(folder)
    with lock_reviews(folder), sole_writer(folder):  # of several servers that start now, one after the other
        check_folder(generated.folder / MASKS)
    for part, option in (("frames", "--frame-format jpg"), ("masks", "--save masks")):
        if part not in generated.run["parts"]:
            raise UserError(f"{folder} holds no {part}; generate it again with {option}")
    first = generated.rows[0]
    width, height = _size(generated.frame_path(first))
    files = [generated.path(part, row) for row in generated.rows for part in ("frames", "masks", "probabilities")]
    files += [reviewed_path(folder, name) for name, review in read_reviews(folder).items() if review.has_mask]
    other = [path for path in files if path and _size(path) != (width, height)]
    if other:
        shown = list_some(
            (f"{path.relative_to(generated.folder)} {'x'.join(map(str, _size(path)))}" for path in other), 3
        )
        raise UserError(
            f"{folder}: {first.name} is {width}x{height}, but not: {shown}; put back the files of this size"
        )
    return ReviewFolder(generated, height, width, blank_audit)


def _size(path: Path) -> tuple[int, int]:
    with open_image(path, str(path)) as image:
        return image.size


def describe_frames(opened: ReviewFolder) -> list[dict]:
    """Return what the page lists of each frame, in order of time, without statistics of predictions."""
    reviews = opened.reviews()
    return [_listed(opened, index, row, reviews.get(row.name)) for index, row in enumerate(opened.generated.rows)]


def _listed(opened: ReviewFolder, index: int, row: FrameRow, review: Review | None) -> dict:
    drawn = review is not None and review.purpose == "audit"
    found = review or Review(row.name, "")
    return {
        "index": index,
        "name": row.name,
        "time_s": row.time_s,
        "purpose": found.purpose,
        "rank": 0 if drawn else found.rank,
        "reason": "" if drawn else found.reason,
        "status": found.status,
        "seconds": found.seconds,
        "changed_pixels": 0 if is_blind(opened, review) else found.changed_pixels,
        "version": version_of(opened, found),
    }


def is_blind(opened: ReviewFolder, review: Review | None) -> bool:
    return opened.blank_audit and review is not None and review.purpose == "audit"


def version_of(opened: ReviewFolder, review: Review) -> str:
    """Return a short hash of what is saved of a frame, row and mask; "" if nothing is."""
    try:
        found = reviewed_path(opened.path, review.name).stat()
        mask = (found.st_mtime_ns, found.st_size)
    except FileNotFoundError:
        mask = ()
    if review.status == "open" and not mask:
        return ""
    work = (review.status, review.seconds, review.changed_pixels, review.time, mask)
    return f"{zlib.crc32(repr(work).encode()):08x}"


def find_review(opened: ReviewFolder, index: int) -> Review:
    """Return the row of a frame; one with purpose extra if the table has none."""
    name = opened.generated.rows[index].name
    return opened.reviews().get(name) or Review(name, "extra")


def starting_mask(opened: ReviewFolder, index: int) -> tuple[np.ndarray, str]:
    """Return the mask to correct, (H, W) uint8 class ids, and its version: reviewed, else predicted, else empty.

    A saved mask counts whatever its status: that of a frame that is open again, or unusable now, is not lost.
    """
    review = find_review(opened, index)
    version = version_of(opened, review)
    if reviewed_path(opened.path, review.name).is_file():
        return _read(opened, reviewed_path(opened.path, review.name)), version
    if is_blind(opened, review):
        return np.zeros((opened.height, opened.width), np.uint8), version
    return predicted_mask(opened, index), version


def predicted_mask(opened: ReviewFolder, index: int) -> np.ndarray:
    """Return (H, W) uint8 class ids as the model predicted them."""
    return _read(opened, opened.generated.path("masks", opened.generated.rows[index]))


def _read(opened: ReviewFolder, path: Path) -> np.ndarray:
    return _of_size(opened, path, read_mask(path, opened.generated.scheme.num_classes))


def _of_size(opened: ReviewFolder, path: Path, values: np.ndarray) -> np.ndarray:
    height, width = values.shape
    if (height, width) != (opened.height, opened.width):
        raise UserError(f"{path} is {width}x{height}, its frame {opened.width}x{opened.height}")
    return values


def probability_of(opened: ReviewFolder, index: int) -> np.ndarray | None:
    """Return (H, W) uint8, the probability of instrument in 255ths; None if the run did not save it."""
    path = opened.generated.path("probabilities", opened.generated.rows[index])
    return None if path is None else _of_size(opened, path, decode_codes(path)[0])


def mask_from(opened: ReviewFolder, data: bytes) -> np.ndarray:
    """Return (H, W) uint8 class ids, which may be changed, from raw bytes. Raises `InvalidMask`."""
    if len(data) != opened.height * opened.width:
        raise InvalidMask(f"the mask has {len(data)} pixels, the frame {opened.width}x{opened.height}")
    ids = np.frombuffer(data, np.uint8).reshape(opened.height, opened.width).copy()
    count = opened.generated.scheme.num_classes
    unknown = ids[(ids >= count) & (ids != VOID)]
    if unknown.size:
        raise InvalidMask(f"class {unknown[0]} is none of the {count} classes ({unknown.size} pixels)")
    return ids


def save_review(
    opened: ReviewFolder, index: int, ids: np.ndarray | None, seconds: float, version: str
) -> tuple[Review, str]:
    """Save a mask of `mask_from`, or None for an unusable frame. Return the new row and version.

    `seconds` of work are added to those of earlier saves. Raises `Conflict` if `version` is not the one on the disk,
    `UserError` if it cannot be written: then all is as before.
    """
    with lock_reviews(opened.path):
        reviews = read_reviews(opened.path)
        name = opened.generated.rows[index].name
        found = reviews.get(name) or Review(name, "extra")
        current = version_of(opened, found)
        if version != current:
            raise Conflict(found, current)
        changed = 0 if ids is None else int((ids != predicted_mask(opened, index)).sum())
        saved = replace(
            found,
            status=_status(opened, ids, changed),
            seconds=round(found.seconds + seconds, 1),
            changed_pixels=changed,
            time=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        )
        masks = {} if ids is None else {name: encode_mask(ids, opened.generated.scheme)}
        write_reviews(opened.path, {**reviews, name: saved}.values(), masks)
        return saved, version_of(opened, saved)


def _status(opened: ReviewFolder, ids: np.ndarray | None, changed: int) -> str:
    if ids is None:
        return "unusable"
    if not np.isin(ids, opened.generated.scheme.instrument_ids).any():
        return "empty"
    return "corrected" if changed else "accepted"
