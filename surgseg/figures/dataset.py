"""Figures of a whole data set: the scores of each video, and the audit of the data beside the scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from surgseg.figures.selection import synthetic_mark
from surgseg.figures.style import (
    BLACK,
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    RED,
    SKY,
    add_title,
    fit_names,
    new_figure,
    save_figure,
)
from surgseg.files import natural_key
from surgseg.scores.report import why_undefined

PART_COLOURS = {"train": BLUE, "val": ORANGE, "test": RED}
MAX_CODES = 16  # rows of the code table; one more row sums up the other codes


def draw_full_dataset(metrics: dict[str, Any], rows: list[dict[str, str]], path: Path, *, title: str) -> Path:
    """Draw IoU and Dice of each video (all its pixels), and the IoU of its frames as points and box.

    `metrics` is a metrics JSON, `rows` its frame table. The videos are in natural order of their names.
    """
    videos = sorted(metrics["per_video"], key=natural_key)
    figure, axes = new_figure(1, 2, size=(7.2, _height(len(videos)) + 1.5), sharey=True)
    scores, frames = axes[0]
    _scores_of_videos(scores, metrics, videos)
    _frames_of_videos(frames, rows, videos)
    counts = [metrics["per_video"][video]["frames"] for video in videos]
    own = [sum(row["video"] == video and row["iou"] != "" for row in rows) for video in videos]
    of_all = [f"{count}" if count == some else f"{some} of {count}" for some, count in zip(own, counts)]
    names = [f"{name} ({count})" for name, count in zip(fit_names(videos, 20), of_all)]
    _video_axis(scores, names, "video (frames)")
    add_title(figure, title, synthetic_mark(metrics.get("data"), metrics.get("weights_data")), fontsize=10)
    return save_figure(figure, path)


def _height(videos: int) -> float:
    """Inches of an axis with a line for each video."""
    return max(1.4, videos * (0.3 if videos <= 24 else 0.2))


def _video_axis(axis, names: list[str], label: str) -> None:
    axis.set_yticks(range(len(names)), names, fontsize=8.5 if len(names) <= 24 else 7)
    room = 0.5 if len(names) > 1 else 1.0  # the bar of a single video stays slim
    axis.set_ylim(len(names) - 1 + room, -room)  # the first video on top
    axis.set_ylabel(label)


def _scores_of_videos(axis, metrics: dict[str, Any], videos: list[str]) -> None:
    places = np.arange(len(videos))
    for key, name, colour, marker, shift in (("iou", "IoU", BLUE, "o", -0.12), ("dice", "Dice", ORANGE, "s", 0.12)):
        values = np.array([metrics["per_video"][video][key] for video in videos], float)  # None becomes NaN
        mean = metrics["video_mean"][key]
        label = name if mean is None else f"{name} (mean {mean:.3f})"
        axis.hlines(places + shift, 0, np.nan_to_num(values), color=colour, linewidth=1)
        axis.plot(values, places + shift, marker, color=colour, markersize=5, label=label)
        if mean is not None and len(videos) > 1:
            axis.axvline(mean, color=colour, linestyle="--", linewidth=0.9)
        for place, value in zip(places, values):
            if np.isnan(value) and key == "iou":
                why = why_undefined(metrics["per_video"][videos[place]])
                axis.text(0.02, place, f"n/a: {why}", va="center", fontsize=7.5)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8, handletextpad=0.2, columnspacing=1)
    axis.set(xlim=(0, 1.03), xlabel="score, all pixels of a video")


def _frames_of_videos(axis, rows: list[dict[str, str]], videos: list[str]) -> None:
    rng = np.random.default_rng(0)
    for place, video in enumerate(videos):
        values = np.array([float(row["iou"]) for row in rows if row["video"] == video and row["iou"]])
        if not len(values):
            continue
        heights = place + rng.uniform(-0.28, 0.28, len(values))
        alpha = float(np.clip(40 / len(values), 0.12, 0.7))
        axis.plot(values, heights, ".", color=SKY, markersize=4, alpha=alpha, markeredgewidth=0, rasterized=True)
        low, first, median, third, high = np.percentile(values, (5, 25, 50, 75, 95))
        axis.hlines(place, low, high, color=BLACK, linewidth=0.8)
        axis.barh(place, third - first, 0.5, left=first, facecolor="none", edgecolor=BLACK, linewidth=0.8)
        axis.vlines(median, place - 0.25, place + 0.25, color=RED, linewidth=1.8)
    axis.set_title("point: a frame; red: median;\nbox: 25-75 %, line: 5-95 %", fontsize=8)
    axis.set(xlim=(-0.02, 1.02), xlabel="IoU of a frame")


def draw_complete(metrics: dict[str, Any], audit: dict[str, Any], path: Path, *, title: str) -> Path:
    """Draw frames, instrument share and IoU of each video, and the shares of the source codes and classes.

    `metrics` is a metrics JSON, `audit` an audit.json with its tables (see `has_tables`).
    """
    videos = sorted(audit["videos"], key=natural_key)
    codes = _code_rows(audit)
    heights = [_height(len(videos)), max(1.4, 0.2 * len(codes))]
    figure, axes = new_figure(2, 3, size=(7.2, sum(heights) + 2.3), gridspec_kw={"height_ratios": heights})
    _frames_per_video(axes[0, 0], audit["videos"], videos)
    _share_per_video(axes[0, 1], audit["videos"], videos)
    _iou_beside(axes[0, 2], metrics["per_video"], videos)
    _video_axis(axes[0, 0], fit_names(videos, 18), "video")
    for axis in axes[0, 1:]:
        axis.set_yticks(range(len(videos)), [""] * len(videos))
        axis.set_ylim(axes[0, 0].get_ylim())
    grid = axes[1, 0].get_gridspec()
    for axis in axes[1]:
        axis.remove()
    _code_shares(figure.add_subplot(grid[1, 0:2]), codes)
    _class_shares(figure.add_subplot(grid[1, 2]), audit)
    add_title(figure, title, synthetic_mark(metrics.get("data"), metrics.get("weights_data")), fontsize=10)
    return save_figure(figure, path)


def has_tables(audit: Any) -> bool:
    """Return whether an audit.json holds the tables that `draw_complete` draws."""
    return isinstance(audit, dict) and all(audit.get(key) for key in ("videos", "codes", "classes", "void"))


def _frames_per_video(axis, table: dict[str, dict], videos: list[str]) -> None:
    without = [table[video]["without_instrument"] for video in videos]
    shown = [table[video]["with_instrument"] for video in videos]
    places = range(len(videos))
    axis.barh(places, shown, color=GREEN, height=0.66, label="instrument")
    axis.barh(places, without, left=shown, color="#BBBBBB", height=0.66, label="none")
    top = max(a + b for a, b in zip(shown, without))
    for place, video in enumerate(videos):
        part = table[video].get("split") or ""
        colour = PART_COLOURS.get(part, BLACK)
        axis.text(shown[place] + without[place] + 0.03 * top, place, part, va="center", fontsize=7.5, color=colour)
    axis.set_xlim(0, 1.32 * top)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=7.5, handlelength=1, columnspacing=0.8)
    axis.set_xlabel("frames, and split part", fontsize=8.5)


def _share_per_video(axis, table: dict[str, dict], videos: list[str]) -> None:
    shares = [100 * table[video]["mean_instrument_fraction"] for video in videos]
    axis.barh(range(len(videos)), shares, color=BLUE, height=0.66)
    _value_labels(axis, shares, "{:.1f}")
    axis.set_xlabel("instrument (% of pixels)", fontsize=8.5)


def _iou_beside(axis, per_video: dict[str, dict], videos: list[str]) -> None:
    for place, video in enumerate(videos):
        value = per_video.get(video, {}).get("iou")
        text = "not scored" if video not in per_video else "" if value is None else f"{value:.3f}"
        text = text or f"n/a: {why_undefined(per_video[video]).partition(' in ')[0]}"
        axis.barh(place, value or 0, color=ORANGE, height=0.66)
        axis.text((value or 0) + 0.02, place, text, va="center", fontsize=7.5)
    axis.set(xlim=(0, 1.28), xticks=(0, 0.5, 1))
    axis.set_xlabel("IoU (all pixels)", fontsize=8.5)


def _code_rows(audit: dict[str, Any]) -> list[tuple[str, float, str]]:
    """(name, percent of all pixels, colour) of each code, largest first; the last row sums up the codes not shown."""
    instruments = {name for name, row in audit["classes"].items() if row["instrument"]}
    rows = []
    for code, row in audit["codes"].items():
        colour = GRAY if row["class"] == "void" else BLUE if row["class"] in instruments else SKY
        rows.append((f"{code}  {row['name']}", 100 * row["share"], colour))
    rows.sort(key=lambda row: -row[1])
    shown, rest = rows[:MAX_CODES], rows[MAX_CODES:]
    return shown + ([(f"{len(rest)} more codes", sum(row[1] for row in rest), BLACK)] if rest else [])


def _code_shares(axis, codes: list[tuple[str, float, str]]) -> None:
    names, shares, colours = zip(*codes)
    axis.barh(range(len(codes)), shares, color=colours, height=0.7)
    axis.set_yticks(range(len(codes)), fit_names(names, 26), fontsize=7.5)
    axis.set_ylim(max(len(codes), 4) - 0.5, -0.5)
    _value_labels(axis, shares, "{:.2f}")
    for colour, name in ((BLUE, "instrument"), (SKY, "background and tissue"), (GRAY, "void")):
        axis.barh(0, 0, color=colour, label=name)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=7.5, handlelength=1, columnspacing=0.8)
    axis.set_xlabel("source code (% of all pixels)", fontsize=8.5)


def _class_shares(axis, audit: dict[str, Any]) -> None:
    instruments = {name: 100 * row["share"] for name, row in audit["classes"].items() if row["instrument"]}
    void = 100 * audit["void"]["share"]
    names, shares = [*instruments, "void"], [*instruments.values(), void]
    axis.barh(range(len(names)), shares, color=[*[BLUE] * len(instruments), GRAY], height=0.6)
    axis.set_yticks(range(len(names)), fit_names(names, 16, 2), fontsize=7.5)
    axis.set_ylim(max(len(names), 4) - 0.5, -0.5)
    _value_labels(axis, shares, "{:.2f}")
    axis.set_xlabel("classes (% of labelled)\nvoid (% of all pixels)", fontsize=8.5)


def _value_labels(axis, shares, form: str) -> None:
    """Write the value beside each bar, and widen the axis for it."""
    top = max(max(shares), 1e-9)
    for place, share in enumerate(shares):
        axis.text(share + 0.02 * top, place, form.format(share), va="center", fontsize=7.5)
    axis.set_xlim(0, 1.3 * top)
