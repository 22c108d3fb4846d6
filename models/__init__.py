"""Architectures: tensor in, logits out."""

from __future__ import annotations

from torch import nn

from models.deeplabv3 import DeepLabV3
from models.unet import UNet

ARCHITECTURES = {"deeplabv3": DeepLabV3, "unet": UNet}


def build_model(arch: str, num_classes: int, **model_args) -> nn.Module:
    """A randomly initialised model of `ARCHITECTURES`; keyword arguments go to its constructor."""
    return ARCHITECTURES[arch](num_classes, **model_args)


def backbone_of(model: nn.Module) -> list[nn.Module]:
    """The part that turns frames into features: the ResNet of a DeepLabV3, the contracting path of a U-Net."""
    return [model.stem, model.down] if isinstance(model, UNet) else [model.backbone]


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
