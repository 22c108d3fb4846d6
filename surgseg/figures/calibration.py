"""Reliability diagram of the instrument probability, and the error of the frames that are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.ticker import EngFormatter, NullFormatter

from surgseg.figures.selection import synthetic_mark
from surgseg.figures.style import BLUE, GRAY, RED, add_title, new_figure, save_figure


def draw_calibration(metrics: dict[str, Any], path: Path, *, title: str) -> Path:
    """Draw `calibration` of a metrics JSON: share of instrument pixels and number of pixels against the probability;
    mean of 1 - Dice against the share of frames that are kept."""
    found = metrics["calibration"]
    figure, axes = new_figure(1, 3, size=(7.2, 3.1))
    diagram, pixels, kept = axes[0]
    bins = [row for row in found["bins"] if row["pixels"]]
    diagram.plot([0, 1], [0, 1], color=GRAY, ls="--", label="calibrated")
    diagram.plot([row["probability"] for row in bins], [row["share"] for row in bins], "o-", ms=4, color=BLUE)
    diagram.set(xlabel="probability", ylabel="share of instrument", xlim=(0, 1), ylim=(0, 1))
    diagram.set_title(f"ECE {found['ece']:.4f}\nBrier {found['brier']:.4f}", fontsize=9)
    diagram.legend(loc="upper left", fontsize=8)
    middles = [(row["from"] + row["to"]) / 2 for row in bins]
    pixels.bar(middles, [row["pixels"] for row in bins], 0.9 / len(found["bins"]), color=BLUE)
    pixels.set(xlabel="probability", ylabel="pixels", yscale="log", xlim=(0, 1))
    pixels.yaxis.set_major_formatter(EngFormatter(sep=""))
    pixels.yaxis.set_minor_formatter(NullFormatter())
    pixels.set_title("pixels of each\npoint at the left", fontsize=9)
    risk = found["risk"]
    rows = risk["kept"]
    kept.plot([100 * row["share"] for row in rows], [row["risk"] for row in rows], "o-", ms=4, color=RED)
    if rows:
        kept.axhline(risk["area_random"], color=GRAY, ls="--", label="by chance")
        kept.legend(fontsize=8)
    kept.set(xlabel="frames kept (%)", ylabel="mean of 1 - Dice", xlim=(0, 103))
    kept.set_ylim(bottom=0)
    kept.set_title(f"{risk['frames']} frames, most\nuncertain left out first", fontsize=9)
    add_title(figure, title, synthetic_mark(metrics.get("data"), metrics.get("weights_data")), fontsize=9)
    return save_figure(figure, path)
