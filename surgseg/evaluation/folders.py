"""Folders of predicted masks: write into them, score them against true masks."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from surgseg.console import quiet
from surgseg.data.dataset import videos_of_masks
from surgseg.data.seen import training_warnings
from surgseg.data.sources import data_kind
from surgseg.evaluation.results import Scored, metrics_of, score_frame, write_metrics
from surgseg.evaluation.traits import OF_FRAMES, measure_files, named_traits, samples_beside
from surgseg.files import UserError, list_some, make_folder, natural_key, read_json, write_json
from surgseg.frames import images_by_name, list_images, under_names
from surgseg.labels import Scheme, read_scheme
from surgseg.mask_folders import settle_masks
from surgseg.masks import read_mask
from surgseg.predicted import LISTING, WHAT_TO_DO, predicted_masks
from surgseg.reviews import masks_by_name
from surgseg.threads import ahead, cpu_count


def evaluate_folders(
    mask_dir: Path,
    pred_dir: Path,
    scheme: Scheme,
    metrics_path: Path,
    void: str,
    *,
    video_pattern: str | None = None,
    read_frames: bool = True,
    phase_dir: Path | None = None,
    run: dict[str, Any] | None = None,
    **how: Any,
) -> dict[str, Any]:
    """Score the predictions in a folder; write and return the metrics.

    With `read_frames`, the frames beside `mask_dir` are measured too, to group the scores. `phase_dir` is that of
    `named_traits`; the other arguments are those of `score_folders`. Raises `UserError` as these do.
    """
    scored, masks = score_folders(mask_dir, pred_dir, scheme, void, video_pattern=video_pattern, **how)
    samples = samples_beside(mask_dir, video_pattern)
    chosen, root = [samples[name] for name in scored.names], mask_dir.resolve().parent
    stored = read_scheme(root / "classes.json") if (root / "classes.json").is_file() else scheme
    traits, unknown = named_traits(chosen, root, stored, phase_dir)
    measured, why = measure_files(chosen, list(samples.values()), scheme) if read_frames else ({}, "--skip-frames")
    unknown = {**({OF_FRAMES: why} if why else {}), **unknown}
    scored = replace(scored, traits={**traits, **measured}, unknown=unknown)
    data = data_kind(mask_dir)
    about = {**facts_of_predictions(pred_dir, scored, masks), "data": data}
    metrics = metrics_of(scored, scheme, about, masks=masks, data=data, run=run)
    write_metrics(metrics_path, scored, scheme, metrics)
    return metrics


def score_folders(
    mask_dir: Path,
    pred_dir: Path,
    scheme: Scheme,
    void: str,
    *,
    require_all: bool = False,
    reviewed: bool = False,
    video_pattern: str | None = None,
    tolerances: Sequence[float] = (),
) -> tuple[Scored, int]:
    """Score the existing predictions against the masks of the same names; return (scores, number of all masks).

    Masks that a model predicted are left out, unless a person has `reviewed` all of them. Names are those of
    `under_names`; `video_pattern` is that of `videos_of_masks`, `tolerances` are those of `score_frame`. Raises
    `UserError` that lists the files if a mask is missing or is the prediction itself, sizes differ or an id is not one
    of the classes.
    """
    num_classes = scheme.num_classes
    masks = masks_by_name(mask_dir)
    predictions = under_names(masks, images_by_name(pred_dir))
    predicted = set() if reviewed else predicted_masks(masks.values())
    for name in [name for name, path in masks.items() if path in predicted]:
        del masks[name]
        predictions.pop(name, None)
    if predicted:
        if not masks:
            raise UserError(f"all {len(predicted)} masks of {mask_dir} are predictions of a model: {WHAT_TO_DO}")
        print(f"{len(predicted)} masks of {mask_dir} are predictions of a model: they are not scored against")
    common = sorted(masks.keys() & predictions.keys(), key=natural_key)
    if not common:
        raise UserError(
            f"no prediction in {pred_dir} ({list_some(sorted(predictions), 3) or 'no images'}) has the name of a mask "
            f"in {mask_dir} ({list_some(sorted(masks), 3) or 'no images'})"
        )
    extra = sorted(predictions.keys() - masks.keys(), key=natural_key)
    if extra:
        raise UserError(f"{pred_dir}: {len(extra)} predictions without a mask in {mask_dir}: {list_some(extra, 4)}")
    if same := [name for name in common if masks[name].samefile(predictions[name])]:
        raise UserError(f"{predictions[same[0]]} is the true mask itself: --pred-dir leads to the files of --mask-dir")
    missing = sorted(masks.keys() - predictions.keys(), key=natural_key)
    if missing and require_all:
        raise UserError(f"{len(missing)} masks without a prediction in {pred_dir}: {list_some(missing, 4)}")
    settle_masks(mask_dir, scheme)
    settle_masks(pred_dir, scheme, predictions=True)

    videos = dict(zip(masks, videos_of_masks(mask_dir, list(masks), video_pattern)))

    def load(name: str):
        try:
            truth, found = read_mask(masks[name], num_classes), read_mask(predictions[name], num_classes)
            if (found == 255).any():
                raise UserError(f"{predictions[name]}: a prediction cannot hold void (255)")
            if truth.shape != found.shape:
                sizes = f"{found.shape[1]}x{found.shape[0]}, its mask {truth.shape[1]}x{truth.shape[0]}"
                raise UserError(f"{predictions[name]} is {sizes}: score at native size")
        except UserError as error:
            return str(error)
        return score_frame(found, truth, scheme, void, tolerances)

    with ThreadPoolExecutor(cpu_count()) as pool:
        jobs = ahead(pool, load, common, 64)
        results = list(tqdm(jobs, "Scoring", len(common), unit="frame", disable=quiet()))
    errors = [item for item in results if isinstance(item, str)]
    if errors:
        shown = "; ".join(errors[:5]) + (f"; and {len(errors) - 5} more" if len(errors) > 5 else "")
        raise UserError(f"{len(errors)} of {len(common)} predictions cannot be scored: {shown}")
    return Scored.of(common, [videos[name] for name in common], results, void), len(masks)


def facts_of_predictions(pred_dir: Path, scored: Scored, masks: int) -> dict[str, Any]:
    """Return the facts of `scored_set` about scored predictions: those of the listing, where it lists all of them."""
    path = pred_dir / LISTING
    listing = read_json(path) if path.is_file() else {}
    names = listing.get("names") if isinstance(listing, dict) else None
    listed = isinstance(names, list) and set(scored.names) <= set(names)
    about = {**listing.get("scored", {}), "expected": len(names)} if listed else {"expected": masks}
    run = pred_dir.parent / "run.json"
    if run.is_file():  # the masks of a generated folder
        about["warnings"] = {**about.get("warnings", {}), **training_warnings(read_json(run))}
    files = set(images_by_name(pred_dir).values()) if listed or run.is_file() else set()
    if changed := sorted(path.name for path in files - predicted_masks(files)):
        text = f"{len(changed)} predictions are not what the model wrote ({list_some(changed, 3)}): edited or renamed"
        about["warnings"] = {**about.get("warnings", {}), f"{len(changed)} predictions changed": text}
    found = scored.counts[:, :-1].sum(0)
    if found[1:].any() and (found == np.diag(found.diagonal())).all():
        text = "every prediction equals its mask in every pixel: make sure that these are no copies of the masks"
        about["warnings"] = {**about.get("warnings", {}), "predictions equal the masks": text}
    return about


def earlier_predictions(folder: Path) -> list[Path]:
    """Return the predictions that an earlier run wrote into `folder` and listed there.

    Raises `UserError` if the folder holds any other image: an image of the user must not be deleted.
    """
    if not folder.is_dir():
        return []
    listing = folder / LISTING
    listed = read_json(listing) if listing.is_file() else {}
    names = listed.get("names") if isinstance(listed, dict) else None
    known = {folder / f"{name}.png" for name in names} if isinstance(names, list) else set()
    present = list_images(folder)
    foreign = [path.relative_to(folder).as_posix() for path in present if path not in known]
    if foreign:
        raise UserError(
            f"{folder} holds images that are no earlier predictions ({list_some(foreign, 3)}); "
            "give --save-preds another folder"
        )
    return present


def claim_prediction_folder(folder: Path, names: list[str], listing: dict) -> None:
    """Delete an earlier run's predictions and list this run's. Raises `UserError` as `earlier_predictions` does."""
    for path in earlier_predictions(folder):
        path.unlink()
    make_folder(folder)
    write_json(folder / LISTING, {**listing, "names": names})
