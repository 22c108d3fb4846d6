"""Comparisons of architectures as `train_comparative.py` leaves them, made of given numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from surgseg.files import write_json
from surgseg.scores.scored import scored_set
from surgseg.study.comparison import assemble, compared_models, improvement, model_row

PARAMETERS = {"unet": 17_263_042, "deeplabv3": 41_994_308, "deeplabv3_scratch": 41_994_308}


def history_of(epochs: int = 6, validated: bool = True, seconds: float = 2.0) -> list[dict]:
    """A curve that flattens: 1 / epoch."""
    rows = [{"epoch": e, "train_loss": 1 / e, "seconds": seconds, "images_per_s": 3.0} for e in range(1, epochs + 1)]
    val = [{"val_loss": 1.1 / e, "val_iou": 0.9 - 0.5 / e} if validated else {} for e in range(1, epochs + 1)]
    return [{**row, **more} for row, more in zip(rows, val)]


def run_of(iou, by_video, *, seed=0, fold=None, folder="", history=None, **more) -> dict:
    """A run's entry; Dice is the IoU + 0.05."""
    history = history or history_of()
    counts = np.array([[[80, 0], [5, 10], [5, 0]]] * 20)
    part = more.get("part", "test")
    split = {"name": "video", "hash": "0123", "by": "video"}
    scored = scored_set(counts, ["a"] * 20, "ignore", part=part, split=split, threshold=0.5)
    return {
        "seed": seed, "fold": fold, "folder": folder, "part": "test", "scored": scored, "iou": iou,
        "dice": None if iou is None else iou + 0.05, "accuracy": 0.98, "frames": 20, "training_seconds": 12.0,
        "images_per_s": 3.0, "peak_memory_mb": 812.4, "peak_memory_of": "process resident", "ms_per_frame": 41.26,
        "device": "cpu", "epochs": len(history), "chosen_epoch": len(history), "learning_rate": 1e-3,
        "improvement": improvement(history), "test_videos": list(by_video),
        "per_video": {video: {"iou": value, "dice": value, "frames": 5} for video, value in by_video.items()}, **more,
    }  # fmt: skip


def comparison_of(runs: dict[str, list[dict]], *, missing=(), data="real", pretrained=()) -> dict:
    """comparison.json of the models' runs."""
    rows = {}
    for model, own in runs.items():
        start = "ImageNet" if model in pretrained else "none (random start)"
        label = compared_models()[model].label
        facts = {"arch": model, "label": label, "pretraining": start, "pretrained": model in pretrained,
                 "parameters": PARAMETERS[model], "plan": {}}  # fmt: skip
        rows[model] = model_row(facts, own)
    header = {"data": data, "split": {"name": "video", "hash": "0123"}, "settings": {"epochs": 6}}
    return assemble(header, rows, list(missing), {})


def write_comparison(folder: Path, comparison: dict, history=None) -> Path:
    """The folder with comparison.json and a history for each run."""
    write_json(folder / "comparison.json", comparison)
    for model, row in comparison["models"].items():
        for run in row["runs"]:
            facts = {"model": model, "seed": run["seed"], "fold": run["fold"]}
            write_json(folder / run["folder"] / f"{model}_history.json", {**facts, "epochs": history or history_of()})
    return folder
