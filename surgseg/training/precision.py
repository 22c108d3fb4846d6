"""The precision of a training: that of the device, or the measured fastest."""

from __future__ import annotations

import copy
import math
import statistics
import time
from dataclasses import replace

import numpy as np
from torch import nn

from models import Architecture
from surgseg.data.cache import Cache
from surgseg.devices import best_precision
from surgseg.labels import Scheme
from surgseg.training.batches import even_batches
from surgseg.training.config import TrainConfig
from surgseg.training.loop import Trainer
from surgseg.training.machine import Machine

SECONDS = 2.0  # of measured steps; one of each precision at least
GAIN = 1.1  # times the speed of float32, from which bf16 is worth its rounding


def choose_precision(
    network: nn.Module,
    cache: Cache,
    scheme: Scheme,
    train: TrainConfig,
    architecture: Architecture,
    machine: Machine,
    rows: np.ndarray,
) -> str:
    """Return the precision for "auto", which is `best_precision`, or for "fastest", which is measured and printed.

    "fastest": copies of the network take real training steps on a batch of the cache's `rows`, in float32 and bf16 by
    turns. On a GPU or Apple's, bf16 is tried only if the device computes in it.
    """
    device = machine.device
    names = ["float32", "bf16"] if device.type == "cpu" else list(dict.fromkeys(["float32", best_precision(device)]))
    batches = even_batches(rows, math.ceil(train.batch_size / machine.processes.count), architecture.least_batch)
    if train.precision == "auto" or not batches or len(batches[0]) < 2:  # too few frames are refused later
        return best_precision(device)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    trainers = {}
    for name in names:
        config = replace(train, precision=name)
        trainers[name] = Trainer(copy.deepcopy(network), cache, scheme, device, config, architecture=architecture)
        trainers[name].start_epoch(train.freeze_backbone + 1)
        _timed_step(trainers[name], batches[0])  # the first one prepares kernels
    while sum(map(sum, seconds.values())) < SECONDS:
        for name, trainer in trainers.items():
            seconds[name].append(_timed_step(trainer, batches[0]))
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    chosen = min(names, key=lambda name: median[name] * (1 if name == "float32" else GAIN))
    measured = ", ".join(f"{name} {1000 * taken / len(batches[0]):.1f}" for name, taken in median.items())
    print(f"Precision: {chosen}, chosen by --precision fastest (a training step, ms a frame: {measured}).")
    return chosen


def _timed_step(trainer: Trainer, rows: np.ndarray) -> float:
    started = time.perf_counter()
    trainer.train_step(list(trainer.feed.stream([rows])), len(rows)).item()  # waits for the device
    return time.perf_counter() - started
