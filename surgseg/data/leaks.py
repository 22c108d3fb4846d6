"""Find leaks from training into held-out frames: videos in several parts, frames that look alike, masks
that a model predicted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from surgseg.data.likeness import BITS, BLIND, NEAR, frame_hashes, nearest
from surgseg.data.splits import PARTS, Split
from surgseg.files import UserError, list_some, natural_key
from surgseg.predicted import WHAT_TO_DO

SHARING = ("random", "time", "review")  # splits that divide videos on purpose
HELD_OUT = PARTS[1:]
EXAMPLES = 3  # pairs named in the warning


@dataclass(frozen=True)
class NearCopies:
    """How many held-out frames look like a training frame.

    `count` of `compared` val and test frames have a near copy in train; `by_part` counts them per part. `blank` frames
    (of any part) were not compared. `examples` are the closest pairs: (held-out name, train name, bits that differ).
    """

    count: int
    compared: int
    by_part: dict[str, int]
    blank: int
    examples: list[tuple[str, str, int]]


def check_videos(split: Split, samples: list, *, allow_shared: bool = False) -> None:
    """Raise `UserError` if frames of one video are in several parts.

    The splits of SHARING do that on purpose. A manifest or a splits file that is keyed by frame may do it
    if `allow_shared` is true (the option --allow-shared-videos).
    """
    if split.name in SHARING or (allow_shared and split.by == "frame"):
        return
    found = defaultdict(list)
    for part in PARTS:
        for video in {samples[index].video for index in split.parts[part]}:
            found[video].append(part)
    shared = sorted((video for video, parts in found.items() if len(parts) > 1), key=natural_key)
    if shared:
        shown = list_some(f"{video} ({', '.join(found[video])})" for video in shared)
        anyway = ", or --allow-shared-videos to train all the same" if split.by == "frame" else ""
        raise UserError(
            f"split {split.name!r} puts frames of one video into several parts, so its scores would measure memory: "
            f"{shown}; use --split video{anyway}"
        )


def with_true_masks(split: Split, samples: list) -> Split:
    """Leave predicted masks out of val and test: nothing is scored against a model's own output.

    Raises `UserError` if no true mask is left there.
    """
    parts = {part: [i for i in split.parts[part] if not samples[i].predicted] for part in HELD_OUT}
    left_out = [samples[i].name for part in HELD_OUT for i in split.parts[part] if samples[i].predicted]
    if left_out and not any(parts.values()):
        raise UserError(
            f"split {split.name!r}: all {len(left_out)} masks of the val and test parts are predictions of a model "
            f"({list_some(left_out, 2)}), so there is no truth to score on: {WHAT_TO_DO}"
        )
    kept = {part: np.array(indices, dtype=np.int64) for part, indices in parts.items()}
    return replace(split, parts={**split.parts, **kept}, left_out=tuple(left_out))


def true_samples(samples: list) -> list:
    """Return the samples whose mask is no prediction. Print how many are left out; raise `UserError` if all are."""
    true = [sample for sample in samples if not sample.predicted]
    if not true:
        raise UserError(f"all {len(samples)} masks are predictions of a model, not truth: {WHAT_TO_DO}")
    if len(true) < len(samples):
        print(f"{len(samples) - len(true)} of {len(samples)} masks are predictions of a model: they are not scored")
    return true


def near_copies(
    frames: np.ndarray, parts: dict[str, np.ndarray], names: list[str], *, distance: int = NEAR
) -> NearCopies:
    """Compare every val and test frame with every train frame.

    `frames` (N, H, W, 3) uint8 RGB, `parts` the indices of each part, `names` the N frames' names. Two frames are
    near copies if at most `distance` bits of their hashes differ, in any orientation (`likeness`: what it cannot see).
    """
    hashes = {part: frame_hashes(frames, parts[part]) for part in PARTS}
    train, train_indices = hashes["train"]
    by_part, pairs = {}, []
    for part in HELD_OUT:
        held_out, indices = hashes[part]
        differing, copies = nearest(held_out, train)
        near = np.flatnonzero(differing <= distance)
        by_part[part] = len(near)
        pairs += [(int(differing[i]), int(indices[i]), int(train_indices[copies[i]])) for i in near]
    return NearCopies(
        count=len(pairs),
        compared=sum(len(hashes[part][1]) for part in HELD_OUT),
        by_part=by_part,
        blank=sum(len(parts[part]) - len(hashes[part][1]) for part in PARTS),
        examples=[(names[index], names[copy], bits) for bits, index, copy in sorted(pairs)[:EXAMPLES]],
    )


def describe_near_copies(found: NearCopies) -> str | None:
    """The warning to print; None if no held-out frame has a near copy in train."""
    if not found.count:
        return None
    per_part = ", ".join(f"{part} {count}" for part, count in found.by_part.items())
    shown = "; ".join(f"{name} and {copy} ({bits} of {BITS} bits differ)" for name, copy, bits in found.examples)
    blank = f" ({found.blank} blank left out)" if found.blank else ""
    return (
        f"  WARNING: {found.count} of {found.compared} held-out frames ({per_part}) have a near copy in train{blank},\n"
        f"  so scores on them measure memory. Closest: {shown}.\n"
        f"  {BLIND}.\n"
        "  Divide by video, and keep a recording that has two names in one part (--val-videos, --test-videos)."
    )
