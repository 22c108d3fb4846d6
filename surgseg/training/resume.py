"""`<name>.resume.pth`: the state after the last finished epoch, and the identity of the run that it belongs to.

The identity is what must be equal for a continuation to be the same run: model, training, split, and the content of
every frame and mask. Where it differs, the error names what differs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
    """The identity in plain types. `settings` are those that the weights file stores. A starting file counts by its
    content."""
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
    """16 hex digits. The weights file of a finished run carries them, so that it is not trained again."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def remove_state(weights_path: Path, of: str | None) -> None:
    """Remove the resumable state beside the weights where it is that of the run with the fingerprint `of`."""
    path = resume_path(weights_path)
    if path.is_file() and fingerprint(load_tensors(path).get("identity", {})) == of:
        path.unlink()


def save_state(path: Path, state: dict[str, Any], identity: dict[str, Any]) -> None:
    """Atomically: at any moment the file holds a whole state. Raises `UserError` on a full disk."""
    save_tensors(path, {"resume_format": FORMAT, "identity": identity, "state": state})


def find_resumable(weights_path: Path, identity: dict[str, Any], resume: str) -> tuple[str, dict[str, Any] | None]:
    """How a run starts: ("new", None), ("state", the state to continue from), or ("finished", None).

    `resume` is "no" (start anew), "may" (continue or reuse the same run if there is one) or "must" (refuse if there is
    none). Raises `UserError`, also for any other word.
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
            other = "is of another run" if weights_path.is_file() else "is not there either"
            raise UserError(f"nothing to resume: no {path}, and {weights_path} {other}")
    except UserError as error:
        if resume == "must":
            raise UserError(f"{error}; start without --resume") from error
        print(f"Starting anew: {error}")
    return "new", None


def _finished(weights_path: Path) -> str | None:
    """The fingerprint of the finished run whose weights these are."""
    try:
        training = load_tensors(weights_path)["training"]
        return training.get("fingerprint") if training.get("stopped") is None else None
    except (UserError, KeyError, AttributeError):
        return None


def load_state(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """The state of the run with this identity. Raises `UserError` for a damaged or foreign file."""
    value = load_tensors(path)
    if value.get("resume_format") != FORMAT:
        raise UserError(f"{path} is no resumable state of this version")
    differences = compare(value["identity"], identity)
    if differences:
        raise UserError(f"{path} belongs to another run, of other options or data ({'; '.join(differences)})")
    return value["state"]


def compare(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two identities, in words; empty where nothing does."""
    found = []
    for key in sorted({*before["options"], *now["options"]}):
        old, new = (_plain(value["options"].get(key)) for value in (before, now))
        if old != new:
            found.append(f"{key} was {old}, is {new}")
    if before["classes"] != now["classes"]:
        found.append("another class scheme")
    if before["split"] != now["split"]:
        found.append("another split")
    if _plain(before["options"].get("image_size")) != _plain(now["options"].get("image_size")):
        return found  # then every checksum differs
    old, new = before["frames"], now["frames"]
    changed = [name for name in new if name in old and new[name] != old[name]]
    for names, what in (
        (changed, "changed"),
        ([name for name in new if name not in old], "new"),
        ([name for name in old if name not in new], "missing"),
    ):
        if names:
            found.append(f"{len(names)} frame{'s' * (len(names) > 1)} or masks {what}: {list_some(names, 3)}")
    return found


def _plain(value):
    return list(value) if isinstance(value, tuple) else value
