"""Make reviewed masks of a generated folder out of a tool's annotations."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Callable

import numpy as np

from surgseg.annotations.corrected import Corrected, paint_frames
from surgseg.annotations.task import Task
from surgseg.data.shapes import Annotated
from surgseg.files import UserError, list_some, read_json
from surgseg.masks import encode_mask, read_mask
from surgseg.reviews import Review, read_reviews, reviewed_path, write_reviews


def write_into_review(
    items: list[Annotated],
    task: Task,
    table: dict[str, int | None],
    *,
    allow_missing: bool = False,
    empty_frames: bool = False,
    reviewed: bool = False,
    as_written: Callable[[np.ndarray], np.ndarray] = lambda ids: ids,
) -> Corrected:
    """Write the annotated masks of `items` into reviewed/ of the finished generated folder of `task`.

    Each frame keeps its purpose and its place in the queue. Options are those of `write_corrected`. A mask that is
    still as predicted replaces no review, and is a reviewed one only if `reviewed`. Raises `UserError` with all faults,
    and unless `reviewed` for other masks of frames that were reviewed before; then nothing is written.
    """
    root = task.root
    run = read_json(root / "run.json") if (root / "run.json").is_file() else {}
    if not run.get("complete") or task.frames.keys() - task.masks.keys():
        raise UserError(f"--into-review: {root} is no generated folder of a finished run that holds frames and masks")
    result, reviews, masks, others = Corrected([], [], [], {}), read_reviews(root), {}, []
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    for name, ids in paint_frames(items, task, table, result, allow_missing, empty_frames):
        before = reviews.get(name, Review(name, "extra"))
        predicted = read_mask(task.masks[name], task.scheme.num_classes)
        if predicted.shape != ids.shape:
            raise UserError(f"{task.masks[name]} has another size than its frame")
        same = np.array_equal(ids, as_written(predicted))
        if same and before.status != "open":
            continue
        if same and not reviewed:
            result.predicted.append(name)
            continue
        ids = predicted if same else ids
        if before.has_mask:
            earlier = read_mask(reviewed_path(root, name), task.scheme.num_classes)
            if np.array_equal(ids, earlier) or np.array_equal(ids, as_written(earlier)):
                continue
        if before.status != "open":
            others.append(name)
        status = "corrected" if np.isin(ids, task.scheme.instrument_ids).any() else "empty"
        status = "accepted" if same and status == "corrected" else status
        changed = int((ids != predicted).sum())
        reviews[name] = replace(before, status=status, changed_pixels=changed, time=now)
        masks[name] = encode_mask(ids, task.scheme)
    if others and not reviewed:
        raise UserError(
            f"{root} holds other reviewed masks of {list_some(others, 4)} ({len(others)} of the tool's frames); "
            "--masks-reviewed replaces them"
        )
    if masks:
        write_reviews(root, reviews.values(), masks)
    result.names = list(masks)
    return result
