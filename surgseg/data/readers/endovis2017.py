"""EndoVis 2017, robotic instruments: instrument_dataset_N/left_frames/frameNNN.png and a mask of each tool.

The masks are ground_truth/TOOL/frameNNN.png: above 0 is the tool. Frames and masks are 1920x1080; the camera's picture
is rows 28 to 1051 and columns 320 to 1599 of it, which is cut out. The folder of other tools ("Other...") holds
laparoscopic instruments and ultrasound probes: the challenge took them for background, here they are instruments.
"""

from __future__ import annotations

from surgseg.data.pairs import Found, Problem, Reader
from surgseg.data.readers.pixels import cut_frame, decode_made, union_mask
from surgseg.data.readers.trees import Spot, find, pair_tree, single
from surgseg.data.set_labels import SetLabels
from surgseg.data.sources import SourceFile
from surgseg.files import list_some

LABELS = SetLabels(instrument={"robotic instrument": None, "other instrument": None}, other={"background": None})
SIZE = (1920, 1080)  # width, height of the files
BOX = slice(28, 28 + 1024), slice(320, 320 + 1280)  # rows, columns
_MASKS = r"instrument_dataset_(\d+)/ground_truth/([^/]+)/frame(\d+)\.png"


def read_endovis2017(files: list[SourceFile], root_name: str = "") -> Found:
    """The pairs of all sequences; a sequence is a video. A frame that one folder of its sequence lacks is a problem.

    Raises `UserError` for two masks of one tool in a frame.
    """
    frames = find(files, r"instrument_dataset_(\d+)/left_frames/frame(\d+)\.png", root_name)
    tools, drawn = {}, {}
    for (sequence, tool, number), mask in single(find(files, _MASKS, root_name)).items():
        tools.setdefault(sequence, set()).add(tool)
        drawn.setdefault((sequence, number), {})[tool] = mask
    problems = []
    for sequence, number in sorted(drawn):
        missing = sorted(tools[sequence] - set(drawn[sequence, number]))
        if missing:
            masks, _ = drawn.pop((sequence, number)), frames.pop((sequence, number), None)
            what = f"ground_truth/{list_some(missing)} without this frame"
            problems.append(Problem("mask of a tool is missing", next(iter(masks.values())).name, what))
    found = pair_tree(
        "instrument_dataset_N/left_frames/frameNNN.png and .../ground_truth/TOOL/frameNNN.png",
        {key: [cut_frame(file, BOX, SIZE) for file in group] for key, group in frames.items()},
        {key: [_union_of_tools(masks)] for key, masks in drawn.items()},
        lambda key: Spot(f"instrument_dataset_{int(key[0])}", int(key[1])),
        decode_made,
    )
    return Found(found.pairs, found.problems + problems)


def _union_of_tools(masks: dict[str, SourceFile]) -> SourceFile:
    """The union of a frame's tools. A robotic instrument lies on top of the others."""
    robotic, other = (LABELS.codes[name] for name in LABELS.instrument)
    codes = {tool: other if tool.lower().startswith("other") else robotic for tool in masks}
    tools = sorted(masks, key=lambda tool: (codes[tool] == robotic, tool))
    return union_mask([masks[tool] for tool in tools], [codes[tool] for tool in tools], BOX, SIZE)


READER = Reader(
    "EndoVis 2017, robotic instruments",
    read_endovis2017,
    licence="terms of the challenge",
    labels=LABELS,
    masks=_MASKS,
    edges=("?", "?", "?", "?"),
)
