"""Ground-truth masks for the frames of a generated folder: match them by name or number, and score the predictions."""

from __future__ import annotations

import math
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from surgseg.data.dataset import video_of
from surgseg.evaluation.results import score_frame
from surgseg.files import UserError, list_some, natural_key, nfc
from surgseg.generate.folder import FrameRow, Generated
from surgseg.labels import VOID
from surgseg.mask_folders import settle_masks
from surgseg.masks import read_mask
from surgseg.predicted import WHAT_TO_DO, predicted_masks
from surgseg.reviews import masks_by_name
from surgseg.threads import ahead, cpu_count


def match_ground_truth(
    generated: Generated, mask_dir: Path, video: str | None = None, *, reviewed: bool = False
) -> dict[str, Path]:
    """Return row name -> true mask for the masks of `mask_dir` that belong to rows of `generated` (`_masks_of_rows`).

    Masks that a model predicted are left out, unless a person has `reviewed` all of them; the generated folder's own
    masks always are. Raises `UserError` if no true mask is left.
    """
    matched = _masks_of_rows(generated, mask_dir, video)
    own = {path.resolve() for row in generated.rows if (path := generated.mask_path(row))}
    true = {name: path for name, path in matched.items() if path.resolve() not in own}
    if not true:
        raise UserError(f"{mask_dir} holds the masks of {generated.folder} itself: nothing to compare them with")
    predicted = set() if reviewed else predicted_masks(true.values())
    true = {name: path for name, path in true.items() if path not in predicted}
    if not true:
        raise UserError(f"all {len(matched)} masks of {mask_dir} are predictions of a model, not truth: {WHAT_TO_DO}")
    if predicted:
        print(f"{len(predicted)} of {len(matched)} masks of {mask_dir} are predictions of a model: left out")
    return true


def _masks_of_rows(generated: Generated, mask_dir: Path, video: str | None) -> dict[str, Path]:
    """Return row name -> mask file.

    A mask belongs to the row of its own name. Where no mask has the name of a row, or masks of several videos have, it
    belongs to the row whose frame number (from 0, counted in the video) ends its name. `video` selects one video where
    the folder holds several. Raises `UserError` for several videos without `video`, for numbers that may mean other
    frames, and for no match.
    """
    paths = masks_by_name(mask_dir)
    video = None if video is None else nfc(video)
    if not paths:
        raise UserError(f"{mask_dir} holds no masks")
    settle_masks(Path(mask_dir), generated.scheme)
    rows = {nfc(row.name): row.name for row in generated.rows}
    same = {rows[last]: name for name in paths if (last := name.rpartition("/")[2]) in rows}
    of_rows = [name for name in paths if name.rpartition("/")[2] in rows]
    if same and video is None and len(of_rows) == len(same) and len({video_of(name) for name in of_rows}) == 1:
        return {row: paths[name] for row, name in same.items()}
    groups: dict[str, dict[int, Path]] = {}
    for name, path in paths.items():
        number = re.search(r"(\d+)$", name)
        if number:
            masks, frame = groups.setdefault(video_of(name), {}), int(number.group(1))
            if frame in masks:
                raise UserError(f"two masks for one frame: {masks[frame]} and {path}")
            masks[frame] = path
    names = list_some(sorted(groups, key=natural_key))
    if video is not None and video not in groups:
        raise UserError(f"{mask_dir} holds no masks of {video}; it holds {names or 'no numbered masks'}")
    if video is None and len(groups) > 1:
        raise UserError(f"{mask_dir} holds masks of several videos ({names}): name one with --mask-video")
    numbered = groups[video] if video is not None else next(iter(groups.values()), {})
    _check_numbers(generated, numbered, mask_dir)
    found = {row.name: numbered[row.frame] for row in generated.rows if row.frame in numbered}
    if not found:
        raise UserError(
            f"no mask in {mask_dir} has the number of a frame of {generated.folder} (such as {generated.rows[0].frame})"
        )
    return found


def _check_numbers(generated: Generated, numbered: dict[int, Path], mask_dir: Path) -> None:
    """Raise `UserError` for a folder of images whose masks are not numbered 0, 1, ...

    Its frames are numbered by their place, whatever the images are called, so other numbers would mean other frames.
    """
    if generated.run.get("image_rate") is None:
        return
    count = round(generated.run["video"]["duration_s"] * generated.run["image_rate"])
    if sorted(numbered) != list(range(count)):
        raise UserError(
            f"{generated.folder} was made from a folder of {count} images, numbered by their place in it from 0; the "
            f"masks in {mask_dir} are numbered otherwise: name each as its row (such as {generated.rows[0].name}.png)"
        )


def read_pair(generated: Generated, row: FrameRow, truth: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (predicted, true), (H, W) uint8 class ids. A pixel that is void in either is void in `true`."""
    count = generated.scheme.num_classes
    predicted, true = read_mask(generated.mask_path(row), count), read_mask(truth, count)
    if predicted.shape != true.shape:
        raise UserError(
            f"masks of differing sizes: {generated.mask_path(row)} is {predicted.shape[1]}x{predicted.shape[0]}, "
            f"{truth} {true.shape[1]}x{true.shape[0]}"
        )
    void = predicted == VOID
    return np.where(void, 0, predicted).astype(np.uint8), np.where(void, VOID, true).astype(np.uint8)


def score_rows(generated: Generated, matched: dict[str, Path]) -> dict[str, dict[str, float]]:
    """Return, by row name, the scores of `FRAME_METRICS`, `true_coverage` (0-1, NaN: all void) and `counts`
    (`confusion`) of each matched row."""
    if generated.run["parts"].get("masks") is None:
        raise UserError(f"{generated.folder} keeps no masks, so there is nothing to compare with ground truth")
    rows, scheme = [row for row in generated.rows if row.name in matched], generated.scheme

    def score(row: FrameRow) -> dict[str, float]:
        predicted, true = read_pair(generated, row, matched[row.name])
        instrument, valid = np.isin(true, scheme.instrument_ids), true != VOID
        coverage = instrument.sum() / valid.sum() if valid.any() else math.nan
        counts, metrics = score_frame(predicted, true, scheme, "ignore")
        return {**metrics, "true_coverage": float(coverage), "counts": counts}

    with ThreadPoolExecutor(cpu_count()) as pool:
        return {row.name: scores for row, scores in zip(rows, ahead(pool, score, rows, 64))}
