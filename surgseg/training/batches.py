"""The number of frames in a forward pass, and the division of frames into batches."""

from __future__ import annotations

import math

import numpy as np
import torch

from surgseg.training.distributed import Processes

OWN_STATISTICS = 8  # frames of a process from which batch normalisation does well without those of the others


def shares_statistics(processes: Processes, device: torch.device, batch_size: int) -> bool:
    """Return True if batch normalisation takes its statistics over all processes, which only GPUs can.

    It then waits for the others in every layer, so from `OWN_STATISTICS` frames a process on, each uses its own.
    """
    return processes.count > 1 and device.type == "cuda" and batch_size < OWN_STATISTICS * processes.count


def least_frames(processes: Processes, shared: bool, least_batch: int = 1) -> int:
    """The fewest frames of a forward pass over all processes. Each process needs at least one.

    `least_batch` is the number of frames that batch normalisation needs: in all processes together if they share
    their statistics, otherwise in each.
    """
    return max(processes.count, least_batch if shared else least_batch * processes.count)


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
