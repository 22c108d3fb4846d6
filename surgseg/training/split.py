"""The split of a training: choose it by the options, check it, describe it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from surgseg.data.leaks import check_videos, with_true_masks
from surgseg.data.splits import SPLIT_NAMES, Split, make_split, video_folds
from surgseg.data.videos import warn_of_divided
from surgseg.files import UserError, list_some
from surgseg.labels import VOID, Scheme
from surgseg.masks import count_codes
from surgseg.training.mixing import with_mixed


@dataclass(frozen=True)
class SplitConfig:
    """How frames are divided: by `split`, by `folds`, by the named videos, or (all None) by the default.

    `split` is one of `SPLIT_NAMES` or a splits.json. `folds` is a number of folds, or "videos"; `fold` is one of them,
    from 1, or None for all. `allow_shared_videos` accepts a splits file or manifest with a video in several parts.
    """

    split: str | None = None
    val_videos: list[str] | None = None
    test_videos: list[str] | None = None
    folds: str | None = None
    fold: int | None = None
    allow_shared_videos: bool = False
    seed: int = 0


def choose_split(config: SplitConfig, samples: list) -> Split:
    """Return the split of `samples`; that of the first fold if `config` asks for all folds.

    Raises `UserError` for contradictory options, if one video is in several parts, and if only predicted masks would be
    scored, and if frames of an audit would train.
    """
    if config.fold is not None and not config.folds:
        raise UserError("--fold chooses one of --folds K or --folds videos: give that too")
    if sum(map(bool, (config.split, config.folds, config.val_videos or config.test_videos))) > 1:
        raise UserError("give one of --split, --folds [--fold], --val-videos/--test-videos")
    if config.split and config.split not in SPLIT_NAMES and not config.split.endswith(".json"):
        raise UserError(f"--split {config.split}: use {', '.join(SPLIT_NAMES)} or a .json file")
    own = [sample for sample in samples if sample.role != "mixed"]  # the mixed ones come last
    split = make_split(
        own,
        name=config.split,
        val_videos=config.val_videos,
        test_videos=config.test_videos,
        folds=config.folds,
        fold=1 if config.fold is None else config.fold,
        seed=config.seed,
    )
    audit = [own[index].name for index in split.parts["train"] if own[index].role == "audit"]
    if audit:
        raise UserError(
            f"split {split.name!r} would train on {len(audit)} frames of the audit ({list_some(audit, 2)}), which are "
            "there to say how good a model is: leave out --split, --folds, --val-videos and --test-videos"
        )
    if any(sample.role == "audit" for sample in own):
        split = replace(split, name="review")
    split = with_mixed(split, samples) if len(own) < len(samples) else split
    check_videos(split, samples, allow_shared=config.allow_shared_videos)
    return with_true_masks(split, samples)


def choose_folds(config: SplitConfig, samples: list) -> dict[int | None, Split]:
    """Return the split of each fold by its number. Without folds, or with one chosen fold, there is one split."""
    if not config.folds or config.fold is not None:
        return {config.fold: choose_split(config, samples)}
    count = len(video_folds([sample for sample in samples if sample.role != "mixed"], config.folds))
    return {fold: choose_split(replace(config, fold=fold), samples) for fold in range(1, count + 1)}


def pseudo_labels(split: Split, samples: list) -> int:
    """Return how many training masks are predictions of a model."""
    return sum(samples[index].predicted for index in split.parts["train"])


def describe_split(split: Split, samples: list) -> str:
    """Return the frames and videos of each part as text, with a warning if the split leaks."""
    lines = [f"Split: {split.name} (hash {split.hash})"]
    for part, indices in split.parts.items():
        videos = list(dict.fromkeys(samples[index].video for index in indices))
        shown = ", ".join(videos[:8]) + (", ..." if len(videos) > 8 else "")
        lines.append(f"  {part:<6}{len(indices):>7} frames, {len(videos):>3} videos  {shown}")
    if pseudo := pseudo_labels(split, samples):
        count = len(split.parts["train"])
        lines.append(f"  {pseudo} of {count} training masks are predictions of a model (pseudo-labels)")
    if split.left_out:
        lines.append(f"  {len(split.left_out)} frames of val and test are left out: a model predicted their masks")
    if split.leaks:
        lines.append(
            "  WARNING: this split puts frames of one video into several parts; neighbouring frames are near-copies,\n"
            "  so its scores say little about an unseen operation. Use --split video for that."
        )
    divided = warn_of_divided(split.assignment) if split.by == "video" else ""
    return "\n".join([*lines, divided] if divided else lines)


def check_labels(masks: np.ndarray, split: Split, scheme: Scheme) -> str:
    """Return warnings about the labels of the training part as text; "" if there are none.

    `masks` (N, H, W) uint8 are the class ids of all samples. Raises `UserError` if there is nothing to learn: no
    labelled pixel in the training part, or no instrument.
    """
    train = split.parts["train"]
    counts = sum((count_codes(masks[index]) for index in train), np.zeros(256, np.int64))
    labelled, frames = counts[: scheme.num_classes].sum(), f"the training part ({len(train)} frames)"
    advice = "look at the codes and the WARNING of the preparation (audit.json), or train on other videos"
    if not labelled:
        raise UserError(f"every pixel of {frames} is void (255, no label), so there is nothing to learn: {advice}")
    if not counts[scheme.instrument_ids].any():
        raise UserError(f"no pixel of {frames} is an instrument, so there is nothing to learn: {advice}")
    missing = [item.name for item in scheme.classes if not counts[item.id]]
    lines = [f"  WARNING: no pixel of {frames} is {list_some(missing)}."] if missing else []
    if counts[VOID] > labelled:
        lines.append(f"  WARNING: {counts[VOID] / counts.sum():.1%} of {frames} is void (no label).")
    return "\n".join(lines)
