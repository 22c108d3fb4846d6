"""`<name>.resume.pth`: the state after the last finished epoch, and the identity of its run.

The identity is everything that must be equal to resume a run: model, training, split, and the content of every frame
and mask. If the identities differ, the error names the differences.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from surgseg.checkpoint import load_tensors, save_tensors
from surgseg.data.cache import Cache
from surgseg.data.splits import Split
from surgseg.files import UserError, file_sha256, list_some
from surgseg.labels import Scheme
from surgseg.training.config import ModelConfig

FORMAT = 1


def resume_path(weights_path: Path) -> Path:
    return weights_path.with_suffix(".resume.pth")


def identity_of(
    model: ModelConfig, settings: dict[str, Any], split: Split, scheme: Scheme, cache: Cache
) -> dict[str, Any]:
    """The identity in plain types. `settings` are those in the weights file. A starting file is named by its hash."""
    options = {**asdict(model), **settings}
    for key in ("init_from", "weights"):
        if options[key] is not None and Path(options[key]).is_file():
            options[key] = f"a file with SHA-256 {file_sha256(options[key])[:12]}"
    return {
        "options": options,
        "classes": scheme.to_json(),
        "split": split.hash,
        "frames": dict(zip(cache.names, cache.checksums.tolist())),
    }


def fingerprint(identity: dict[str, Any]) -> str:
    """16 hex digits, stored in the weights file, so that a finished run is not trained again."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def remove_state(weights_path: Path, of: str | None) -> None:
    """Remove the resumable state beside the weights if it is of the run with the fingerprint `of`."""
    path = resume_path(weights_path)
    if path.is_file() and fingerprint(load_tensors(path).get("identity", {})) == of:
        path.unlink()


def save_state(path: Path, state: dict[str, Any], identity: dict[str, Any]) -> None:
    """Write the state atomically, so that the file is always complete. Raises `UserError` for a full disk."""
    save_tensors(path, {"resume_format": FORMAT, "identity": identity, "state": state})


class StateWriter:
    """Writes each state in a thread while the training goes on, one at a time. Leaving the context waits for the last.

    `kept` is the number of epochs in the last state that was written.
    """

    def __init__(self, path: Path, identity: dict[str, Any], kept: int):
        self.path, self.identity, self.kept = path, identity, kept
        self._pool, self._pending = ThreadPoolExecutor(1), None

    def __enter__(self) -> StateWriter:
        return self

    def __exit__(self, *error) -> None:
        self._pool.shutdown()

    def save(self, state: dict[str, Any]) -> None:
        """Copy the state and begin to write it. Call `wait` before."""
        self._pending = self._pool.submit(self._write, _copied(state))

    def wait(self) -> None:
        """Wait until the last state is written. Raises its `UserError` if it could not be."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _write(self, state: dict[str, Any]) -> None:
        save_state(self.path, state, self.identity)
        self.kept = len(state["history"])


def _copied(value: Any) -> Any:
    """A copy on the CPU that the training does not change."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return type(value)(map(_copied, value)) if isinstance(value, (list, tuple)) else value


def find_resumable(weights_path: Path, identity: dict[str, Any], resume: str) -> tuple[str, dict[str, Any] | None]:
    """Return how a run starts: ("new", None), ("state", the state to continue from), or ("finished", None).

    `resume` is "no" (start anew), "may" (continue or reuse the same run, or start anew) or "must" (raise `UserError`
    if there is nothing to continue or reuse). Raises `UserError` for any other word.
    """
    if resume not in ("no", "may", "must"):
        raise UserError(f"unknown resume {resume!r}: use no, may or must")
    path = resume_path(weights_path)
    if resume == "no":
        return "new", None
    if _finished(weights_path) == fingerprint(identity):
        return "finished", None
    try:
        if path.is_file():
            return "state", load_state(path, identity)
        if resume == "must":
            other = "is of another run" if weights_path.is_file() else "does not exist either"
            raise UserError(f"nothing to resume: no {path}, and {weights_path} {other}")
    except UserError as error:
        if resume == "must":
            raise UserError(f"{error}; start without --resume") from error
        print(f"Starting anew: {error}")
    return "new", None


def _finished(weights_path: Path) -> str | None:
    """The fingerprint in the weights file of a finished run; None for any other file."""
    try:
        training = load_tensors(weights_path)["training"]
        return training.get("fingerprint") if training.get("stopped") is None else None
    except (UserError, KeyError, AttributeError):
        return None


def recorded_options(weights_path: Path, identity: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return the options `names` of the state or the finished weights, if only these differ from `identity`; else {}.

    So a run keeps on another machine what was chosen on the first.
    """
    finished = _finished(weights_path)
    for path, keys in ((resume_path(weights_path), ("identity", "options")), (weights_path, ("training", "settings"))):
        try:
            value = load_tensors(path)
            options = value[keys[0]][keys[1]]
            values = {name: options[name] for name in names}
        except (UserError, KeyError):
            continue
        same = {**identity, "options": {**identity["options"], **values}}
        if finished == fingerprint(same) or ("identity" in value and not compare(value["identity"], same)):
            return values
    return {}


def load_state(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """The state of the run with this identity. Raises `UserError` for a damaged file or another run's file."""
    value = load_tensors(path)
    if value.get("resume_format") != FORMAT:
        raise UserError(f"{path} is no resumable state of this version")
    differences = compare(value["identity"], identity)
    if differences:
        raise UserError(f"{path} belongs to another run, of other options or data ({'; '.join(differences)})")
    return value["state"]


def compare(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The differences between two identities, in words; empty if there are none."""
    old, new = (
        {key: list(value) if isinstance(value, tuple) else value for key, value in identity["options"].items()}
        for identity in (before, now)
    )
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    found = [f"{key} was {old.get(key)}, is {new.get(key)}" for key in keys]
    if before["classes"] != now["classes"]:
        found.append("another class scheme")
    if before["split"] != now["split"]:
        found.append("another split")
    if "image_size" in keys:
        return found  # then every checksum differs
    old, new = before["frames"], now["frames"]
    for names, what in (
        ([name for name in new if name in old and new[name] != old[name]], "changed"),
        ([name for name in new if name not in old], "new"),
        ([name for name in old if name not in new], "missing"),
    ):
        if names:
            found.append(f"{len(names)} frame{'s' * (len(names) > 1)} or masks {what}: {list_some(names, 3)}")
    return found
