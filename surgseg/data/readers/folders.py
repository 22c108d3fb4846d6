"""Pair the frames and masks of two folders or folder trees by name, never by order."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace

from surgseg.data.pairs import (
    FRAME_SUFFIXES,
    MASK_SUFFIXES,
    Found,
    Pair,
    Problem,
    drop_collisions,
    number_the_rest,
    video_and_clip,
    without_repeats,
)
from surgseg.data.sources import SourceFile
from surgseg.data.videos import check_folders, check_guesses, compile_pattern, video_by_pattern
from surgseg.files import UserError, list_some, nfc

OTHER_MASKS = ("_endo_mask", "_endo_color_mask")  # CholecSeg8k's masks beside the watershed mask


def pair_folders(
    frames: list[SourceFile],
    masks: list[SourceFile],
    *,
    frame_suffix: str | None = None,
    mask_suffix: str | None = None,
    video_id: str | None = None,
    video_pattern: str | None = None,
    root_name: str = "",
) -> Found:
    """Pair the files of a frame tree and a mask tree. They may be the same tree, or one may lie in the other.

    The files of a pair have the same stem without suffix and the same place: the folders of their path that occur in
    both trees (so files of OP1/Raw and OP1/Masks match). If one tree is flat, the stem alone decides. `video_id` is the
    video of all frames, `video_pattern` finds it in the path of each; without them, it comes from the folders or the
    file name. `root_name` is the name of the frame folder. Raises `UserError` for a `video_id` that cannot begin a file
    name, and for file names that do not tell the video.
    """
    if video_id is not None and video_pattern is not None:
        raise UserError("give one of --video-id and --video-pattern")
    pattern = None if video_pattern is None else compile_pattern(video_pattern)
    video_id, frame_suffix, mask_suffix = (
        None if text is None else nfc(text) for text in (video_id, frame_suffix, mask_suffix)
    )
    if video_id is not None and not re.fullmatch(r"\w[\w.-]*", video_id):
        raise UserError(f"--video-id {video_id!r}: use letters, digits, '_', '-' and '.' (it begins file names)")
    chosen_frames, chosen_masks = _choose(frames, masks, frame_suffix, mask_suffix)
    shared = _folders(chosen_frames) & _folders(chosen_masks)
    frame_suffixes = FRAME_SUFFIXES if frame_suffix is None else (frame_suffix,)
    mask_suffixes = (*MASK_SUFFIXES, *FRAME_SUFFIXES) if mask_suffix is None else (mask_suffix,)
    frames_at = _by_place(chosen_frames, frame_suffixes, shared)
    masks_at = _by_place(chosen_masks, mask_suffixes, shared)
    matched, problems = _match(frames_at, masks_at, video_id or "")
    place_of = _naming_places(chosen_frames, chosen_masks, shared)
    pairs = [_make_pair(key, frame, mask, place_of(frame, mask), video_id, root_name) for key, frame, mask in matched]
    if pattern:
        pairs = _by_video_pattern(pairs, pattern)
    elif video_id is None and not video_and_clip((root_name,))[0]:
        or_else = ", or --video-id NAME if all are of one video"
        places = [place_of(frame, mask) for _, frame, mask in matched]
        check_folders((place[0] for place in places if place and not video_and_clip(place)[0]), or_else)
        guessed = {key: pair.video for pair, (key, *_), place in zip(pairs, matched, places) if not place}
        check_guesses(guessed, or_else)
    pairs, collisions = drop_collisions(number_the_rest(pairs))
    return Found(pairs, problems + collisions)


def _choose(frames: list, masks: list, frame_suffix: str | None, mask_suffix: str | None) -> tuple[list, list]:
    """The frames and the masks, also of overlapping trees. Leaves out CholecSeg8k's other two kinds of mask."""
    frame_paths, mask_paths = {source.path.resolve() for source in frames}, {source.path.resolve() for source in masks}
    if mask_paths < frame_paths:  # the mask folder lies inside the frame folder
        frames = [source for source in frames if source.path.resolve() not in mask_paths]
    elif frame_paths < mask_paths:
        masks = [source for source in masks if source.path.resolve() not in frame_paths]
    if frame_suffix is not None:
        frames = [source for source in frames if _ends(source, frame_suffix)]
    known = MASK_SUFFIXES if mask_suffix is None else (mask_suffix,) if mask_suffix else ()
    frames = [source for source in frames if not _ends(source, *known, *OTHER_MASKS)]
    if mask_suffix is not None:
        masks = [source for source in masks if _ends(source, mask_suffix)]
    elif any(_ends(source, MASK_SUFFIXES[0]) for source in masks):
        masks = [source for source in masks if not _ends(source, *OTHER_MASKS)]
    if frame_paths == mask_paths:
        taken = {source.path.resolve() for source in frames}
        masks = [source for source in masks if source.path.resolve() not in taken]
    return frames, masks


