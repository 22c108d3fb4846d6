"""Small copies of figures for documentation: at most 1,200 pixels wide, as PNG, or as JPEG where the PNG is large."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from surgseg.files import UserError, write_bytes

WIDTH = 1200  # pixels
_PNG_BYTES = 120_000  # a larger figure is mostly photographs, which JPEG stores better in fewer bytes


def copy_small(figure: Path, folder: Path) -> Path:
    """Write a small copy of `figure` into `folder` and return its path, `<stem>.png` or `<stem>.jpg`.

    Raises `UserError` where the figure cannot be read.
    """
    try:
        with Image.open(figure) as image:
            picture = image.convert("RGB")
    except OSError as error:
        raise UserError(f"{figure}: cannot be read ({error.strerror or error})") from error
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    png = _encode(picture.quantize(256, dither=Image.Dither.NONE), "PNG", optimize=True)
    suffix, data = (".png", png) if len(png) <= _PNG_BYTES else (".jpg", _encode(picture, "JPEG", quality=88))
    for old in (".png", ".jpg"):
        (folder / f"{figure.stem}{old}").unlink(missing_ok=True)
    copy = folder / f"{figure.stem}{suffix}"
    write_bytes(copy, data)
    return copy


def _encode(picture: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()
