"""Accuracy as seen: the mask on the screen at a time against the truth of that time, beside the offline scores.

This is the streaming accuracy of Li et al. 2020, "Towards Streaming Perception" (arXiv:2005.10420): while a frame is
processed, the scene goes on, so the newest mask on the screen belongs to an earlier frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Callable

import numpy as np

from surgseg.data.dataset import video_of
from surgseg.evaluation.results import Scored, metrics_of, score_frame
from surgseg.files import UserError, list_some, nfc
from surgseg.labels import Scheme, read_scheme
from surgseg.mask_folders import settle_masks
from surgseg.masks import read_mask
from surgseg.predicted import WHAT_TO_DO, predicted_masks
from surgseg.reviews import MASKS, masks_by_name
from surgseg.scores.report import number
from surgseg.video.inputs import VideoSource
from surgseg.video.reader import Frame


def find_truth(folder: Path, scheme: Scheme, source: VideoSource, reviewed: bool) -> dict[int, Path]:
    """Return frame number -> true mask. `folder` holds the masks, or is a prepared or generated folder.

    If a generated folder holds reviewed masks, these are taken. A mask belongs to the image of its name if the source
    is a folder of images, else to the frame whose number (from 0) ends its name. Masks that a model predicted are left
    out, unless a person has `reviewed` all of them. Raises `UserError` for masks of other classes or of several videos,
    and where none is left.
    """
    folder = next((folder / name for name in (MASKS, "masks") if (folder / name).is_dir()), folder)
    beside = folder.resolve().parent / "classes.json"
    if beside.is_file() and (names := read_scheme(beside).names) != scheme.names:
        raise UserError(f"{folder} has the classes {list_some(names)}, the weights {list_some(scheme.names)}")
    paths = masks_by_name(folder)
    if source.images:
        numbers = {nfc(path.stem): index for index, path in enumerate(source.files)}
        found = {numbers[name]: path for name, path in paths.items() if name in numbers}
    else:
        if len(videos := {video_of(name) for name in paths}) > 1:
            raise UserError(f"{folder} holds masks of several videos ({list_some(sorted(videos))}): give those of one")
        ends = {path: re.search(r"(\d+)$", name) for name, path in paths.items()}
        found = {int(number.group(1)): path for path, number in ends.items() if number}
    if not found:
        raise UserError(f"{folder}: no mask has the {'name' if source.images else 'number'} of a frame of --source")
    predicted = set() if reviewed else predicted_masks(found.values())
    true = {index: path for index, path in found.items() if path not in predicted}
    if not true:
        raise UserError(f"all {len(found)} masks of {folder} are predictions of a model, not truth: {WHAT_TO_DO}")
    if predicted:
        print(f"{len(predicted)} of {len(found)} masks of {folder} are predictions of a model: left out")
    settle_masks(folder, scheme, true.values())
    return true


def score_as_seen(
    frames: Iterable[Frame],
    truth: Mapping[int, Path],
    seen_at: Callable[[float], np.ndarray | None],
    until_s: float,
    predict: Callable[[np.ndarray], np.ndarray],
    scheme: Scheme,
) -> dict[str, Any]:
    """Score the frames of the source that have a `truth` and were due up to second `until_s`.

    `seen_at(second)` gives the (H, W) uint8 ids on the screen, None for an empty one, which counts as background.
    `predict(image)` gives the ids of a frame itself. Returns "frames", and the metrics "as_seen" and "offline". Raises
    `UserError` if there is no such frame, or a mask has another size.
    """
    names, seen, offline = [], [], []
    for frame in frames:
        if frame.time_s > until_s:
            break
        if frame.index not in truth:
            continue
        path = truth[frame.index]
        true = read_mask(path, scheme.num_classes)
        if true.shape != frame.image.shape[:2]:
            sizes = f"{true.shape[1]}x{true.shape[0]}, its frame {frame.image.shape[1]}x{frame.image.shape[0]}"
            raise UserError(f"{path} is {sizes}: masks of the source's own size are needed")
        shown = seen_at(frame.time_s)
        names.append(path.stem)
        seen.append(score_frame(np.zeros_like(true) if shown is None else shown, true, scheme, "ignore"))
        offline.append(score_frame(predict(frame.image), true, scheme, "ignore"))
    if not names:
        raise UserError(f"no frame with a mask came before the end of the run (second {until_s:.1f})")
    scored = {
        name: metrics_of(Scored.of(names, ["video"] * len(names), scores, "ignore"), scheme)
        for name, scores in (("as_seen", seen), ("offline", offline))
    }
    return {"frames": len(names), **scored}


def as_seen_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the table of both scores for the screen."""
    lines = [f"{'Accuracy of ' + str(found['frames']) + ' frames':<32}{'Dice':>9}{'IoU':>9}   (instruments, pooled)"]
    for name, row in (("as seen", "as_seen"), ("offline, without latency", "offline")):
        scores = found[row]["instrument_union"]
        lines.append(f"{name:<32}{number(scores['dice'], '9.4f')}{number(scores['iou'], '9.4f')}")
    return lines
