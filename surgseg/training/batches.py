"""The number of frames in a forward pass, and the division of frames into batches."""

from __future__ import annotations

import math

import numpy as np
import torch

from surgseg.training.distributed import Processes


def least_frames(processes: Processes, device: torch.device, least_batch: int = 1) -> int:
    """The fewest frames of a forward pass over all processes. Each process needs at least one.

    `least_batch` is the number of frames that batch normalisation needs. GPUs share the statistics, so all processes
    together need them; on CPUs each process needs them.
    """
    return max(processes.count, least_batch if device.type == "cuda" else least_batch * processes.count)


def even_batches(indices: np.ndarray, size: int, least: int = 1) -> list[np.ndarray]:
    """Divide indices into batches of similar length, at most `size`.

    If a batch would hold fewer than `least` indices, there are fewer batches, which may then be longer than `size`.
    """
    count = math.ceil(len(indices) / size)
    if size > 1:
        least = max(least, 2)  # batch normalisation refuses a single frame
    while count > 1 and len(indices) // count < least:
        count -= 1
    return np.array_split(indices, count) if count else []
