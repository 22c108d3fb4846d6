"""How many frames a forward pass takes, and how a list of them is cut into passes."""

from __future__ import annotations

import math

import numpy as np
import torch

from surgseg.training.distributed import Processes


def least_frames(processes: Processes, device: torch.device, least_batch: int = 1) -> int:
    """The fewest frames of a forward pass over all processes, each of which needs one.

    `least_batch` is the number that batch normalisation needs: over all processes on GPUs, which share their
    statistics, and in each process on CPUs.
    """
    apart = 1 if device.type == "cuda" else processes.count
    return max(processes.count, least_batch * apart)


def even_batches(indices: np.ndarray, size: int, least: int = 1) -> list[np.ndarray]:
    """Batches of like length, at most `size`; where one would hold fewer than `least`, there are fewer batches."""
    pieces = math.ceil(len(indices) / size)
    if size > 1:
        least = max(least, 2)  # batch normalisation refuses a single frame
    while pieces > 1 and len(indices) // pieces < least:
        pieces -= 1
    return np.array_split(indices, pieces) if pieces else []
