"""U-Net (Ronneberger et al. 2015, arXiv:1505.04597) with batch normalisation and bilinear upsampling.

With 64 base channels and 2 classes it has 17,263,042 parameters. It takes any input size: each upsampled map is padded
to the size of its skip connection.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class UNet(nn.Module):
    """(N, 3, H, W) normalised float, H and W at least 16 -> (N, num_classes, H, W) logits."""

    def __init__(self, num_classes: int, *, base_channels: int = 64):
        super().__init__()
        w = base_channels
        self.stem = double_conv(3, w)
        self.down = nn.ModuleList(
            double_conv(inside, outside)
            for inside, outside in ((w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w), (8 * w, 8 * w))
        )
        self.up = nn.ModuleList(
            double_conv(inside, outside, middle=inside // 2)
            for inside, outside in ((16 * w, 4 * w), (8 * w, 2 * w), (4 * w, w), (2 * w, w))
        )
        self.head = nn.Conv2d(w, num_classes, 1)

    def backbone_parts(self) -> list[nn.Module]:
        return [self.stem, self.down]

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        if min(frames.shape[-2:]) < 16:
            raise ValueError(f"U-Net halves its input four times: {tuple(frames.shape[-2:])} is below 16 pixels")
        maps = [self.stem(frames)]
        for block in self.down:
            maps.append(block(F.max_pool2d(maps[-1], 2)))
        x = maps.pop()
        for block in self.up:
            skip = maps.pop()
            # autocast upsamples in float32 on a GPU, and would concatenate in it too
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True).to(skip.dtype)
            missing_h, missing_w = skip.shape[-2] - x.shape[-2], skip.shape[-1] - x.shape[-1]
            if missing_h or missing_w:
                x = F.pad(x, (missing_w // 2, missing_w - missing_w // 2, missing_h // 2, missing_h - missing_h // 2))
            x = block(torch.cat([skip, x], dim=1))
        return self.head(x)

    @staticmethod
    def inspect_state(state: dict[str, torch.Tensor]) -> tuple[int, dict, dict[str, torch.Tensor]]:
        """Return (classes, constructor arguments, keys to load) of a bare state_dict, or raise KeyError."""
        return len(state["head.weight"]), {"base_channels": len(state["stem.0.weight"])}, state


def double_conv(inside: int, outside: int, *, middle: int | None = None) -> nn.Sequential:
    """Two 3x3 convolutions, each followed by batch normalisation and ReLU."""
    middle = middle or outside
    return nn.Sequential(
        nn.Conv2d(inside, middle, 3, padding=1, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(inplace=True),
        nn.Conv2d(middle, outside, 3, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )
