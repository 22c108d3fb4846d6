"""Frame files: decode any of them to RGB, encode as JPEG or PNG, list a folder. Imports `files` only."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from surgseg.files import IMAGE_SUFFIXES, UserError, is_hidden, natural_key

# Of 255, the brightest channel. Darker pixels are the border around a round field of view: this is above the black of a
# limited-range video (16) and its noise, and below dim tissue.
LIT = 24


def read_frame(source: Path | bytes, name: str = "") -> np.ndarray:
    """Decode one frame: (H, W, 3) uint8 RGB. A damaged or foreign file is a `UserError` that names it."""
    name = name or str(source)
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with Image.open(stream) as image:
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such file") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{name}: cannot be decoded as an image ({error})") from error


def encode_frame(frame: np.ndarray, suffix: str = ".jpg", quality: int = 95) -> bytes:
    """(H, W, 3) uint8 RGB, or (H, W) uint8 gray -> bytes of a JPEG (given quality) or PNG file."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix in (".jpg", ".jpeg") else []
    picture = frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(suffix, picture, options)
    if not done:
        raise UserError(f"cannot encode a frame as {suffix}")
    return data.tobytes()


def list_images(folder: Path | str) -> list[Path]:
    """Image files at any depth below `folder`, in natural order, without operating systems' own files."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        found += [Path(parent, name) for name in names if name.lower().endswith(IMAGE_SUFFIXES) and not is_hidden(name)]
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder).as_posix()))
