"""Resize and normalise: one definition for cache, training and inference."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def resize_frames(frames: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N, 3, H, W) uint8 -> (N, 3, *size) uint8, bilinear with antialiasing.

    The uint8 kernel exists on the CPU only; elsewhere the same filter runs in float32 and is rounded, which
    differs by at most one gray level.
    """
    if tuple(frames.shape[-2:]) == tuple(size):
        return frames
    if frames.device.type == "cpu":
        return F.interpolate(frames, size=tuple(size), mode="bilinear", antialias=True)
    resized = F.interpolate(frames.float(), size=tuple(size), mode="bilinear", antialias=True)
    return resized.round_().clamp_(0, 255).to(torch.uint8)


def resize_masks(masks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N, H, W) uint8 class ids -> (N, *size) uint8, nearest neighbour (pixel centres)."""
    if tuple(masks.shape[-2:]) == tuple(size):
        return masks
    return F.interpolate(masks[:, None], size=tuple(size), mode="nearest-exact")[:, 0]


def normalise(frames: torch.Tensor, mean, std) -> torch.Tensor:
    """(N, 3, H, W) uint8 or float in 0..1 -> float32 with the given channel mean and deviation removed."""
    frames = frames.float().div_(255) if frames.dtype == torch.uint8 else frames
    return (frames - channels(mean, frames.device)) / channels(std, frames.device)


def channels(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """(1, C, 1, 1) float32 constants, filled on the device: a copy from the host would make the host wait for it."""
    return torch.stack([torch.full((), value, device=device) for value in values]).view(1, -1, 1, 1)


def upsample(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N, K, h, w) probabilities -> (N, K, *size), bilinear with pixel centres aligned."""
    if tuple(values.shape[-2:]) == tuple(size):
        return values
    return F.interpolate(values, size=tuple(size), mode="bilinear", align_corners=False)
