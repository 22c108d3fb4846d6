"""m2caiSeg (Maqbool et al. 2020): train|trainval|test/images/NAME.jpg with groundtruth/NAME.png or NAME_gt.png.

Masks are RGB colours. Part trainval holds train again; its other frames are the validation part. The videos are
guessed from the names of the files, or given with --video-pattern.
"""

from __future__ import annotations

from functools import partial

from surgseg.data.pairs import Found, Reader
from surgseg.data.readers.pixels import decode_colours
from surgseg.data.readers.trees import Spot, find, last_number, pair_tree
from surgseg.data.set_labels import SetLabels
from surgseg.data.sources import SourceFile
from surgseg.files import UserError

LABELS = SetLabels(
    instrument={
        "grasper": (0, 85, 170),
        "bipolar": (0, 85, 255),
        "hook": (0, 170, 255),
        "scissors": (0, 255, 85),
        "clipper": (0, 255, 170),
        "irrigator": (85, 0, 170),
    },
    other={
        "out of frame": (0, 0, 0),
        "specimen bag": (85, 0, 255),
        "trocar": (170, 85, 85),
        "clip": (170, 170, 170),
        "liver": (85, 170, 0),
        "gallbladder": (85, 170, 255),
        "fat": (85, 255, 0),
        "upper wall": (85, 255, 170),
        "artery": (170, 0, 255),
        "intestine": (255, 0, 255),
        "bile": (255, 255, 0),
        "blood": (255, 0, 0),
    },
    void={"unknown": (170, 0, 85)},
)
_MASKS = r"(train|trainval|test)/groundtruth/(.+?)(?:_gt)?\.png"


def read_m2caiseg(files: list[SourceFile], root_name: str = "") -> Found:
    """The pairs of all parts. Raises `UserError` if trainval is there without train."""
    frames = _without_copies(find(files, r"(train|trainval|test)/images/(.+)\.jpg", root_name))
    masks = _without_copies(find(files, _MASKS, root_name))
    layout = "train|trainval|test/images/*.jpg and groundtruth/*.png"

    def spot(key) -> Spot:
        return Spot("", last_number(key[1]), key[0])

    return pair_tree(layout, frames, masks, spot, partial(decode_colours, codes=LABELS.colours))


def _without_copies(found: dict) -> dict:
    """Leave out what trainval holds of train; the rest of it is val."""
    found = {(part.lower(), stem): files for (part, stem), files in found.items()}
    parts = {part for part, _ in found}
    if "trainval" in parts and "train" not in parts:
        raise UserError("the folder train is missing, so the validation part of trainval is not known: download it too")
    return {
        ("val" if part == "trainval" else part, stem): files
        for (part, stem), files in found.items()
        if part != "trainval" or ("train", stem) not in found
    }


READER = Reader(
    "m2caiSeg",
    read_m2caiseg,
    licence="not stated",
    labels=LABELS,
    masks=_MASKS,
    edges=("out", "out", "?", "?"),
    split="train, val, test",
)
