"""Image files: open, decode to RGB, encode as JPEG or PNG, list a folder. Imports `files` only."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from surgseg.files import IMAGE_SUFFIXES, UserError, is_hidden, natural_key

# Gray level, 0-255. Pixels whose brightest channel is below it are the dark border around a round field of view: the
# level is above the black of limited-range video (16) with its noise, and below dim tissue.
LIT = 24


def read_frame(source: Path | bytes, name: str = "") -> np.ndarray:
    """Decode one frame: (H, W, 3) uint8 RGB. Raises `UserError` as `open_image` does."""
    with open_image(source, name or str(source)) as image:
        return np.asarray(image.convert("RGB"))


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
