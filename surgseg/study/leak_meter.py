"""The leak meter: the same training on several splits, each scored on its own test part and on shared frames."""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from surgseg.console import PARTIAL, seed_everything
from surgseg.data.cache import open_cache
from surgseg.data.dataset import Prepared
from surgseg.data.leaks import near_copies
from surgseg.data.splits import SPLIT_NAMES, Split, make_split
from surgseg.evaluation import evaluate_samples
from surgseg.files import UserError, check_folder, write_json
from surgseg.scores.report import heading, leak_block
from surgseg.training import options
from surgseg.training.fit import Fitted, Machine, finish, fit

REFERENCE = "video"  # what all are measured against


def run_leak_meter(args: argparse.Namespace, prepared: Prepared, machine: Machine, record: dict[str, Any]) -> int:
    """Train `args.arch` on each of `args.splits` and on the video-wise one, compare, write leak_meter.json.

    `record` is the run's metadata. Returns the exit status. Raises `UserError` for splits that cannot be made.
    """
    names = list(dict.fromkeys([*args.splits, REFERENCE]))
    unknown = [name for name in names if name not in SPLIT_NAMES]
    if unknown:
        raise UserError(f"--splits {unknown[0]}: use {', '.join(SPLIT_NAMES)}")
    check_folder(args.output_dir)
    made = [make_split(prepared.samples, name=name, seed=args.seed) for name in names]
    levelled = level_splits(made, prepared.samples, args.seed)
    fitted = []
    for split in levelled:
        fitted.append(_train(args, prepared, split, machine, record))
        if fitted[-1].stopped:
            return PARTIAL
    if machine.processes.first:
        _compare(args, prepared, levelled, fitted, machine, record)
    return 0


def _train(args: argparse.Namespace, prepared: Prepared, split: Split, machine: Machine, record: dict) -> Fitted:
    """The run of one split."""
    print(heading(f"SPLIT {split.name.upper()}: {len(split.parts['train'])} frames train"))
    seed_everything(args.seed)
    plan, settings = options.plan_and_settings(args)
    fitted = fit(
        prepared,
        split,
        plan,
        settings,
        machine,
        weights_path=args.output_dir / f"split_{split.name}_model.pth",
        history_path=args.output_dir / f"split_{split.name}_history.csv",
        record=record,
        resume="may",
    )
    if fitted.stopped:
        print(f"Stopped early ({fitted.stopped}); the same command goes on where it can.")
    elif machine.processes.first:
        finish(fitted)
    return fitted


def _compare(args, prepared: Prepared, levelled: list[Split], fitted: list[Fitted], machine: Machine, record) -> None:
    """Score every model on its own test part and on the frames it shares with the video-wise one; print and write."""

    def score(run: Fitted, indices, name: str) -> dict[str, Any]:
        samples = [prepared.samples[index] for index in indices]
        path = args.output_dir / f"split_{name}_metrics.json"
        return evaluate_samples(
            run.checkpoint, samples, machine.device, batch_size=args.batch_size, metrics_path=path, void=args.void,
            data=prepared.data, run=record,
        )  # fmt: skip

    cache = open_cache(prepared.samples, fitted[0].checkpoint.image_size, prepared.scheme, args.cache_dir)
    reference, video_wise = next(pair for pair in zip(levelled, fitted) if pair[0].name == REFERENCE)
    rows = []
    for split, run in zip(levelled, fitted):
        own = score(run, split.parts["test"], split.name)
        row = {
            "split": split.name,
            "train_frames": len(split.parts["train"]),
            "test_frames": len(split.parts["test"]),
            "shared_videos": shared_videos(split, prepared.samples),
            "near_copies": near_copies(cache.frames, split.parts, cache.names).count,
            **{key: own["mean_instrument"][key] for key in ("iou", "dice")},
        }
        common = held_out_by_both(split, reference)
        if split.name != REFERENCE and len(common):
            own_there = score(run, common, f"{split.name}_on_common")
            video_wise_there = score(video_wise, common, f"{split.name}_on_common_{REFERENCE}")
            row["paired"] = paired_difference(own_there, video_wise_there)
        rows.append(row)
    result = {"reference": REFERENCE, "splits": rows, "data": prepared.data}
    path: Path = args.output_dir / "leak_meter.json"
    write_json(path, {**result, "run": record})
    print(leak_block(result))
    print(f"\nWritten:\n  {path}\n  {args.output_dir}/split_*: weights, histories, metrics")


def level_splits(splits: list[Split], samples: list, seed: int) -> list[Split]:
    """The same splits with equally many training frames and no validation part, so that only the division differs.

    Validation frames train, on a fixed schedule; what is more than the smallest of the training parts is left out at
    random. Raises `UserError` where a split tests on nothing.
    """
    pools = [np.sort(np.concatenate([split.parts["train"], split.parts["val"]])) for split in splits]
    smallest = min(len(pool) for pool in pools)
    levelled = []
    for split, pool in zip(splits, pools):
        if not len(split.parts["test"]):
            raise UserError(f"split {split.name!r} has no test part, so there is nothing to compare")
        chosen = np.random.default_rng([seed, 2]).choice(len(pool), smallest, replace=False)
        parts = {"train": pool[np.sort(chosen)], "val": pool[:0], "test": split.parts["test"]}
        assignment = {samples[index].name: part for part, indices in parts.items() for index in indices}
        levelled.append(Split(split.name, "frame", dict(sorted(assignment.items())), parts))
    return levelled


def shared_videos(split: Split, samples: list) -> int:
    """How many videos of the test part also train."""
    train, test = ({samples[index].video for index in split.parts[part]} for part in ("train", "test"))
    return len(train & test)


def held_out_by_both(first: Split, second: Split) -> np.ndarray:
    """Indices of the test frames of `second` that neither split trains on and `first` tests on too."""
    return np.intersect1d(first.parts["test"], second.parts["test"])


def paired_difference(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Metrics of two models on the same frames -> first minus second: pooled, and by video with mean and SD."""
    by_video = {
        video: row["iou"] - second["per_video"][video]["iou"]
        for video, row in first["per_video"].items()
        if _defined(row["iou"]) and _defined(second["per_video"][video]["iou"])
    }
    values = list(by_video.values())
    return {
        "frames": first["frames"],
        "iou": [metrics["mean_instrument"]["iou"] for metrics in (first, second)],
        "dice": [metrics["mean_instrument"]["dice"] for metrics in (first, second)],
        "iou_difference": first["mean_instrument"]["iou"] - second["mean_instrument"]["iou"],
        "by_video": by_video,
        "video_mean": statistics.mean(values) if values else None,
        "video_sd": statistics.stdev(values) if len(values) > 1 else None,
    }


def _defined(value: float | None) -> bool:
    return value is not None and value == value
