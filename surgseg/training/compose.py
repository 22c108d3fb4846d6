"""Compose the data of a fine-tuning: a reviewed folder, its pseudo-labels, and earlier data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from surgseg.checkpoint import load_tensors
from surgseg.data.dataset import Prepared, Sample, mark_predicted
from surgseg.data.reviewed import load_data_root
from surgseg.data.seen import trained_splits
from surgseg.data.splits import apply_assignment, make_split
from surgseg.files import UserError, list_some
from surgseg.training.pseudo import with_pseudo_labels, without_pseudo_labels


def compose(
    prepared: Prepared,
    start: Path | None,
    band: tuple[float, float] | None,
    mix_with: Path | None,
    folder: Path,
    device: torch.device,
) -> tuple[Prepared, list[Sample]]:
    """Return the data of a training, and the test part of the earlier data.

    Frames that nobody has reviewed get pseudo-labels, written to `folder`, if there are a `band` of probability and a
    weights file to `start` from; otherwise they are left out. The data of `mix_with` are added.
    """
    if any(sample.role == "pseudo" for sample in prepared.samples):
        if band and start:
            prepared = with_pseudo_labels(prepared, start, band, folder, device)
        else:
            prepared = without_pseudo_labels(prepared)
    return load_mixed(mix_with, prepared, start) if mix_with else (prepared, [])


def load_mixed(root: Path, prepared: Prepared, start: Path | None) -> tuple[Prepared, list[Sample]]:
    """Return `prepared` with the training frames of `root` added (role "mixed"), and the samples of its test part.

    The parts are those of a split that the weights file `start` stores, its own or an ancestor's, otherwise those that
    the folder itself gives; all its frames train if it gives none. Raises `UserError` for other classes, and if no
    frame is left.
    """
    old = mark_predicted(load_data_root(root))
    if old.scheme.names != prepared.scheme.names:
        raise UserError(
            f"--mix-with {root}: its classes are {list_some(old.scheme.names)}, those of the new data "
            f"{list_some(prepared.scheme.names)}"
        )
    train, test = _parts_of(old.samples, trained_splits(load_tensors(start).get("training", {})) if start else [])
    mixed = [replace(old.samples[i], role="mixed", part="train") for i in train if not old.samples[i].predicted]
    if not mixed:
        raise UserError(f"--mix-with {root}: no frame with a true mask is in its training part")
    return replace(prepared, samples=[*prepared.samples, *mixed]), [
        old.samples[i] for i in test if not old.samples[i].predicted
    ]


def _parts_of(samples: list[Sample], stored: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the training and the test part. Ancestors' splits name training frames only."""
    try:
        own = make_split(samples).parts
    except UserError:  # a single video
        own = {"train": np.arange(len(samples)), "test": np.arange(0)}
    for split in stored:
        parts = apply_assignment(samples, split)
        if len(parts["train"]):
            return parts["train"], parts["test"] if len(parts["test"]) else np.setdiff1d(own["test"], parts["train"])
    return own["train"], own["test"]
