"""Augmentation of whole batches on the training device, with parameters that belong to the sample.

What a sample looks like in an epoch depends on (seed, epoch, sample index) alone, whatever the batch, the
order or the number of processes.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from models import IMAGENET_MEAN
from surgseg.preprocess import channels
from surgseg.training.config import Strength

DRAWS = 16  # random numbers per sample, drawn whether used or not


def draw(seed: int, epoch: int, count: int) -> np.ndarray:
    """(count, DRAWS) float32 uniform in 0..1: row i belongs to sample i, however many rows are drawn."""
    return np.random.default_rng([seed, epoch]).random((count, DRAWS), np.float32)


def augment(
    frames: torch.Tensor, masks: torch.Tensor, u: torch.Tensor, strength: Strength, fill=IMAGENET_MEAN
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 3, H, W) uint8 and (N, H, W) uint8 -> float32 in 0..1 and uint8, moved and recoloured per sample.

    `u` holds the samples' rows of `draw`, on the same device. Pixels that motion brings in from outside are void (255)
    in the mask and have the colour `fill` (RGB in 0..1) in the frame. So black is always labelled: it is the border
    around a round field of view.
    """
    grid = F.affine_grid(
        affine(u, frames.shape[-2:], strength), [len(frames), 1, *frames.shape[-2:]], align_corners=False
    )
    mean = channels(fill, frames.device)
    moved = F.grid_sample(frames.float().div_(255).sub_(mean), grid, mode="bilinear", align_corners=False).add_(mean)
    # grid_sample pads with 0: shift the ids by one, so that 0 is void, sample, and shift back
    ids = (masks.to(torch.int16) + 1).remainder_(256).float()[:, None]
    ids = F.grid_sample(ids, grid, mode="nearest", align_corners=False)[:, 0]
    masks = ids.to(torch.int16).add_(255).remainder_(256).to(torch.uint8)
    if strength.border:
        moved, masks = blacken(moved, masks, u, strength)
    return blur(recolour(moved, u, strength), u, strength), masks


def affine(u: torch.Tensor, size, strength: Strength) -> torch.Tensor:
    """(N, 2, 3) matrices from output to input coordinates (-1..1): flip, rotate and zoom in pixels, shift."""
    height, width = size
    mirror = torch.where(u[:, 0] < strength.flip, -1.0, 1.0)
    angle = torch.deg2rad(_signed(u[:, 1]) * strength.rotate)
    zoom = (1 + strength.scale) ** -_signed(u[:, 2])
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    aspect = width / height
    top = torch.stack([cosine * mirror, -sine / aspect, _signed(u[:, 3]) * 2 * strength.shift], 1)
    bottom = torch.stack([sine * aspect * mirror, cosine, _signed(u[:, 4]) * 2 * strength.shift], 1)
    return torch.stack([top, bottom], 1)


def blacken(
    frames: torch.Tensor, masks: torch.Tensor, u: torch.Tensor, strength: Strength
) -> tuple[torch.Tensor, torch.Tensor]:
    """Black outside a circle, as an endoscope shows it, in the samples whose draw falls below `strength.border`."""
    height, width = frames.shape[-2:]
    rows = (torch.arange(height, device=frames.device) + 0.5 - height / 2)[None, :, None]
    columns = (torch.arange(width, device=frames.device) + 0.5 - width / 2)[None, None, :]
    down, right = (_signed(u[:, column]) * 0.1 * size for column, size in ((13, height), (14, width)))
    radius = width * (0.4 + 0.15 * u[:, 15])  # the circle touches neither side, or cuts the corners only
    outside = (rows - down[:, None, None]) ** 2 + (columns - right[:, None, None]) ** 2 > radius[:, None, None] ** 2
    outside &= (u[:, 12] < strength.border)[:, None, None]
    return frames.masked_fill(outside[:, None], 0), masks.masked_fill(outside, 0)


def recolour(frames: torch.Tensor, u: torch.Tensor, strength: Strength) -> torch.Tensor:
    """Brightness, contrast about the frame's mean, saturation and colour cast; stays in 0..1."""

    def factor(column: int, width: float) -> torch.Tensor:
        return (1 + _signed(u[:, column]) * width).view(-1, 1, 1, 1)

    gain = 1 + (u[:, 8:11] * 2 - 1) * strength.cast
    frames = frames * (gain[:, :, None, None] * factor(5, strength.brightness))
    gray = frames.mean(1, keepdim=True)
    frames = gray + (frames - gray) * factor(7, strength.saturation)
    centre = gray.mean((2, 3), keepdim=True)
    return (centre + (frames - centre) * factor(6, strength.contrast)).clamp_(0, 1)


def blur(frames: torch.Tensor, u: torch.Tensor, strength: Strength) -> torch.Tensor:
    """Gaussian blur of the samples whose last draw falls below `strength.blur`, separably, 9 taps."""
    if not strength.blur:
        return frames
    count, channels = frames.shape[:2]
    active = u[:, 11] < strength.blur
    sigma = 0.3 + 1.2 * u[:, 11] / strength.blur
    taps = torch.arange(-4, 5, device=frames.device)
    kernel = torch.exp(-(taps**2) / (2 * sigma[:, None] ** 2))
    kernel = torch.where(active[:, None], kernel, (taps == 0).float())
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None, None]
    flat = F.pad(frames.reshape(1, count * channels, *frames.shape[2:]), (4, 4, 4, 4), mode="replicate")
    flat = F.conv2d(flat, kernel, groups=count * channels)
    flat = F.conv2d(flat, kernel.transpose(2, 3), groups=count * channels)
    return flat.reshape(frames.shape)


def _signed(u: torch.Tensor) -> torch.Tensor:
    return u * 2 - 1
