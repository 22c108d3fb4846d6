"""What weights have seen: the frames that trained them, or the weights that they started from (--init-from).

A weights file stores its split, those of its ancestors, and a hash of each training frame of all of them. Frames are
found by name, by the name of their video, and by their look (`likeness` says what that cannot see). A file of an
earlier version stores less: then frames are found by the names of its own split.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from tqdm import tqdm

from surgseg.console import quiet
from surgseg.data.dataset import video_of
from surgseg.data.likeness import BLIND, NEAR, frame_hashes, nearest, pack, unpack
from surgseg.data.splits import Split
from surgseg.frames import read_frame
from surgseg.threads import ahead, cpu_count

UNKNOWN = {"name": "unknown", "by": "video", "hash": "unknown", "assignment": {}}


def split_record(split: Split, samples: list) -> dict[str, Any]:
    """Return the split as a weights file stores it: with the training videos, where its keys are frames."""
    if split.by == "video":
        return split.to_json()
    return {**split.to_json(), "train_videos": sorted({samples[index].video for index in split.parts["train"]})}


def trained_splits(training: dict[str, Any]) -> list[dict]:
    """Return the splits that trained weights with this record: their own, then those of their ancestors."""
    return [split for split in (training.get("split"), *training.get("ancestors", ())) if split]


def inherited_splits(training: dict[str, Any]) -> list[dict]:
    """Return the ancestors' splits of weights that start from a file with this record: training keys, each split once.

    `UNKNOWN` stands for a file that does not say what trained it, or the weights that it started from.
    """
    found = {}
    for split in trained_splits(training):
        train = {key: part for key, part in split["assignment"].items() if part == "train"}
        found.setdefault(split["hash"], {**split, "assignment": train})
    if not training.get("split") or ("ancestors" not in training and "--init-from" in str(training.get("start"))):
        found.setdefault("unknown", UNKNOWN)
    return list(found.values())


def inherited_frames(frames: np.ndarray, indices: Iterable[int], inherited: np.ndarray | None) -> np.ndarray:
    """Return packed hashes (M, BITS / 8) uint8, each once: of training frames, and those `inherited` from ancestors."""
    own = pack(frame_hashes(frames, indices)[0])
    return np.unique(own if inherited is None else np.concatenate([own, np.asarray(inherited)]), axis=0)


def trained_videos(splits: list[dict]) -> set[str]:
    """Return the names of the videos with frames in a training part."""
    found = set()
    for split in splits:
        train = [key for key, part in split["assignment"].items() if part == "train"]
        found.update(train if split["by"] == "video" else split.get("train_videos") or map(video_of, train))
    return found


def find_seen(samples: list, training: dict[str, Any], trained, hashes: np.ndarray | None) -> dict[str, Any]:
    """Count the samples that trained weights with this record and the packed hashes `trained` (None: not stored).

    `hashes` are those of the samples. Returns `frames`, `by_name` (its name, or its whole video, is in a training
    part), `same_video` (others of a video of which frames are in one), `near_copies` of `compared` frames that look
    like a training frame (None without `trained`), and `unknown` (whether an ancestor's frames are not known).
    """
    splits = trained_splits(training)
    names = [
        {key for split in splits if split["by"] == by for key, part in split["assignment"].items() if part == "train"}
        for by in ("frame", "video")
    ]
    by_name = [sample.name in names[0] or sample.video in names[1] for sample in samples]
    videos = trained_videos(splits)
    return {
        "frames": len(samples),
        "by_name": sum(by_name),
        "same_video": sum(sample.video in videos and not found for sample, found in zip(samples, by_name)),
        "near_copies": None if trained is None else int((nearest(hashes, unpack(trained))[0] <= NEAR).sum()),
        "compared": None if trained is None else len(hashes),
        "unknown": any(split["name"] == "unknown" for split in splits),
    }


def hash_files(samples: list) -> np.ndarray:
    """Return the hashes of the samples' frame files, without blank frames."""
    return np.concatenate(hash_each(samples))


def hash_each(samples: list) -> list[np.ndarray]:
    """Return the hash of each sample's frame file: (1, BITS), or (0, BITS) of a blank frame."""
    with ThreadPoolExecutor(cpu_count()) as pool:
        jobs = ahead(pool, lambda sample: frame_hashes([read_frame(sample.frame)])[0], samples, 64)
        return list(tqdm(jobs, "Comparing with training frames", len(samples), unit="frame", disable=quiet()))


def seen_warnings(seen: dict[str, Any], weights: str = "these weights, or those they started from") -> dict[str, str]:
    """Return a sentence, without full stop, for each short name of what is wrong; {} if nothing was found."""
    found, count = {}, seen["frames"]
    if seen["by_name"]:
        found[f"{seen['by_name']} frames trained the weights"] = (
            f"{seen['by_name']} of {count} scored frames trained {weights} (by their names): the scores measure memory"
        )
    if seen["same_video"]:
        told = "these frames do not look like them, and the scores speak of these videos alone"
        found[f"{seen['same_video']} frames of training videos"] = (
            f"{seen['same_video']} of {count} scored frames are of videos of which other frames trained {weights}: "
            f"{told if seen['near_copies'] == 0 else 'neighbouring frames are near copies'}"
        )
    if seen["near_copies"]:
        found[f"{seen['near_copies']} near copies of training frames"] = (
            f"{seen['near_copies']} of {seen['compared']} scored frames look like a frame that trained {weights}, "
            f"whatever they are called. {BLIND}"
        )
    if seen["unknown"]:
        found["training frames not known"] = (
            "the weights started from a file that does not say all that trained it: whether that includes scored "
            "frames is not known"
        )
    return found


def training_warnings(run: dict) -> dict[str, str]:
    """Return a sentence, without full stop, for each sign in a generated folder's `run.json` that its video trained.

    One frame a second was compared with the training frames, where the weights file holds their hashes.
    """
    found = {}
    if run.get("training_video"):
        found["video trained the weights"] = (
            "a video of this name trained the weights, or those they started from: its masks say little about other "
            "operations"
        )
    if run.get("frames_trained"):
        found["frames trained the weights"] = (
            f"{run['frames_trained']} of {run['frames_compared']} compared frames of this video look like a frame that "
            f"trained the weights, or those they started from: its masks say little about other operations. {BLIND}"
        )
    return found
