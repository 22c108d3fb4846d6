"""Resize and normalise: the same functions for cache, training and inference."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def resize_frames(frames: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize (N, 3, H, W) uint8 to (N, 3, *size) uint8, bilinear with antialiasing.

    torch has a uint8 kernel for the CPU only. Other devices apply the same filter in float32 and round the result,
    which differs by at most one gray level.
    """
    if tuple(frames.shape[-2:]) == tuple(size):
        return frames
    if frames.device.type == "cpu":
        return F.interpolate(frames, size=tuple(size), mode="bilinear", antialias=True)
    try:
        resized = F.interpolate(frames.float(), size=tuple(size), mode="bilinear", antialias=True)
    except NotImplementedError:  # older torch has no such kernel for MPS
        return resize_frames(frames.cpu(), size).to(frames.device)
    return resized.round_().clamp_(0, 255).to(torch.uint8)


def resize_masks(masks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize (N, H, W) uint8 class ids to (N, *size) uint8 by nearest neighbour (pixel centres)."""
    if tuple(masks.shape[-2:]) == tuple(size):
        return masks
    return F.interpolate(masks[:, None], size=tuple(size), mode="nearest-exact")[:, 0]


def normalise(frames: torch.Tensor, mean, std) -> torch.Tensor:
    """Return (frames - mean) / std by channel, float32, of (N, 3, H, W) frames: uint8, or float in 0..1."""
    frames = frames.float().div_(255) if frames.dtype == torch.uint8 else frames
    return (frames - channels(mean, frames.device)) / channels(std, frames.device)


def channels(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return (1, C, 1, 1) float32 constants, made on the device: the host would wait for a copy to the device."""
    return torch.stack([torch.full((), value, device=device) for value in values]).view(1, -1, 1, 1)


def upsample(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize (N, K, h, w) probabilities to (N, K, *size), bilinear with aligned pixel centres."""
    if tuple(values.shape[-2:]) == tuple(size):
        return values
    return F.interpolate(values, size=tuple(size), mode="bilinear", align_corners=False)
