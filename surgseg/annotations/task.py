"""The folder between this project and an annotation tool: frames, masks of class ids, class scheme."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from surgseg.console import quiet
from surgseg.data.dataset import FRAME_FOLDERS, is_prepared
from surgseg.data.manifest import read_manifest
from surgseg.data.sources import archives_beside
from surgseg.files import UserError, list_some, nfc
from surgseg.frames import check_same_size, frame_size, images_by_name, under_names
from surgseg.labels import Scheme, load_scheme, read_scheme
from surgseg.mask_folders import settle_masks
from surgseg.masks import read_mask
from surgseg.reviews import Review, read_reviews, reviewed_path


@dataclass(frozen=True)
class Task:
    """Frames and masks by name, the folder of the frames, the scheme; the manifest's rows by name if there is one.

    `reviews`, by name, if reviewed masks are preferred.
    """

    root: Path
    frame_dir: Path
    frames: dict[str, Path]
    masks: dict[str, Path]
    scheme: Scheme
    rows: dict[str, dict]
    reviews: dict[str, Review] = field(default_factory=dict)


def read_task(root: Path, class_scheme: str | None = None, *, prefer_reviewed: bool = False) -> Task:
    """Read a prepared folder, a generated folder, or a folder of frames alone.

    If there is a manifest, the frames are those that it lists. The scheme is the one named, else the folder's own, else
    binary. With `prefer_reviewed`, reviewed masks replace others, and frames that are marked unusable are left out.
    Raises `UserError` if there are no frames.
    """
    frame_dir = next((root / name for name in FRAME_FOLDERS if (root / name).is_dir()), root)
    frames = images_by_name(frame_dir)
    rows = {nfc(row["name"]): row for row in read_manifest(root)} if is_prepared(root) else {}
    if lost := sorted(rows.keys() - frames.keys()):
        raise UserError(f"{root}: the manifest lists frames without a file: {list_some(lost, 4)}")
    if rows:
        frames = {name: path for name, path in frames.items() if name in rows}
    if not frames or (frame_dir == root and (root / "masks").is_dir()):
        raise UserError(f"no frames in {root} (a folder frames or sample_frames, or images){archives_beside(root)}")
    own = root / "classes.json"
    scheme = read_scheme(own) if class_scheme is None and own.is_file() else load_scheme(class_scheme or "binary")
    masks = under_names(frames, images_by_name(root / "masks")) if (root / "masks").is_dir() else {}
    settle_masks(root / "masks", scheme, masks.values())
    reviews = read_reviews(root) if prefer_reviewed else {}
    frames = {name: path for name, path in frames.items() if name not in reviews or reviews[name].status != "unusable"}
    masks.update({name: reviewed_path(root, name) for name, review in reviews.items() if review.has_mask})
    masks = {name: masks[name] for name in frames if name in masks}
    return Task(root, frame_dir, frames, masks, scheme, rows, reviews)


def each_mask(task: Task) -> Iterator[tuple[str, Path, np.ndarray]]:
    """Yield name, frame file and (H, W) uint8 class ids of every frame. Raises `UserError` for a frame without mask."""
    if without := [name for name in task.frames if name not in task.masks]:
        raise UserError(f"{len(without)} frames in {task.root} have no mask: {list_some(without, 4)}")
    for name, frame in tqdm(task.frames.items(), desc="Converting", unit="frame", disable=quiet()):
        ids = read_mask(task.masks[name], task.scheme.num_classes)
        width, height = upright_size(frame)
        try:
            check_same_size((width, height), ids.shape[::-1])
        except UserError as error:
            raise UserError(f"{task.masks[name]}: {error}") from error
        yield name, frame, ids


def upright_size(frame: Path) -> tuple[int, int]:
    """(width, height) of a frame as it is shown, with its EXIF orientation."""
    return frame_size(frame.read_bytes(), str(frame))[:2]
