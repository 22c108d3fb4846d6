"""The scores of a set of frames, and the metrics JSON and frame table made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from surgseg.files import write_csv, write_json
from surgseg.labels import Scheme
from surgseg.scores.calibration import calibration
from surgseg.scores.conventions import by_convention
from surgseg.scores.metrics import class_frame_metrics, frame_confusion, frame_coverage, frame_metrics, summarise
from surgseg.scores.surface import frame_surfaces


@dataclass(frozen=True)
class Scored:
    """The scores of N frames: `names`, `videos`, `counts` (N, K + 1, K), `frames` with (N,) float for each
    score of `score_frame`, and how `void` was treated: "ignore" or "background". Where probabilities are known,
    `levels` (N, 2, 256) are their `count_probabilities`, and `uncertainty` is (N,). `traits` are those of
    `scores_by_stratum`, `unknown` says why one is not known."""

    names: list[str]
    videos: list[str]
    counts: np.ndarray
    frames: dict[str, np.ndarray]
    void: str
    levels: np.ndarray | None = None
    uncertainty: np.ndarray | None = None
    traits: dict[str, np.ndarray] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, names: list[str], videos: list[str], scores: list[tuple[np.ndarray, dict]], void: str) -> Scored:
        """Build it from the `score_frame` of each frame."""
        counts, metrics = zip(*scores)
        frames = {name: np.array([values[name] for values in metrics]) for name in metrics[0]}
        return cls(names, videos, np.stack(counts), frames, void)


def score_frame(
    predicted: np.ndarray, truth: np.ndarray, scheme: Scheme, void: str, tolerances: Sequence[float] = ()
) -> tuple[np.ndarray, dict[str, float]]:
    """Return the (K + 1, K) counts and the scores of two (H, W) uint8 masks of ids. Only `truth` holds void (255).

    The scores are `frame_metrics`, `class_frame_metrics` and, with `tolerances` in pixels, `frame_surfaces`.
    """
    counts = frame_confusion(predicted, truth, scheme.num_classes)
    scores = {**frame_metrics(predicted, truth, scheme, void), **class_frame_metrics(counts, scheme, void)}
    return counts, scores | (frame_surfaces(predicted, truth, scheme, void, tolerances) if tolerances else {})


def metrics_of(scored: Scored, scheme: Scheme, about: dict[str, Any] | None = None, **extra: Any) -> dict[str, Any]:
    """Return the content of the metrics JSON: `summarise`, with the facts of `about`, and `extra` (data, run, ...).

    `strata_unknown` are the reasons of `Scored.unknown`, `conventions` those of `by_convention`, `calibration` (where
    probabilities are known) that of `calibration`.
    """
    found = scored.videos, scored.counts, scored.frames, scheme, scored.void
    metrics = {
        **summarise(*found, about, scored.traits),
        "strata_unknown": scored.unknown,
        "conventions": by_convention(*found),
    }
    if scored.levels is not None:
        metrics["calibration"] = calibration(scored.levels, scored.videos, scored.uncertainty, scored.frames["dice"])
    return {**metrics, **extra}


def write_metrics(path: Path, scored: Scored, scheme: Scheme, metrics: dict[str, Any]) -> None:
    """Write `metrics` to `path` and the table of frames beside it, `<stem>_frames.csv`."""
    scores = {**scored.frames, **frame_coverage(scored.counts, scheme, scored.void), **scored.traits}
    columns = {"name": scored.names, "video": scored.videos}
    for key, values in scores.items():
        names = values.dtype.kind != "f"
        columns[key] = values if names else ["" if np.isnan(value) else f"{value:.6f}" for value in values]
    table = path.with_name(f"{path.stem}_frames.csv")
    write_csv(table, columns, (dict(zip(columns, row)) for row in zip(*columns.values())))
    write_json(path, metrics)
