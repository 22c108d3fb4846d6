"""Predictions at native size against ground truth: predict and score a part of the data, or score two folders."""

from __future__ import annotations

import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from surgseg.checkpoint import Checkpoint
from surgseg.data.dataset import Sample, video_of
from surgseg.files import UserError, list_some, make_folder, natural_key, read_json, write_csv, write_json
from surgseg.frames import list_images, read_frame
from surgseg.labels import Scheme
from surgseg.masks import read_mask, write_mask
from surgseg.predict import Predictor
from surgseg.scores.metrics import FRAME_METRICS, confusion, frame_coverage, frame_metrics, summarise
from surgseg.threads import ahead

LISTING = "predictions.json"


@dataclass(frozen=True)
class Scored:
    """Frames and their scores, by one treatment of void.

    `names` and `videos` of the N frames, `counts` (N, K + 1, K), `frames`: each of `FRAME_METRICS` (N,) float.
    """

    names: list[str]
    videos: list[str]
    counts: np.ndarray
    frames: dict[str, np.ndarray]
    void: str

    @classmethod
    def of(cls, names: list[str], videos: list[str], scores: list[tuple[np.ndarray, dict]], void: str) -> Scored:
        """From `score_frame` of each frame."""
        counts, frames = zip(*scores)
        table = {name: np.array([one[name] for one in frames]) for name in FRAME_METRICS}
        return cls(names, videos, np.stack(counts), table, void)


def score_frame(predicted: np.ndarray, truth: np.ndarray, scheme: Scheme, void: str) -> tuple[np.ndarray, dict]:
    """((K + 1, K) counts, `frame_metrics`) of two masks (H, W) uint8 class ids, 255 void in `truth` alone."""
    # copies: decoders hand out read-only arrays, which torch warns about
    counts = confusion(torch.tensor(predicted)[None], torch.tensor(truth)[None], scheme.num_classes)
    return counts[0].numpy(), frame_metrics(predicted, truth, scheme, void)


def predict_and_score(
    predictor: Predictor, samples: list[Sample], pred_dir: Path | None, void: str, sha256: str = ""
) -> Scored:
    """Predict each sample at its own size, write the masks to `pred_dir` (where given), and score.

    Frames are decoded ahead of the network by a thread pool; batches hold neighbouring frames of one size.
    """
    scheme = predictor.scheme
    if pred_dir is not None:
        claim_prediction_folder(pred_dir, [sample.name for sample in samples], sha256)

    def load(sample: Sample):
        frame, mask = read_frame(sample.frame), read_mask(sample.mask, scheme.num_classes)
        if frame.shape[:2] != mask.shape:
            raise UserError(f"{sample.frame}: frame is {frame.shape[1::-1]}, its mask {mask.shape[::-1]} pixels")
        return sample, frame, mask

    scores = []
    bar = tqdm(total=len(samples), desc="Predicting", unit="frame", disable=not sys.stderr.isatty())
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
    """Predict and score samples with a weights file; writes and returns the metrics JSON.

    `scheme` is the data's own, checked against the weights file's. Raises `UserError` where they differ.
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
    """The predictions that an earlier run wrote into `folder`, as it listed them.

    Raises `UserError` where the folder holds any other image: those are somebody's, and are not replaced.
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
    """Make `folder` hold this run's predictions only. Raises `UserError` as `earlier_predictions` does."""
    for path in earlier_predictions(folder):
        path.unlink()
    make_folder(folder)
    write_json(folder / LISTING, {"weights_sha256": sha256, "names": names})


def score_folders(
    mask_dir: Path, pred_dir: Path, scheme: Scheme, void: str, *, require_all: bool = False
) -> tuple[Scored, int]:
    """Score the predictions that exist against the masks of the same name; returns (scores, masks in all).

    Raises `UserError` listing the files where names do not meet, sizes differ or ids lie beyond the scheme's classes.
    """
    num_classes = scheme.num_classes
    masks = {path.stem: path for path in list_images(mask_dir)}
    predictions = {path.stem: path for path in list_images(pred_dir)}
    common = sorted(masks.keys() & predictions.keys(), key=natural_key)
    stray = sorted(predictions.keys() - masks.keys(), key=natural_key)
    if not common:
        raise UserError(
            f"no prediction in {pred_dir} ({list_some(sorted(predictions), 3) or 'no images'}) has the name of a mask "
            f"in {mask_dir} ({list_some(sorted(masks), 3) or 'no images'})"
        )
    if stray:
        raise UserError(f"{pred_dir}: {len(stray)} predictions without a mask in {mask_dir}: {list_some(stray, 4)}")
    gaps = sorted(masks.keys() - predictions.keys(), key=natural_key)
    if gaps and require_all:
        raise UserError(f"{len(gaps)} masks without a prediction in {pred_dir}: {list_some(gaps, 4)}")

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
        results = list(tqdm(jobs, "Scoring", len(common), unit="frame", disable=not sys.stderr.isatty()))
    bad = [item for item in results if isinstance(item, str)]
    if bad:
        shown = "; ".join(bad[:5]) + (f"; and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise UserError(f"{len(bad)} of {len(common)} predictions cannot be scored: {shown}")
    return Scored.of(common, [video_of(name) for name in common], results, void), len(masks)


def metrics_of(scored: Scored, scheme: Scheme, **extra: Any) -> dict[str, Any]:
    """The metrics JSON of a scored set; `extra` (split, data, run, ...) is added to it."""
    return {**summarise(scored.videos, scored.counts, scored.frames, scheme, scored.void), **extra}


def write_metrics(path: Path, scored: Scored, scheme: Scheme, metrics: dict[str, Any]) -> Path:
    """Write `metrics` to `path` and the per-frame table beside it (`<stem>_frames.csv`); returns the table's path."""
    table = path.with_name(f"{path.stem}_frames.csv")
    scores = {**scored.frames, **frame_coverage(scored.counts, scheme, scored.void)}
    columns = {key: ["" if np.isnan(x) else f"{x:.6f}" for x in values] for key, values in scores.items()}
    rows = [
        {"name": name, "video": video, **{key: columns[key][index] for key in columns}}
        for index, (name, video) in enumerate(zip(scored.names, scored.videos))
    ]
    write_csv(table, ["name", "video", *columns], rows)
    write_json(path, metrics)
    return table
