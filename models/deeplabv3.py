"""DeepLabV3 with a ResNet-50 backbone (Chen et al. 2017, arXiv:1706.05587), built on torchvision's.

Both heads are made for the same classes. The auxiliary head, fed from the backbone's third stage, exists in
training only: `forward` returns {"out", "aux"} in training mode and the logits alone in evaluation mode.
"""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models.segmentation import deeplabv3_resnet50


class DeepLabV3(nn.Module):
    """(N, 3, H, W) normalised float -> (N, num_classes, H, W) logits."""

    def __init__(self, num_classes: int, *, aux: bool = True):
        super().__init__()
        net = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=aux)
        self.backbone, self.classifier, self.aux_classifier = net.backbone, net.classifier, net.aux_classifier

    def forward(self, frames: torch.Tensor):
        size = frames.shape[-2:]
        features = self.backbone(frames)
        out = _resize(self.classifier(features["out"]), size)
        if self.training and self.aux_classifier is not None:
            return {"out": out, "aux": _resize(self.aux_classifier(features["aux"]), size)}
        return out


def _resize(logits: torch.Tensor, size) -> torch.Tensor:
    return nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
