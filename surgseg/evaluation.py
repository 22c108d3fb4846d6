"""Score predictions at native size against true masks: predict and score samples, or score a folder of predictions."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from surgseg.checkpoint import Checkpoint
from surgseg.console import quiet
from surgseg.data.dataset import Prepared, Sample, read_sample, videos_of_masks
from surgseg.data.seen import find_seen, hash_files, seen_warnings, training_warnings
from surgseg.data.splits import apply_assignment
from surgseg.files import UserError, list_some, make_folder, natural_key, read_json, write_csv, write_json
from surgseg.frames import images_by_name, list_images, under_names
from surgseg.labels import Scheme
from surgseg.mask_folders import settle_masks
from surgseg.masks import read_mask, write_mask
from surgseg.predict import Predictor
from surgseg.predicted import LISTING, WHAT_TO_DO, mask_hash, predicted_masks
from surgseg.scores.metrics import FRAME_METRICS, confusion, frame_coverage, frame_metrics, summarise
from surgseg.threads import ahead


@dataclass(frozen=True)
class Scored:
    """The scores of N frames: `names`, `videos`, `counts` (N, K + 1, K), `frames` with (N,) float for each of
    `FRAME_METRICS`, and how `void` was treated: "ignore" or "background"."""

    names: list[str]
    videos: list[str]
    counts: np.ndarray
    frames: dict[str, np.ndarray]
    void: str

    @classmethod
    def of(cls, names: list[str], videos: list[str], scores: list[tuple[np.ndarray, dict]], void: str) -> Scored:
        """Build it from the `score_frame` of each frame."""
        counts, metrics = zip(*scores)
        frames = {name: np.array([values[name] for values in metrics]) for name in FRAME_METRICS}
        return cls(names, videos, np.stack(counts), frames, void)


def score_frame(predicted: np.ndarray, truth: np.ndarray, scheme: Scheme, void: str) -> tuple[np.ndarray, dict]:
    """Return ((K + 1, K) counts, `frame_metrics`) of two (H, W) uint8 masks of ids. Only `truth` holds void (255)."""
    # torch.tensor copies: torch warns about the read-only arrays of image decoders
    counts = confusion(torch.tensor(predicted)[None], torch.tensor(truth)[None], scheme.num_classes)
    return counts[0].numpy(), frame_metrics(predicted, truth, scheme, void)


def predict_and_score(
    predictor: Predictor, samples: list[Sample], pred_dir: Path | None, void: str, listing: dict | None = None
) -> Scored:
    """Predict each sample at its own size, write the masks and `listing` to `pred_dir` if given, and score them.

    Threads decode frames ahead of the network. A batch holds successive samples of one frame size.
    """
    scheme = predictor.scheme
    if pred_dir is not None:
        claim_prediction_folder(pred_dir, [sample.name for sample in samples], listing or {})

    def load(sample: Sample):
        return sample, *read_sample(sample, scheme.num_classes)

    scores, hashes = [], {}
    bar = tqdm(total=len(samples), desc="Predicting", unit="frame", disable=quiet())
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool, bar:
        loaded = ahead(pool, load, samples, 2 * predictor.batch_size)
        for _, group in itertools.groupby(loaded, key=lambda item: item[1].shape):
            while batch := list(itertools.islice(group, predictor.batch_size)):
                ids = predictor.predict(np.stack([frame for _, frame, _ in batch])).ids
                for (sample, _, mask), found in zip(batch, ids):
                    scores.append(score_frame(found, mask, scheme, void))
                    if pred_dir is not None:
                        write_mask(pred_dir / f"{sample.name}.png", found, scheme)
                        hashes[sample.name] = mask_hash(found)
                bar.update(len(batch))
    if pred_dir is not None:
        write_json(pred_dir / LISTING, {**read_json(pred_dir / LISTING), "hashes": hashes})
    return Scored.of([s.name for s in samples], [s.video for s in samples], scores, void)


def evaluate_samples(
    checkpoint: Checkpoint,
    samples: list[Sample],
    device: torch.device,
    *,
    metrics_path: Path,
    void: str,
    prepared: Prepared,
    part: str,
    threshold: float | None = None,
    batch_size: int = 4,
    pred_dir: Path | None = None,
    run: dict[str, Any] | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """Predict and score samples, the `part` of `prepared`, with a weights file; write and return the metrics.

    Raises `UserError` if the classes of the data are not those of the weights file.
    """
    scheme = checkpoint.scheme
    if prepared.scheme.names != scheme.names:
        raise UserError(
            f"the weights know the classes {list_some(scheme.names)}, the data {list_some(prepared.scheme.names)}: "
            "prepare the data with the same --class-scheme"
        )
    if batch_size < 1:
        raise UserError(f"--batch-size {batch_size}: at least 1 is needed")
    predictor = Predictor(checkpoint, device, threshold, batch_size)
    about = {
        "data": prepared.data,
        "part": part,
        "threshold": predictor.threshold,
        **known_of_split(checkpoint, samples, prepared),
    }
    listing = {"weights_sha256": checkpoint.sha256, "scored": about}
    scored = predict_and_score(predictor, samples, pred_dir, void, listing)
    metrics = metrics_of(
        scored,
        scheme,
        about,
        masks=len(samples),
        data=prepared.data,
        part=part,
        threshold=predictor.threshold,
        weights={"sha256": checkpoint.sha256, "arch": checkpoint.arch, "image_size": checkpoint.image_size},
        run={**(run or {}), "split": {key: (about["split"] or {}).get(key) for key in ("name", "hash")}},
        **extra,
    )
    write_metrics(metrics_path, scored, scheme, metrics)
    return metrics


def known_of_split(checkpoint: Checkpoint, samples: list[Sample], prepared: Prepared) -> dict[str, Any]:
    """Return `split`, `seen` and `warnings` of `scored_set`: which samples trained the weights, or are like those."""
    trained, stored = checkpoint.trained_frames, checkpoint.training.get("split")
    seen = find_seen(samples, checkpoint.training, trained, None if trained is None else hash_files(samples))
    facts = {"seen": seen, "warnings": seen_warnings(seen)}
    if not stored:
        facts["warnings"]["split not known"] = "the weights file does not say what it was trained on"
        return {"split": None, **facts}
    train = {prepared.samples[index].video for index in apply_assignment(prepared.samples, stored)["train"]}
    videos = {sample.video for sample in samples}
    if shared := len(train & videos):
        facts["warnings"][f"{shared} of {len(videos)} videos trained the weights"] = (
            f"{shared} of the {len(videos)} scored videos have frames in the training part too; neighbouring frames "
            "are near copies, so the scores say little about an unseen operation"
        )
    return {"split": {key: stored.get(key) for key in ("name", "hash", "by")}, **facts}


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


def score_folders(
    mask_dir: Path,
    pred_dir: Path,
    scheme: Scheme,
    void: str,
    *,
    require_all: bool = False,
    reviewed: bool = False,
    video_pattern: str | None = None,
) -> tuple[Scored, int]:
    """Score the existing predictions against the masks of the same names; return (scores, number of all masks).

    Masks that a model predicted are left out, unless a person has `reviewed` all of them. Names are those of
    `under_names`; `video_pattern` is that of `videos_of_masks`. Raises `UserError` that lists the files if a mask is
    missing or is the prediction itself, sizes differ or an id is not one of the classes.
    """
    num_classes = scheme.num_classes
    masks = images_by_name(mask_dir)
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
        return score_frame(found, truth, scheme, void)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
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
    found = scored.counts[:, :-1].sum(0)
    if found[1:].any() and (found == np.diag(found.diagonal())).all():
        text = "every prediction equals its mask in every pixel: make sure that these are no copies of the masks"
        about["warnings"] = {**about.get("warnings", {}), "predictions equal the masks": text}
    return about


def metrics_of(scored: Scored, scheme: Scheme, about: dict[str, Any] | None = None, **extra: Any) -> dict[str, Any]:
    """Return the content of the metrics JSON: `summarise`, with the facts of `about`, and `extra` (data, run, ...)."""
    return {**summarise(scored.videos, scored.counts, scored.frames, scheme, scored.void, about), **extra}


def write_metrics(path: Path, scored: Scored, scheme: Scheme, metrics: dict[str, Any]) -> None:
    """Write `metrics` to `path` and the table of frames beside it, `<stem>_frames.csv`."""
    scores = {**scored.frames, **frame_coverage(scored.counts, scheme, scored.void)}
    columns = {"name": scored.names, "video": scored.videos}
    for key, values in scores.items():
        columns[key] = ["" if np.isnan(value) else f"{value:.6f}" for value in values]
    table = path.with_name(f"{path.stem}_frames.csv")
    write_csv(table, columns, (dict(zip(columns, row)) for row in zip(*columns.values())))
    write_json(path, metrics)
