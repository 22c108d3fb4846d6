"""Figures of a comparison of architectures, from `comparison.json` and the runs' histories."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FormatStrFormatter, MaxNLocator

from models import ARCHITECTURES
from surgseg.figures.style import GRAY, fit_names, mark_synthetic, new_figure, save_figure
from surgseg.files import natural_key
from surgseg.study.comparison import compared_models
from surgseg.study.sentences import (
    difference_sentences,
    improvement_sentence,
    ranking_sentence,
    scored_sentence,
    single_run_sentence,
    unfinished,
    warning_sentences,
)

UNITS = ((7200.0, 3600.0, "h"), (300.0, 60.0, "min"), (0.0, 1.0, "s"))  # (used from, seconds per unit, name)
LOG_FROM = 15  # above this ratio of training times the axis is logarithmic, so that the shorter one stays visible
WIDTH = 7.0  # inches


def colour_of(model: str) -> tuple[float, float, float]:
    """The colour of a model's architecture; lighter for a random start of an architecture with pretrained weights."""
    compared = compared_models()[model]
    colour = np.array(to_rgb(ARCHITECTURES[compared.arch].colour))
    return tuple(0.45 * colour + 0.55 if compared.scratch else colour)


def marker_of(model: str) -> str:
    return "osD^v<>PX"[list(compared_models()).index(model) % 9]


def draw_training(
    comparison: dict[str, Any],
    histories: dict[str, list[dict]],
    path: Path,
    *,
    note: str = "",
    problems: list[str] | None = None,
) -> Path:
    """Draw the loss and, with a validation part, its IoU: above against epochs, below against training time.

    `histories` are the history JSONs of each model's runs. Several runs are thin lines, and their mean a thick line.
    `problems` name the missing histories.
    """
    all_runs = [run for runs in histories.values() for run in runs]
    columns = {"loss": {"train_loss": "-", "val_loss": "--"}}
    validated = any(_has_values(run, "val_iou") for run in all_runs)
    if validated:
        columns["validation IoU"] = {"val_iou": "-"}
    durations = [_seconds(run)[-1] for run in all_runs]
    scale, unit = _time_unit(max(durations))
    rows = {"epoch": _epochs, f"training time ({unit})": lambda run: _seconds(run) / scale}
    figure, axes = new_figure(2, len(columns), size=(WIDTH if validated else 4.6, 5.6))
    for row, (x_label, x_of) in zip(axes, rows.items()):
        for axis, (y_label, curves) in zip(row, columns.items()):
            for model, runs in histories.items():
                for key, line in curves.items():
                    _curves(axis, model, runs, x_of, key, line)
            top = axis.get_ylim()[1]
            low, top = (-0.03, 1.03) if y_label == "validation IoU" else (-0.03 * top, 1.04 * top)
            axis.set(xlabel=x_label, ylabel=y_label, ylim=(low, top))  # markers at zero are not cut off
    if max(durations) > LOG_FROM * min(durations):
        for axis in axes[1]:
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    for axis in axes[0]:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if max(len(run["epochs"]) for run in all_runs) == 1:
            axis.set_xlim(0.5, 1.5)
    _legend(figure, [model for model in compared_models() if model in histories], comparison, dashed=validated)
    texts = [f"Not shown: {'; '.join(problems)}."] if problems else []
    texts += [improvement_sentence(comparison["models"][model]) for model in histories]
    if any(len(row["runs"]) > 1 for row in comparison["models"].values()):
        texts.append("Thin lines are single runs, thick ones their mean.")
    _caption_and_mark(figure, comparison, [*texts, note])
    return save_figure(figure, path)


def _has_values(run: dict[str, Any], key: str) -> bool:
    return any(row.get(key) is not None for row in run["epochs"])


def _epochs(run: dict[str, Any]) -> np.ndarray:
    return np.array([row["epoch"] for row in run["epochs"]])


def _seconds(run: dict[str, Any]) -> np.ndarray:
    """Seconds from the start to the end of each epoch, with validation."""
    return np.cumsum([row["seconds"] for row in run["epochs"]])


def _time_unit(longest: float) -> tuple[float, str]:
    return next((scale, name) for least, scale, name in UNITS if longest >= least)


