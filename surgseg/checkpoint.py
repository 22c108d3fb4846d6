"""Save and load weights files. A weights file holds all that is needed to rebuild its model."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models import ARCHITECTURES, build_model
from surgseg.files import UserError, atomic_path, check_named, file_sha256, list_some, write_json
from surgseg.labels import SCHEMES, Scheme
from surgseg.places import DEFAULT_WEIGHTS
from surgseg.view import RULES

FORMAT_VERSION = 1


@dataclass
class Checkpoint:
    """The content of a weights file. `image_size` is (height, width), `training["data"]` "real" or "synthetic".

    `mean` and `std` normalise the frames (default: the architecture's). A pixel is instrument if its instrument
    probability is at least `threshold`; if `threshold` is None, it takes its most probable class. Probabilities are the
    softmax of the logits divided by `temperature` (Guo et al. 2017, arXiv:1706.04599). `view`, of `view.RULES`, is how
    the training frames were cropped. `trained_frames` (M, bytes) uint8 are hashes of the frames that trained it or its
    ancestors (`data.likeness.pack`).
    """

    model: nn.Module
    arch: str
    model_args: dict[str, Any]
    scheme: Scheme
    image_size: tuple[int, int]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    threshold: float | None = 0.5
    temperature: float = 1.0
    view: str = "full"
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    trained_frames: torch.Tensor | None = None
    sha256: str = ""

    def __post_init__(self):
        self.image_size = tuple(self.image_size)
        self.mean = tuple(self.mean or ARCHITECTURES[self.arch].mean)
        self.std = tuple(self.std or ARCHITECTURES[self.arch].std)


def save_checkpoint(path: Path | str, checkpoint: Checkpoint, *, keep_previous: bool = True) -> None:
    """Write the weights file (loadable with `weights_only=True`) and its metadata as JSON beside it; set `sha256`.

    `keep_previous` keeps an existing file as `<name>.prev`. Raises `UserError` on a full disk.
    """
    path = Path(path)
    metadata = {
        "format_version": FORMAT_VERSION,
        "arch": checkpoint.arch,
        "model_args": checkpoint.model_args,
        "classes": checkpoint.scheme.to_json(),
        "image_size": list(checkpoint.image_size),
        "mean": list(checkpoint.mean),
        "std": list(checkpoint.std),
        "threshold": checkpoint.threshold,
        "temperature": checkpoint.temperature,
        "view": checkpoint.view,
        "metrics": checkpoint.metrics,
        "training": checkpoint.training,
    }
    state = {key: value.detach().cpu().contiguous() for key, value in checkpoint.model.state_dict().items()}
    hashes = {} if checkpoint.trained_frames is None else {"trained_frames": checkpoint.trained_frames}
    save_tensors(path, {**metadata, **hashes, "state_dict": state}, keep_previous=keep_previous)
    write_json(path.with_suffix(".json"), metadata)
    checkpoint.sha256 = file_sha256(path)


def save_tensors(path: Path, value: dict[str, Any], *, keep_previous: bool = False) -> None:
    """Write `value` with `torch.save`, atomically. Raises `UserError` on a full disk."""
    with atomic_path(path) as temporary:
        try:
            torch.save(value, temporary)
        except RuntimeError as error:  # how torch reports a full disk
            raise UserError(f"cannot write {path}: {str(error).splitlines()[0]} (is the disk full?)") from error
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())  # on the disk before it replaces the earlier file
        if keep_previous and path.exists():
            _keep(path)


def _keep(path: Path) -> None:
    """Keep a copy as `<name>.prev`. A hard link, not a renamed file, so that `path` exists at every moment."""
    previous = path.with_name(path.name + ".prev")
    previous.unlink(missing_ok=True)
    try:
        os.link(path, previous)
    except OSError:  # this file system has no hard links
        shutil.copy2(path, previous)


def load_checkpoint(path: Path | str = DEFAULT_WEIGHTS, arch: str | None = None) -> Checkpoint:
    """Load a weights file of this project, or a bare state_dict of the architecture `arch`.

    Raises `UserError` for a file that is missing, damaged, foreign or holds code, and for keys that do not match.
    """
    path = Path(path)
    value = load_tensors(path)
    if "format_version" in value and "state_dict" in value:
        checkpoint = _from_own(path, value)
    elif arch is not None:
        checkpoint = _from_bare(path, value, arch)
    else:
        names = "|".join(ARCHITECTURES)
        raise UserError(f"{path} is no weights file of this project; for a bare state_dict give --arch {names}")
    checkpoint.sha256 = file_sha256(path)
    checkpoint.model.eval()
    return checkpoint


def load_tensors(path: Path) -> dict[str, Any]:
    """Return the dict (string keys) that `torch.load(weights_only=True)` reads on the CPU. Raises `UserError`."""
    if not path.is_file():
        raise UserError(
            f"no weights file {path}; training writes one: python instrument_segmentation.py -> {DEFAULT_WEIGHTS}"
        )
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises many kinds on bytes that are no pickle
        if isinstance(error, pickle.UnpicklingError) and re.search("Unsupported (global|class)", str(error)):
            raise UserError(f"{path}: refused, because it holds code or objects other than plain weights") from error
        raise UserError(f"{path}: damaged, or no weights file") from error
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError(f"{path}: holds no weights (found a {type(value).__name__})")
    return value


def _from_own(path: Path, value: dict) -> Checkpoint:
    if value["format_version"] != FORMAT_VERSION:
        raise UserError(f"{path}: weights format {value['format_version']}; this version reads {FORMAT_VERSION}")
    try:
        if value["arch"] not in ARCHITECTURES:
            raise UserError(
                f"{path}: its architecture {value['arch']!r} is not in models/, which has {', '.join(ARCHITECTURES)}"
            )
        scheme = Scheme.from_json(value["classes"], str(path))
        model = build_model(value["arch"], scheme.num_classes, **value["model_args"])
        stored = ("arch", "model_args", "image_size", "mean", "std", "threshold", "metrics", "training")
        checkpoint = Checkpoint(model, scheme=scheme, **{name: value[name] for name in stored})
        checkpoint.trained_frames = value.get("trained_frames")  # files of earlier versions lack these three
        checkpoint.temperature = value.get("temperature", 1.0)
        checkpoint.view = value.get("view", "full")
        check_named("view", checkpoint.view, RULES)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: incomplete weights file ({error!r})") from error
    load_strictly(model, value["state_dict"], str(path))
    return checkpoint


def _from_bare(path: Path, value: dict, arch: str) -> Checkpoint:
    """Read classes and width from the shapes of a state_dict. Scheme and size are the defaults."""
    state = strip_prefixes(value.get("state_dict", value))
    try:
        num_classes, model_args, state = ARCHITECTURES[arch].load().inspect_state(state)
    except KeyError as error:
        raise UserError(f"{path}: no {arch} state_dict (it has no {error.args[0]})") from error
    except AttributeError as error:
        raise UserError(f"{path}: a bare state_dict of {arch} cannot be loaded, only a file of this project") from error
    scheme = next((item for item in SCHEMES.values() if item.num_classes == num_classes), None)
    if scheme is None:
        raise UserError(f"{path}: {num_classes} output classes fit no class scheme of {', '.join(SCHEMES)}")
    model = build_model(arch, num_classes, **model_args)
    load_strictly(model, state, str(path))
    print(f"{path.name}: a bare state_dict; its classes are taken to be {scheme.name}, its image size 256x256")
    return Checkpoint(model, arch, model_args, scheme, (256, 256), threshold=default_threshold(scheme))


def strip_prefixes(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Remove the prefixes `module.` and `model.` that wrappers add to each key."""
    return {re.sub(r"^((module|model)\.)+", "", key): value for key, value in state.items()}


def default_threshold(scheme: Scheme) -> float | None:
    """Return 0.5 for two classes; for more None, which takes the most probable class."""
    return 0.5 if scheme.num_classes == 2 else None


def load_strictly(model: nn.Module, state: dict[str, torch.Tensor], origin: str) -> None:
    """Load a state_dict. Raises `UserError` that lists missing and unexpected keys and wrong shapes."""
    own = model.state_dict()
    counters = {key: value for key, value in own.items() if key.endswith(".num_batches_tracked")}
    state = {**counters, **state}  # older files lack these; predictions do not depend on them
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems = [("missing", missing), ("unexpected", unexpected), ("other shape", shapes)]
    found = "; ".join(f"{len(keys)} {what}: {list_some(keys, 4)}" for what, keys in problems if keys)
    if found:
        raise UserError(f"{origin}: the weights do not fit the model ({found})")
    model.load_state_dict(state)


def init_from(model: nn.Module, path: Path | str) -> dict[str, Any]:
    """Load a weights file of this project into `model` (`--init-from`); return the file's training record."""
    value = load_tensors(Path(path))
    if "state_dict" not in value or "format_version" not in value:
        raise UserError(f"--init-from {path}: no weights file of this project; --weights PATH takes a backbone's")
    load_strictly(model, value["state_dict"], f"--init-from {path}")
    return value.get("training", {})
