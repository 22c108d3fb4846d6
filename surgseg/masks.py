"""Mask PNGs: decode any of them, remap source codes to class ids, write indexed PNGs, read them back."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from surgseg.files import UserError, list_some, write_bytes
from surgseg.labels import VOID, Scheme


def decode_codes(source: Path | bytes, name: str = "") -> tuple[np.ndarray, str]:
    """Decode a label image to its single channel, without interpreting it.

    Takes gray, indexed (the index counts, not the colour), RGB and RGBA with equal colour channels; alpha is
    dropped. Returns ((H, W) uint8, the file's mode as Pillow names it). Raises `UserError` otherwise.
    """
    name = name or str(source)
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with Image.open(stream) as image:
            image.load()
            mode = image.mode
            bands = image.split()  # much faster than an array of the whole image, whose channels then lie apart
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such file") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{name}: cannot be decoded as an image ({error})") from error
    first = np.asarray(bands[0])
    if mode in ("L", "P", "LA"):
        return first, mode
    if mode == "1":
        return first.astype(np.uint8) * np.uint8(255), mode
    if mode in ("RGB", "RGBA"):
        red = bands[0].tobytes()
        if red == bands[1].tobytes() and red == bands[2].tobytes():
            return first, mode
        raise UserError(f"{name}: colour channels differ, so this is no label mask (a colour mask?)")
    raise UserError(f"{name}: image mode {mode} is no 8-bit label mask")


def remap(codes: np.ndarray, lookup: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Source codes to class ids.

    `codes` (H, W) uint8, `lookup` from `Scheme.lookup`. Returns ((H, W) uint8 class ids with 255 for void,
    (256,) int64 pixel count of each code). An unknown code is a `UserError` naming file, code and pixels.
    """
    counts = count_codes(codes)
    unknown = np.flatnonzero((counts > 0) & (lookup < 0))
    if len(unknown):
        found = list_some(f"{code} ({counts[code]} pixels)" for code in unknown)
        raise UserError(f"{name}: unknown mask code {found}; the class scheme does not name it")
    return cv2.LUT(np.ascontiguousarray(codes), lookup.astype(np.uint8)), counts


def count_codes(codes: np.ndarray) -> np.ndarray:
    """(H, W) uint8 -> (256,) int64 pixel count of each value."""
    if codes.size >= 1 << 24:  # OpenCV counts in float32, exact below that
        return np.bincount(codes.reshape(-1), minlength=256)
    histogram = cv2.calcHist([np.ascontiguousarray(codes)], [0], None, [256], [0, 256])
    return histogram.reshape(-1).astype(np.int64)


def encode_mask(ids: np.ndarray, scheme: Scheme) -> bytes:
    """(H, W) uint8 class ids (255 void) -> bytes of an 8-bit indexed PNG with the scheme's palette."""
    image = Image.fromarray(ids)
    image.putpalette(scheme.palette())
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=3, compress_type=3)  # run lengths: smaller and faster for flat regions
    return stream.getvalue()


def write_mask(path: Path, ids: np.ndarray, scheme: Scheme) -> None:
    """Write class ids as an indexed PNG, atomically."""
    write_bytes(path, encode_mask(ids, scheme))


def read_mask(path: Path, num_classes: int) -> np.ndarray:
    """Read a prepared, predicted or corrected mask: (H, W) uint8 class ids, 255 for void.

    Indexed PNGs hold ids; gray or equal-channel RGB(A) files hold ids too, except that a file of only 0 and
    255 is a binary mask, whose 255 is class 1. An id beyond `num_classes` is a `UserError` with the counts.
    """
    ids, mode = decode_codes(path)
    counts = count_codes(ids)
    if mode != "P" and num_classes == 2 and counts[VOID] and counts[1:VOID].sum() == 0:
        return (ids == VOID).astype(np.uint8)
    bad = [value for value in range(num_classes, VOID) if counts[value]]
    if bad:
        found = list_some(f"{value} ({counts[value]} pixels)" for value in bad)
        raise UserError(
            f"{path}: class id {found} beyond the {num_classes} classes; prepare the masks, or say that there are more"
        )
    return ids


def count_components(instrument: np.ndarray, min_area: float) -> int:
    """8-connected components of a (H, W) uint8 mask (not 0: instrument) larger than `min_area` of the frame, 0-1."""
    _, _, boxes, _ = cv2.connectedComponentsWithStats(instrument, connectivity=8)
    return int((boxes[1:, cv2.CC_STAT_AREA] > min_area * instrument.size).sum())
