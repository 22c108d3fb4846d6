"""What a reader of a tool's file returns: for each image the labelled shapes, painted into a mask of class ids."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from surgseg.data.sources import SourceFile
from surgseg.files import IMAGE_SUFFIXES, UserError, check_named, nfc
from surgseg.labels import VOID, Scheme

VOID_LABEL, BACKGROUND_LABEL = "void", "background"
_BEYOND = 1  # pixels that a point may lie outside the image: tools round to its edge


@dataclass(frozen=True)
class Shape:
    """A label and its pixels. `draw` takes (width, height) of the image and returns (H, W) bool; `what` names it."""

    label: str
    what: str
    draw: Callable[[tuple[int, int]], np.ndarray]


@dataclass(frozen=True)
class Drawing:
    """(width, height) of the image that was annotated, and its shapes. Later shapes lie on top."""

    size: tuple[int, int]
    shapes: list[Shape]


@dataclass(frozen=True)
class Annotated:
    """An image of a tool's file: its path without suffix, the file for errors, a function that reads the drawing.

    `read` is None if the file names the image and holds no annotation of it.
    """

    name: str
    file: str
    read: Callable[[], Drawing] | None


def label_table(scheme: Scheme, renamed: dict[str, str], ignored: Iterable[str]) -> dict[str, int | None]:
    """Return the class id of each label: the scheme's names, "background" (0), "void" (255), and what is `renamed`.

    Labels to be ignored have None. Raises `UserError` for a name that is no class.
    """
    if VOID_LABEL in scheme.names:
        raise UserError(
            f"class scheme {scheme.name!r}: {VOID_LABEL!r} is the label of pixels without a class; rename it"
        )
    classes = {BACKGROUND_LABEL: 0, VOID_LABEL: VOID, **{nfc(item.name): item.id for item in scheme.classes}}
    for name in renamed.values():
        check_named("class", nfc(name), classes)
    chosen = {nfc(label): classes[nfc(name)] for label, name in renamed.items()}
    return {**classes, **chosen, **{nfc(label): None for label in ignored}}


def paint(drawing: Drawing, table: dict[str, int | None]) -> tuple[np.ndarray, int, list[str]]:
    """Paint the shapes one over the other. All labels must be in `table`.

    Returns ((H, W) uint8 class ids, the number of pixels in shapes of several classes, what is wrong with shapes).
    """
    width, height = drawing.size
    ids, covered = np.zeros((height, width), np.uint8), np.zeros((height, width), bool)
    overlap, wrong = np.zeros_like(covered), []
    for shape in drawing.shapes:
        class_id = table[shape.label]
        if class_id is None:
            continue
        try:
            pixels = shape.draw(drawing.size)
        except UserError as error:
            wrong.append(f"{shape.what} ({shape.label}): {error}")
            continue
        overlap |= pixels & covered & (ids != class_id)
        covered |= pixels
        ids[pixels] = class_id
    return ids, int(overlap.sum()), wrong


def check_points(points, size: tuple[int, int], fewest: int) -> list[tuple[float, float]]:
    """Return the points as (x, y). Raises `UserError` if they are too few, no numbers, or outside the image."""
    try:
        found = [(float(x), float(y)) for x, y in points]
    except (TypeError, ValueError) as error:
        raise UserError("its points are no pairs of numbers") from error
    if len(found) < fewest:
        raise UserError(f"{len(found)} points; at least {fewest} are needed")
    for point in found:
        if not all(math.isfinite(at) and -_BEYOND <= at <= end + _BEYOND for at, end in zip(point, size)):
            raise UserError(f"the point ({point[0]:g}, {point[1]:g}) is outside the image of {size[0]}x{size[1]}")
    return found


def image_name(path: str) -> str:
    """The name of an image in a tool's file: its path with "/" and composed letters, without the suffix of an image."""
    path = nfc(path.replace("\\", "/")).lstrip("/")
    return path[: -len(PurePosixPath(path).suffix)] if path.lower().endswith(IMAGE_SUFFIXES) else path


def parse_json(file: SourceFile):
    """Read a JSON file. Raises `UserError` that names it."""
    try:
        return json.loads(file.read().decode("utf-8-sig"))
    except ValueError as error:
        raise UserError(f"{file.name} is not valid JSON ({error})") from error
