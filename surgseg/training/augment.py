"""Augment whole batches on the training device, with random parameters for each sample.

The augmentation of a sample depends on (seed, epoch, sample index) alone, not on the batch, the order or the number of
processes.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from models import IMAGENET_MEAN
from surgseg.preprocess import channels
from surgseg.training.border import add_border
from surgseg.training.config import Strength

DRAWS = 30  # random numbers per sample and epoch, used or not


def draw(seed: int, epoch: int, count: int) -> np.ndarray:
    """(count, DRAWS) float32, uniform in 0..1. Row i belongs to sample i and does not depend on `count`."""
    return np.random.default_rng([seed, epoch]).random((count, DRAWS), np.float32)


def augment(
    frames: torch.Tensor, masks: torch.Tensor, u: torch.Tensor, strength: Strength, fill=IMAGENET_MEAN
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 3, H, W) uint8 and (N, H, W) uint8 -> float32 in 0..1 and uint8, moved and recoloured per sample.

    `u` (N, DRAWS) holds the samples' rows of `draw`, on the same device. Pixels from outside the frame are void (255)
    in the mask and have the colour `fill` (RGB in 0..1) in the frame. So black is never void: it is the border around
    a round field of view, which has a label.
    """
    size = frames.shape[-2:]
    grid = F.affine_grid(affine(u, size, strength), [len(frames), 1, *size], align_corners=False)
    mean = channels(fill, frames.device)
    moved = F.grid_sample(frames.float().div_(255).sub_(mean), grid, mode="bilinear", align_corners=False).add_(mean)
    # grid_sample pads with 0: shift the ids by one (255 becomes 0), sample, shift back, so that the padding is void
    ids = (masks.to(torch.int16) + 1).remainder_(256).float()[:, None]
    ids = F.grid_sample(ids, grid, mode="nearest", align_corners=False)[:, 0]
    masks = ids.to(torch.int16).add_(255).remainder_(256).to(torch.uint8)
    moved = recolour(moved, u, strength)
    if strength.border:
        moved, masks = add_border(moved, masks, u, strength)
    return blur(moved, u, strength), masks


def affine(u: torch.Tensor, size, strength: Strength) -> torch.Tensor:
    """(N, 2, 3) matrices from output to input coordinates (-1..1): flip, undistorted rotation and zoom, shift."""
    height, width = size
    flip = torch.where(u[:, 0] < strength.flip, -1.0, 1.0)
    angle = torch.deg2rad(_signed(u[:, 1]) * strength.rotate)
    zoom = (1 + strength.scale) ** -_signed(u[:, 2])
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    aspect = width / height
    top = torch.stack([cosine * flip, -sine / aspect, _signed(u[:, 3]) * 2 * strength.shift], 1)
    bottom = torch.stack([sine * aspect * flip, cosine, _signed(u[:, 4]) * 2 * strength.shift], 1)
    return torch.stack([top, bottom], 1)


def recolour(frames: torch.Tensor, u: torch.Tensor, strength: Strength) -> torch.Tensor:
    """Change brightness, contrast about the frame's mean, saturation and colour cast; the result is in 0..1."""

    def factor(column: int, width: float) -> torch.Tensor:
        return (1 + _signed(u[:, column]) * width).view(-1, 1, 1, 1)

    gain = 1 + _signed(u[:, 8:11]) * strength.cast
    frames = frames * (gain[:, :, None, None] * factor(5, strength.brightness))
    gray = frames.mean(1, keepdim=True)
    frames = gray + (frames - gray) * factor(7, strength.saturation)
    centre = gray.mean((2, 3), keepdim=True)
    return (centre + (frames - centre) * factor(6, strength.contrast)).clamp_(0, 1)


def blur(frames: torch.Tensor, u: torch.Tensor, strength: Strength) -> torch.Tensor:
    """Blur samples (with probability `strength.blur`) with a separable Gaussian of 9 taps."""
    if not strength.blur:
        return frames
    planes = frames.shape[0] * frames.shape[1]
    active = u[:, 11] < strength.blur
    sigma = 0.3 + 1.2 * u[:, 11] / strength.blur
    taps = torch.arange(-4, 5, device=frames.device)
    kernel = torch.exp(-(taps**2) / (2 * sigma[:, None] ** 2))
    kernel = torch.where(active[:, None], kernel, (taps == 0).float())
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(frames.shape[1], 0)[:, None, None]
    flat = F.pad(frames.reshape(1, planes, *frames.shape[2:]), (4, 4, 4, 4), mode="replicate")
    flat = F.conv2d(flat, kernel, groups=planes)
    flat = F.conv2d(flat, kernel.transpose(2, 3), groups=planes)
    return flat.reshape(frames.shape)


def _signed(u: torch.Tensor) -> torch.Tensor:
    """0..1 -> -1..1."""
    return u * 2 - 1
