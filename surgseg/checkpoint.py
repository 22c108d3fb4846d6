"""What a weights file holds: enough to rebuild its own model. Atomic save, safe load."""

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
from surgseg.files import UserError, atomic_path, file_sha256, list_some, write_json
from surgseg.labels import SCHEMES, Scheme
from surgseg.places import DEFAULT_WEIGHTS

FORMAT_VERSION = 1


@dataclass
class Checkpoint:
    """A loaded weights file: the model in evaluation mode, and how to feed and read it.

    `image_size` is (height, width). `mean` and `std` are those of the frames (default: the architecture's).
    `threshold` is the instrument probability from which a pixel is instrument; None takes the most probable class.
    `training["data"]` is "real" or "synthetic".
    """

    model: nn.Module
    arch: str
    model_args: dict[str, Any]
    scheme: Scheme
    image_size: tuple[int, int]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    threshold: float | None = 0.5
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self):
        self.mean = self.mean or ARCHITECTURES[self.arch].mean
        self.std = self.std or ARCHITECTURES[self.arch].std


def save_checkpoint(path: Path | str, checkpoint: Checkpoint, *, keep_previous: bool = True) -> None:
    """Write weights (loadable with `weights_only=True`) and, beside them, the same metadata as JSON; sets `sha256`.

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
        "metrics": checkpoint.metrics,
        "training": checkpoint.training,
    }
    state = {key: value.detach().cpu().contiguous() for key, value in checkpoint.model.state_dict().items()}
    save_tensors(path, {**metadata, "state_dict": state}, keep_previous=keep_previous)
    write_json(path.with_suffix(".json"), metadata)
    checkpoint.sha256 = file_sha256(path)


def save_tensors(path: Path, value: dict[str, Any], *, keep_previous: bool = False) -> None:
    """`torch.save`, atomically. Raises `UserError` on a full disk."""
    with atomic_path(path) as temporary:
        try:
            torch.save(value, temporary)
        except RuntimeError as error:  # torch reports a full disk so
            raise UserError(f"cannot write {path}: {str(error).splitlines()[0]} (is the disk full?)") from error
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())  # on the disk before it replaces what is there
        if keep_previous and path.exists():
            _keep(path)


def _keep(path: Path) -> None:
    """Give an existing file a second name, so that no moment passes without a whole file under the first."""
    previous = path.with_name(path.name + ".prev")
    previous.unlink(missing_ok=True)
    try:
        os.link(path, previous)
    except OSError:  # no hard links on this file system
        shutil.copy2(path, previous)


def load_checkpoint(path: Path | str = DEFAULT_WEIGHTS, arch: str | None = None) -> Checkpoint:
    """Load a weights file of ours, or a bare state_dict where `arch` names its architecture.

    Raises `UserError` for a missing, damaged or foreign file, one that holds code, and mismatched keys.
    """
    path = Path(path)
    value = load_tensors(path)
    if "format_version" in value and "state_dict" in value:
        checkpoint = _from_own(path, value)
    elif arch is not None:
        checkpoint = _from_bare(path, value, arch)
    else:
        raise UserError(
            f"{path} is no weights file of this project; for a bare state_dict name its architecture: "
            f"--arch {'|'.join(ARCHITECTURES)}"
        )
    checkpoint.sha256 = file_sha256(path)
    checkpoint.model.eval()
    return checkpoint


def load_tensors(path: Path) -> dict[str, Any]:
    """`torch.load(weights_only=True)` on the CPU, its errors in words: a dict with string keys, or `UserError`."""
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
    except Exception as error:  # the unpickler fails in every way on bytes that are no pickle
        if isinstance(error, pickle.UnpicklingError) and re.search("Unsupported (global|class)", str(error)):
            raise UserError(f"{path}: refused, because it holds code or objects other than plain weights") from error
        raise UserError(f"{path}: damaged, or no weights file") from error
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError(f"{path}: holds no weights but a {type(value).__name__}")
    return value


def _from_own(path: Path, value: dict) -> Checkpoint:
    if value["format_version"] != FORMAT_VERSION:
        raise UserError(f"{path}: weights format {value['format_version']}; this version reads {FORMAT_VERSION}")
    try:
        scheme = Scheme.from_json(value["classes"], str(path))
        model = build_model(value["arch"], scheme.num_classes, **value["model_args"])
        checkpoint = Checkpoint(
            model=model,
            arch=value["arch"],
            model_args=value["model_args"],
            scheme=scheme,
            image_size=tuple(value["image_size"]),
            mean=tuple(value["mean"]),
            std=tuple(value["std"]),
            threshold=value["threshold"],
            metrics=value["metrics"],
            training=value["training"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: incomplete weights file ({error!r})") from error
    load_strictly(model, value["state_dict"], str(path))
    return checkpoint


def _from_bare(path: Path, value: dict, arch: str) -> Checkpoint:
    """A state_dict alone: its shapes tell classes and width; scheme and size are the defaults."""
    state = strip_prefixes(value.get("state_dict", value))
    try:
        num_classes, model_args, state = ARCHITECTURES[arch].load().inspect_state(state)
    except KeyError as error:
        raise UserError(f"{path}: no {arch} state_dict (it has no {error.args[0]})") from error
    except AttributeError as error:
        raise UserError(
            f"{path}: a bare state_dict of a {arch} cannot be loaded, only a file of this project"
        ) from error
    scheme = next((item for item in SCHEMES.values() if item.num_classes == num_classes), None)
    if scheme is None:
        raise UserError(f"{path}: {num_classes} output classes fit no class scheme of {', '.join(SCHEMES)}")
    model = build_model(arch, num_classes, **model_args)
    load_strictly(model, state, str(path))
    print(f"{path.name}: a bare state_dict; taken to be {scheme.name}, trained at 256x256")
    return Checkpoint(model, arch, model_args, scheme, (256, 256), threshold=default_threshold(scheme))


def strip_prefixes(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Drop the `module.` and `model.` that wrappers put before each key."""
    return {re.sub(r"^((module|model)\.)+", "", key): value for key, value in state.items()}


def default_threshold(scheme: Scheme) -> float | None:
    """0.5 for two classes; with more the most probable class is taken."""
    return 0.5 if scheme.num_classes == 2 else None


def load_strictly(model: nn.Module, state: dict[str, torch.Tensor], origin: str) -> None:
    """`load_state_dict` whose error lists missing, unexpected and misshapen keys. Raises `UserError`."""
    own = model.state_dict()
    counters = {key: value for key, value in own.items() if key.endswith(".num_batches_tracked")}
    state = {**counters, **state}  # older files lack these, and nothing that is predicted depends on them
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
    """Start `model` from one of our weights files (`--init-from`); returns that file's training record."""
    value = load_tensors(Path(path))
    if "state_dict" not in value or "format_version" not in value:
        raise UserError(f"--init-from {path}: no weights file of this project; --weights PATH takes a backbone's")
    load_strictly(model, value["state_dict"], f"--init-from {path}")
    return value.get("training", {})
