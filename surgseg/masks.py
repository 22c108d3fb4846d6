"""Mask files: decode any label image, remap source codes to class ids, write and read indexed PNGs."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from surgseg.files import UserError, list_some, write_bytes
from surgseg.frames import open_image
from surgseg.labels import VOID, Scheme

BINARY: dict[Path, bool] = {}  # whether 255 is class 1 in the masks of a folder, as `mask_folders.settle_masks` found
MIN_AREA = 0.001  # of the frame: a smaller mask counts as a speck, not as an instrument in view


class StoredMask(NamedTuple):
    """What a mask file stores: (H, W) uint8 samples or palette indices, and Pillow's name of the file's mode.

    `levels` (256,) uint8 is the gray level that a viewer shows for each stored value, where that is another number:
    with gray samples of 1, 2 or 4 bits, and with a palette of grays. None for any other file.
    """

    values: np.ndarray
    mode: str
    levels: np.ndarray | None


def decode_stored(source: Path | bytes, name: str = "") -> StoredMask:
    """Decode a label image: gray, indexed, or RGB and RGBA with equal colour channels.

    Raises `UserError` for channels that differ, an alpha channel that hides pixels, and values above 255.
    """
    name = name or str(source)
    with open_image(source, name) as image:
        palette, depth = palette_of(image), sample_bits(image)
        bands = image.split()  # much faster than one array of the whole image, in which the channels alternate
        mode = image.mode
    first = np.asarray(bands[0])
    if mode.startswith("I"):
        if first.min() < 0 or first.max() > VOID:
            raise UserError(f"{name}: 16-bit gray values up to {first.max()}; a mask has codes of 0..255, in 8 bits")
        return StoredMask(first.astype(np.uint8), mode, None)
    if mode not in ("1", "L", "P", "LA", "RGB", "RGBA"):
        raise UserError(f"{name}: image mode {mode} is no 8-bit label mask")
    if mode in ("RGB", "RGBA", "LA") and depth == 16:
        raise UserError(f"{name}: 16-bit colour channels; save the mask as 8-bit gray")
    _check_alpha(bands, mode, name)
    if mode in ("RGB", "RGBA") and not bands[0].tobytes() == bands[1].tobytes() == bands[2].tobytes():
        raise UserError(f"{name}: colour channels differ, so this is no label mask (a colour mask?)")
    if mode in ("1", "L") and depth < 8:
        step = 255 // (2**depth - 1)  # Pillow scales samples of 2 and 4 bits to 0..255
        values = first.astype(np.uint8) if mode == "1" else first // np.uint8(step)
        return StoredMask(values, f"{depth}-bit gray", (np.arange(256) * step).astype(np.uint8))
    return StoredMask(first, mode, gray_levels(palette))


def decode_codes(source: Path | bytes, name: str = "") -> tuple[np.ndarray, str]:
    """Decode a label image to the samples or palette indices that it stores: ((H, W) uint8, the kind of file).

    Raises `UserError` as `decode_stored` does.
    """
    return decode_stored(source, name)[:2]


def decode_levels(source: Path | bytes, name: str = "") -> tuple[np.ndarray, str]:
    """Decode a label image to the gray levels that a viewer shows: ((H, W) uint8, the kind of file)."""
    values, mode, levels = decode_stored(source, name)
    return (values, mode) if levels is None else (levels[values], f"{mode}, as shown")


def decode_threshold(source: Path | bytes, name: str = "", *, threshold: int) -> tuple[np.ndarray, str]:
    """Decode a binary mask with soft edges or JPEG noise: 1 where its gray level is at least `threshold`, else 0."""
    name = name or str(source)
    with open_image(source, name) as image:
        if image.mode not in ("1", "L", "P", "LA", "RGB", "RGBA"):
            raise UserError(f"{name}: image mode {image.mode}; only 8-bit masks can have a threshold")
        _check_alpha(image.split(), image.mode, name)
        gray = np.asarray(image.convert("L"))
    return (gray >= threshold).astype(np.uint8), f"gray from {threshold} on"


def palette_of(image: Image.Image) -> bytes:
    """Return the palette of an opened image as red, green, blue of each index; b"" if it is not indexed."""
    if image.mode != "P":
        return b""
    order, data = image.palette.getdata()  # `getpalette` would decode the whole image
    return bytes(data) if order == "RGB" else bytes(image.getpalette())


def sample_bits(image: Image.Image) -> int:
    """Return the bits of a sample (1, 2, 4, 8, 16) in the file of an image that is opened, and not yet decoded."""
    if image.mode == "1":
        return 1
    coding = image.tile[0][3] if image.tile else ""
    coding = coding if isinstance(coding, str) else str(coding[0] if coding else "")
    bits = re.search(r";(2|4|16)", coding)
    return int(bits.group(1)) if bits else 8


def gray_levels(palette: bytes) -> np.ndarray | None:
    """(256,) gray level of each index, if all colours are grays and some index is not its own level; else None."""
    colours = np.frombuffer(palette, np.uint8)[: len(palette) // 3 * 3].reshape(-1, 3)
    if (colours != colours[:, :1]).any() or (colours[:, 0] == np.arange(len(colours))).all():
        return None
    levels = np.zeros(256, np.uint8)
    levels[: len(colours)] = colours[:, 0]
    return levels


def _check_alpha(bands: tuple, mode: str, name: str) -> None:
    """Raise `UserError` if an alpha channel is not opaque: then the shape may be in it, not in the colours."""
    if mode in ("LA", "RGBA") and bands[-1].getextrema()[0] < 255:
        raise UserError(f"{name}: its alpha channel hides pixels; save the mask as gray, without transparency")


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

    Any format of `decode_stored` holds ids. One exception: where `is_binary`, 255 is class 1. Raises
    `UserError` with pixel counts for larger ids.
    """
    ids, _ = decode_codes(path)
    counts = count_codes(ids)
    bad = [value for value in range(num_classes, VOID) if counts[value]]
    if bad:
        found = list_some(f"{value} ({counts[value]} pixels)" for value in bad)
        raise UserError(
            f"{path}: class id {found} beyond the {num_classes} classes; prepare the masks, or say that there are more"
        )
    return np.minimum(ids, 1) if num_classes == 2 and is_binary(path) else ids


def is_binary(path: Path) -> bool:
    """Whether 255 is class 1 in a mask: by the nearest folder above it that `settle_masks` has decided, else not."""
    return next((BINARY[folder] for folder in Path(path).parents if folder in BINARY), False)


def count_components(instrument: np.ndarray, min_area: float) -> int:
    """Count 8-connected components of a (H, W) uint8 mask (0: background) larger than `min_area`, a share 0-1 of it."""
    left, top, width, height = cv2.boundingRect(instrument)
    if not width:
        return 0
    box = instrument[top : top + height, left : left + width]
    # by its name the algorithm takes a third of the time of the default
    _, _, boxes, _ = cv2.connectedComponentsWithStatsWithAlgorithm(box, 8, cv2.CV_32S, cv2.CCL_BBDT)
    return int((boxes[1:, cv2.CC_STAT_AREA] > min_area * instrument.size).sum())


def is_present(coverage: Sequence[float], min_area: float = MIN_AREA) -> np.ndarray:
    """Return (N,) bool: coverage is above 0 and at least `min_area` (0-1)."""
    coverage = np.asarray(coverage, np.float64)
    return (coverage > 0) & (coverage >= min_area)
