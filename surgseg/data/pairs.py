"""What a reader of a data set returns: pairs of frame and mask, and problems with the other files."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Callable

import numpy as np

from surgseg.data.set_labels import SetLabels
from surgseg.data.sources import SourceFile
from surgseg.files import list_some, natural_key
from surgseg.masks import decode_codes, decode_threshold

FRAME_SUFFIXES = ("_endo", "_raw")
MASK_SUFFIXES = ("_endo_watershed_mask", "_class")
_VIDEO = re.compile(r"video\d+", re.IGNORECASE)
_CLIP = re.compile(r"(video\d+)_\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """A frame and its mask, as a reader finds them.

    `number` orders the frames of a video; video and number make the name of the frame in the prepared folder.
    `read_codes` takes the bytes of the mask file, and its name for errors. It returns ((H, W) uint8 source codes, a
    word for the kind of file). `split` is train, val or test if the data set prescribes it. `predicted`: a model
    made the mask.
    """

    video: str
    number: int
    frame: SourceFile
    mask: SourceFile
    clip: str = ""
    split: str = ""
    read_codes: Callable[[bytes, str], tuple[np.ndarray, str]] = decode_codes
    numbered_by_order: bool = False
    predicted: bool = False

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
    """What a reader found: the pairs in order, and the problems of files that could not be paired.

    `reading` names how `read_codes` makes codes of pixels where that is an option: another reading is another result.
    """

    pairs: list[Pair]
    problems: list[Problem] = field(default_factory=list)
    reading: str = ""


@dataclass(frozen=True)
class Reader:
    """A data set's format.

    `read(files, root_name)` takes the files below a folder or in a zip, and the name of the folder or zip. It returns
    `Found`, or raises `UserError` if the files are not of this data set. `scheme` is the default class scheme of a data
    set whose codes the schemes of `surgseg.labels` know; other sets have `labels`. `masks` matches the path of a mask
    of this set and of no other. `edges` says whether trocar, clip, needle and suture are instrument: in, out, or "?"
    where the set does not say; "" if the set is not in the list of public sets. `split` describes the published parts,
    `tried` is whether the reader was tried on files of the real set.
    """

    label: str
    read: Callable[[list[SourceFile], str], Found]
    scheme: str = "binary"
    licence: str = ""
    labels: SetLabels | None = None
    masks: str = ""
    edges: tuple[str, ...] = ()
    split: str = "none"
    tried: bool = False


def with_threshold(found: Found, threshold: int) -> Found:
    """Read the masks of all pairs as binary: code 1 from the gray level `threshold` on, else code 0."""
    read = partial(decode_threshold, threshold=threshold)
    return replace(
        found, pairs=[replace(pair, read_codes=read) for pair in found.pairs], reading=f"threshold {threshold}"
    )


def describe_problems(problems: list[Problem], limit: int = 8) -> str:
    """Return a line per kind of fault: '3 x frame without mask: a, b, c'."""
    kinds = defaultdict(list)
    for problem in problems:
        kinds[problem.kind].append(problem)
    return "\n".join(f"  {len(items)} x {kind}: {list_some(items, limit)}" for kind, items in kinds.items())


def video_and_clip(folders: tuple[str, ...]) -> tuple[str, str]:
    """(video, clip) of folders named as in CholecSeg8k (videoXX/videoXX_NNNNN); "" for what they do not name."""
    clip = next((name for name in reversed(folders) if _CLIP.fullmatch(name)), "").lower()
    video = next((name for name in reversed(folders) if _VIDEO.fullmatch(name)), "").lower()
    return video or (_CLIP.fullmatch(clip).group(1) if clip else ""), clip


def drop_collisions(pairs: list[Pair]) -> tuple[list[Pair], list[Problem]]:
    """Leave out pairs that would get the same name, also if only upper and lower case differ."""
    groups = defaultdict(list)
    for pair in pairs:
        groups[pair.name.lower()].append(pair)
    problems = []
    for first, *others in groups.values():
        if others:
            names = list_some((pair.frame.name for pair in others), 3)
            what = f"{names} would also be {first.name}"
            problems.append(Problem("same output name", first.frame.name, what, first.video))
    return [group[0] for group in groups.values() if len(group) == 1], problems


def without_repeats(pairs: list[Pair]) -> list[Pair]:
    """The pairs in the order of their frames' paths. In a video in which numbers repeat, as where several files are
    joined, the numbers become -1: `number_the_rest` numbers its frames in order."""
    numbers = Counter((pair.video, pair.number) for pair in pairs)
    repeating = {video for (video, _), count in numbers.items() if count > 1}
    ordered = sorted(pairs, key=lambda pair: natural_key(pair.frame.name))
    return [replace(pair, number=-1) if pair.video in repeating else pair for pair in ordered]


def number_the_rest(pairs: list[Pair]) -> list[Pair]:
    """Number the frames without a number in order, after the others of their video. Sort the pairs by name."""
    following = defaultdict(int)
    for pair in pairs:
        following[pair.video] = max(following[pair.video], pair.number + 1)
    numbered = []
    for pair in pairs:
        if pair.number < 0:
            pair = replace(pair, number=following[pair.video], numbered_by_order=True)
            following[pair.video] += 1
        numbered.append(pair)
    return sorted(numbered, key=lambda pair: natural_key(pair.name))
