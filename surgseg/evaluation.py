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
from surgseg.data.dataset import Sample, read_sample, videos_of_masks
from surgseg.files import UserError, list_some, make_folder, natural_key, nfc, read_json, write_csv, write_json
from surgseg.frames import list_images
from surgseg.labels import Scheme
from surgseg.mask_folders import settle_masks
from surgseg.masks import read_mask, write_mask
from surgseg.predict import Predictor
from surgseg.scores.metrics import FRAME_METRICS, confusion, frame_coverage, frame_metrics, summarise
from surgseg.threads import ahead

LISTING = "predictions.json"


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
    predictor: Predictor, samples: list[Sample], pred_dir: Path | None, void: str, sha256: str = ""
) -> Scored:
    """Predict each sample at its own size, write the masks to `pred_dir` if given, and score them.

    Threads decode frames ahead of the network. A batch holds successive samples of one frame size.
    """
    scheme = predictor.scheme
    if pred_dir is not None:
        claim_prediction_folder(pred_dir, [sample.name for sample in samples], sha256)

    def load(sample: Sample):
        return sample, *read_sample(sample, scheme.num_classes)

    scores = []
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
                bar.update(len(batch))
    return Scored.of([s.name for s in samples], [s.video for s in samples], scores, void)


def evaluate_samples(
    checkpoint: Checkpoint,
    samples: list[Sample],
    device: torch.device,
    *,
    metrics_path: Path,
    void: str,
    threshold: float | None = None,
    batch_size: int = 4,
    pred_dir: Path | None = None,
    scheme: Scheme | None = None,
    run: dict[str, Any] | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """Predict and score samples with a weights file; write and return the metrics.

    Raises `UserError` if the classes of `scheme`, the data's, are not those of the weights file.
    """
    if scheme is not None and scheme.names != checkpoint.scheme.names:
        raise UserError(
            f"the weights know the classes {list_some(checkpoint.scheme.names)}, the data {list_some(scheme.names)}: "
            "prepare the data with the same --class-scheme"
        )
    if batch_size < 1:
        raise UserError(f"--batch-size {batch_size}: at least 1 is needed")
    predictor = Predictor(checkpoint, device, threshold, batch_size)
    scored = predict_and_score(predictor, samples, pred_dir, void, checkpoint.sha256)
    split = checkpoint.training.get("split") or {}
    metrics = metrics_of(
        scored,
        checkpoint.scheme,
        masks=len(samples),
        threshold=predictor.threshold,
        weights={"sha256": checkpoint.sha256, "arch": checkpoint.arch, "image_size": checkpoint.image_size},
        run={**(run or {}), "split": {key: split.get(key) for key in ("name", "hash")}},
        **extra,
    )
    write_metrics(metrics_path, scored, checkpoint.scheme, metrics)
    return metrics


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


def claim_prediction_folder(folder: Path, names: list[str], sha256: str) -> None:
    """Delete an earlier run's predictions and list this run's. Raises `UserError` as `earlier_predictions` does."""
    for path in earlier_predictions(folder):
        path.unlink()
    make_folder(folder)
    write_json(folder / LISTING, {"weights_sha256": sha256, "names": names})


def score_folders(
    mask_dir: Path,
    pred_dir: Path,
    scheme: Scheme,
    void: str,
    *,
    require_all: bool = False,
    video_pattern: str | None = None,
) -> tuple[Scored, int]:
    """Score the existing predictions against the masks of the same names; return (scores, number of all masks).

    `video_pattern` is that of `videos_of_masks`. Raises `UserError` that lists the files if a mask is missing, sizes
    differ or an id is not one of the classes.
    """
    num_classes = scheme.num_classes
    masks = {nfc(path.stem): path for path in list_images(mask_dir)}
    predictions = {nfc(path.stem): path for path in list_images(pred_dir)}
    common = sorted(masks.keys() & predictions.keys(), key=natural_key)
    if not common:
        raise UserError(
            f"no prediction in {pred_dir} ({list_some(sorted(predictions), 3) or 'no images'}) has the name of a mask "
            f"in {mask_dir} ({list_some(sorted(masks), 3) or 'no images'})"
        )
    extra = sorted(predictions.keys() - masks.keys(), key=natural_key)
    if extra:
        raise UserError(f"{pred_dir}: {len(extra)} predictions without a mask in {mask_dir}: {list_some(extra, 4)}")
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


def metrics_of(scored: Scored, scheme: Scheme, **extra: Any) -> dict[str, Any]:
    """Return the content of the metrics JSON: the summary of the scores, and `extra` (split, data, run, ...)."""
    return {**summarise(scored.videos, scored.counts, scored.frames, scheme, scored.void), **extra}


def write_metrics(path: Path, scored: Scored, scheme: Scheme, metrics: dict[str, Any]) -> None:
    """Write `metrics` to `path` and the table of frames beside it, `<stem>_frames.csv`."""
    scores = {**scored.frames, **frame_coverage(scored.counts, scheme, scored.void)}
    columns = {"name": scored.names, "video": scored.videos}
    for key, values in scores.items():
        columns[key] = ["" if np.isnan(value) else f"{value:.6f}" for value in values]
    table = path.with_name(f"{path.stem}_frames.csv")
    write_csv(table, columns, (dict(zip(columns, row)) for row in zip(*columns.values())))
    write_json(path, metrics)
