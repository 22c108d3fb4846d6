"""The CholecSeg8k release (Hong et al. 2020): videoXX/videoXX_NNNNN/frame_N_endo*.png, at any depth.

The frame number is not checked against the clip's folder: the release does not say that they agree.
"""

from __future__ import annotations

import re
from collections import defaultdict

from surgseg.data.pairs import Found, Pair, Problem, Reader, drop_collisions, video_and_clip
from surgseg.data.sources import SourceFile
from surgseg.files import UserError

_FILE = re.compile(r"frame_(\d+)_endo(_watershed_mask)?", re.IGNORECASE)


def read_cholecseg8k(files: list[SourceFile], root_name: str = "") -> Found:
    """Return the pairs of a release's files, in their order. A frame or mask without a partner is a problem.

    `root_name` is the name of the source root, which may be the folder of a single video or clip. Raises `UserError`
    if there are no frames or no masks named as in the release. Other files are ignored.
    """
    frames: dict[tuple, list[SourceFile]] = defaultdict(list)
    masks: dict[tuple, list[SourceFile]] = defaultdict(list)
    for source in files:
        match = _FILE.fullmatch(source.stem)
        if match:
            (masks if match.group(2) else frames)[source.folders, int(match.group(1))].append(source)
    if not frames or not masks:
        raise UserError(
            f"no CholecSeg8k release found: looked for frame_N_endo.png ({len(frames)} found) and "
            f"frame_N_endo_watershed_mask.png ({len(masks)} found) in videoXX/videoXX_NNNNN folders at any depth; "
            "for other layouts use prepare_cholecseg8k_assets.py"
        )
    pairs, problems = [], []
    for key in [*frames, *(key for key in masks if key not in frames)]:
        found = _pair(key, frames.get(key, []), masks.get(key, []), root_name)
        (pairs if isinstance(found, Pair) else problems).append(found)
    pairs, collisions = drop_collisions(pairs)
    return Found(pairs, problems + collisions)


def _pair(key: tuple, frames: list[SourceFile], masks: list[SourceFile], root_name: str) -> Pair | Problem:
    folders, number = key
    video, clip = video_and_clip((root_name, *folders))
    first = (frames or masks)[0].name
    if not video:
        return Problem("no video folder", first, "is in no videoXX or videoXX_NNNNN folder")
    if not masks:
        return Problem("frame without mask", first, "its _endo_watershed_mask file is missing", video)
    if not frames:
        return Problem("mask without frame", first, "its _endo frame is missing", video)
    for what, candidates in (("frame", frames), ("mask", masks)):
        if len(candidates) > 1:
            names = ", ".join(source.name for source in candidates[1:])
            return Problem("two candidates", candidates[0].name, f"{names} could be the same {what}", video)
    return Pair(video, number, frames[0], masks[0], clip=clip)


READER = Reader(
    "CholecSeg8k",
    read_cholecseg8k,
    licence="CC BY-NC-SA 4.0",
    masks=r"frame_\d+_endo_watershed_mask\.png",
    edges=("out", "out", "out", "out"),
    tried=True,
)
