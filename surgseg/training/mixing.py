"""Draw an epoch from frames of several roles: reviewed, with pseudo-labels, and of earlier data that are mixed in.

Such an epoch is a draw and not a pass: with EPOCH_FRAMES, 15 epochs are enough for 5 reviewed frames, and few
enough for a CPU.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from surgseg.data.dataset import ROLES
from surgseg.data.likeness import NEAR, frame_hashes, nearest
from surgseg.data.splits import Split
from surgseg.files import UserError, list_some

EPOCH_FRAMES = 60  # of an epoch with frames of several roles, at least


class Mixture(NamedTuple):
    """What an epoch is drawn from: cache rows with their share of each batch; and its number of frames."""

    sources: list[tuple[np.ndarray, float]]
    frames: int


def with_mixed(split: Split, samples: list) -> Split:
    """Add the mixed samples, which come last, to the training part of a split of the others."""
    own = [sample for sample in samples if sample.role != "mixed"]
    mixed = samples[len(own) :]
    both = {sample.name for sample in own} & {sample.name for sample in mixed}
    if both:
        raise UserError(f"--mix-with: both data sets have frames of the same name: {list_some(sorted(both), 4)}")
    keys = [sample.video if split.by == "video" else sample.name for sample in mixed]
    held_out = sorted({key for key in keys if split.assignment.get(key, "train") != "train"})
    if held_out:
        raise UserError(f"--mix-with: {list_some(held_out)} would train, and the split holds it out")
    train = np.concatenate([split.parts["train"], np.arange(len(own), len(samples))])
    assignment = {**split.assignment, **dict.fromkeys(keys, "train")}
    return replace(split, assignment=assignment, parts={**split.parts, "train": train})


def without_copies_of_audit(split: Split, samples: list, frames: np.ndarray) -> Split:
    """Take frames that look like a frame of the audit out of the training part; print how many.

    `frames` (N, H, W, 3) uint8 RGB are those of the samples. select_frames.py has left such frames of its own folder
    out: these are of the data that are mixed in, or look so at the size of the training alone.
    """
    audit = [index for index in split.parts["test"] if samples[index].role == "audit"]
    if not audit:
        return split
    hashes, indices = frame_hashes(frames, split.parts["train"])
    near = indices[nearest(hashes, frame_hashes(frames, audit)[0])[0] <= NEAR]
    if not len(near):
        return split
    print(f"  {len(near)} training frames look like frames of the audit: they do not train")
    names = {samples[index].name for index in near}
    assignment = {key: part for key, part in split.assignment.items() if split.by == "video" or key not in names}
    train = split.parts["train"][~np.isin(split.parts["train"], near)]
    return replace(split, assignment=assignment, parts={**split.parts, "train": train})


def find_mixture(samples: list, rows: np.ndarray, mix_share: float) -> Mixture | None:
    """Divide training rows by the samples' roles; None if all are of one prepared folder.

    Mixed frames get `mix_share`. Reviewed frames and pseudo-labels share the rest equally.
    """
    groups = {role: np.array([row for row in rows if samples[row].role == role], np.int64) for role in ROLES}
    groups = {role: found for role, found in groups.items() if len(found)}
    if set(groups) <= {""}:
        return None
    own = [role for role in groups if role != "mixed"]
    rest = 1 - mix_share if "mixed" in groups else 1.0
    shares = [mix_share if role == "mixed" else rest / len(own) for role in groups]
    labelled = sum(len(groups.get(role, ())) for role in ("", "reviewed"))
    return Mixture(list(zip(groups.values(), shares)), max(EPOCH_FRAMES, labelled))


def epoch_order(rows: np.ndarray, mixture: Mixture | None, seed: int, epoch: int) -> np.ndarray:
    """Return the cache rows of an epoch in order: a permutation of `rows`, or a draw from the mixture.

    Each stretch of a draw has about the mixture's shares. A small source is repeated.
    """
    random = np.random.default_rng([seed, epoch])
    if mixture is None:
        return random.permutation(np.asarray(rows))
    chosen, places = [], []
    for found, share in mixture.sources:
        wanted = max(1, round(share * mixture.frames))
        repeats, rest = divmod(wanted, len(found))
        chosen += [*(random.permutation(found) for _ in range(repeats)), random.permutation(found)[:rest]]
        places.append((np.arange(wanted) + random.random()) / wanted)
    return np.concatenate(chosen)[np.argsort(np.concatenate(places), kind="stable")]
