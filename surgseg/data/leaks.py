"""Find leaks from training into held-out frames: videos in several parts, and frames that look alike."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import cv2
import numpy as np

from surgseg.data.splits import PARTS, Split
from surgseg.files import UserError, list_some, natural_key
from surgseg.frames import LIT

SHARING = ("random", "time")  # splits that divide videos on purpose
HELD_OUT = PARTS[1:]
LIT_SHARE = 0.1  # lit share of a row or column that belongs to the field; the edge columns of a round field have less
FIELD = 0.25  # least field, as a share of the frame's height and of its width; smaller ones are reflexes or captions
FLAT = 2.0  # gray levels: a frame is blank if the standard deviation of its cells is smaller; 144 real frames: >= 10
GRID = 16  # cells along each axis of the field
FALLOFF = 2.5  # cells: standard deviation of the blurred copy that is subtracted
# Bits of 416 that may differ in near copies, measured at 256x256. Different frames: in 7,764 pairs of real frames of
# different videos (six, of EndoVis 2015, Cholec80, CholecSeg8k) at least 148 bits differ; with the same vignette drawn
# on them 126; in 364,560 synthetic pairs 142. So there was no false alarm. Found: all copies of the 144 real frames as
# JPEG (quality 25), at a third of the size, 10 % brighter or darker, shifted by 2 %, rotated by 1 degree; 84 % of those
# shifted by 2 % on both axes. In synthetic clips (25 frames/s): all pairs up to 8 frames apart, 99 % of those 12 frames
# apart, 56 % of those 25 frames apart.
NEAR = 104
EXAMPLES = 3  # pairs named in the warning
CHUNK = 256  # held-out frames compared at a time: 7 MB for 6,464 training frames


@dataclass(frozen=True)
class NearCopies:
    """How many held-out frames look like a training frame.

    `count` of `compared` val and test frames have a near copy in train; `by_part` counts them per part. `blank` frames
    (of any part) were not compared. `examples` are the closest pairs: (held-out name, train name, bits that differ).
    """

    count: int
    compared: int
    by_part: dict[str, int]
    blank: int
    examples: list[tuple[str, str, int]]


def check_videos(split: Split, samples: list, *, allow_shared: bool = False) -> None:
    """Raise `UserError` if frames of one video are in several parts.

    The splits "random" and "time" do that on purpose. A manifest or a splits file that is keyed by frame may do it
    if `allow_shared` is true (the option --allow-shared-videos).
    """
    if split.name in SHARING or (allow_shared and split.by == "frame"):
        return
    found = defaultdict(list)
    for part in PARTS:
        for video in {samples[index].video for index in split.parts[part]}:
            found[video].append(part)
    shared = sorted((video for video, parts in found.items() if len(parts) > 1), key=natural_key)
    if shared:
        shown = list_some(f"{video} ({', '.join(found[video])})" for video in shared)
        anyway = ", or --allow-shared-videos to train all the same" if split.by == "frame" else ""
        raise UserError(
            f"split {split.name!r} puts frames of one video into several parts, so its scores would measure memory: "
            f"{shown}; use --split video{anyway}"
        )


def near_copies(
    frames: np.ndarray, parts: dict[str, np.ndarray], names: list[str], *, distance: int = NEAR
) -> NearCopies:
    """Compare every val and test frame with every train frame.

    `frames` (N, H, W, 3) uint8 RGB, `parts` the indices of each part, `names` the N frames' names. Two frames are
    near copies if at most `distance` bits of their hashes differ.
    """
    hashes = {part: _hashes(frames, parts[part]) for part in PARTS}
    train, train_indices = hashes["train"]
    by_part, pairs = {}, []
    for part in HELD_OUT:
        held_out, indices = hashes[part]
        differing, nearest = _nearest(held_out, train)
        near = np.flatnonzero(differing <= distance)
        by_part[part] = len(near)
        pairs += [(int(differing[i]), int(indices[i]), int(train_indices[nearest[i]])) for i in near]
    return NearCopies(
        count=len(pairs),
        compared=sum(len(hashes[part][1]) for part in HELD_OUT),
        by_part=by_part,
        blank=sum(len(parts[part]) - len(hashes[part][1]) for part in PARTS),
        examples=[(names[index], names[copy], bits) for bits, index, copy in sorted(pairs)[:EXAMPLES]],
    )


def describe_near_copies(found: NearCopies) -> str | None:
    """The warning to print; None if no held-out frame has a near copy in train."""
    if not found.count:
        return None
    per_part = ", ".join(f"{part} {count}" for part, count in found.by_part.items())
    shown = "; ".join(f"{name} and {copy} ({bits} of {BITS} bits differ)" for name, copy, bits in found.examples)
    blank = f" ({found.blank} blank left out)" if found.blank else ""
    return (
        f"  WARNING: {found.count} of {found.compared} held-out frames ({per_part}) have a near copy in train{blank},\n"
        f"  so scores on them measure memory. Closest: {shown}.\n"
        "  Divide by video, and keep a recording that has two names in one part (--val-videos, --test-videos)."
    )


def _nearest(held_out: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of `held_out`: the number of bits that differ from the nearest row of `train`, and its index."""
    if not len(train):
        return np.full(len(held_out), BITS + 1), np.zeros(len(held_out), dtype=np.int64)
    nearest, agreement = np.empty((2, len(held_out)), dtype=np.int64)
    for start in range(0, len(held_out), CHUNK):
        rows = slice(start, start + CHUNK)
        product = held_out[rows] @ train.T  # of +-1: (bits that agree) - (bits that differ)
        nearest[rows] = product.argmax(axis=1)
        agreement[rows] = product.max(axis=1)
    return (BITS - agreement) // 2, nearest


