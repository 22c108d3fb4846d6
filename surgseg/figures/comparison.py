"""Figures of a comparison of architectures, from `comparison.json` and the runs' histories."""

from __future__ import annotations

import textwrap
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.ticker import FormatStrFormatter, MaxNLocator

from models import ARCHITECTURES
from surgseg.figures.style import GRAY, mark_synthetic, new_figure, save_figure
from surgseg.files import natural_key
from surgseg.study.comparison import compared_models
from surgseg.study.report import difference_sentences, improvement_sentence, single_run_sentence, unfinished

UNITS = ((7200.0, 3600.0, "h"), (300.0, 60.0, "min"), (0.0, 1.0, "s"))  # from so many seconds on: seconds in one, name
LOG_FROM = 15  # ratio of training times from which the shorter one would vanish on a linear axis
WIDTH = 7.0  # inches


def colour_of(model: str) -> tuple[float, float, float]:
    """The colour of a model's architecture; lighter where it starts from random weights though it has others."""
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
    """Loss and, where there is a validation part, its IoU: above against epochs, below against training time.

    `histories` are the history JSONs of each model's runs; with several runs each is a thin line, their mean a thick
    one. `problems` say which histories are not there.
    """
    validated = any(_history_values(run, "val_iou") for runs in histories.values() for run in runs)
    figure, axes = new_figure(2, 2 if validated else 1, size=(WIDTH if validated else 4.6, 5.6))
    lasted = [_clock(run)[-1] for runs in histories.values() for run in runs]
    _, scale, unit = _unit(max(lasted))
    for model, runs in histories.items():
        for row, x_of in zip(axes, (_epochs, lambda run: np.array(_clock(run)) / scale)):
            _curves(row[0], model, runs, x_of, "train_loss", "-")
            _curves(row[0], model, runs, x_of, "val_loss", "--")
            if validated:
                _curves(row[1], model, runs, x_of, "val_iou", "-")
    for row, label in zip(axes, ("epoch", f"training time ({unit})")):
        row[0].set(xlabel=label, ylabel="loss")
        if validated:
            row[1].set(xlabel=label, ylabel="validation IoU")
        for axis in row:
            top = axis.get_ylim()[1]
            axis.set_ylim(-0.03 * top, 1.04 * top)  # a marker on the zero line is whole
    if max(lasted) > LOG_FROM * min(lasted):
        for axis in axes[1]:
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    for axis in axes[0]:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if max(len(run["epochs"]) for runs in histories.values() for run in runs) == 1:
            axis.set_xlim(0.5, 1.5)
    _legend(figure, [model for model in compared_models() if model in histories], comparison, dashed=validated)
    texts = [improvement_sentence(comparison["models"][model]) for model in histories]
    missing = [f"Not shown: {'; '.join(problems)}."] if problems else []
    _caption_and_mark(figure, comparison, [*missing, *texts, _thin(comparison), note])
    return save_figure(figure, path)


def _history_values(run: dict[str, Any], key: str) -> list[float]:
    return [row[key] for row in run["epochs"] if row.get(key) is not None]


def _epochs(run: dict[str, Any]) -> np.ndarray:
    return np.array([row["epoch"] for row in run["epochs"]])


def _clock(run: dict[str, Any]) -> list[float]:
    """Seconds of training passes at the end of each epoch."""
    return list(accumulate(row["seconds"] for row in run["epochs"]))


def _unit(longest: float) -> tuple[float, float, str]:
    return next(unit for unit in UNITS if longest >= unit[0])


def _curves(axis, model: str, runs: list[dict], x_of, key: str, line: str) -> None:
    """A model's curve; of several runs each as a thin line, and the mean over those of equal length."""
    runs = [run for run in runs if _history_values(run, key)]
    several = len(runs) > 1
    columns = []
    for run in runs:
        y = np.array([np.nan if row.get(key) is None else row[key] for row in run["epochs"]], float)
        columns.append((x_of(run), y))
        style = {"lw": 0.6, "alpha": 0.45} if several else _single_style(model, len(y), line)
        axis.plot(*columns[-1], line, color=colour_of(model), **style)
    if several and len({len(y) for _, y in columns}) == 1:
        x, y = (np.mean(values, axis=0) for values in zip(*columns))
        axis.plot(x, y, line, color=colour_of(model), **_single_style(model, len(y), line))


