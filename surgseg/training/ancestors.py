"""What trained the weights that a training starts from."""

from __future__ import annotations

from pathlib import Path

import torch

from surgseg.checkpoint import load_tensors
from surgseg.data.cache import Cache
from surgseg.data.dataset import Prepared
from surgseg.data.likeness import frame_hashes
from surgseg.data.seen import find_seen, inherited_splits, seen_warnings
from surgseg.data.splits import Split
from surgseg.training.config import ModelConfig


def read_ancestors(model: ModelConfig) -> tuple[list[dict], torch.Tensor | None]:
    """Return the splits and the hashed frames that trained the file that the model starts from, if it is of ours."""
    path = model.init_from or Path(model.weights or "none")
    start = load_tensors(path) if path.is_file() else {}
    if "format_version" not in start:
        return [], None
    return inherited_splits(start.get("training", {})), start.get("trained_frames")


def warn_of_ancestors(ancestors: list[dict], trained, prepared: Prepared, split: Split, cache: Cache) -> None:
    """Print what the ancestors' training says about the part that is scored."""
    indices = split.parts[split.scored_part] if split.scored_part else []
    hashes = frame_hashes(cache.frames, indices)[0]
    seen = find_seen([prepared.samples[index] for index in indices], {"ancestors": ancestors}, trained, hashes)
    for sentence in seen_warnings(seen, "the weights that this training starts from").values():
        print(f"WARNING: {sentence}.")
