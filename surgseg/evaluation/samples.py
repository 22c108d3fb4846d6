"""Predict labelled frames with a model and score the predictions at native size."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from surgseg.checkpoint import Checkpoint
from surgseg.console import quiet
from surgseg.data.dataset import Prepared, Sample, check_classes, mark_predicted, read_sample
from surgseg.data.leaks import true_samples
from surgseg.data.reviewed import load_data_root
from surgseg.data.seen import find_seen, hash_files, seen_warnings
from surgseg.data.splits import stored_part
from surgseg.data.views import sample_views
from surgseg.evaluation.folders import claim_prediction_folder
from surgseg.evaluation.results import Scored, metrics_of, score_frame, write_metrics
from surgseg.evaluation.traits import Measure, columns_of, measure_with, named_traits
from surgseg.files import UserError, read_json, write_json
from surgseg.labels import SCHEMES, VOID, Scheme
from surgseg.masks import write_mask
from surgseg.places import find_data
from surgseg.predict import Pending, Predictor
from surgseg.predicted import LISTING, mask_hash
from surgseg.scores.calibration import count_probabilities
from surgseg.scores.metrics import instrument_pixels
from surgseg.scores.surface import TOLERANCES
from surgseg.threads import ahead, cpu_count, one_behind
from surgseg.view import View

BINARY = SCHEMES["binary"]


def load_part(root: Path | None, checkpoint: Checkpoint, part: str, reviewed: bool) -> tuple[Prepared, list[Sample]]:
    """Read the data in `root` (default: those of `find_data`), choose its `part` by the split in the weights file.

    Masks that a model predicted are not scored against, unless a person has `reviewed` all of them. It prints where
    weights and data are not both real or both synthetic. Raises `UserError` without data, or without such a part.
    """
    root = root or find_data()
    if root is None:
        raise UserError("no prepared data in data/full_dataset or data/sample_frames; name it with --data-root")
    prepared = load_data_root(root) if reviewed else mark_predicted(load_data_root(root))
    trained_on = checkpoint.training.get("data", "unknown")
    if trained_on != prepared.data:
        print(f"Warning: these weights were trained on {trained_on} data, and are scored on {prepared.data} data.")
    return prepared, true_samples(stored_part(prepared.samples, checkpoint.training.get("split"), part))


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
    view: str | list[int] | None = None,
    tolerances: Sequence[float] = TOLERANCES,
    phase_dir: Path | None = None,
    run: dict[str, Any] | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """Predict and score samples, the `part` of `prepared`, with a weights file; write and return the metrics.

    `view` is one that `parse_view` returns (default: that of the weights file); "auto" finds it in all frames of the
    videos in `prepared`, as a training does.
    `tolerances` are those of `score_frame`, `phase_dir` that of `named_traits`.
    Raises `UserError` if the classes of the data are not those of the weights file, and as `named_traits` does.
    """
    scheme = checkpoint.scheme
    check_classes(prepared, scheme)
    traits, unknown = named_traits(samples, prepared.root, prepared.scheme, phase_dir)
    predictor = Predictor(checkpoint, device, threshold, batch_size, keep_probability=True)
    about = {
        "data": prepared.data,
        "part": part,
        "threshold": predictor.threshold,
        **known_of_split(checkpoint, samples),
    }
    listing = {"weights_sha256": checkpoint.sha256, "scored": about}
    asked = checkpoint.view if view is None else view
    videos = {sample.video for sample in samples}
    of_videos = [sample for sample in prepared.samples if sample.video in videos]
    views = sample_views(of_videos, asked)
    shapes = sample_views(of_videos, "auto", silent=True) if asked == "full" else views
    measure = measure_with(shapes, scheme)
    scored = predict_and_score(predictor, samples, pred_dir, void, listing, views, tolerances, measure=measure)
    scored = replace(scored, traits={**traits, **scored.traits}, unknown=unknown)
    metrics = metrics_of(
        scored,
        scheme,
        about,
        masks=len(samples),
        data=prepared.data,
        part=part,
        threshold=predictor.threshold,
        view=asked,
        weights={"sha256": checkpoint.sha256, "arch": checkpoint.arch, "image_size": checkpoint.image_size},
        run={**(run or {}), "split": {key: (about["split"] or {}).get(key) for key in ("name", "hash")}},
        **extra,
    )
    write_metrics(metrics_path, scored, scheme, metrics)
    return metrics


def predict_and_score(
    predictor: Predictor,
    samples: list[Sample],
    pred_dir: Path | None,
    void: str,
    listing: dict | None = None,
    view: Callable[[Sample, np.ndarray], View | None] = lambda sample, frame: None,
    tolerances: Sequence[float] = (),
    truth: Scheme | None = None,
    measure: Measure | None = None,
) -> Scored:
    """Predict each sample at its own size, write the masks and `listing` to `pred_dir` if given, and score them.

    `view` is a function that `sample_views` returns (default: whole frames). If the predictor keeps probabilities,
    these are counted too. Threads decode frames ahead of the network, and write and score behind it. A batch holds
    successive samples of one frame size and view; on a GPU the next one is sent before the last result is read.
    `truth` is the scheme of the masks if they may have other classes: then the union of each scheme's instrument
    classes is scored, in the classes of `BINARY`. `measure` is a function that `measure_with` returns.
    """
    scheme = predictor.scheme
    if pred_dir is not None:
        claim_prediction_folder(pred_dir, [sample.name for sample in samples], listing or {})

    def load(sample: Sample):
        frame, mask = read_sample(sample, (truth or scheme).num_classes)
        return sample, frame, mask, view(sample, frame)

    def store(
        sample: Sample, frame: np.ndarray, mask: np.ndarray, found: np.ndarray, probability: np.ndarray | None
    ) -> tuple:
        ids = (truth or scheme).instrument_ids
        levels = None if probability is None else count_probabilities(probability, mask, ids)
        if pred_dir is not None:
            write_mask(pred_dir / f"{sample.name}.png", found, scheme)
        digest = mask_hash(found) if pred_dir is not None else ""
        traits = measure(sample, frame, mask) if measure else {}
        if truth is None:
            return score_frame(found, mask, scheme, void, tolerances), digest, levels, traits
        scores = score_frame(_union(found, scheme), _union(mask, truth), BINARY, void, tolerances)
        return scores, digest, levels, traits

    stored, waiting, uncertainty = [], deque(), []
    bar = tqdm(total=len(samples), desc="Predicting", unit="frame", disable=quiet())
    with ThreadPoolExecutor(max(2, cpu_count())) as pool, bar:

        def submitted() -> Iterator[tuple[list, Pending]]:
            loaded = ahead(pool, load, samples, 2 * predictor.batch_size)
            for _, group in itertools.groupby(loaded, key=lambda item: (item[1].shape, item[3])):
                while batch := list(itertools.islice(group, predictor.batch_size)):
                    yield batch, predictor.submit([frame for _, frame, _, _ in batch], batch[0][3])

        for batch, pending in one_behind(submitted()):
            found = pending.result()
            uncertainty += found.measures.uncertainty.tolist()
            probabilities = itertools.repeat(None) if found.probability is None else found.probability
            for (sample, frame, mask, _), ids, probability in zip(batch, found.ids, probabilities):
                waiting.append(pool.submit(store, sample, frame, mask, ids, probability))
            while len(waiting) > 2 * predictor.batch_size:
                stored.append(waiting.popleft().result())
            bar.update(len(batch))
        stored += [job.result() for job in waiting]
    scores, hashes, levels, traits = zip(*stored)
    names = [sample.name for sample in samples]
    if pred_dir is not None:
        write_json(pred_dir / LISTING, {**read_json(pred_dir / LISTING), "hashes": dict(zip(names, hashes))})
    scored = Scored.of(names, [sample.video for sample in samples], list(scores), void)
    scored = replace(scored, traits=columns_of(traits))
    if not predictor.keep_probability:
        return scored
    return replace(scored, levels=np.stack(levels), uncertainty=np.array(uncertainty))


def _union(ids: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Return the (H, W) uint8 ids in `BINARY`: 1 where a class is an instrument; void stays."""
    return np.where(ids == VOID, np.uint8(VOID), instrument_pixels(ids, scheme))


def known_of_split(checkpoint: Checkpoint, samples: list[Sample], hashes: np.ndarray | None = None) -> dict[str, Any]:
    """Return `split`, `seen` and `warnings` of `scored_set`: which samples trained the weights, or are like those.

    `hashes` are those of the samples (default: they are computed where the weights hold hashes).
    """
    trained, stored = checkpoint.trained_frames, checkpoint.training.get("split")
    hashes = hash_files(samples) if hashes is None and trained is not None else hashes
    seen = find_seen(samples, checkpoint.training, trained, hashes)
    warnings = seen_warnings(seen)
    if not stored:
        warnings["split not known"] = "the weights file does not say what it was trained on"
    split = {key: stored.get(key) for key in ("name", "hash", "by")} if stored else None
    return {"split": split, "seen": seen, "warnings": warnings}
