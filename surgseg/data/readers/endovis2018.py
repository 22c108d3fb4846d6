"""EndoVis 2018, robotic scenes: seq_N/left_frames/frameNNN.png with seq_N/labels/frameNNN.png, masks of RGB colours.

The training sequences lie below miccai_challenge_*release_{1..4}, the test sequences, which are other operations with
the same names, below test_data. The colours are those of the files labels.json: a list, or a dict with the list
"classes"; each release names its own classes only. `repairs/` holds corrected masks of training sequences.
"""

from __future__ import annotations

from functools import partial

from surgseg.console import read_all
from surgseg.data.pairs import Found, Reader
from surgseg.data.readers.pixels import decode_colours
from surgseg.data.readers.trees import Spot, find, pair_tree
from surgseg.data.set_labels import SetLabels
from surgseg.data.shapes import parse_json
from surgseg.data.sources import SourceFile
from surgseg.files import UserError, list_some

LABELS = SetLabels(
    instrument=dict.fromkeys(
        ("instrument-shaft", "instrument-clasper", "instrument-wrist", "suction-instrument", "ultrasound-probe")
    ),
    other=dict.fromkeys(
        (
            "background-tissue",
            "kidney-parenchyma",
            "covered-kidney",
            "intestine",
            "small-intestine",
            "thread",
            "clamps",
            "suturing-needle",
        )
    ),
)
_PART = r"(miccai_challenge_\w*release_\d|test_data)/(?:.*/)?seq_(\d+)"
_MASKS = _PART + r"/labels/frame(\d+)\.png"


def read_endovis2018(files: list[SourceFile], root_name: str = "") -> Found:
    """The pairs of all sequences. Raises `UserError` if labels.json is missing, or unclear."""
    frames = _by_part(find(files, _PART + r"/left_frames/frame(\d+)\.png", root_name))
    masks = _by_part(find(files, _MASKS, root_name))
    repairs = find(files, r"(repairs)/(?:.*/)?seq_(\d+)_frame(\d+)\.png", root_name)
    masks.update({key: repaired for key, repaired in _by_part(repairs).items() if key in masks})
    colours = _colour_codes(files) if frames and masks else {}
    layout = "miccai_challenge_*release_N/seq_N and test_data/seq_N with left_frames/ and labels/frameNNN.png"

    def spot(key) -> Spot:
        part, sequence, number = key
        return Spot(f"{'test_' * (part == 'test')}seq_{int(sequence)}", int(number), part)

    return pair_tree(layout, frames, masks, spot, partial(decode_colours, codes=colours))


def _by_part(found: dict) -> dict:
    """Files by part, sequence and number, which repairs write as the releases do or without zeros in front."""
    grouped = {}
    for (folder, sequence, number), files in found.items():
        part = "test" if folder.lower() == "test_data" else "train"
        grouped.setdefault((part, str(int(sequence)), str(int(number))), []).extend(files)
    return grouped


def _colour_codes(files: list[SourceFile]) -> dict[tuple, int]:
    """The source code of each colour in all files labels.json. Raises `UserError` with everything that is unclear."""
    lists = [file for file in files if file.name.lower().rpartition("/")[2] == "labels.json"]
    found, wrong = {}, []
    for file, named in zip(lists, read_all(partial(_named_colours, file) for file in lists)):
        for colour, name in named:
            if name not in LABELS.codes:
                wrong.append(f"{file.name}: unknown label {name!r}")
            elif found.setdefault(colour, name) != name:
                wrong.append(f"{file.name}: {colour} is {name}, and {found[colour]} in another labels.json")
    if wrong or not found:
        raise UserError(list_some(wrong, 20) or "no labels.json: it names the colours of the masks; download it too")
    return {colour: LABELS.codes[name] for colour, name in found.items()}


def _named_colours(file: SourceFile) -> list[tuple[tuple, str]]:
    value = parse_json(file)
    try:
        rows = value["classes"] if isinstance(value, dict) else value
        return [(_rgb(*row["color"]), str(row["name"])) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file.name}: is no list of classes with name and color (red, green, blue)") from error


def _rgb(red: int, green: int, blue: int, alpha: int = 255) -> tuple[int, int, int]:
    return int(red), int(green), int(blue)


READER = Reader(
    "EndoVis 2018, robotic scenes",
    read_endovis2018,
    licence="terms of the challenge",
    labels=LABELS,
    masks=_MASKS,
    edges=("?", "?", "out", "out"),
    split="train, test",
)
