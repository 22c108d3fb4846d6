"""The CholecSeg8k release (Hong et al. 2020): videoXX/videoXX_NNNNN/frame_N_endo*.png, at any depth.

The frame number is not checked against the clip's folder: the release does not promise that they agree.
"""

from __future__ import annotations

import re

from surgseg.data.pairs import Found, Pair, Problem, Reader, drop_collisions, video_and_clip
from surgseg.data.sources import SourceFile
from surgseg.files import UserError

_FILE = re.compile(r"frame_(\d+)_endo(_watershed_mask|_mask|_color_mask)?", re.IGNORECASE)


def read_cholecseg8k(files: list[SourceFile], root_name: str = "") -> Found:
    """Pairs of a release's files, in their order; what has no partner is a problem, not an error.

    `root_name` is the source root's own name, for a root that is a single video or clip. Raises `UserError`
    where nothing looks like the release.
    """
    frames: dict[tuple, list[SourceFile]] = {}
    masks: dict[tuple, list[SourceFile]] = {}
    ignored = 0
    for source in files:
        match = _FILE.fullmatch(source.stem)
        ending = (match.group(2) or "").lower() if match else None
        if ending not in ("", "_watershed_mask"):
            ignored += 1
            continue
        kind = masks if ending else frames
        kind.setdefault((source.folders, int(match.group(1))), []).append(source)
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
    return Found(pairs, problems + collisions, ignored)


def _pair(key: tuple, frames: list[SourceFile], masks: list[SourceFile], root_name: str) -> Pair | Problem:
    folders, number = key
    video, clip = video_and_clip((root_name, *folders))
    first = (frames or masks)[0].name
    if not video:
        return Problem("no video folder", first, "stands in no videoXX or videoXX_NNNNN folder")
    if not masks:
        return Problem("frame without mask", first, "its _endo_watershed_mask file is missing", video)
    if not frames:
        return Problem("mask without frame", first, "its _endo frame is missing", video)
    for what, candidates in (("frame", frames), ("mask", masks)):
        if len(candidates) > 1:
            names = ", ".join(source.name for source in candidates[1:])
            return Problem("two candidates", candidates[0].name, f"{names} could be the same {what}", video)
    return Pair(video, number, frames[0], masks[0], clip=clip)


READER = Reader("CholecSeg8k", read_cholecseg8k, licence="CC BY-NC-SA 4.0")
