"""Write COCO's object detection format: one JSON with images, categories, and run-length encoded masks (RLE).

The masks are exact: one annotation for each class of a frame; void is a category of its own. `surgseg.data.coco` reads
the format. Source: cocodataset.org, "Data format"; pixels by `pycocotools`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from surgseg.annotations.task import Task, each_mask
from surgseg.data.coco import mask_tools
from surgseg.data.shapes import VOID_LABEL
from surgseg.files import nfc, write_json
from surgseg.labels import VOID


def write_coco(task: Task, output: Path) -> None:
    """Write the masks of a task as a JSON. `file_name` is a frame's path in the folder of the frames."""
    tools = mask_tools()
    numbers = {**{item.id: item.id for item in task.scheme.classes[1:]}, VOID: task.scheme.num_classes}
    names = {**dict(enumerate(task.scheme.names)), VOID: VOID_LABEL}
    images, annotations = [], []
    for _, frame, ids in each_mask(task):
        height, width = ids.shape
        file_name = nfc(frame.relative_to(task.frame_dir).as_posix())
        images.append({"id": len(images) + 1, "file_name": file_name, "width": width, "height": height})
        for class_id in sorted(set(np.unique(ids).tolist()) - {0}):
            code = tools.encode(np.asfortranarray(ids == class_id, dtype=np.uint8))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": numbers[class_id],
                    "segmentation": {"size": [height, width], "counts": code["counts"].decode("ascii")},
                    "area": int(tools.area(code)),
                    "bbox": tools.toBbox(code).tolist(),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": names[class_id], "supercategory": ""} for class_id, number in numbers.items()]
    empty = {"info": {}, "licenses": []}
    write_json(output, {**empty, "images": images, "annotations": annotations, "categories": categories})
