"""EndoVis 2015, rigid instruments: Training/OPn/Raw/img_NN_raw.png with Training/OPn/Masks/img_NN_class.png.

The set asks for evaluation with one operation left out. The numbers of its frames are not their order in time.
"""

from __future__ import annotations

from surgseg.data.pairs import Found, Reader
from surgseg.data.readers.trees import Spot, find, pair_tree, refuse_folders
from surgseg.data.set_labels import SetLabels
from surgseg.data.sources import SourceFile

LABELS = SetLabels(instrument={"shaft": 160, "manipulator": 70}, other={"background": 0})
_MASKS = r"OP(\d+)/Masks/img_(\d+)_class\.png"


def read_endovis2015(files: list[SourceFile], root_name: str = "") -> Found:
    """The pairs of all operations; an operation is a video. Raises `UserError` for the test part."""
    why = "which operations the test part shows was not verified: give the folder Training"
    refuse_folders(files, root_name, "Testing", why)
    frames = find(files, r"OP(\d+)/Raw/img_(\d+)_raw\.png", root_name)
    masks = find(files, _MASKS, root_name)
    layout = "OPn/Raw/img_NN_raw.png and OPn/Masks/img_NN_class.png"
    return pair_tree(layout, frames, masks, lambda key: Spot(f"op{int(key[0])}", int(key[1])))


READER = Reader(
    "EndoVis 2015, rigid instruments",
    read_endovis2015,
    licence="none stated",
    labels=LABELS,
    masks=_MASKS,
    edges=("?", "?", "?", "?"),
    tried=True,
)
