"""The leak meter: train one model on several splits and compare their scores."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from surgseg.console import PARTIAL, seed_everything
from surgseg.data.cache import open_cache
from surgseg.data.dataset import Prepared
from surgseg.data.leaks import near_copies, with_true_masks
from surgseg.data.splits import SPLIT_NAMES, Split, make_split
from surgseg.evaluation.samples import evaluate_samples
from surgseg.files import UserError, check_folder, write_json
from surgseg.scores.intervals import mean_interval
from surgseg.scores.report import heading, number
from surgseg.training.config import ModelConfig, TrainConfig
from surgseg.training.fit import TrainedRun, finish, fit
from surgseg.training.machine import Machine

REFERENCE = "video"  # the split that all others are compared with


def run_leak_meter(
    names: list[str],
    model: ModelConfig,
    train: TrainConfig,
    prepared: Prepared,
    machine: Machine,
    record: dict[str, Any],
    *,
    void: str,
    output_dir: Path,
) -> int:
    """Train the model on each split of `names` and on the split by video, compare, write leak_meter.json.

    `record` is the run's metadata. Returns the exit status. Raises `UserError` for splits that are not possible.
    """
    names = list(dict.fromkeys([*names, REFERENCE]))
    for name in names:
        if name not in SPLIT_NAMES:
            raise UserError(f"--splits {name}: use {', '.join(SPLIT_NAMES)}")
    check_folder(output_dir)
    made = (make_split(prepared.samples, name=name, seed=train.seed) for name in names)
    made = [with_true_masks(split, prepared.samples) for split in made]
    splits = level_splits(made, prepared.samples, train.seed)
    runs = []
    for split in splits:
        runs.append(_train_split(split, model, train, prepared, machine, record, output_dir))
        if runs[-1].stopped:
            return PARTIAL
    if machine.processes.first:
        result = _compare(splits, runs, prepared, machine, record, runs[0].batch_size, void, output_dir)
        write_json(output_dir / "leak_meter.json", {**result, "run": record})
        print(leak_block(result))
        print(f"\nWritten:\n  {output_dir / 'leak_meter.json'}\n  {output_dir}/split_*: weights, histories, metrics")
    return 0


def _train_split(
    split: Split, model: ModelConfig, train: TrainConfig, prepared: Prepared, machine: Machine, record, folder: Path
) -> TrainedRun:
    print(heading(f"SPLIT {split.name.upper()}: {len(split.parts['train'])} training frames"))
    seed_everything(train.seed)
    run = fit(
        prepared,
        split,
        model,
        train,
        machine,
        weights_path=folder / f"split_{split.name}_model.pth",
        history_path=folder / f"split_{split.name}_history.csv",
        record=record,
        resume="may",
    )
    if run.stopped:
        print(f"Stopped early ({run.stopped}); the same command continues it if possible.")
    elif machine.processes.first:
        finish(run)
    return run


def _compare(
    splits: list[Split], runs: list[TrainedRun], prepared: Prepared, machine: Machine, record, batch_size, void, folder
) -> dict[str, Any]:
    """Score each model on its own test part, and on the part of it that the split by video tests on too."""

    def score(run: TrainedRun, indices, name: str) -> dict[str, Any]:
        samples = [prepared.samples[index] for index in indices]
        path = folder / f"split_{name}_metrics.json"
        return evaluate_samples(
            run.checkpoint, samples, machine.device, batch_size=batch_size, metrics_path=path, void=void,
            prepared=prepared, part="test", run=record,
        )  # fmt: skip

    trained = runs[0].checkpoint
    cache = open_cache(prepared.samples, trained.image_size, prepared.scheme, machine.cache_dir, trained.view)
    reference, reference_run = next(pair for pair in zip(splits, runs) if pair[0].name == REFERENCE)
    rows = []
    for split, run in zip(splits, runs):
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
            scores = score(run, common, f"{split.name}_on_common")
            reference_scores = score(reference_run, common, f"{split.name}_on_common_{REFERENCE}")
            row["paired"] = difference_of_metrics(scores, reference_scores)
        rows.append(row)
    return {"reference": REFERENCE, "splits": rows, "data": prepared.data}


def level_splits(splits: list[Split], samples: list, seed: int) -> list[Split]:
    """Return the splits with equally many training frames and no validation part, so that only the division differs.

    Validation frames are added to training. Larger training parts are reduced at random to the size of the smallest.
    Raises `UserError` for a split without a test part.
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
    """Return how many videos of the test part are also in the training part."""
    train, test = ({samples[index].video for index in split.parts[part]} for part in ("train", "test"))
    return len(train & test)


def held_out_by_both(first: Split, second: Split) -> np.ndarray:
    """Return the indices of the frames that are in the test parts of both splits."""
    return np.intersect1d(first.parts["test"], second.parts["test"])


def difference_of_metrics(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return first minus second of two models' metrics on the same frames: pooled, and by video with mean and SD."""
    differences = {video: row["iou"] - second["per_video"][video]["iou"] for video, row in first["per_video"].items()}
    by_video = {video: value for video, value in differences.items() if not math.isnan(value)}
    found = mean_interval(by_video.values())
    return {
        "frames": first["frames"],
        "iou": [metrics["mean_instrument"]["iou"] for metrics in (first, second)],
        "dice": [metrics["mean_instrument"]["dice"] for metrics in (first, second)],
        "iou_difference": first["mean_instrument"]["iou"] - second["mean_instrument"]["iou"],
        "by_video": by_video,
        "video_mean": found["mean"],
        "video_sd": found["sd"],
    }


def leak_block(result: dict[str, Any]) -> str:
    """Return the printed table, and the comparison of each split with the reference."""
    reference = next(row for row in result["splits"] if row["split"] == result["reference"])
    columns = f"{'Split':<10}{'Train':>7}{'Test':>7}{'Shared videos':>15}{'Near copies':>13}{'IoU':>9}{'Dice':>9}"
    lines = [heading("LEAK METER"), columns]
    for row in result["splits"]:
        lines.append(
            f"{row['split']:<10}{row['train_frames']:>7}{row['test_frames']:>7}{row['shared_videos']:>15}"
            f"{row['near_copies']:>13}{number(row['iou'], '9.4f')}{number(row['dice'], '9.4f')}"
        )
    lines.append("Near copies: test frames that look like a training frame. Each model on its own test part.")
    for row in result["splits"]:
        if row is not reference:
            lines += ["", *_leak_lines(row, reference)]
    return "\n".join(lines)


def _leak_lines(row: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    name, other = row["split"], reference["split"]
    own = f"{name} against {other}, each on its own test part: IoU {number(row['iou'] - reference['iou'], '+.4f')}"
    pair = row.get("paired")
    if pair is None:
        return [own, "  no frame is in both test parts, so there are no paired numbers"]
    first, second = pair["iou"]
    lines = [
        own,
        f"  on the {pair['frames']} frames in both test parts: {number(first, '.4f')} and {number(second, '.4f')}, "
        f"difference {number(pair['iou_difference'], '+.4f')}",
        "  by video: " + ", ".join(f"{video} {number(value, '+.4f')}" for video, value in pair["by_video"].items()),
    ]
    if pair["video_sd"] is not None:
        count = len(pair["by_video"])
        lines.append(f"  mean of {count} videos {pair['video_mean']:+.4f}, SD {pair['video_sd']:.4f}; one seed")
    return lines
