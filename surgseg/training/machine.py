"""Where a training runs: device, processes, cache, memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from surgseg.files import UserError
from surgseg.training.distributed import Processes


@dataclass(frozen=True)
class Machine:
    """The machine of a training. `cache_device` is the `place` of `feed.Feed`; `compiled` turns on torch.compile."""

    device: torch.device
    cache_dir: Path
    processes: Processes = field(default_factory=Processes)
    cache_device: str = "auto"
    compiled: bool = False


def make_machine(device: torch.device, processes: Processes, cache_dir: Path, cache_device: str, compiled: bool):
    """Return a `Machine`. On a GPU, let cuDNN search for the fastest kernels. Raises `UserError` for `cache_device`."""
    if cache_device == "cuda" and device.type != "cuda":
        raise UserError(f"--cache-device cuda: the training runs on {device.type}")
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # batches keep their size, so one search is enough
    return Machine(device, cache_dir, processes, cache_device, compiled)


def reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> dict[str, Any]:
    """{"mb": peak GPU memory allocated since `reset_peak_memory` (10^6 bytes), "of": its kind}; None without a GPU."""
    if device.type != "cuda":
        return {"mb": None, "of": None}
    return {"mb": torch.cuda.max_memory_allocated(device) / 1e6, "of": "cuda allocated"}
