"""`--weights`: a backbone's pretraining (ImageNet, COCO, or a file). Never a silent random start."""

from __future__ import annotations

from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import torch
from torch import nn
from torchvision.models import ResNet50_Weights
from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights

from surgseg.checkpoint import load_strictly, load_tensors, strip_prefixes
from surgseg.files import UserError

SOURCES = {
    "imagenet": ResNet50_Weights.IMAGENET1K_V1.url,
    "coco": DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.url,
}


def default_weights(arch: str, data: str) -> str:
    """Where a model starts if nothing is said: a DeepLabV3 on "real" data from ImageNet, all others at random."""
    return "imagenet" if arch == "deeplabv3" and data == "real" else "none"


def load_pretraining(model: nn.Module, arch: str, weights: str) -> str:
    """Load `imagenet`, `coco`, `none` or a file's weights into a DeepLabV3; returns what was loaded, in words.

    `imagenet` fills the ResNet-50 backbone; `coco` the backbone and the heads up to their last layer; a file may
    be a ResNet-50 or a DeepLabV3 state_dict. Raises `UserError` where a download fails or keys do not match.
    """
    if weights == "none":
        return "none (random start)"
    if arch != "deeplabv3":
        raise UserError(f"--weights {weights}: the {arch} has no pretrained backbone; use --weights none")
    path = fetch(weights) if weights in SOURCES else Path(weights)
    if not path.is_file():
        raise UserError(f"--weights {weights}: no such file; give imagenet, coco, none or a weights file")
    state = load_tensors(path)
    state = strip_prefixes(state.get("state_dict", state))
    if any(key.startswith("backbone.") for key in state):
        return _load_deeplab(model, state, path)
    state = {key: value for key, value in state.items() if not key.startswith("fc.")}
    load_strictly(model.backbone, state, f"--weights {weights}: {path}")
    return f"{path.name} (ResNet-50 backbone)"


def _load_deeplab(model: nn.Module, state: dict, path: Path) -> str:
    """Everything but the last layer of each head, which is made for other classes."""
    own = model.state_dict()
    last = ("classifier.4.", "aux_classifier.4.")
    kept = {key: value for key, value in state.items() if not key.startswith(last)}
    if model.aux_classifier is None:
        kept = {key: value for key, value in kept.items() if not key.startswith("aux_classifier.")}
    kept.update({key: own[key] for key in own if key.startswith(last)})
    load_strictly(model, kept, f"--weights: {path}")
    return f"{path.name} (backbone and heads, last layers new)"


def fetch(name: str) -> Path:
    """The local copy of a published weights file, downloaded where torch keeps such files."""
    url = SOURCES[name]
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rsplit("-", 1)[1], progress=True)
    except (URLError, HTTPException, OSError, RuntimeError) as error:
        path.unlink(missing_ok=True)
        raise UserError(
            f"--weights {name}: could not download {path.name} ({error}); place the file at {path}, "
            "or start from random weights with --weights none"
        ) from error
    return path
