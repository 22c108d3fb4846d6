"""Read COCO's object detection format: one JSON with images, categories, and polygons or run-length encoded masks.

Run-length encoded masks (RLE) may be compressed or not. `iscrowd` makes no difference: CVAT sets it for every mask that
was drawn with a brush, and a crowd of instruments is instrument. Source: cocodataset.org, "Data format"; pixels by
`pycocotools`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial

import numpy as np

from surgseg.data.shapes import Annotated, Drawing, Shape, check_points, image_name, parse_json
from surgseg.data.sources import SourceFile
from surgseg.files import UserError, list_some, nfc


def read_coco(files: list[SourceFile]) -> list[Annotated]:
    """Return the images of a COCO file. Raises `UserError` if there is not one such file, or its tables are broken."""
    tools = mask_tools()
    values = {file.name: parse_json(file) for file in files if file.suffix == ".json"}
    found = {name: value for name, value in values.items() if isinstance(value, dict) and "annotations" in value}
    if len(found) != 1:
        raise UserError(f"one COCO file is needed, found {len(found)} ({list_some(found or values) or 'no .json'})")
    ((name, value),) = found.items()
    try:
        categories = {row["id"]: nfc(str(row["name"])) for row in value["categories"]}
        images = {
            row["id"]: (str(row["file_name"]), (int(row["width"]), int(row["height"]))) for row in value["images"]
        }
        shapes, strays = defaultdict(list), []
        for row in value["annotations"]:
            if row["image_id"] not in images or row["category_id"] not in categories:
                strays.append(f"{row.get('id')} (image {row['image_id']}, category {row['category_id']})")
                continue
            draw = partial(_draw_segmentation, tools, row.get("segmentation"))
            shapes[row["image_id"]].append(Shape(categories[row["category_id"]], f"annotation {row.get('id')}", draw))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{name}: no COCO file: an entry is broken or lacks a key ({error!r})") from error
    wrong = [f"annotations of no image or category: {list_some(strays)}"] if strays else []
    for what, table in (("images", images), ("categories", categories)):
        counts = Counter(row["id"] for row in value[what])
        if twice := [key for key in table if counts[key] > 1]:
            wrong.append(f"two {what} have one id: {list_some(twice)}")
    if wrong:
        raise UserError(f"{name}: {list_some(wrong)}")
    return [
        Annotated(image_name(file), file, partial(Drawing, size, shapes[key]) if key in shapes else None)
        for key, (file, size) in images.items()
    ]


def mask_tools():
    try:
        from pycocotools import mask
    except ImportError as error:
        raise UserError("COCO files need the package pycocotools: pip install pycocotools") from error
    return mask


def _draw_segmentation(tools, segmentation, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of one annotation's `segmentation`."""
    width, height = size
    if not segmentation:
        raise UserError("no outline: its segmentation is empty")
    if isinstance(segmentation, list):
        for polygon in segmentation:
            pairs = list(polygon) if isinstance(polygon, list) else []
            if len(pairs) % 2:
                raise UserError("a polygon has an odd number of coordinates")
            check_points(list(zip(pairs[::2], pairs[1::2])), size, 3)
        return tools.decode(tools.merge(tools.frPyObjects(segmentation, height, width))).astype(bool)
    try:
        shape, counts = list(segmentation["size"]), segmentation["counts"]
        if shape != [height, width]:
            raise UserError(f"its mask is {shape[1]}x{shape[0]}, the image {width}x{height}")
        runs = counts if isinstance(counts, list) else _run_lengths(counts)
        if min(runs, default=0) < 0 or sum(runs) != width * height:  # pycocotools would leave pixels undefined
            raise UserError(f"its run lengths add up to {sum(runs)}, not to the {width * height} pixels")
        return tools.decode(tools.frPyObjects({"size": shape, "counts": runs}, height, width)).astype(bool)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"its run-length encoding is broken ({error})") from error


def _run_lengths(text: str) -> list[int]:
    """The run lengths of a compressed RLE, as pycocotools packs them.

    A number is 5 bits a letter, the lowest first, 32 marks that more follow; from the third run on it is the difference
    to the run before the last.
    """
    runs, value, shift = [], 0, 0
    for byte in text.encode("ascii"):
        value |= (byte - 48 & 31) << shift
        shift += 5
        if not byte - 48 & 32:
            value -= (byte - 48 & 16) << shift - 4  # the sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs
