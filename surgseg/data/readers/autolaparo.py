"""AutoLaparo, task 3 (Wang et al. 2022), laparoscopic hysterectomy: imgs/CCCFFF.jpg with masks/CCCFFF.png.

A name is the number of a clip (1 to 300) and that of a frame in it. No file says which clips are of one operation, but
the published parts (1,020, 342 and 438 frames, in order) divide the operations: each part counts as one video, so that
no split by video can divide one.
"""

from __future__ import annotations

from surgseg.data.pairs import Found, Reader
from surgseg.data.readers.trees import Spot, find, pair_tree
from surgseg.data.set_labels import SetLabels
from surgseg.data.sources import SourceFile
from surgseg.files import UserError, list_some

LABELS = SetLabels(
    instrument={
        f"tool {tool} {part}": 40 * tool - 20 + 20 * (part == "shaft")
        for tool in (1, 2, 3, 4)
        for part in ("manipulator", "shaft")
    },
    other={"background": 0, "uterus": 180},
)
LAST_CLIP = {"train": 170, "val": 227, "test": 300}  # six frames each: 1020, 342, 438
_MASKS = r"masks/(\d{3})(\d{3})\.png"


def read_autolaparo(files: list[SourceFile], root_name: str = "") -> Found:
    """The pairs of all clips."""
    frames, masks = find(files, r"imgs/(\d{3})(\d{3})\.jpg", root_name), find(files, _MASKS, root_name)
    if beyond := [found[0].name for key, found in frames.items() if int(key[0]) > LAST_CLIP["test"]]:
        raise UserError(f"the set has {LAST_CLIP['test']} clips; of which part are {list_some(beyond)}?")

    def spot(key) -> Spot:
        clip, frame = key
        part = next((part for part, last in LAST_CLIP.items() if int(clip) <= last), "test")
        return Spot(f"autolaparo-{part}", int(clip + frame), part, f"clip{clip}")

    return pair_tree("imgs/CCCFFF.jpg and masks/CCCFFF.png (clip, frame)", frames, masks, spot)


READER = Reader(
    "AutoLaparo, task 3",
    read_autolaparo,
    licence="non-commercial",
    labels=LABELS,
    masks=_MASKS,
    edges=("?", "?", "?", "?"),
    split="train, val, test",
)
