"""Image files: open, decode to RGB, encode as JPEG or PNG, list a folder. Imports `files` only."""

from __future__ import annotations

import contextlib
import io
import os
import struct
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps

from surgseg.files import IMAGE_SUFFIXES, T, UserError, is_hidden, list_some, natural_key, nfc

# Gray level, 0-255. Pixels whose brightest channel is below it are the dark border around a round field of view: the
# level is above the black of limited-range video (16) with its noise, and below dim tissue.
LIT = 24
_NEARLY_BLACK = 16  # gray level of 4095 in 65535: the brightest of a 12-bit picture that fills the low bits of 16
_METADATA = ("exif", "xmp", "Raw profile type exif", "XML:com.adobe.xmp")  # keys of Pillow; each may hold a rotation
_LATE = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")  # the same behind the pixels of a PNG


def read_frame(source: Path | bytes, name: str = "") -> np.ndarray:
    """Decode one frame, upright: (H, W, 3) uint8 RGB. Raises `UserError` as `read_upright` does."""
    return read_upright(source, name)[0]


def read_upright(source: Path | bytes, name: str = "") -> tuple[np.ndarray, int]:
    """Decode one frame and apply its EXIF orientation: ((H, W, 3) uint8 RGB, the orientation 1-8; 1: as stored).

    16 bits per channel become 8. Raises `UserError` as `open_image` does, and for files that do not say which picture
    they show: several pages, transparent pixels, CMYK or LAB colours, floating-point or 32-bit pixels.
    """
    name = name or str(source)
    with open_image(source, name) as image:
        _check_colours(image, name)
        deep = ";16" in str(image.tile)  # 16 bits per channel, also where Pillow decodes them to 8
        orientation = _apply_exif(image)
        if image.mode.startswith("I"):
            picture = _from_16_bits(np.asarray(image), name)
        else:
            picture = np.asarray(image.convert("RGB"))
    if deep and 0 < picture.max() <= _NEARLY_BLACK:
        raise UserError(f"{name}: its 16-bit pixels use 12 bits or fewer, so it would be black; scale them to 0-65535")
    return picture, orientation


def frame_size(data: bytes, name: str) -> tuple[int, int, int]:
    """Return (width, height, EXIF orientation) of the upright frame in a file's bytes. Raises as `read_upright`.

    A file whose header says everything is not decoded.
    """
    with open_image(data, name) as image:
        _check_colours(image, name)
        plain = image.format in ("PNG", "JPEG") and image.mode in ("L", "RGB") and ";16" not in str(image.tile)
        behind = data[data.rfind(b"IDAT") :] if image.format == "PNG" else b""
        if plain and not any(key in image.info for key in _METADATA) and not any(mark in behind for mark in _LATE):
            return (*image.size, 1)
    picture, orientation = read_upright(data, name)
    return picture.shape[1], picture.shape[0], orientation


def check_same_size(frame: tuple[int, int], mask: tuple[int, int], orientation: int = 1) -> None:
    """Raise `UserError` if the (width, height) of a frame and of its mask differ, with the EXIF orientation if any."""
    if tuple(frame) != tuple(mask):
        turned = f" after its EXIF orientation {orientation} is applied" * (orientation != 1)
        raise UserError(f"the frame is {frame[0]}x{frame[1]}{turned}, its mask {mask[0]}x{mask[1]}")


def _check_colours(image: Image.Image, name: str) -> None:
    pages = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # an MPO's other pictures are previews
    if pages > 1:
        raise UserError(f"{name}: holds {pages} pictures; save each as a file of its own")
    if image.mode == "F":
        raise UserError(f"{name}: floating-point pixels have no known range; save it with 8 or 16 bits")
    if image.mode in ("CMYK", "LAB"):
        raise UserError(f"{name}: has {image.mode} colours, which do not say one RGB colour; save it as RGB")
    if image.mode.endswith(("A", "a")) or "transparency" in image.info:
        least, most = image.convert("RGBA").getchannel("A").getextrema()
        if least < most:  # one value everywhere says nothing
            raise UserError(f"{name}: some pixels are transparent: their colour is not certain; save it without alpha")


def _apply_exif(image: Image.Image) -> int:
    """Turn and mirror the image as its EXIF orientation says. Return the orientation, 1 if there is none."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        image.load()
        if image.format != "TIFF":  # Pillow turns a TIFF as it loads it
            ImageOps.exif_transpose(image, in_place=True)
    except (SyntaxError, struct.error):  # broken EXIF data: viewers ignore it
        return 1
    return orientation if orientation in range(1, 9) else 1


def _from_16_bits(gray: np.ndarray, name: str) -> np.ndarray:
    if gray.min() < 0 or gray.max() > 65535:
        raise UserError(f"{name}: 32-bit pixels have no known range; save it with 8 or 16 bits")
    return np.repeat(np.uint8(gray / 257 + 0.5)[..., None], 3, axis=2)


@contextlib.contextmanager
def open_image(source: Path | bytes, name: str) -> Iterator[Image.Image]:
    """Open an image file, or its bytes, to decode it in the block. Raises `UserError`, with `name`, if that fails."""
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            yield image
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such file") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{name}: cannot be decoded as an image ({error})") from error


def encode_frame(frame: np.ndarray, suffix: str = ".jpg", quality: int = 95) -> bytes:
    """Encode (H, W, 3) uint8 RGB, or (H, W) uint8 gray, as the bytes of a JPEG (`quality` 0-100) or PNG file."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix in (".jpg", ".jpeg") else []
    picture = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(suffix, picture, options)
    if not done:
        raise UserError(f"cannot encode a frame as {suffix}")
    return data.tobytes()


def list_images(folder: Path | str) -> list[Path]:
    """Return the image files at any depth below `folder`, in natural order, without hidden files."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        found += [Path(parent, name) for name in names if name.lower().endswith(IMAGE_SUFFIXES) and not is_hidden(name)]
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def images_by_name(folder: Path | str) -> dict[str, Path]:
    """Return the images below `folder` by their path in it without suffix, such as "video01/000000", in natural order.

    Letters are composed (`nfc`). Raises `UserError` for two files of one name, such as a.png and a.jpg.
    """
    files: dict[str, Path] = {}
    for path in list_images(folder):
        name = nfc(path.relative_to(folder).with_suffix("").as_posix())
        if name in files:
            raise UserError(f"two files for one name: {files[name]} and {path}; keep one of them")
        files[name] = path
    return files


def under_names(names: Collection[str], files: dict[str, T]) -> dict[str, T]:
    """Return `files` (such as `images_by_name` of a folder) under the `names` of another where both mean one frame.

    Names are equal, folders included. If only one of the folders has subfolders, the last part of a name decides.
    Raises `UserError` if that part may mean several files.
    """
    flat = [not any("/" in name for name in group) for group in (names, files)]
    if flat[0] == flat[1]:
        return files
    nested, single = (files, names) if flat[0] else (names, files)
    places = defaultdict(list)
    for name in nested:
        places[name.rpartition("/")[2]].append(name)
    for last, several in places.items():
        if len(several) > 1 and last in single:
            raise UserError(f"{last} may mean {list_some(several, 3)}: give both folders the same subfolders")
    unique = {last: several[0] for last, several in places.items() if len(several) == 1}
    renamed = {name: last for last, name in unique.items()} if flat[0] else unique
    return {renamed.get(name, name): path for name, path in files.items()}
