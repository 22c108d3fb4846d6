"""What the readers of public data sets share: find files by their place in the tree, and pair them by its parts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Callable, NamedTuple

from surgseg.data.pairs import Found, Pair, Problem, number_the_rest, without_repeats
from surgseg.data.sources import SourceFile
from surgseg.files import UserError, list_some, natural_key
from surgseg.masks import decode_codes

Key = tuple[str, ...]


class Spot(NamedTuple):
    """Where a frame belongs: video ("": the files do not tell), number (-1: by order), published part ("": none)."""

    video: str
    number: int
    split: str = ""
    clip: str = ""


def find(files: Iterable[SourceFile], pattern: str, root_name: str = "") -> dict[Key, list[SourceFile]]:
    """The files whose path ends in `pattern`, by the pattern's groups. A path begins with the folder `root_name`."""
    end, found = re.compile(rf"(?:.*/)?{pattern}", re.IGNORECASE), defaultdict(list)
    for file in files:
        if match := end.fullmatch(f"{root_name}/{file.name}"):
            found[match.groups("")].append(file)
    return found


def single(found: dict[Key, list[SourceFile]]) -> dict[Key, SourceFile]:
    """The only file of each key. Raises `UserError` with all files of the keys that have several."""
    if several := [" and ".join(file.name for file in files) for files in found.values() if len(files) > 1]:
        raise UserError(f"two files of one place: {list_some(several)}; keep the right one")
    return {key: files[0] for key, files in found.items()}


def pair_tree(
    layout: str,
    frames: dict[Key, list[SourceFile]],
    masks: dict[Key, list[SourceFile]],
    spot: Callable[[Key], Spot],
    read_codes: Callable = decode_codes,
    *,
    few_masks: bool = False,
) -> Found:
    """Pair the frames and masks of one key. A file without a partner is a problem, and so are two of one key.

    `few_masks`: frames without a mask are not labelled, and left out. Raises `UserError`, with the `layout` that was
    looked for, if there are no frames or no masks.
    """
    if not frames or not masks:
        raise UserError(
            f"no files of this data set: looked for {layout}, found {len(frames)} frames and {len(masks)} masks"
        )
    pairs, problems = [], []
    keys = [*frames, *(key for key in masks if key not in frames)]
    for key in sorted(keys, key=lambda key: [natural_key(part) for part in key]):
        own, drawn = frames.get(key, []), masks.get(key, [])
        where = spot(key)
        if not drawn:
            if not few_masks:
                problems.append(Problem("frame without mask", own[0].name, "", where.video))
        elif not own:
            problems.append(Problem("mask without frame", drawn[0].name, "", where.video))
        elif len(own) > 1 or len(drawn) > 1:
            what, several = ("frame", own) if len(own) > 1 else ("mask", drawn)
            others = list_some((file.name for file in several[1:]), 3)
            problems.append(Problem("two candidates", several[0].name, f"{others} is the same {what}", where.video))
        else:
            pairs.append(Pair(where.video, where.number, own[0], drawn[0], where.clip, where.split, read_codes))
    return Found(in_order(pairs), problems)


def in_order(pairs: list[Pair]) -> list[Pair]:
    """Pairs in the order of their names; frames without a number, or with that of another one, numbered in order."""
    return number_the_rest(without_repeats(pairs))


def last_number(stem: str) -> int:
    """The number at the end of a file's name, -1 if there is none."""
    digits = re.search(r"\d+$", stem)
    return int(digits.group()) if digits else -1


def refuse_folders(files: Iterable[SourceFile], root_name: str, folder: str, why: str) -> None:
    """Raise `UserError` if a path holds a folder of that name."""
    for file in files:
        if folder.lower() in f"{root_name}/{file.name}".lower().split("/")[:-1]:
            raise UserError(f"{file.name}: {why}")
