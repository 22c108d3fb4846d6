"""Losses in float32, reduced per image, so that accumulating or sharding gives the whole batch's gradient.

Void pixels (255) take no part; an image of void alone contributes 0.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from surgseg.files import UserError
from surgseg.labels import VOID

AUX_WEIGHT = 0.4  # of the auxiliary head, as in torchvision's reference training


def segmentation_loss(
    output, target: torch.Tensor, kind: str = "ce+dice", class_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Logits (N, K, H, W), or {"out", "aux"} of them, and (N, H, W) uint8 truth -> (N,) losses."""
    if isinstance(output, dict):
        main = segmentation_loss(output["out"], target, kind, class_weights)
        return main + AUX_WEIGHT * segmentation_loss(output["aux"], target, kind, class_weights)
    logits, target = output.float(), target.long()
    loss = cross_entropy(logits, target, class_weights)
    return loss + soft_dice(logits, target) if kind == "ce+dice" else loss


def cross_entropy(logits: torch.Tensor, target: torch.Tensor, class_weights: torch.Tensor | None) -> torch.Tensor:
    """(N,) weighted mean over each image's pixels: sum(w_t * -log p_t) / sum(w_t)."""
    pixels = F.cross_entropy(logits, target, class_weights, ignore_index=VOID, reduction="none")
    valid = target != VOID
    weights = valid.float() if class_weights is None else class_weights[target.where(valid, 0)] * valid
    return pixels.sum((1, 2)) / weights.sum((1, 2)).clamp_min(1e-6)


def soft_dice(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(N,) one minus the soft Dice coefficient, mean over the classes but the background (Milletari et al. 2016).

    One pixel is added above and below, so that a class absent from truth and prediction scores 0.
    """
    valid = (target != VOID)[:, None]
    probability = logits.softmax(1)[:, 1:] * valid
    truth = F.one_hot(target.where(valid[:, 0], 0), logits.shape[1]).permute(0, 3, 1, 2)[:, 1:] * valid
    overlap = (probability * truth).sum((2, 3))
    total = probability.sum((2, 3)) + truth.sum((2, 3))
    return (1 - (2 * overlap + 1) / (total + 1)).mean(1)


def measure_class_weights(masks: np.ndarray, indices: np.ndarray, num_classes: int, kind: str) -> list[float] | None:
    """Weights from the class frequencies f of the training part: `sqrt` 1/sqrt(f), `inverse` 1/f; mean 1.

    A class that the training part does not show gets the largest weight found. `none` gives None.
    """
    if kind == "none":
        return None
    counts = np.zeros(256, np.int64)
    for index in indices:
        counts += np.bincount(masks[index].reshape(-1), minlength=256)
    if not counts[:num_classes].any():
        raise UserError("every pixel of the training part is void: nothing to learn from")
    frequency = counts[:num_classes] / counts[:num_classes].sum()
    shown = frequency > 0
    weights = np.zeros(num_classes)
    weights[shown] = frequency[shown] ** (-0.5 if kind == "sqrt" else -1.0)
    weights[~shown] = weights.max()
    return (weights / weights.mean()).tolist()