def _ends(source: SourceFile, *suffixes: str) -> bool:
    return source.stem.lower().endswith(tuple(suffix.lower() for suffix in suffixes))


def _folders(sources: list[SourceFile]) -> set[str]:
    return {folder for source in sources for folder in source.folders}


def _by_place(sources: list[SourceFile], suffixes: tuple[str, ...], shared: set[str]) -> dict[tuple, list[SourceFile]]:
    """Sources by (place, stem without suffix)."""
    index = defaultdict(list)
    for source in sources:
        suffix = next((item for item in suffixes if item and _ends(source, item)), "")
        key = source.stem[: len(source.stem) - len(suffix)]
        index[tuple(folder for folder in source.folders if folder in shared), key].append(source)
    return index


def _match(
    frames_at: dict, masks_at: dict, video: str
) -> tuple[list[tuple[str, SourceFile, SourceFile]], list[Problem]]:
    matched, problems = [], []
    for place_and_key in [*frames_at, *(key for key in masks_at if key not in frames_at)]:
        frames, masks = frames_at.get(place_and_key, []), masks_at.get(place_and_key, [])
        if not masks:
            problems += [Problem("frame without mask", source.name, "", video) for source in frames]
        elif not frames:
            problems += [Problem("mask without frame", source.name, "", video) for source in masks]
        elif len(frames) > 1 or len(masks) > 1:
            what, several = ("frame", frames) if len(frames) > 1 else ("mask", masks)
            others = list_some((source.name for source in several[1:]), 3)
            problems.append(Problem("two candidates", several[0].name, f"{others} could be the same {what}", video))
        else:
            matched.append((place_and_key[1], frames[0], masks[0]))
    return matched, problems


def _naming_places(frames: list[SourceFile], masks: list[SourceFile], shared: set[str]):
    """Return a function: the folders of a pair that can name its video.

    They are the folders that both trees have, else those of the only tree with folders. If both trees have folders and
    none in common, the frame's folders count, unless all frames are in the same one (a single `Raw` names no video).
    """
    frame_tree, mask_tree = bool(_folders(frames)), bool(_folders(masks))
    differ = len({source.folders[:1] for source in frames}) > 1

    def place_of(frame: SourceFile, mask: SourceFile) -> tuple[str, ...]:
        if frame_tree and mask_tree:
            place = tuple(folder for folder in frame.folders if folder in shared)
            return place or (frame.folders if differ and not shared else ())
        return frame.folders or mask.folders

    return place_of


def _make_pair(
    key: str, frame: SourceFile, mask: SourceFile, place: tuple, video_id: str | None, root_name: str
) -> Pair:
    """A pair with its video and number; the number is -1 if `key` has no trailing number."""
    digits = re.search(r"\d+$", key)
    number = int(digits.group()) if digits else -1
    in_key = re.match(r"(video\d+)[_\-. ](\d+(?=[_\-. ]))?", key, re.IGNORECASE)
    video, clip = video_and_clip(place or (root_name,))
    if not place and in_key:
        video = in_key.group(1).lower()
        clip = f"{video}_{in_key.group(2)}" if in_key.group(2) else ""
    key_start = key[: digits.start()] if digits else ""
    video = video or (place[0] if place else key_start)
    video = video_id or _as_name(video)
    return Pair(video, number, frame, mask, clip=clip or "/".join(place[1:]))


def _as_name(video: str) -> str:
    return re.sub(r"[^\w.-]+", "-", video).strip("-._ ") or "video"


def _by_video_pattern(pairs: list[Pair], pattern: re.Pattern) -> list[Pair]:
    """Give the pairs the videos that the pattern finds. A guess that begins with one, a part of it, becomes the clip.

    Videos in which numbers repeat are numbered by the order of their paths.
    """
    found = []
    for pair in pairs:
        video = _as_name(video_by_pattern(pattern, pair.frame.name[: -len(pair.frame.suffix)]))
        found.append(replace(pair, video=video, clip=pair.video if pair.video.startswith(video) else pair.clip))
    return without_repeats(found)
