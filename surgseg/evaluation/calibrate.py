"""Fit a temperature and choose a threshold on the validation part of a weights file, never on its test part."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from surgseg.checkpoint import Checkpoint, save_checkpoint
from surgseg.console import quiet
from surgseg.data.dataset import Prepared, check_classes, read_sample
from surgseg.data.leaks import true_samples
from surgseg.data.splits import apply_assignment
from surgseg.data.views import sample_views
from surgseg.evaluation.samples import known_of_split, predict_and_score
from surgseg.files import UserError
from surgseg.labels import VOID
from surgseg.predict import Predictor
from surgseg.preprocess import resize_frames, resize_masks
from surgseg.scores.calibration import best_threshold
from surgseg.scores.intervals import FEWEST
from surgseg.scores.metrics import pooled_scores

LOWEST, HIGHEST = 0.1, 10.0  # temperature
_PIXELS = 500_000  # drawn for the temperature, the same number from each frame


def calibrate(
    checkpoint: Checkpoint,
    prepared: Prepared,
    device: torch.device,
    *,
    temperature: bool,
    threshold: bool,
    batch_size: int = 4,
    view: str | list[int] | None = None,
) -> dict[str, Any]:
    """Change the temperature, then the threshold of `checkpoint`; return what was done, `training["calibration"]`.

    The temperature has the least cross-entropy of the validation pixels at the model's size (Guo et al. 2017), the
    threshold the highest Dice of the instruments over all validation pixels at the frames' own size. Void does not
    count. `view`: as for `evaluate_samples`. Raises `UserError` without a validation part, or where it shows no
    instrument.
    """
    check_classes(prepared, checkpoint.scheme)
    stored = checkpoint.training.get("split")
    indices = apply_assignment(prepared.samples, stored)["val"] if stored else ()
    if not len(indices):
        raise UserError(
            f"no frame of {prepared.root} belongs to a validation part of these weights, and the test part must not "
            "choose a threshold or a temperature: give the data of the training, or train with --val-videos"
        )
    samples = true_samples([prepared.samples[index] for index in indices])
    videos = sorted({sample.video for sample in samples})
    of_videos = [sample for sample in prepared.samples if sample.video in videos]
    views = sample_views(of_videos, checkpoint.view if view is None else view)
    known = known_of_split(checkpoint, samples)
    if len(videos) < FEWEST:
        known["warnings"]["few validation videos"] = (
            f"the validation part has {len(videos)} video{'s' * (len(videos) != 1)}, so temperature and threshold may "
            "not suit other videos: compare the scores of the test part with those of the old weights"
        )
    record = {
        "part": "val",
        "split": known["split"],
        "frames": len(samples),
        "videos": videos,
        "warnings": known["warnings"],
        "weights_sha256": checkpoint.sha256,
    }
    if temperature:
        predictor = Predictor(checkpoint, device, batch_size=batch_size)
        factor, before, after = fit_temperature(*_drawn_pixels(predictor, samples, views))
        checkpoint.temperature *= factor
        losses = {"cross_entropy_before": before, "cross_entropy": after}
        record["temperature"] = {"value": checkpoint.temperature, "before": checkpoint.temperature / factor, **losses}
    if threshold:
        predictor = Predictor(checkpoint, device, batch_size=batch_size, keep_probability=True)
        scored = predict_and_score(predictor, samples, None, "ignore", view=views)
        levels = scored.levels.sum(0)
        if not levels[1].any():
            raise UserError(f"the validation part ({len(samples)} frames) shows no instrument to choose a threshold by")
        before = pooled_scores(scored.counts, checkpoint.scheme)["instrument_union"]["dice"]
        value, dice = best_threshold(levels)
        record["threshold"] = {"value": value, "before": checkpoint.threshold, "dice_before": before, "dice": dice}
        checkpoint.threshold = value
    checkpoint.training = {**checkpoint.training, "calibration": record}
    return record


def write_calibrated(
    checkpoint: Checkpoint, weights: Path, prepared: Prepared, device: torch.device, run: dict[str, Any], **asked
) -> str:
    """Calibrate `checkpoint` as `calibrate` does with the options `asked`; write it beside its file, `weights`.

    Returns what was done for the screen.
    """
    record = calibrate(checkpoint, prepared, device, **asked)
    record["run"] = run
    path = weights.with_name(f"{weights.stem}_calibrated.pth")
    save_checkpoint(path, checkpoint)
    return "\n".join([*calibrated_lines(record), f"Written: {path}; the scores below are of these weights"])


def calibrated_lines(record: dict[str, Any]) -> list[str]:
    """Return the record of `calibrate` for the screen."""
    lines = [f"Calibrated on the validation part: {record['frames']} frames, {len(record['videos'])} videos"]
    if found := record.get("temperature"):
        losses = f"cross-entropy {found['cross_entropy']:.4f}, before {found['cross_entropy_before']:.4f}"
        lines.append(f"  temperature {found['value']:.3f}: {losses}")
    if found := record.get("threshold"):
        lines.append(f"  threshold {found['value']:.3f}: Dice {found['dice']:.4f}, before {found['dice_before']:.4f}")
    return lines + [f"WARNING: {text}." for text in record["warnings"].values()]


def fit_temperature(log_probability: torch.Tensor, labels: torch.Tensor) -> tuple[float, float, float]:
    """Return (temperature, mean cross-entropy before, after): softmax(log_probability / temperature) fits best.

    (P, K) float32 logits or log probabilities, (P,) int64 class ids. Raises `UserError` outside `LOWEST` to `HIGHEST`.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return float(F.cross_entropy(log_probability / math.exp(log_temperature), labels))

    bounds = math.log(LOWEST), math.log(HIGHEST)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    if not len(labels) or min(found.x - bounds[0], bounds[1] - found.x) < 0.01:
        raise UserError(
            f"no temperature from {LOWEST:g} to {HIGHEST:g} fits the validation part ({len(labels)} pixels): the model "
            "makes no error there, or knows nothing of these frames; calibrate on more videos"
        )
    return math.exp(found.x), loss(0.0), float(found.fun)


@torch.inference_mode()
def _drawn_pixels(predictor: Predictor, samples: list, views) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the same number of labelled pixels from each frame, at the model's size, for `fit_temperature`."""
    count, found, labels = -(-_PIXELS // len(samples)), [], []
    for index, sample in enumerate(tqdm(samples, "Fitting the temperature", unit="frame", disable=quiet())):
        frame, mask = read_sample(sample, predictor.scheme.num_classes)
        view = views(sample, frame)
        images = torch.from_numpy(np.require(view.crop(frame), requirements="CW")).permute(2, 0, 1)[None]
        probability = predictor.network(resize_frames(images.to(predictor.device), predictor.image_size))[0].flatten(1)
        cropped = torch.from_numpy(np.require(view.crop(mask), requirements="CW"))[None]
        truth = resize_masks(cropped, predictor.image_size).flatten()
        known = np.flatnonzero(truth.numpy() != VOID)
        drawn = torch.from_numpy(np.random.default_rng(index).permutation(known)[:count])
        found.append(probability.cpu().T[drawn])
        labels.append(truth[drawn].long())
    return torch.cat(found).clamp_min(torch.finfo(torch.float32).tiny).log(), torch.cat(labels)
