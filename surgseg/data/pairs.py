"""What a reader of a data set gives to the preparation: labelled frames, and what is wrong with the others."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Callable

import numpy as np

from surgseg.data.sources import SourceFile
from surgseg.files import list_some
from surgseg.masks import decode_codes

FRAME_SUFFIXES = ("_endo", "_raw")
MASK_SUFFIXES = ("_endo_watershed_mask", "_class")
OTHER_MASKS = ("_endo_mask", "_endo_color_mask")  # siblings of a watershed mask
_VIDEO = re.compile(r"video\d+", re.IGNORECASE)
_CLIP = re.compile(r"(video\d+)_\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """A labelled frame as a reader finds it.

    `number` orders the frames of a video; video and number give the name that frame and mask will have. `read_codes`
    decodes the bytes of the mask file, given with its name for errors, to ((H, W) uint8 source codes, a word for the
    kind of file). `split` is train, val or test where the data set prescribes it.
    """

    video: str
    number: int
    frame: SourceFile
    mask: SourceFile
    clip: str = ""
    split: str = ""
    read_codes: Callable[[bytes, str], tuple[np.ndarray, str]] = decode_codes
    numbered_by_order: bool = False

    @property
    def name(self) -> str:
        return f"{self.video}_{self.number:06d}"


@dataclass(frozen=True)
class Problem:
    """A source file that cannot be used: the kind of fault, the file, what is wrong, the video it belongs to."""

    kind: str
    file: str
    what: str
    video: str = ""

    def __str__(self) -> str:
        return f"{self.file} ({self.what})" if self.what else self.file


@dataclass(frozen=True)
class Found:
    """What a reader found: pairs in order, what could not be paired, how many image files were left out on purpose."""

    pairs: list[Pair]
    problems: list[Problem] = field(default_factory=list)
    ignored: int = 0


@dataclass(frozen=True)
class Reader:
    """A data set's format.

    `read(files, root_name)` takes the image files below a folder or in a zip, and the name of that folder; it returns
    `Found`, or raises `UserError` where nothing looks like the data set. `scheme` is the default of --class-scheme.
    """

    label: str
    read: Callable[[list[SourceFile], str], Found]
    scheme: str = "binary"
    licence: str = ""


def describe_problems(problems: list[Problem], limit: int = 8) -> str:
    """One line per kind of fault: '3 x frame without mask: a, b, c'."""
    kinds = defaultdict(list)
    for problem in problems:
        kinds[problem.kind].append(problem)
    return "\n".join(f"  {len(items)} x {kind}: {list_some(items, limit)}" for kind, items in kinds.items())


def video_and_clip(folders: tuple[str, ...]) -> tuple[str, str]:
    """(video, clip) that folders name as CholecSeg8k does (videoXX/videoXX_NNNNN); "" for what they do not say."""
    clip = next((name for name in reversed(folders) if _CLIP.fullmatch(name)), "").lower()
    video = next((name for name in reversed(folders) if _VIDEO.fullmatch(name)), "").lower()
    return video or (_CLIP.fullmatch(clip).group(1) if clip else ""), clip


def drop_collisions(pairs: list[Pair]) -> tuple[list[Pair], list[Problem]]:
    """Leave out pairs that would be written under one name (also where only upper and lower case differ)."""
    groups = defaultdict(list)
    for pair in pairs:
        groups[pair.name.lower()].append(pair)
    problems = [
        Problem("same output name", group[0].frame.name, f"{_others(group)} would also be {group[0].name}", pair.video)
        for group in groups.values()
        for pair in group[:1]
        if len(group) > 1
    ]
    return [pair for pair in pairs if len(groups[pair.name.lower()]) == 1], problems


def _others(group: list[Pair]) -> str:
    return list_some((pair.frame.name for pair in group[1:]), 3)
