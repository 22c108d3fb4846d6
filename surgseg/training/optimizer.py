"""The optimizer: parameter groups with their learning rates, and frozen parts of the model."""

from __future__ import annotations

import torch
from torch import nn

from models import backbone_of
from surgseg.training.config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig, device: torch.device) -> torch.optim.AdamW:
    """AdamW with two groups: the backbone, at `config.backbone_rate` times the learning rate, and the rest."""
    backbone = [parameter for module in backbone_of(model) for parameter in module.parameters()]
    in_backbone = {id(parameter) for parameter in backbone}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in in_backbone]
    groups = [{"params": backbone, "scale": config.backbone_rate}, {"params": rest, "scale": 1.0}]
    return torch.optim.AdamW(
        groups, config.learning_rate, weight_decay=config.weight_decay, fused=device.type in ("cpu", "cuda")
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def set_training_mode(model: nn.Module, *, backbone_frozen: bool, norm_frozen: bool) -> None:
    """Set training mode. A frozen backbone does not learn; it and a frozen norm do not update batch statistics."""
    model.train()
    for module in backbone_of(model):
        module.requires_grad_(not backbone_frozen)
        if backbone_frozen:
            module.eval()
    if norm_frozen:
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):  # all kinds, also SyncBatchNorm
                module.eval()
