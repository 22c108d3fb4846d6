"""Endoscapes-Seg50 (Murali et al. 2023): train_seg|val_seg|test_seg/VIDEO_FRAME.jpg with semseg/VIDEO_FRAME.png.

The folders of frames hold many more frames than there are masks. `annotation_coco.json` of a folder names the labelled
ones, and its category 6 must be the tool.
"""

from __future__ import annotations

from functools import partial

from surgseg.console import read_all
from surgseg.data.pairs import Found, Problem, Reader
from surgseg.data.readers.trees import Spot, find, pair_tree, single
from surgseg.data.set_labels import SetLabels
from surgseg.data.shapes import parse_json
from surgseg.data.sources import SourceFile
from surgseg.files import UserError

LABELS = SetLabels(
    instrument={"tool": 6},
    other={
        "background": 0,
        "cystic plate": 1,
        "calot triangle": 2,
        "cystic artery": 3,
        "cystic duct": 4,
        "gallbladder": 5,
    },
    void={"boundary": 255},
)
_MASKS = r"semseg/(\d+)_(\d+)\.png"


def read_endoscapes(files: list[SourceFile], root_name: str = "") -> Found:
    """The pairs of all masks. Frames that the set's lists name without a mask are problems."""
    parts, frames = {}, {}
    for (part, *key), found in find(files, r"(train|val|test)_seg/(\d+)_(\d+)\.jpg", root_name).items():
        frames.setdefault(tuple(key), []).extend(found)
        parts[tuple(key)] = part.lower()
    masks = find(files, _MASKS, root_name)
    layout = "train_seg|val_seg|test_seg/VIDEO_FRAME.jpg and semseg/VIDEO_FRAME.png"

    def spot(key) -> Spot:
        return Spot(f"endoscapes{int(key[0]):03d}", int(key[1]), parts.get(key, ""))

    found = pair_tree(layout, frames, masks, spot, few_masks=True)
    lists = single(find(files, r"(train|val|test)_seg/annotation_coco\.json", root_name)).values()
    labelled = read_all(partial(_labelled, file) for file in lists)
    missing = [
        Problem("labelled frame is missing", file.name, f"{name}: the frame or its mask in semseg")
        for file, names in zip(lists, labelled)
        for name in names
        if (key := tuple(name.rpartition(".")[0].split("_"))) not in masks or key not in frames
    ]
    return Found(found.pairs, found.problems + missing)


def _labelled(file: SourceFile) -> list[str]:
    """The names of the labelled frames. Raises `UserError` if category 6 is not the tool."""
    value = parse_json(file)
    try:
        names = {row["id"]: str(row["name"]) for row in value["categories"]}
        images = [str(row["file_name"]) for row in value["images"]]
    except (KeyError, TypeError) as error:
        raise UserError(f"{file.name}: is no COCO file with images and categories") from error
    if names.get(6) != "tool":
        raise UserError(
            f"{file.name}: category 6 is {names.get(6)!r}, not 'tool', so code 6 of the masks is not certain"
        )
    return images


READER = Reader(
    "Endoscapes-Seg50",
    read_endoscapes,
    licence="CC BY-NC-SA 4.0",
    labels=LABELS,
    masks=_MASKS,
    edges=("?", "?", "?", "?"),
    split="train, val, test",
)
