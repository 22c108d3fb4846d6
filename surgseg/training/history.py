"""The history of a training: the file of its epochs, and their total time and speed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from surgseg.files import write_csv, write_json
from surgseg.training.loop import HISTORY_FIELDS


def write_history(path: Path, history: list[dict], facts: dict[str, Any]) -> None:
    """Write the epochs as a CSV table, or as JSON that begins with `facts` if the name ends in .json."""
    if path.suffix == ".json":
        write_json(path, {**facts, "epochs": history})
    else:
        write_csv(path, HISTORY_FIELDS, history)


def training_seconds(history: list[dict]) -> float:
    """Seconds of all epochs, with validation and writing."""
    return sum(row["seconds"] for row in history)


def images_per_s(history: list[dict]) -> float | None:
    """Frames trained on per second, over all epochs."""
    seconds = training_seconds(history)
    return sum(row["images_per_s"] * row["seconds"] for row in history) / seconds if seconds else None
