"""Mask files: decode any label image, remap source codes to class ids, write and read indexed PNGs."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from surgseg.files import UserError, list_some, write_bytes
from surgseg.frames import open_image
from surgseg.labels import VOID, Scheme


def decode_codes(source: Path | bytes, name: str = "") -> tuple[np.ndarray, str]:
    """Decode a label image to the gray levels or palette indices that it stores.

    Takes gray, indexed (the index, not the colour), and RGB or RGBA with equal colour channels; alpha is ignored.
    Returns ((H, W) uint8, the file's mode as Pillow names it). Raises `UserError` for any other file.
    """
    name = name or str(source)
    with open_image(source, name) as image:
        bands = image.split()  # much faster than one array of the whole image, in which the channels alternate
        mode = image.mode
    first = np.asarray(bands[0])
    if mode == "1":
        return first.astype(np.uint8) * np.uint8(255), mode
    if mode not in ("L", "P", "LA", "RGB", "RGBA"):
        raise UserError(f"{name}: image mode {mode} is no 8-bit label mask")
    if mode in ("RGB", "RGBA") and not bands[0].tobytes() == bands[1].tobytes() == bands[2].tobytes():
        raise UserError(f"{name}: colour channels differ, so this is no label mask (a colour mask?)")
    return first, mode


def remap(codes: np.ndarray, lookup: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Map source codes to class ids.

    `codes` (H, W) uint8, `lookup` from `Scheme.lookup`. Returns ((H, W) uint8 class ids with 255 for void,
    (256,) int64 pixel count of each code). Raises `UserError` with file, code and pixel count for an unknown code.
    """
    counts = count_codes(codes)
    unknown = np.flatnonzero((counts > 0) & (lookup < 0))
    if len(unknown):
        found = list_some(f"{code} ({counts[code]} pixels)" for code in unknown)
        raise UserError(f"{name}: unknown mask code {found}; the class scheme does not name it")
    return cv2.LUT(np.ascontiguousarray(codes), lookup.astype(np.uint8)), counts


def count_codes(codes: np.ndarray) -> np.ndarray:
    """Count the pixels of each value: (H, W) uint8 -> (256,) int64."""
    if codes.size >= 1 << 24:  # OpenCV counts in float32, which is exact below 2**24
        return np.bincount(codes.reshape(-1), minlength=256)
    histogram = cv2.calcHist([np.ascontiguousarray(codes)], [0], None, [256], [0, 256])
    return histogram.reshape(-1).astype(np.int64)


def encode_mask(ids: np.ndarray, scheme: Scheme) -> bytes:
    """Encode (H, W) uint8 class ids (255 void) as the bytes of an 8-bit indexed PNG with the scheme's palette."""
    image = Image.fromarray(ids)
    image.putpalette(scheme.palette())
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=3, compress_type=3)  # run-length encoding: small and fast for flat regions
    return stream.getvalue()


def write_mask(path: Path, ids: np.ndarray, scheme: Scheme) -> None:
    """Write class ids as an indexed PNG, atomically."""
    write_bytes(path, encode_mask(ids, scheme))


def read_mask(path: Path, num_classes: int) -> np.ndarray:
    """Read a prepared, predicted or corrected mask: (H, W) uint8 class ids, 255 for void.

    Any format of `decode_codes` holds ids. One exception: with two classes, a file that is not indexed and holds only
    0 and 255 is a binary mask, in which 255 is class 1. Raises `UserError` with pixel counts for larger ids.
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
    """Count 8-connected components of a (H, W) uint8 mask (0: background) larger than `min_area`, a share 0-1 of it."""
    left, top, width, height = cv2.boundingRect(instrument)
    if not width:
        return 0
    box = instrument[top : top + height, left : left + width]
    # by its name the algorithm takes a third of the time of the default
    _, _, boxes, _ = cv2.connectedComponentsWithStatsWithAlgorithm(box, 8, cv2.CV_32S, cv2.CCL_BBDT)
    return int((boxes[1:, cv2.CC_STAT_AREA] > min_area * instrument.size).sum())
