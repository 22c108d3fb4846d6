"""Frames that look alike: a hash of the endoscope's field of view, and the nearest hash in any of eight orientations.

It finds copies that were compressed, scaled, made brighter or darker, shifted or turned a little, mirrored, turned
upside down or by a quarter. It does not see crops and zooms, strong changes of colour or contrast, drawn-over text, and
frames of the same operation a second or more apart.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from surgseg.frames import LIT
from surgseg.view import find_view

SIDE = 240  # pixels: larger frames are first reduced by a whole number, which is quick
LIT_SHARE = 0.1  # lit share of a row or column that belongs to the field; the edge columns of a round field have less
FIELD = 0.25  # least field, as a share of the frame's height and of its width; smaller ones are reflexes or captions
FLAT = 2.0  # gray levels: a frame is blank if the standard deviation of its cells is smaller; 144 real frames: >= 10
GRID = 16  # cells along each axis of the field
FALLOFF = 2.5  # cells: standard deviation of the blurred copy that is subtracted
# Bits of 416 that may differ in near copies, measured at 256x256. Different frames: in 7,764 pairs of real frames of
# different videos (six, of EndoVis 2015, Cholec80, CholecSeg8k) at least 148 bits differ in any orientation; with a
# vignette drawn on them 128; in 363,258 synthetic pairs 131. So there was no false alarm. Found: all copies of the 144
# real frames in each of the eight orientations, also as JPEG (quality 25); at a third of the size, 10 % brighter or
# darker, shifted by 2 %, rotated by 1 degree; 84 % of those shifted by 2 % on both axes. In synthetic clips (25
# frames/s): all pairs up to 8 frames apart, 99 % of those 12 frames apart, 56 % of those 25 frames apart.
NEAR = 104
BLIND = (
    "Mirrored and turned copies are found too; crops, zooms, strong changes of colour or contrast and drawn-over text "
    "are not"
)
CHUNK = 32  # frames compared at a time: 7 MB for 6,464 training frames


def frame_hashes(frames, indices=None) -> tuple[np.ndarray, np.ndarray]:
    """The hashes (M, BITS) float32 (+1 or -1) of the M frames that are not blank, and the indices of these.

    `frames` holds (H, W, 3) uint8 RGB frames; `indices` chooses among them (default: all).
    """
    indices = range(len(frames)) if indices is None else indices
    found = {index: bits for index in indices if (bits := _frame_hash(frames[index])) is not None}
    hashes = np.array(list(found.values()), dtype=np.float32).reshape(-1, BITS)
    return 2 * hashes - 1, np.array(list(found), dtype=np.int64)


def pack(hashes: np.ndarray) -> np.ndarray:
    """Hashes (M, BITS) of +1 or -1 as (M, BITS / 8) uint8, as weights files store them."""
    return np.packbits(hashes > 0, axis=1)


def unpack(packed: np.ndarray) -> np.ndarray:
    """Return the hashes (M, BITS) float32 that `pack` packed."""
    return 2 * np.unpackbits(np.asarray(packed, np.uint8).reshape(-1, BITS // 8), axis=1).astype(np.float32) - 1


def nearest(hashes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of `hashes`: the bits that differ from the nearest row of `others`, and its index.

    Both are those of `frame_hashes`. Each row is compared in its eight orientations. Without `others`, BITS + 1 bits
    differ.
    """
    differing, indices = np.full(len(hashes), BITS + 1), np.zeros(len(hashes), dtype=np.int64)
    if not len(others):
        return differing, indices
    for start in range(0, len(hashes), CHUNK):
        rows = hashes[start : start + CHUNK]
        turned = np.concatenate([rows[:, order] * sign for order, sign in _ORIENTATIONS])
        product = (turned @ others.T).reshape(len(_ORIENTATIONS), len(rows), -1).max(axis=0)  # bits alike - bits unlike
        indices[start : start + CHUNK] = product.argmax(axis=1)
        differing[start : start + CHUNK] = (BITS - product.max(axis=1)) // 2
    return differing, indices


def _frame_hash(frame: np.ndarray) -> np.ndarray | None:
    """Difference hash of the endoscope's field of view: (BITS,) bool, or None for a blank frame.

    Each bit says whether a cell of the field's thumbnail is brighter than its left or its upper neighbour. Two things
    that all videos have in common are removed: the light's falloff towards the edge (by subtracting a blurred copy),
    and the dark corners around a round field (only cells in the ellipse inside the field count). A frame is first
    cropped as `find_view` says, so that the border may be gray, and a frame that was cropped before has the same hash.
    """
    frame = find_view([frame]).crop(frame)
    height, width = frame.shape[:2]
    if (factor := min(height, width) // SIDE) > 1:
        frame = cv2.resize(frame, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
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
    shares = (cv2.reduce(dark, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel() for axis in (1, 0))
    rows, columns = (np.flatnonzero(share < 255 * (1 - LIT_SHARE)) for share in shares)
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


def _orientations() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, for each of the eight orientations of a frame, where each bit of its hash comes from, and its sign.

    The sign is -1 where the order of the two cells is reversed. Mirroring reverses the differences across and moves
    the others; transposing exchanges both kinds.
    """
    across, down = np.zeros(_ACROSS.shape, int), np.zeros(_DOWN.shape, int)
    across[_ACROSS] = np.arange(1, _ACROSS.sum() + 1)  # from 1, so that each number has a sign
    down[_DOWN] = np.arange(_ACROSS.sum() + 1, BITS + 1)
    for _ in range(4):
        for _ in range(2):
            bits = np.concatenate([across[_ACROSS], down[_DOWN]])
            yield np.abs(bits) - 1, np.sign(bits).astype(np.float32)
            across, down = -across[:, ::-1], down[:, ::-1]
        across, down = -down.T[:, ::-1], across.T[:, ::-1]  # a quarter turn


_OVAL = _oval()
_ACROSS, _DOWN = _OVAL[:, 1:] & _OVAL[:, :-1], _OVAL[1:] & _OVAL[:-1]
BITS = int(_ACROSS.sum() + _DOWN.sum())
_ORIENTATIONS = tuple(_orientations())
