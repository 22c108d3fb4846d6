"""Read LabelMe's JSON files: polygons, rectangles, circles and masks; a later shape lies on top, as in LabelMe.

Source: the files of LabelMe 5 and 6 and its `shape_to_mask`, whose pixels Pillow draws too.
"""

from __future__ import annotations

import base64
import binascii
import math
from functools import partial
from typing import Callable

import numpy as np
from PIL import Image, ImageDraw

from surgseg.data.shapes import Annotated, Drawing, Shape, check_points, parse_json
from surgseg.data.sources import SourceFile, check_whole
from surgseg.files import UserError, nfc
from surgseg.frames import open_image

_FEWEST = {"polygon": 3, "oriented_rectangle": 4, "rectangle": 2, "circle": 2, "mask": 2}  # points


def read_labelme(files: list[SourceFile]) -> list[Annotated]:
    """Return the images of LabelMe's JSON files. An image's name is that of its JSON file."""
    found = [
        Annotated(nfc(file.name[:-5]), file.name, partial(read_drawing, file))
        for file in files
        if file.suffix == ".json"
    ]
    if not found:
        raise UserError("no .json file: give the folder, or a zip, of LabelMe's files")
    return found


def read_drawing(file: SourceFile, size_without_shapes: Callable[[], tuple[int, int]] | None = None) -> Drawing:
    """Read one file. `size_without_shapes` returns the (width, height) of an image whose file holds no shape and no
    size. Raises `UserError` if something is missing."""
    value = parse_json(file)
    if not isinstance(value, dict) or not isinstance(value.get("shapes"), list):
        raise UserError("no file of LabelMe: it has no shapes")
    size = value.get("imageWidth"), value.get("imageHeight")
    if size_without_shapes and not value["shapes"] and size == (None, None):
        return Drawing(size_without_shapes(), [])
    if not all(type(length) is int and length > 0 for length in size):
        raise UserError("imageWidth or imageHeight is missing: save it in LabelMe again")
    shapes = []
    for number, row in enumerate(value["shapes"], 1):
        if not isinstance(row, dict) or not isinstance(row.get("label"), str):
            raise UserError(f"shape {number} has no label")
        shapes.append(Shape(nfc(row["label"]), f"shape {number}", partial(_draw_shape, row)))
    return Drawing(size, shapes)


def _draw_shape(row: dict, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of one shape."""
    kind = str(row.get("shape_type") or "polygon")
    if kind not in _FEWEST:
        raise UserError(f"a {kind} has no area; draw one of {', '.join(_FEWEST)}")
    points = check_points(row.get("points") or [], size, _FEWEST[kind])
    if kind == "mask":
        return _place_mask(row.get("mask"), points, size)
    image = Image.new("1", size)
    draw = ImageDraw.Draw(image)
    if kind in ("polygon", "oriented_rectangle"):
        draw.polygon(points, outline=1, fill=1)
        return np.asarray(image)
    (x, y), (other_x, other_y) = points[:2]
    if kind == "rectangle":
        draw.rectangle((min(x, other_x), min(y, other_y), max(x, other_x), max(y, other_y)), outline=1, fill=1)
    else:
        radius = math.dist(points[0], points[1])
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=1, fill=1)
    return np.asarray(image)


def _place_mask(text, points: list[tuple[float, float]], size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of a PNG, as base64, whose corners (both within it) are the two points."""
    (left, top), (right, bottom) = [(int(x), int(y)) for x, y in points[:2]]
    try:
        data = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise UserError("its mask is not base64") from error
    check_whole(data, "its mask")
    with open_image(data, "its mask") as image:
        mask = np.asarray(image.convert("L")) > 0
    full = np.zeros(size[::-1], bool)
    part = full[max(top, 0) : bottom + 1, max(left, 0) : right + 1]
    if part.shape != mask.shape:
        raise UserError(f"its mask is {mask.shape[1]}x{mask.shape[0]}, its points say {part.shape[1]}x{part.shape[0]}")
    part[:] = mask
    return full
