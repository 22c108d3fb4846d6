"""How the masks of public data sets become source codes: colours, values above 0, several files, polygons, cut-outs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Callable

import numpy as np

from surgseg.data.set_labels import SetLabels
from surgseg.data.shapes import Drawing, paint
from surgseg.data.sources import JPEG, MadeFile, SourceFile, check_whole
from surgseg.files import UserError, list_some
from surgseg.frames import encode_frame, open_image, read_frame
from surgseg.masks import decode_codes


def decode_colours(data: bytes, name: str, *, codes: dict[tuple, int]) -> tuple[np.ndarray, str]:
    """Decode a mask of RGB colours: ((H, W) uint8 codes, the kind of file).

    Raises `UserError` with the pixel counts of colours that `codes` lacks, and for an alpha channel that varies.
    """
    with open_image(data, name) as image:
        if image.mode not in ("P", "RGB", "RGBA"):
            raise UserError(f"{name}: image mode {image.mode}, where colours (RGB) are expected")
        mode, rgba = image.mode, image.convert("RGBA")
    least, alpha = rgba.getchannel("A").getextrema()
    if least < alpha:
        raise UserError(f"{name}: its alpha channel varies, so its colours are not certain")
    packed = np.asarray(rgba).view("<u4")[..., 0]
    ids, known = np.zeros(packed.shape, np.uint8), np.zeros(packed.shape, bool)
    for (red, green, blue), code in codes.items():
        here = packed == (red | green << 8 | blue << 16 | alpha << 24)
        ids[here] = code
        known |= here
    if not known.all():
        values, counts = np.unique(packed[~known], return_counts=True)
        found = [
            f"({value & 255}, {value >> 8 & 255}, {value >> 16 & 255}) ({n} pixels)" for value, n in zip(values, counts)
        ]
        raise UserError(f"{name}: unknown colour {list_some(found, 5)}")
    return ids, f"{mode} colours"


def decode_positive(data: bytes, name: str) -> tuple[np.ndarray, str]:
    """Decode a mask in which every value above 0 is instrument: 1 there, else 0. Raises `UserError` for a JPEG file."""
    if data.startswith(JPEG):
        raise UserError(f"{name}: is a JPEG file, in which background is not exactly 0; download it again, as PNG")
    values, mode = decode_codes(data, name)
    return (values > 0).astype(np.uint8), f"{mode} above 0"


def decode_made(data: bytes, name: str) -> tuple[np.ndarray, str]:
    """Decode a mask that this project has made of the set's files."""
    return decode_codes(data, name)[0], "made of the set's files"


def union_mask(files: Sequence[SourceFile], codes: Sequence[int], box: tuple[slice, slice], size: tuple) -> MadeFile:
    """A mask of several files, cut out: where one is above 0 stands its code of `codes`; a later file lies on top.

    `box` are the rows and columns of the cut-out of files that have the `size` (width, height).
    """

    def make() -> bytes:
        ids = np.zeros((size[1], size[0]), np.uint8)
        for file, code in zip(files, codes):
            data = file.read()
            check_whole(data, file.name)
            drawn = decode_positive(data, file.name)[0]
            _check_size(file, drawn.shape, size)
            ids[drawn > 0] = code
        return encode_frame(ids[box], ".png")

    return MadeFile(files[0].name, "+".join(file.stamp for file in files), make=make)


def cut_frame(file: SourceFile, box: tuple[slice, slice], size: tuple[int, int]) -> MadeFile:
    """A frame cut out of a file that has the `size` (width, height), as PNG."""

    def make() -> bytes:
        data = file.read()
        check_whole(data, file.name)
        picture = read_frame(data, file.name)
        _check_size(file, picture.shape[:2], size)
        return encode_frame(picture[box], ".png")

    return MadeFile(re.sub(r"\.\w+$", ".png", file.name), file.stamp, make=make)


def polygon_mask(name: str, stamp: str, read: Callable[[], Drawing], labels: SetLabels) -> MadeFile:
    """The mask of a drawing whose labels are those of the set, written with or without "-", "_" and capitals.

    `name` is that of the mask in errors. Instruments lie on top of everything else. Raises `UserError`, when it is
    read, with all unknown labels, or all shapes that cannot be drawn.
    """
    codes = {plain_label(label): code for label, code in labels.codes.items()}
    return MadeFile(name, stamp, make=partial(_draw, name, read, codes, labels.codes_of(labels.instrument)))


def plain_label(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _draw(name: str, read: Callable[[], Drawing], codes: dict[str, int], instruments: list[int]) -> bytes:
    drawing = read()
    table = {shape.label: codes.get(plain_label(shape.label)) for shape in drawing.shapes}
    if unknown := [f"{shape.label!r} ({shape.what})" for shape in drawing.shapes if table[shape.label] is None]:
        raise UserError(f"{name}: unknown label {list_some(unknown)}")
    ordered = sorted(drawing.shapes, key=lambda shape: table[shape.label] in instruments)
    ids, _, wrong = paint(replace(drawing, shapes=ordered), table)
    if wrong:
        raise UserError(f"{name}: {'; '.join(wrong)}")
    return encode_frame(ids, ".png")


def _check_size(file: SourceFile, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    if shape[::-1] != size:
        raise UserError(f"{file.name}: is {shape[1]}x{shape[0]}; the cut-out is defined for {size[0]}x{size[1]}")
