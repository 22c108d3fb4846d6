"""What a training starts from: network and starting weights."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from torch import nn

from models import build_model
from surgseg.checkpoint import init_from, load_tensors
from surgseg.data.dataset import Prepared
from surgseg.pretraining import default_weights, load_pretraining
from surgseg.training.config import DEFAULT_VIEW, ModelConfig

IMAGE_SIZE = (256, 256)


class StartedModel(NamedTuple):
    """A network with its starting weights, the origin of these in words, and whether they are pretrained."""

    network: nn.Module
    origin: str
    pretrained: bool


def resolve_init_from(model: ModelConfig) -> ModelConfig:
    """Return the config with its image size and view. With `init_from`, these, architecture and `model_args` are that
    file's; a size or view that is given counts."""
    if model.init_from is None:
        return replace(model, image_size=model.image_size or IMAGE_SIZE, view=model.view or DEFAULT_VIEW)
    start = load_tensors(model.init_from)
    model = replace(model, arch=start.get("arch", model.arch))
    model_args = start.get("model_args", {})
    return replace(
        model,
        **{name: model_args[name] for name in model.architecture.options if name in model_args},
        image_size=model.image_size or tuple(start.get("image_size", IMAGE_SIZE)),
        view=model.view or start.get("view", "full"),
    )


def start_model(model: ModelConfig, prepared: Prepared) -> StartedModel:
    """Build the network and load its starting weights. Raises `UserError` if they are not available or do not fit."""
    network = build_model(model.arch, prepared.scheme.num_classes, **model.model_args)
    if model.init_from is not None:
        init_from(network, model.init_from)
        return StartedModel(network, f"{model.init_from.name} (--init-from)", True)
    weights = model.weights or default_weights(model.arch, prepared.data)
    return StartedModel(network, load_pretraining(network, model.arch, weights), weights != "none")
