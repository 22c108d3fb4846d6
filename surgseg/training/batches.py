"""How many frames a forward pass takes, and how a list of them is cut into passes."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from models.deeplabv3 import DeepLabV3
from surgseg.training.distributed import Processes


def least_frames(processes: Processes, device: torch.device, *, pooled: bool) -> int:
    """The fewest frames of a forward pass over all processes, each of which needs one.

    A batch normalisation over one value per channel (`pooled`) needs two frames, where GPUs share their statistics
    in all, on CPUs in each process.
    """
    apart = 1 if device.type == "cuda" else processes.count
    return max(processes.count, 2 * apart if pooled else 1)


def pools(model: nn.Module, *, norm_frozen: bool) -> bool:
    """True where batch normalisation sees a single value per channel and frame, as in DeepLabV3's pooled branch."""
    return isinstance(model, DeepLabV3) and not norm_frozen


def even_batches(indices: np.ndarray, size: int, least: int = 1) -> list[np.ndarray]:
    """Batches of like length, at most `size`; where one would hold fewer than `least`, there are fewer batches."""
    pieces = math.ceil(len(indices) / size)
    if size > 1:
        least = max(least, 2)  # batch normalisation refuses a single frame
    while pieces > 1 and len(indices) // pieces < least:
        pieces -= 1
    return np.array_split(indices, pieces) if pieces else []
