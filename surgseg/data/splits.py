"""Splits: divide frames into train, val and test; by video unless the options say otherwise.

Neighbouring frames of a video are near copies, so a split by frame measures memory, not generalisation.
An assignment maps a key to train, val or test. The key is a video, or a frame name if videos are divided.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from surgseg.files import UserError, list_some, natural_key, nfc, read_json

PARTS = ("train", "val", "test")
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
TIME_GAP = 0.025  # share of a video left out at each boundary of a split in time
PUBLISHED = {  # video numbers of CholecSeg8k; all other videos train
    "sp-tcn": {"test": (12, 20, 48, 55), "val": (17, 52)},
    "endovit": {"test": (12, 27), "val": (17, 52)},
}
SPLIT_NAMES = ("manifest", "video", "time", "random", *PUBLISHED)


@dataclass(frozen=True)
class Split:
    """A named division of samples.

    `parts` holds the sample indices of each part; `by` is "video" or "frame", the kind of key in `assignment`.
    `left_out` names the val and test frames without a true mask; they are in no part.
    """

    name: str
    by: str
    assignment: dict[str, str]
    parts: dict[str, np.ndarray]
    left_out: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """12 hex digits that change if a key changes its part, or another frame is left out."""
        keys = [*sorted(self.assignment.items()), *self.left_out]
        return hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:12]

    @property
    def scored_part(self) -> str | None:
        """The part that a trained model is scored on: test; val if test is empty; None if both are empty."""
        return next((part for part in ("test", "val") if len(self.parts[part])), None)

    @property
    def leaks(self) -> bool:
        """True if neighbouring frames of a video are in different parts."""
        return self.name == "random"

    def to_json(self) -> dict:
        return {"name": self.name, "by": self.by, "hash": self.hash, "assignment": self.assignment}


def assign_by_video(rows: list[dict[str, Any]]) -> dict[str, str] | None:
    """Assign whole videos to train/val/test, with about 70/10/20 % of the frames and instruments in each if possible.

    `rows` are manifest rows (`video`, `instrument_fraction`). Two videos give train and test; one video gives None.
    Videos whose masks are all predicted (`predicted`) train, if two others are left.
    Deterministic: the assignment depends on the videos and their frame counts, not on the order of rows.
    """
    frames = Counter(str(row["video"]) for row in rows)
    if len(frames) < 2:
        return None
    true_videos = {str(row["video"]) for row in rows if not row.get("predicted")}
    if 2 <= len(true_videos) < len(frames):
        known = assign_by_video([row for row in rows if str(row["video"]) in true_videos])
        return {video: known.get(video, "train") for video in sorted(frames, key=natural_key)}
    with_instrument = {str(row["video"]) for row in rows if float(row.get("instrument_fraction") or 0) > 0}
    # The first video of each part: the largest with instruments trains, the two smallest with instruments test and
    # validate. If too few videos have instruments, the smallest without them are taken.
    order = sorted(frames, key=lambda video: (frames[video], natural_key(video)))
    candidates = [video for video in order if video in with_instrument] or order
    assignment = {candidates[-1]: "train"}
    parts = ["train", "test", "val"][: len(order)]
    others = dict.fromkeys(video for video in candidates + order if video not in assignment)
    assignment.update(zip(others, parts[1:]))
    filled = Counter({part: frames[video] for video, part in assignment.items()})
    total = sum(frames.values())
    for video in sorted(frames.keys() - assignment.keys(), key=lambda v: (-frames[v], natural_key(v))):
        part = max(parts, key=lambda name: SHARES[name] * total - filled[name])
        assignment[video] = part
        filled[part] += frames[video]
    return dict(sorted(assignment.items(), key=lambda item: natural_key(item[0])))


def make_split(
    samples: list,
    *,
    name: str | None = None,
    val_videos: list[str] | None = None,
    test_videos: list[str] | None = None,
    folds: str | None = None,
    fold: int = 1,
    seed: int = 0,
) -> Split:
    """Divide samples (objects with `name, video, number, part, instrument_fraction`).

    `name` is one of `SPLIT_NAMES`, a path to a splits.json, or None: the manifest's parts if it has any, otherwise
    by video. `val_videos` and `test_videos` override `name`; `folds` (a number or "videos") overrides both.
    Raises `UserError` if the division is not possible or leaves no frames to train on.
    """
    if not samples:
        raise UserError("no frames to split")
    if folds:
        split = _fold_split(samples, folds, fold)
    elif val_videos or test_videos:
        split = _named_videos(samples, "videos", val_videos or [], test_videos or [])
    elif name is None:
        split = _manifest_split(samples) if any(sample.part for sample in samples) else _video_split(samples)
    elif name.endswith(".json"):
        split = _file_split(samples, name)
    elif name in PUBLISHED:
        split = _published_split(samples, name)
    else:
        makers = {"manifest": _manifest_split, "video": _video_split, "time": _time_split}
        split = _random_split(samples, seed) if name == "random" else makers[name](samples)
    if not len(split.parts["train"]):
        raise UserError(f"split {split.name!r} leaves no frames to train on")
    return split


def apply_assignment(samples: list, stored: dict) -> dict[str, np.ndarray]:
    """Return the indices of `samples` in each part of a split stored in a weights file (`Split.to_json`).

    Samples whose video (or frame) is not in the stored split belong to no part.
    """
    key = "video" if stored["by"] == "video" else "name"
    assignment = {nfc(name): part for name, part in stored["assignment"].items()}
    found = [assignment.get(getattr(sample, key)) for sample in samples]
    return {part: np.array([i for i, item in enumerate(found) if item == part], dtype=np.int64) for part in PARTS}


def stored_part(samples: list, stored: dict | None, part: str) -> list:
    """Return the samples of one part (or "all") of the split that a weights file stores.

    Raises `UserError` if the file stores no split or no sample belongs to the part.
    """
    if part == "all":
        return samples
    if not stored:
        raise UserError("the weights file stores no split; use --split-part all")
    indices = apply_assignment(samples, stored)[part]
    if not len(indices):
        raise UserError(
            f"no frame of the data belongs to the {part} part of the weights file's split ({stored['name']}, by "
            f"{stored['by']}); use --split-part all, or the data it was trained with"
        )
    return [samples[index] for index in indices]


def _split_by(key: str, samples: list, name: str, assignment: dict[str, str]) -> Split:
    """The split of an assignment that is keyed by "video" or "frame"."""
    return Split(name, key, assignment, apply_assignment(samples, {"by": key, "assignment": assignment}))


def _videos(samples: list) -> list[str]:
    return sorted({sample.video for sample in samples}, key=natural_key)


def _video_split(samples: list) -> Split:
    rows = [vars(sample) for sample in samples]
    assignment = assign_by_video(rows)
    if assignment is None:
        raise UserError(
            f"all {len(samples)} frames belong to one video ({samples[0].video}), so they cannot be split by video: "
            "prepare more videos (--video-id names them), or use --split time"
        )
    return _split_by("video", samples, "video", assignment)


def _manifest_split(samples: list) -> Split:
    missing = [sample.name for sample in samples if sample.part not in PARTS]
    if missing:
        raise UserError(f"the manifest gives no part (train, val, test) for {list_some(missing, 4)}; use --split video")
    by_video = {sample.video: sample.part for sample in samples}
    if all(by_video[sample.video] == sample.part for sample in samples):
        return _split_by("video", samples, "manifest", by_video)
    return _split_by("frame", samples, "manifest", {sample.name: sample.part for sample in samples})


def _named_videos(samples: list, name: str, val: list[str], test: list[str]) -> Split:
    videos, val, test = _videos(samples), [nfc(video) for video in val], [nfc(video) for video in test]
    unknown = [video for video in [*val, *test] if video not in videos]
    if unknown:
        raise UserError(f"no video named {list_some(unknown)}; the data holds {list_some(videos, 20)}")
    both = sorted(set(val) & set(test))
    if both:
        raise UserError(f"{list_some(both)}: a video cannot be in validation and test")
    assignment = {video: "test" if video in test else "val" if video in val else "train" for video in videos}
    return _split_by("video", samples, name, assignment)


def _published_split(samples: list, name: str) -> Split:
    endings = {video: re.search(r"\d+$", video) for video in _videos(samples)}
    numbers = {int(ending.group()): video for video, ending in endings.items() if ending}
    wanted = PUBLISHED[name]
    absent = [number for part in ("val", "test") for number in wanted[part] if number not in numbers]
    if absent:
        raise UserError(f"split {name} needs videos {list_some(absent)}, which the data does not hold")
    return _named_videos(samples, name, [numbers[n] for n in wanted["val"]], [numbers[n] for n in wanted["test"]])


def _random_split(samples: list, seed: int) -> Split:
    """The original study's split: 80/20 by frame. It reproduces the study's numbers, but neighbouring frames leak."""
    order = np.random.default_rng([seed, 1]).permutation(len(samples))
    held_out = set(order[round(0.8 * len(samples)) :].tolist())
    assignment = {s.name: "test" if index in held_out else "train" for index, s in enumerate(samples)}
    return _split_by("frame", samples, "random", assignment)


def _time_split(samples: list) -> Split:
    """The first 70 % of each video trains, the last 20 % tests, the 10 % between them validates; with gaps between."""
    groups = defaultdict(list)
    for sample in samples:
        groups[sample.video].append(sample)
    assignment = {}
    for group in groups.values():
        group.sort(key=lambda sample: (sample.number, natural_key(sample.name)))
        count = len(group)
        if count < 10:
            raise UserError(f"video {group[0].video} has {count} frames; --split time needs at least 10 a video")
        gap = max(1, round(TIME_GAP * count))
        first, second = round(0.7 * count), round(0.8 * count)
        ranges = {"train": (0, first), "val": (first + gap, second), "test": (second + gap, count)}
        if first + gap >= second:  # too few frames for a validation part
            ranges = {"train": (0, second), "test": (second + gap, count)}
        for part, (start, stop) in ranges.items():
            assignment.update({sample.name: part for sample in group[start:stop]})
    return _split_by("frame", samples, "time", assignment)


def _fold_split(samples: list, folds: str, fold: int) -> Split:
    groups = video_folds(samples, folds)
    if not 1 <= fold <= len(groups):
        raise UserError(f"--fold {fold}: there are folds 1 to {len(groups)}")
    return _named_videos(samples, f"fold {fold} of {len(groups)}", [], groups[fold - 1])


def video_folds(samples: list, folds: str) -> list[list[str]]:
    """The test videos of each fold: one video each ("videos"), or K groups of similar frame count (a number K)."""
    videos = _videos(samples)
    if folds != "videos" and not str(folds).isdigit():
        raise UserError(f"--folds {folds}: give a number or 'videos'")
    count = len(videos) if folds == "videos" else int(folds)
    if not 2 <= count <= len(videos):
        raise UserError(f"--folds {folds}: {len(videos)} videos allow 2 to {len(videos)} folds")
    if folds == "videos":
        return [[video] for video in videos]
    frames = Counter(sample.video for sample in samples)
    groups: list[list[str]] = [[] for _ in range(count)]
    for video in sorted(videos, key=lambda v: (-frames[v], natural_key(v))):
        min(groups, key=lambda group: sum(frames[v] for v in group)).append(video)
    return groups


def _file_split(samples: list, path: str) -> Split:
    """The split of a JSON file {"train": [...], "val": [...], "test": [...]} of videos or frame names."""
    value = read_json(path)
    if not isinstance(value, dict) or not value.get("train") or set(value) - set(PARTS):
        raise UserError(f"{path}: expected {{'train': [...], 'val': [...], 'test': [...]}} of videos or frame names")
    if not all(isinstance(value.get(part, []), list) for part in PARTS):
        raise UserError(f"{path}: train, val and test must be lists of videos or frame names")
    listed = sorted({(nfc(str(key)), part) for part in PARTS for key in value.get(part, [])})
    assignment = dict(listed)
    twice = [key for key, count in Counter(key for key, _ in listed).items() if count > 1]
    if twice:
        raise UserError(f"{path}: {list_some(twice)} is in two parts")
    videos, names = set(_videos(samples)), {sample.name for sample in samples}
    for key, known in (("video", videos), ("frame", names)):
        if set(assignment) <= known:
            missing = sorted(known - set(assignment), key=natural_key)
            if missing and key == "video":
                raise UserError(f"{path}: gives no part for {list_some(missing)}")
            return _split_by(key, samples, "file", assignment)
    unknown = [key for key in assignment if key not in videos and key not in names]
    raise UserError(f"{path}: neither videos nor frames of the data: {list_some(unknown or assignment, 4)}")
