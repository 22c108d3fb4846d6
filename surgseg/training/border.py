"""Draw the border around an endoscope's view: round, cut or rectangular, black to dark gray, with text in a corner.

`u` (N, augment.DRAWS) holds random numbers of each sample, uniform in 0..1. Columns from 12 on are used here.
"""

from __future__ import annotations

import torch

from surgseg.training.config import Strength


def add_border(
    frames: torch.Tensor, masks: torch.Tensor, u: torch.Tensor, strength: Strength
) -> tuple[torch.Tensor, torch.Tensor]:
    """Darken samples (with probability `strength.border`) outside an endoscope's view, with a sharp or a soft rim.

    The border is black to dark gray, even or noisy, and may hold text in a corner. Outside the middle of the rim, masks
    are background (0).
    """
    size = frames.shape[-2:]
    depth = depth_in_view(u, size, u[:, 12] < strength.border)
    softness = _planes(1 + 0.12 * min(size) * u[:, 20] ** 3)  # pixels
    rows, columns = (torch.arange(length, device=u.device)[None] for length in size)
    gray = _planes(0.15 * u[:, 21] ** 2)
    noise = _pattern(_hash(rows, u[:, 22]), _hash(columns, u[:, 25]))
    dark = (gray + (noise - 0.5) * _planes(0.15 * u[:, 22] ** 3)).clamp_(0, 1)[:, None]
    dark = dark * (0.7 + 0.3 * u[:, 27:30, None, None])
    dark = torch.where(text(u, size)[:, None], 0.5 + 0.5 * u[:, 26].view(-1, 1, 1, 1), dark)
    frames = torch.lerp(dark, frames, (depth / softness + 0.5).clamp_(0, 1)[:, None])
    return frames, masks.masked_fill(depth < 0, 0)


def depth_in_view(u: torch.Tensor, size, chosen: torch.Tensor) -> torch.Tensor:
    """(N, H, W) pixels from the view's rim (less in an ellipse), above 0 inside; large in samples not `chosen` (N,).

    The view is a superellipse, |x / a|^p + |y / b|^p <= 1, cut by a rectangle about the frame's centre: p = 2 gives
    circles and ellipses, a large p rectangles with round corners, the cut flat sides and sharp corners.
    """
    height, width = size
    round_view = u[:, 16] < 0.6
    power = torch.where(round_view, 2.0, 1 / (0.02 + (u[:, 16] - 0.6).clamp(0)))
    least, most = 0.42 * min(size), 0.48 * (height**2 + width**2) ** 0.5  # inside the frame to cutting its corners
    radius = least + (most - least) * u[:, 15]
    # a frame that was resized to another aspect ratio shows a circle as an ellipse
    stretch = torch.where(u[:, 17] < 0.4, 1.0, torch.exp(0.9 * (u[:, 17] - 0.4) / 0.6 - 0.35))
    high = torch.where(round_view, radius * stretch, height * (0.38 + 0.15 * u[:, 17]))
    wide = torch.where(round_view, radius, width * (0.3 + 0.25 * u[:, 15]))
    far = 1e6
    axes = []
    for length, axis, shift, cut in ((height, high, 13, 18), (width, wide, 14, 19)):
        place = torch.arange(length, device=u.device)[None] + 0.5 - length / 2
        half = length * torch.where(u[:, cut] < 0.4, 0.36 + 0.35 * u[:, cut], 1.0)
        half, axis = (torch.where(chosen, value, far)[:, None] for value in (half, axis))
        moved = place - 0.08 * length * (2 * u[:, shift] - 1)[:, None]
        axes.append(((moved.abs() / axis) ** power[:, None], half - place.abs()))
    (rows, above), (columns, beside) = axes
    shorter = torch.where(chosen, torch.minimum(high, wide), far)
    oval = (1 - (rows[:, :, None] + columns[:, None]) ** _planes(1 / power)) * _planes(shorter)
    return torch.minimum(oval, torch.minimum(above[:, :, None], beside[:, None]))


def text(u: torch.Tensor, size) -> torch.Tensor:
    """(N, H, W) bool: two lines of seven random signs, of 3x5 blocks each, in a corner of some samples."""
    corner = (u[:, 23] * 16).long()  # 4 and more: none
    block = (min(size) * (0.004 + 0.008 * u[:, 24])).clamp(1)[:, None]
    cells = []
    for length, from_end, period, stroke, signs, seed in (
        (size[0], corner % 2 == 1, 7, 5, 2, 25), (size[1], corner // 2 == 1, 4, 3, 7, 26),
    ):  # fmt: skip
        place = torch.arange(length, device=u.device)[None]
        place = torch.where(from_end[:, None], length - 1 - place, place)
        cell = ((place - 0.03 * length) / block).floor().long()
        drawn = (cell >= 0) & (cell < signs * period) & (cell % period < stroke) & (corner < 4)[:, None]
        cells.append(_hash(cell, u[:, seed]) * drawn)
    return _pattern(*cells) > 0.5


def _hash(places: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Random numbers in 0..1 for integers (N or 1, L) and seeds (N,) in 0..1 -> (N, L), the same on any device."""
    mixed = (places + (u * 2**24).long()[:, None]) * 0x9E3779B1 & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 15) * 0x85EBCA77 & 0xFFFFFFFF
    return (mixed >> 8).float() / 2**24


def _pattern(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """(N, H) and (N, W) random numbers in 0..1 -> (N, H, W), 0 where one of them is 0."""
    return ((997 * rows)[:, :, None] * columns[:, None]).frac_()


def _planes(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None]
