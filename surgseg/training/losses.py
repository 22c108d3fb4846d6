"""Losses. A loss is a function in this file and an entry of `LOSSES`; `--loss` lists them.

A loss takes logits (N, K, H, W) float32, truth (N, H, W) int64 with 255 for void, and class weights (K,) or None. It
returns (N,) losses, one per image, so that accumulation and several processes give the gradient of the whole batch.
Void pixels do not count; an image that is all void has loss 0. Functions import torch, so that `--help` is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from surgseg.files import find_named
from surgseg.labels import VOID

if TYPE_CHECKING:
    import torch

AUX_WEIGHT = 0.4  # of the auxiliary head, as in torchvision's reference training


def segmentation_loss(
    output, target: torch.Tensor, name: str = "ce+dice", class_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Logits (N, K, H, W), or {"out", "aux"} of them, and (N, H, W) uint8 truth -> (N,) losses.

    `name` is one of `LOSSES`. Raises `UserError` for any other name.
    """
    loss = find_named("loss", name, LOSSES)
    target = target.long()
    if isinstance(output, dict):
        main, auxiliary = (loss(output[head].float(), target, class_weights) for head in ("out", "aux"))
        return main + AUX_WEIGHT * auxiliary
    return loss(output.float(), target, class_weights)


def cross_entropy_and_dice(
    logits: torch.Tensor, target: torch.Tensor, class_weights: torch.Tensor | None
) -> torch.Tensor:
    """(N,) sum of `cross_entropy` and `soft_dice`."""
    return cross_entropy(logits, target, class_weights) + soft_dice(logits, target)


def cross_entropy(logits: torch.Tensor, target: torch.Tensor, class_weights: torch.Tensor | None) -> torch.Tensor:
    """(N,) weighted mean over each image's pixels: sum(w_t * -log p_t) / sum(w_t)."""
    import torch.nn.functional as F

    pixels = F.cross_entropy(logits, target, class_weights, ignore_index=VOID, reduction="none")
    valid = target != VOID
    weights = valid.float() if class_weights is None else class_weights[target.where(valid, 0)] * valid
    return pixels.sum((1, 2)) / weights.sum((1, 2)).clamp_min(1e-6)


def soft_dice(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(N,) one minus the soft Dice coefficient, mean over all classes except background (Milletari et al. 2016).

    One pixel is added to numerator and denominator, so a class absent from truth and prediction has loss 0.
    """
    import torch.nn.functional as F

    valid = (target != VOID)[:, None]
    probability = logits.softmax(1)[:, 1:] * valid
    truth = F.one_hot(target.where(valid[:, 0], 0), logits.shape[1]).permute(0, 3, 1, 2)[:, 1:] * valid
    overlap = (probability * truth).sum((2, 3))
    total = probability.sum((2, 3)) + truth.sum((2, 3))
    return (1 - (2 * overlap + 1) / (total + 1)).mean(1)


LOSSES = {"ce": cross_entropy, "ce+dice": cross_entropy_and_dice}
CLASS_WEIGHTS = {"none": 0.0, "sqrt": -0.5, "inverse": -1.0}  # powers of a class's frequency


def measure_class_weights(masks: np.ndarray, indices: np.ndarray, num_classes: int, name: str) -> list[float] | None:
    """Return class weights from the class frequencies f of the training part: `sqrt` 1/sqrt(f), `inverse` 1/f; mean 1.

    A class without pixels in the training part gets the largest weight of the others. `none` gives None. Raises
    `UserError` for any other name.
    """
    power = find_named("class weights", name, CLASS_WEIGHTS)
    if not power:
        return None
    counts = np.zeros(256, np.int64)
    for index in indices:
        counts += np.bincount(masks[index].reshape(-1), minlength=256)
    frequency = counts[:num_classes] / counts[:num_classes].sum()
    present = frequency > 0
    weights = np.zeros(num_classes)
    weights[present] = frequency[present] ** power
    weights[~present] = weights.max()
    return (weights / weights.mean()).tolist()
