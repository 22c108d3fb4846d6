"""Generated folders with reviews made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from surgseg.labels import SCHEMES
from surgseg.masks import write_mask
from surgseg.reviews import AuditSample, Review, reviewed_path, write_audit_sample, write_reviews
from tests.folders import columns, texture, write_folder

SIZE = (48, 64)


def name_of(index: int) -> str:
    return f"video_{30 * index:06d}"


def sample_name(index: int, folder: str = "new") -> str:
    """The name of a frame in the training data that `data.reviewed` makes of the folder."""
    return f"{folder}/{name_of(index)}"


def write_reviewed(path: Path, count: int = 10, *, audit=(7, 8), done=(7, 8, 0, 1), never=(9,), unusable=()):
    """A generated folder of `count` different frames with one instrument at the left, predicted one column too wide.

    `done` are reviewed, the `audit` ones included; frame i has its instrument in columns 0 to 10 + i.
    """
    images = [np.dstack([texture(SIZE, seed=index)] * 3) for index in range(count)]
    masks = [columns(0, 11 + index, SIZE) for index in range(count)]
    write_folder(path, masks, images=images)
    names = {index: name_of(index) for index in range(count)}
    rows = []
    for index in dict.fromkeys([*audit, *done, *unusable]):
        status = "unusable" if index in unusable else "corrected" if index in done else "open"
        if index in audit:
            rows.append(Review(names[index], "audit", stratum="all", probability=len(audit) / count, status=status))
        else:
            rows.append(Review(names[index], "correct", 1 + len(rows), "by hand", status=status))
        if status == "corrected":
            write_mask(reviewed_path(path, names[index]), columns(0, 10 + index, SIZE), SCHEMES["binary"])
    sample = AuditSample(
        population={"all": count} if audit else {},
        names=[names[index] for index in audit],
        reserve={"all": [names[index] for index in never]} if audit else {},
        never_train=[names[index] for index in (*audit, *never)] if audit else [],
    )
    write_audit_sample(path, sample)
    write_reviews(path, rows)
    return path
