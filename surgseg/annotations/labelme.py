"""Write LabelMe's JSON files, one beside each image or in a folder of their own.

They hold polygons (`outlines`): every region has an IoU of .99 or more. Void is a label. LabelMe has no holes: what is
in one is a later polygon. `surgseg.data.labelme` reads the format.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from surgseg.annotations.outlines import outlines, paint_outlines
from surgseg.annotations.task import Task, each_mask
from surgseg.data.shapes import BACKGROUND_LABEL, VOID_LABEL
from surgseg.files import UserError, atomic_folder, write_json
from surgseg.labels import VOID


def write_labelme(task: Task, output: Path) -> None:
    """Write a folder with a JSON for each frame. `imagePath` leads from there to the frame."""
    names = {**dict(enumerate(task.scheme.names)), 0: BACKGROUND_LABEL, VOID: VOID_LABEL}
    with atomic_folder(output) as folder:
        for name, frame, ids in each_mask(task):
            place = Path(os.path.abspath(output)) / f"{name}.json"  # noqa: PTH100 - `resolve` would follow links
            shapes = [_shape(names[class_id], points) for class_id, points in outlines(ids)]
            value = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": _way(place.parent, frame)}
            size = {"imageHeight": ids.shape[0], "imageWidth": ids.shape[1]}
            write_json(folder / f"{name}.json", {**value, "imageData": None, **size})


def as_polygons(ids: np.ndarray) -> np.ndarray:
    """A mask as it comes back from LabelMe if nobody changes its polygons: (H, W) uint8 class ids."""
    return paint_outlines(outlines(ids), ids.shape)


def _way(start: Path, frame: Path) -> str:
    try:
        return Path(os.path.relpath(frame, start)).as_posix()
    except ValueError as error:
        raise UserError(f"no path leads from {start} to {frame}: choose an --output on the same drive") from error


def _shape(label: str, points: np.ndarray) -> dict:
    plain = [[float(x), float(y)] for x, y in points]
    return {"label": label, "points": plain, "group_id": None, "shape_type": "polygon", "flags": {}}
