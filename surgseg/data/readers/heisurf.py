"""HeiSurF (EndoVis 2021): Frames/CASE/NAME.png with Segmentation/CASE/NAME.png, masks of RGB colours.

What is outside the camera's picture is background, as CholecSeg8k's black background is: a model has to learn it.
"""

from __future__ import annotations

from functools import partial

from surgseg.data.pairs import Found, Reader
from surgseg.data.readers.pixels import decode_colours
from surgseg.data.readers.trees import Spot, find, last_number, pair_tree, refuse_folders
from surgseg.data.set_labels import SetLabels
from surgseg.data.sources import SourceFile

LABELS = SetLabels(
    instrument={"instrument": (101, 46, 151)},
    other={
        "background": (0, 0, 0),
        "abdominal wall": (253, 101, 14),
        "blood pool": (41, 10, 12),
        "clip": (255, 51, 0),
        "cystic artery": (51, 221, 255),
        "cystic duct": (153, 255, 51),
        "drainage": (1, 68, 34),
        "fatty tissue": (255, 255, 0),
        "gallbladder": (25, 176, 34),
        "gallbladder resection bed": (0, 55, 104),
        "gastrointestinal tract": (74, 165, 255),
        "gauze": (255, 255, 255),
        "hilum of liver": (255, 168, 0),
        "inside of trocar": (160, 56, 133),
        "liver": (136, 0, 0),
        "other": (204, 204, 204),
        "out of image": (82, 82, 82),
        "falciform ligament": (61, 245, 61),
        "specimen bag": (79, 48, 31),
        "trocar": (255, 51, 119),
    },
    void={"uncertain": (240, 240, 240), "censored": (62, 62, 62)},
)
_MASKS = r"Segmentation/([^/]+)/([^/]+)\.png"


def read_heisurf(files: list[SourceFile], root_name: str = "") -> Found:
    """The pairs of all cases; a case is a video. Raises `UserError` for the folder Clipping."""
    why = "which operations the folder Clipping shows was not verified: move it away"
    refuse_folders(files, root_name, "Clipping", why)
    layout = "Frames/CASE/*.png and Segmentation/CASE/*.png"
    frames = find(files, r"Frames/([^/]+)/([^/]+)\.png", root_name)
    return pair_tree(
        layout,
        frames,
        find(files, _MASKS, root_name),
        lambda key: Spot(f"heisurf-{key[0]}", last_number(key[1])),
        partial(decode_colours, codes=LABELS.colours),
    )


READER = Reader(
    "HeiSurF",
    read_heisurf,
    licence="CC BY-NC-SA (second-hand)",
    labels=LABELS,
    masks=_MASKS,
    edges=("out", "out", "?", "?"),
)
