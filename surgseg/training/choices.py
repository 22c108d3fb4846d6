"""What a training chooses where no value is given: rates, frames of a batch, precision; and checks of what is given."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from surgseg.data.cache import Cache
from surgseg.devices import check_precision
from surgseg.labels import Scheme
from surgseg.training.batches import least_frames, shares_statistics
from surgseg.training.config import ModelConfig, TrainConfig, check_config
from surgseg.training.machine import Machine
from surgseg.training.precision import choose_precision
from surgseg.training.start import StartedModel

RATES = {"random": (1e-3, 1.0), "init_from": (3e-4, 0.1)}  # AdamW's, peak after warm-up, and the backbone's factor
BATCH_SIZE = 4  # of the study, for which the learning rates are made
MOST_FRAMES = 16  # on each GPU
LEAST_STEPS = 32  # of an epoch, before a batch grows over that of the study
MEMORY_SHARE = 0.4  # of a GPU's memory for a batch; the cache may take half of it


def check_run(model: ModelConfig, train: TrainConfig, machine: Machine) -> None:
    """Call `check_config` for this machine. Raises `UserError`."""
    check_precision(machine.device, train.precision)
    batch_size = train.batch_size or BATCH_SIZE
    check_config(model, train, _least(model, train, machine, batch_size), machine.processes.count)


def _least(model: ModelConfig, train: TrainConfig, machine: Machine, batch_size: int) -> int:
    shared = shares_statistics(machine.processes, machine.device, batch_size)
    return least_frames(machine.processes, shared, 1 if train.freeze_norm else model.architecture.least_batch)


def choose(
    train: TrainConfig,
    model: ModelConfig,
    machine: Machine,
    started: StartedModel,
    cache: Cache,
    scheme: Scheme,
    rows: np.ndarray,
    recorded: Callable[[TrainConfig, list[str]], dict[str, Any]],
) -> TrainConfig:
    """Return the config without open options, for a training on the cache's `rows`.

    `recorded(config, names)` returns the options `names` of the run to be resumed, or {}; they go first.
    """
    open_names = [
        name
        for name in ("precision", "batch_size", "learning_rate")
        if getattr(train, name) in (None, "auto", "fastest")
    ]
    chosen = resolve(train, model, machine, started.network, len(rows), pretrained=started.pretrained)
    found = recorded(chosen, open_names) if open_names else {}
    if found or "precision" not in open_names:
        return replace(chosen, **found)
    precision = choose_precision(started.network, cache, scheme, chosen, model.architecture, machine, rows)
    return replace(chosen, precision=precision)


def resolve(
    train: TrainConfig, model: ModelConfig, machine: Machine, network: nn.Module, frames: int, *, pretrained: bool
) -> TrainConfig:
    """Return the config with its batch and its rates. `frames` are those of the training part.

    A chosen batch takes the square root of its size over `BATCH_SIZE` as a factor of a chosen learning rate (Malladi
    et al. 2022, arXiv:2205.10243, for optimizers like Adam). A given batch does not change the rate.
    """
    start = "init_from" if model.init_from else "random"
    rate, backbone_rate = model.architecture.pretrained_rates if pretrained and start == "random" else RATES[start]
    rate = train.learning_rate or rate
    size = train.batch_size or auto_batch_size(train, model, machine, network, frames)
    if train.batch_size is None and train.learning_rate is None:
        rate *= math.sqrt(max(1, size / BATCH_SIZE))
    return replace(train, learning_rate=rate, batch_size=size, backbone_rate=train.backbone_rate or backbone_rate)


def auto_batch_size(train: TrainConfig, model: ModelConfig, machine: Machine, network: nn.Module, frames: int) -> int:
    """Return the frames of a forward pass over all processes: `BATCH_SIZE` without a GPU, or the least that works.

    On GPUs, `MOST_FRAMES` on each, halved until they fit into `MEMORY_SHARE` of its memory and an epoch has
    `LEAST_STEPS` steps, but for the steps not below `BATCH_SIZE`.
    """
    count = machine.processes.count
    if machine.device.type != "cuda":
        return max(BATCH_SIZE, _least(model, train, machine, BATCH_SIZE))
    memory = MEMORY_SHARE * torch.cuda.get_device_properties(machine.device).total_memory
    per_frame = saved_bytes(network, model.image_size) * (1 if train.precision in ("float32", "fastest") else 0.5)
    size = MOST_FRAMES
    while size > 1 and (
        size * per_frame > memory or (size // 2 * count >= BATCH_SIZE and size * count * LEAST_STEPS > frames)
    ):
        size //= 2
    return max(size * count, _least(model, train, machine, size * count))


def saved_bytes(network: nn.Module, image_size: tuple[int, int]) -> int:
    """Return the bytes that a float32 forward pass keeps for the backward pass, for each frame.

    Counted on tensors without data, so nothing is computed.
    """
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    twin = copy.deepcopy(network).to("meta").train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = twin(torch.empty(2, 3, *image_size, device="meta"))  # two, since a network may normalise over frames
    del output  # until here it has kept the storages apart
    return sum(kept.values()) // 2