def _curves(axis, model: str, runs: list[dict], x_of, key: str, line: str) -> None:
    """Draw a model's curve; several runs as thin lines, with their mean if all have the same number of epochs."""
    runs = [run for run in runs if _has_values(run, key)]
    several = len(runs) > 1
    points = []
    for run in runs:
        x, y = x_of(run), np.array([row.get(key) for row in run["epochs"]], float)  # None becomes NaN
        points.append((x, y))
        style = {"lw": 0.6, "alpha": 0.45} if several else _single_style(model, len(y), line)
        axis.plot(x, y, line, color=colour_of(model), **style)
    if several and len({len(y) for _, y in points}) == 1:
        x, y = (np.mean(values, axis=0) for values in zip(*points))
        axis.plot(x, y, line, color=colour_of(model), **_single_style(model, len(y), line))


def _single_style(model: str, count: int, line: str) -> dict[str, Any]:
    """Markers tell the models apart, and hollow ones mark validation: after one epoch there is no line to see."""
    hollow = {"mfc": "white"} if line == "--" else {}
    return {"marker": marker_of(model), "ms": 3, "markevery": max(1, count // 15), **hollow}


def _legend(figure, models: list[str], comparison: dict[str, Any], *, dashed: bool) -> None:
    labels = {model: comparison["models"][model]["label"] for model in models}
    handles = [Line2D([], [], color=colour_of(m), marker=marker_of(m), ms=4, label=labels[m]) for m in models]
    if dashed:
        handles += [
            Line2D([], [], color=GRAY, ls=line, marker="o", ms=4, mfc=fill, label=name)
            for line, fill, name in (("-", GRAY, "training"), ("--", "white", "validation"))
        ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3 if dashed else 1, handlelength=1.6, fontsize=8.5)


def draw_final(comparison: dict[str, Any], path: Path, *, note: str = "") -> Path:
    """Draw scores (bars; single runs as dots), costs of each model and, for two or more videos, the IoU by video."""
    rows = comparison["models"]
    by_video = {model: video_scores(row) for model, row in rows.items()}
    videos = sorted({video for scores in by_video.values() for video in scores}, key=natural_key)
    several_videos = len(videos) > 1
    names = fit_names(videos, 20)
    upright = sum(len(name) + 2 for name in names) >= 70
    heights = [2.5, 0.75 + 0.36 * len(rows)] + [3.3 if upright else 2.3] * several_videos
    figure, _ = new_figure(size=(WIDTH, sum(heights) + 1.5))
    figure.clear()
    grid = figure.add_gridspec(len(heights), 3, height_ratios=heights)
    _score_bars(figure.add_subplot(grid[0, :]), rows)
    _cost_panels([figure.add_subplot(grid[1, column]) for column in range(3)], rows)
    if several_videos:
        axis = figure.add_subplot(grid[2, :])
        _draw_by_video(axis, by_video, videos)
        axis.set_xticks(range(len(videos)), names, rotation=90 * upright, fontsize=8 if len(videos) < 30 else 6)
    _bar_legend(figure, rows)
    pairs = [pair for pair in comparison["differences"] if pair["runs"]]
    texts = [scored_sentence(comparison), *warning_sentences(comparison)]
    texts += [" ".join(difference_sentences(pair, rows)) for pair in pairs]
    texts += [
        ranking_sentence(comparison),
        single_run_sentence(comparison),
        *(improvement_sentence(row) for row in rows.values()),
    ]
    _caption_and_mark(figure, comparison, [*texts, note])
    return save_figure(figure, path)


def video_scores(row: dict[str, Any]) -> dict[str, float]:
    """IoU of each video: the mean over the runs that test on it, without undefined values."""
    found: dict[str, list[float]] = {}
    for run in row["runs"]:
        for video, scores in run["per_video"].items():
            if scores["iou"] is not None:
                found.setdefault(video, []).append(scores["iou"])
    return {video: sum(values) / len(values) for video, values in found.items()}


def _bar_legend(figure, rows: dict[str, dict]) -> None:
    handles = [
        Patch(color=colour_of(model), label=f"{row['label']} ({'pretrained' if row['pretrained'] else 'random start'})")
        for model, row in rows.items()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, handlelength=1.2, fontsize=8.5)


def _score_bars(axis, rows: dict[str, dict]) -> None:
    keys = {"iou": "IoU", "dice": "Dice", "accuracy": "pixel accuracy"}
    width = min(0.8 / len(rows), 0.4)
    for index, (model, row) in enumerate(rows.items()):
        centres = np.arange(len(keys)) + (index - (len(rows) - 1) / 2) * width
        for centre, key in zip(centres, keys):
            value, dots = row[key], []
            if len(row["runs"]) > 1:
                dots = [run[key] for run in row["runs"] if run[key] is not None]
            axis.bar(centre, value or 0, 0.92 * width, color=colour_of(model))
            text = "n/a" if value is None else f"{value:.4f}"
            axis.text(centre, max([value or 0, *dots]) + 0.03, text, ha="center", va="bottom", fontsize=8)
            places = centre + np.linspace(-0.25, 0.25, len(dots)) * width
            axis.plot(places, dots, "o", ms=3.5, mfc="white", mec="black", mew=0.7)
    axis.set_xticks(range(len(keys)), keys.values())
    axis.set_yticks(np.linspace(0, 1, 6))
    axis.grid(False, axis="x")
    several = max(len(row["runs"]) for row in rows.values()) > 1
    axis.set(ylim=(0, 1.15), ylabel="score", title="Mean of the runs (dots: single runs)" if several else "Scores")


def _cost_panels(axes, rows: dict[str, dict]) -> None:
    scale, unit = _time_unit(max(row["training_seconds"] or 0 for row in rows.values()))
    panels = (
        ("Parameters (millions)", "parameters", 1e6),
        (f"Training time ({unit})", "training_seconds", scale),
        ("Prediction (ms per frame)", "ms_per_frame", 1),
    )
    for axis, (title, key, divisor) in zip(axes, panels):
        values = np.array([row[key] for row in rows.values()], float) / divisor  # None becomes NaN
        lengths = np.nan_to_num(values)
        axis.barh(range(len(values)), lengths, height=0.7, color=[colour_of(model) for model in rows])
        top = max(lengths) or 1
        for index, value in enumerate(values):
            text = "n/a" if np.isnan(value) else f"{value:,.{2 if value < 100 else 0}f}"
            axis.text(lengths[index] + 0.03 * top, index, text, va="center", fontsize=8)
        axis.set(xlim=(0, 1.32 * top), ylim=(len(values) - 0.4, -0.6), yticks=[])
        axis.xaxis.set_major_locator(MaxNLocator(3))
        axis.set_xlabel(title, fontsize=9)
        axis.tick_params(axis="x", labelsize=8)


def _draw_by_video(axis, by_video: dict[str, dict[str, float]], videos: list[str]) -> None:
    """Draw the models' markers side by side for each video, joined by a line."""
    step = 0.5 / len(by_video)
    shifts = {model: (index - (len(by_video) - 1) / 2) * step for index, model in enumerate(by_video)}
    for index, video in enumerate(videos):
        points = [(index + shifts[model], scores[video]) for model, scores in by_video.items() if video in scores]
        axis.plot(*zip(*points), color=GRAY, lw=1.0, zorder=1)
    for model, scores in by_video.items():
        x = [index + shifts[model] for index, video in enumerate(videos) if video in scores]
        y = [scores[video] for video in videos if video in scores]
        axis.plot(x, y, marker_of(model), ms=6 if len(videos) < 20 else 4, color=colour_of(model))
    axis.grid(False, axis="x")
    axis.set(xlim=(-0.6, len(videos) - 0.4), ylim=(0, 1.03), ylabel="IoU")
    axis.set_title("IoU by video" + (", the same frames for each model" if len(by_video) > 1 else ""))


def _caption_and_mark(figure, comparison: dict[str, Any], texts: list[str]) -> None:
    """Write the caption under the panels, unfinished runs first, and the mark of synthetic data."""
    lines = [text for text in [unfinished(comparison), *texts] if text]
    width = int(figure.get_size_inches()[0] * 15.5)
    caption = "\n".join(textwrap.fill(line, width) for line in lines)
    if caption:
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=8)
    if comparison.get("data") == "synthetic":
        mark_synthetic(figure)
