"""Rank labelled frames by the confident disagreement of models that were not trained on them.

A pixel is in confident disagreement if the model is as sure of the other label as it is, on average, of the pixels that
have this other label (the thresholds of Northcutt et al. 2021, "Confident Learning", arXiv:1911.00068): it is labelled
background, and its instrument probability p is at least the mean p of all pixels labelled instrument; or it is labelled
instrument, and 1 - p is at least the mean 1 - p of all pixels labelled background. Both means are taken over the frames
that one model tests. The score of a frame is the share of its pixels (void left out) that are in such disagreement.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from surgseg.checkpoint import Checkpoint, load_checkpoint
from surgseg.console import read_all
from surgseg.data.dataset import Prepared, Sample, check_classes
from surgseg.data.splits import apply_assignment
from surgseg.data.views import sample_views
from surgseg.evaluation.samples import known_of_split, predict_and_score
from surgseg.files import UserError, list_some, natural_key
from surgseg.frames import read_frame
from surgseg.predict import Predictor
from surgseg.scores.metrics import pooled_scores

FIRST = 8  # frames whose probability is kept for a picture
LEARNED = 0.5  # pooled Dice under which a model is reported: it has hardly learned the instrument


class AuditedLabel(NamedTuple):
    """A frame, its score, and the pixels in confident disagreement: `missing` are labelled background, `extra`
    instrument. `labelled`: all pixels that are labelled instrument."""

    name: str
    video: str
    score: float
    missing: int
    extra: int
    labelled: int


def audit_labels(
    models: Iterable[Path], prepared: Prepared, device: torch.device
) -> tuple[list[AuditedLabel], dict[str, np.ndarray], list[str]]:
    """Let each weights file predict the test part of its own split; return the ranked frames, worst first.

    Returns also the instrument probability of at least the `FIRST` ones, (H, W) uint8 in 255ths by name, and notes,
    which say what makes the models dependent on the labels. A frame that several files test is predicted by the first
    of them. Raises `UserError`, before any predicts, with all files that store no split, test no frame of the data, or
    have other classes.
    """
    left, ranked, notes = {sample.name: sample for sample in prepared.samples}, [], []
    probabilities: dict[str, np.ndarray] = {}
    todo = []
    for path, checkpoint, names in read_all(partial(_read_tested, path, prepared) for path in models):
        todo.append((path, checkpoint, [left.pop(name) for name in names if name in left]))
        if not todo[-1][-1]:
            raise UserError(f"{path}: no frame is left that no file before it tests; is a model given twice?")
    for path, checkpoint, samples in todo:
        notes += [f"{path}: {text}" for text in known_of_split(checkpoint, samples)["warnings"].values()]
        if checkpoint.training["split"].get("by") == "frame":
            notes.append(
                f"{path}: its split is by frame: neighbours of the tested frames may have taught it their errors"
            )
        predictor = Predictor(checkpoint, device, keep_probability=True)
        videos = {sample.video for sample in samples}
        views = sample_views([sample for sample in prepared.samples if sample.video in videos], checkpoint.view)
        scored = predict_and_score(predictor, samples, None, "ignore", view=views)
        dice = pooled_scores(scored.counts, checkpoint.scheme)["instrument_union"]["dice"]
        if dice < LEARNED:
            notes.append(
                f"{path}: Dice {dice:.3f} on its tested frames: the ranks say more of this model than of labels"
            )
        of_model = rank_labels(samples, scored.levels)
        ranked += of_model
        by_name = {sample.name: sample for sample in samples}
        for row in of_model[:FIRST]:
            frame = read_frame(by_name[row.name].frame)
            probabilities[row.name] = predictor.predict(frame[None], views(by_name[row.name], frame)).probability[0]
    if not any(row.labelled for row in ranked):
        notes.append("no tested frame is labelled instrument, so a missing one cannot be found: are these labels?")
    if left:
        names = list_some(sorted(left, key=natural_key), 3)
        notes.append(f"{len(left)} frames are in the test part of no model, and have no rank: {names}")
    return sorted(ranked, key=_worst_first), probabilities, notes


def _read_tested(path: Path, prepared: Prepared) -> tuple[Path, Checkpoint, list[str]]:
    """Return the path, its weights, and the names of the frames that they test."""
    checkpoint = load_checkpoint(path)
    try:
        check_classes(prepared, checkpoint.scheme)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    stored = checkpoint.training.get("split")
    if not stored:
        raise UserError(f"{path} stores no split, so nobody knows which frames did not train it: train with --folds")
    tested = [prepared.samples[place].name for place in apply_assignment(prepared.samples, stored)["test"]]
    if not tested:
        raise UserError(f"{path}: its test part ({stored['name']}) has no frame of {prepared.root}")
    return path, checkpoint, tested


def rank_labels(samples: list[Sample], counts: np.ndarray) -> list[AuditedLabel]:
    """Score N frames that one model tests, from their `count_probabilities` (N, 2, 256). Returns them worst first."""
    levels = np.arange(256) / 255
    background, instrument = np.maximum(counts.sum((0, 2)), 1)
    sure_background = counts[:, 0].sum(0) @ (1 - levels) / background
    sure_instrument = counts[:, 1].sum(0) @ levels / instrument
    labelled = counts[:, 1].sum(1)
    missing = counts[:, 0, levels >= sure_instrument].sum(1) if labelled.any() else np.zeros_like(labelled)
    extra = counts[:, 1, 1 - sure_background >= levels].sum(1)
    scores = (missing + extra) / np.maximum(counts.sum((1, 2)), 1)
    rows = zip(samples, scores.tolist(), missing.tolist(), extra.tolist(), labelled.tolist())
    found = [AuditedLabel(sample.name, sample.video, *numbers) for sample, *numbers in rows]
    return sorted(found, key=_worst_first)


def _worst_first(row: AuditedLabel) -> tuple:
    return -row.score, natural_key(row.name)
