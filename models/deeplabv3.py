"""DeepLabV3 with a ResNet-50 backbone (Chen et al. 2017, arXiv:1706.05587), built on torchvision's.

Both heads predict the same classes. The auxiliary head takes the features of the backbone's third stage and is used in
training only: `forward` returns {"out", "aux"} in training mode and the logits alone in evaluation mode.
"""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models.segmentation import deeplabv3_resnet50

_LAST_LAYERS = ("classifier.4.", "aux_classifier.4.")


class DeepLabV3(nn.Module):
    """(N, 3, H, W) normalised float -> (N, num_classes, H, W) logits."""

    def __init__(self, num_classes: int, *, aux: bool = True):
        super().__init__()
        net = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=aux)
        self.backbone, self.classifier, self.aux_classifier = net.backbone, net.classifier, net.aux_classifier

    def backbone_parts(self) -> list[nn.Module]:
        return [self.backbone]

    def forward(self, frames: torch.Tensor):
        size = frames.shape[-2:]
        features = self.backbone(frames)
        out = _resize(self.classifier(features["out"]), size)
        if self.training and self.aux_classifier is not None:
            return {"out": out, "aux": _resize(self.aux_classifier(features["aux"]), size)}
        return out

    def pretrained_state(self, state: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], str]:
        """Return (state_dict for this model, description) from the state_dict of a ResNet-50 or of another DeepLabV3.

        The last layer of each head is not taken from another DeepLabV3, because it predicts other classes. Keys that do
        not fit are kept, so that loading reports them.
        """
        own = self.state_dict()
        if any(key.startswith("backbone.") for key in state):
            heads = _LAST_LAYERS if self.aux_classifier is not None else (_LAST_LAYERS[0], "aux_classifier.")
            taken = {key: value for key, value in state.items() if not key.startswith(heads)}
            last = {key: value for key, value in own.items() if key.startswith(_LAST_LAYERS)}
            return {**taken, **last}, "backbone and heads, last layers new"
        backbone = {f"backbone.{key}": value for key, value in state.items() if not key.startswith("fc.")}
        heads = {key: value for key, value in own.items() if not key.startswith("backbone.")}
        return {**backbone, **heads}, "ResNet-50 backbone"

    @staticmethod
    def inspect_state(state: dict[str, torch.Tensor]) -> tuple[int, dict, dict[str, torch.Tensor]]:
        """Return (classes, constructor arguments, keys to load) of a bare state_dict, or raise KeyError.

        An auxiliary head for another number of classes is not loaded.
        """
        num_classes = len(state["classifier.4.weight"])
        auxiliary = state.get("aux_classifier.4.weight")
        aux = auxiliary is not None and len(auxiliary) == num_classes
        kept = {key: value for key, value in state.items() if aux or not key.startswith("aux_classifier.")}
        return num_classes, {"aux": aux}, kept


def _resize(logits: torch.Tensor, size) -> torch.Tensor:
    return nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