def _hashes(frames: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hashes (M, BITS) float32 (+1 or -1) of the M frames that are not blank, and the indices of these."""
    found = {index: bits for index in indices if (bits := _hash(frames[index])) is not None}
    hashes = np.array(list(found.values()), dtype=np.float32).reshape(-1, BITS)
    return 2 * hashes - 1, np.array(list(found), dtype=np.int64)


def _hash(frame: np.ndarray) -> np.ndarray | None:
    """Difference hash of the endoscope's field of view: (BITS,) bool, or None for a blank frame.

    Each bit says whether a cell of the field's thumbnail is brighter than its left or its upper neighbour. Two things
    that all videos have in common are removed: the light's falloff towards the edge (by subtracting a blurred copy),
    and the dark corners around a round field (only cells in the ellipse inside the field count).
    """
    field = _field(frame)
    if field is None:
        return None
    gray = cv2.cvtColor(field, cv2.COLOR_RGB2GRAY)
    cells = cv2.resize(gray, (GRID + 1, GRID + 1), interpolation=cv2.INTER_AREA).astype(np.float32)
    cells -= cv2.GaussianBlur(cells, (0, 0), FALLOFF, borderType=cv2.BORDER_REFLECT)
    if cells[_OVAL].std() < FLAT:
        return None
    return np.concatenate([(cells[:, 1:] > cells[:, :-1])[_ACROSS], (cells[1:] > cells[:-1])[_DOWN]])


def _field(frame: np.ndarray) -> np.ndarray | None:
    """The frame cropped to its lit pixels, without a black border; None if almost nothing is lit."""
    dark = cv2.inRange(frame, (0, 0, 0), (LIT, LIT, LIT))  # 255 where no channel exceeds LIT
    rows, columns = (np.flatnonzero(dark.mean(axis=axis) < 255 * (1 - LIT_SHARE)) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return None
    field = frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if field.shape[0] < FIELD * frame.shape[0] or field.shape[1] < FIELD * frame.shape[1]:
        return None
    return np.ascontiguousarray(field)


def _oval() -> np.ndarray:
    """(GRID + 1, GRID + 1) bool: the cells whose centre lies in the ellipse that touches all four sides."""
    centre = (np.arange(GRID + 1) + 0.5) / (GRID + 1) * 2 - 1
    return centre[:, None] ** 2 + centre[None] ** 2 <= 1


_OVAL = _oval()
_ACROSS, _DOWN = _OVAL[:, 1:] & _OVAL[:, :-1], _OVAL[1:] & _OVAL[:-1]
BITS = int(_ACROSS.sum() + _DOWN.sum())