def _single_style(model: str, count: int, line: str) -> dict[str, Any]:
    """Markers tell the models apart and, hollow, validation from training: after one epoch there is no line."""
    hollow = {"mfc": "white"} if line == "--" else {}
    return {"marker": marker_of(model), "ms": 3, "markevery": max(1, count // 15), **hollow}


def _legend(figure, models: list[str], comparison: dict[str, Any], *, dashed: bool) -> None:
    from matplotlib.lines import Line2D

    labels = {model: comparison["models"][model]["label"] for model in models}
    handles = [Line2D([], [], color=colour_of(m), marker=marker_of(m), ms=4, label=labels[m]) for m in models]
    if dashed:
        handles += [
            Line2D([], [], color=GRAY, ls=line, marker="o", ms=4, mfc=fill, label=name)
            for line, fill, name in (("-", GRAY, "training"), ("--", "white", "validation"))
        ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3 if dashed else 1, handlelength=1.6, fontsize=8.5)


def draw_final(comparison: dict[str, Any], path: Path, *, note: str = "") -> Path:
    """Scores (bars; single runs as dots), what each model costs, and IoU by video where there are two or more."""
    rows = comparison["models"]
    by_video = {model: video_scores(row) for model, row in rows.items()}
    videos = sorted({video for scores in by_video.values() for video in scores}, key=natural_key)
    paired = len(videos) > 1
    few = 0.36 * len(rows)
    heights = [2.5, 0.75 + few] + [2.3] * paired
    figure, _ = new_figure(1, 1, size=(WIDTH, sum(heights) + 1.5))
    figure.clear()
    grid = figure.add_gridspec(len(heights), 3, height_ratios=heights)
    _score_bars(figure.add_subplot(grid[0, :]), rows)
    _cost_panels([figure.add_subplot(grid[1, column]) for column in range(3)], rows)
    if paired:
        _draw_by_video(figure.add_subplot(grid[2, :]), by_video, videos)
    _bar_legend(figure, rows)
    pairs = [pair for pair in comparison["differences"] if pair["runs"]]
    texts = [difference_sentences(pair, rows)[0] for pair in pairs]
    texts += [single_run_sentence(comparison), *(improvement_sentence(row) for row in rows.values())]
    _caption_and_mark(figure, comparison, [*texts, note])
    return save_figure(figure, path)


def video_scores(row: dict[str, Any]) -> dict[str, float]:
    """IoU of each video, the mean of the runs that test on it; undefined ones are left out."""
    found: dict[str, list[float]] = {}
    for run in row["runs"]:
        for video, scores in run["per_video"].items():
            if scores["iou"] is not None:
                found.setdefault(video, []).append(scores["iou"])
    return {video: sum(values) / len(values) for video, values in found.items()}


def _bar_legend(figure, rows: dict[str, dict]) -> None:
    from matplotlib.patches import Patch

    handles = []
    for model, row in rows.items():
        start = "pretrained" if row["pretrained"] else "random start"
        handles.append(Patch(color=colour_of(model), label=f"{row['label']} ({start})"))
    figure.legend(handles=handles, loc="outside upper left", ncols=2, handlelength=1.2, fontsize=8.5)


def _score_bars(axis, rows: dict[str, dict]) -> None:
    keys = {"iou": "IoU", "dice": "Dice", "accuracy": "pixel accuracy"}
    width = min(0.8 / len(rows), 0.4)
    for index, (model, row) in enumerate(rows.items()):
        centres = np.arange(len(keys)) + (index - (len(rows) - 1) / 2) * width
        for centre, key in zip(centres, keys):
            value, runs = row[key], [run[key] for run in row["runs"] if run[key] is not None]
            axis.bar(centre, value or 0, 0.92 * width, color=colour_of(model))
            top = max([value or 0, *(runs if len(row["runs"]) > 1 else [])])
            text = "n/a" if value is None else f"{value:.4f}"
            axis.text(centre, top + 0.03, text, ha="center", va="bottom", fontsize=8)
            if len(row["runs"]) > 1:
                spots = centre + np.linspace(-0.25, 0.25, len(runs)) * width
                axis.plot(spots, runs, "o", ms=3.5, mfc="white", mec="black", mew=0.7)
    axis.set_xticks(range(len(keys)), keys.values())
    axis.set_yticks(np.linspace(0, 1, 6))
    axis.grid(False, axis="x")
    several = max(len(row["runs"]) for row in rows.values()) > 1
    axis.set(ylim=(0, 1.15), ylabel="score", title="Mean of the runs (dots: single runs)" if several else "Scores")


def _cost_panels(axes, rows: dict[str, dict]) -> None:
    longest = max([row["training_seconds"] or 0 for row in rows.values()])
    _, scale, unit = _unit(longest)
    panels = (
        ("Parameters (millions)", [row["parameters"] / 1e6 for row in rows.values()]),
        (f"Training time ({unit})", [_scaled(row["training_seconds"], scale) for row in rows.values()]),
        ("Prediction (ms per frame)", [row["ms_per_frame"] for row in rows.values()]),
    )
    for axis, (title, values) in zip(axes, panels):
        known = [value or 0 for value in values]
        axis.barh(range(len(values)), known, height=0.7, color=[colour_of(model) for model in rows])
        top = max(known) or 1
        for index, value in enumerate(values):
            text = "n/a" if value is None else f"{value:,.{2 if value < 100 else 0}f}"
            axis.text(known[index] + 0.03 * top, index, text, va="center", fontsize=8)
        axis.set(xlim=(0, 1.32 * top), ylim=(len(values) - 0.4, -0.6), yticks=[])
        axis.xaxis.set_major_locator(MaxNLocator(3))
        axis.set_xlabel(title, fontsize=9)
        axis.tick_params(axis="x", labelsize=8)


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value / scale


def _draw_by_video(axis, by_video: dict[str, dict[str, float]], videos: list[str]) -> None:
    """A marker per model, side by side, joined where they are of the same video."""
    step = 0.5 / len(by_video)
    shifts = {model: (index - (len(by_video) - 1) / 2) * step for index, model in enumerate(by_video)}
    for index, video in enumerate(videos):
        points = [(index + shifts[model], scores[video]) for model, scores in by_video.items() if video in scores]
        axis.plot(*zip(*points), color=GRAY, lw=1.0, zorder=1)
    for model, scores in by_video.items():
        x = [index + shifts[model] for index, video in enumerate(videos) if video in scores]
        y = [scores[video] for video in videos if video in scores]
        axis.plot(x, y, marker_of(model), ms=6 if len(videos) < 20 else 4, color=colour_of(model))
    everything = [value for scores in by_video.values() for value in scores.values()]
    middle, half = (max(everything) + min(everything)) / 2, max(max(everything) - min(everything), 0.1) * 0.6
    room = sum(len(video) for video in videos) + 2 * len(videos)
    axis.set_xticks(range(len(videos)), videos, rotation=0 if room < 70 else 90, fontsize=8 if len(videos) < 30 else 6)
    axis.grid(False, axis="x")
    axis.set(xlim=(-0.6, len(videos) - 0.4), ylim=(middle - half, middle + half), ylabel="IoU")
    axis.set_title("IoU by video" + (", the same frames for each model" if len(by_video) > 1 else ""))


def _thin(comparison: dict[str, Any]) -> str:
    several = max(len(row["runs"]) for row in comparison["models"].values()) > 1
    return "Thin lines are single runs, thick ones their mean." if several else ""


def _caption_and_mark(figure, comparison: dict[str, Any], texts: list[str]) -> None:
    """The caption under the panels, unfinished runs first; the mark of synthetic data."""
    lines = [text for text in [unfinished(comparison), *texts] if text]
    width = int(figure.get_size_inches()[0] * 16.4)
    caption = "\n".join(textwrap.fill(line, width) for line in lines)
    if caption:
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=8)
    if comparison.get("data") == "synthetic":
        mark_synthetic(figure)
