"""What is trained and how fast: parameter groups, frozen parts, the learning rate of each step."""

from __future__ import annotations

import math

import torch
from torch import nn

from models import backbone_of


def make_optimizer(model: nn.Module, settings, device: torch.device) -> torch.optim.AdamW:
    """AdamW with one group for the backbone, at `settings.backbone_rate` times the rate, and one for the rest."""
    backbone = [parameter for module in backbone_of(model) for parameter in module.parameters()]
    inside = {id(parameter) for parameter in backbone}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in inside]
    groups = [{"params": backbone, "scale": settings.backbone_rate}, {"params": rest, "scale": 1.0}]
    return torch.optim.AdamW(
        groups, settings.learning_rate, weight_decay=settings.weight_decay, fused=device.type in ("cpu", "cuda")
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def learning_rate(step: int, total: int, settings) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the rate; or, "constant", the rate itself."""
    if settings.schedule == "constant":
        return settings.learning_rate
    warmup = max(1, round(settings.warmup * total))
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def set_training_mode(model: nn.Module, *, backbone_frozen: bool, norm_frozen: bool) -> None:
    """Training mode, except that a frozen backbone neither learns nor gathers statistics, nor does frozen norm."""
    model.train()
    for module in backbone_of(model):
        module.requires_grad_(not backbone_frozen)
        if backbone_frozen:
            module.eval()
    if norm_frozen:
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):  # every kind of it, SyncBatchNorm too
                module.eval()
