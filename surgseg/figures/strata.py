"""Dice of the groups of frames in `strata` of a metrics JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from surgseg.figures.selection import synthetic_mark
from surgseg.figures.style import BLUE, GRAY, add_title, fit_names, new_figure, save_figure
from surgseg.scores.strata import FEW, named_groups


def draw_strata(metrics: dict[str, Any], path: Path, *, title: str) -> Path:
    """Draw a dot for the mean Dice of each group, gray where it has few frames, with its number of frames and videos;
    a dashed line for the mean of all frames."""
    strata = {label: [group for group in groups if group[2]["mean"]["dice"] is not None]
              for label, groups in named_groups(metrics["strata"]).items()}  # fmt: skip
    heights = [len(groups) + 0.8 for groups in strata.values()]
    figure, axes = new_figure(
        len(strata), 1, size=(7.2, 0.9 + 0.3 * sum(heights)), sharex=True, gridspec_kw={"height_ratios": heights}
    )
    for axis, (label, groups) in zip(axes[:, 0], strata.items()):
        values = [group["mean"]["dice"] for _, _, group in groups]
        few = [group["frames"] < FEW for _, _, group in groups]
        axis.axvline(metrics["per_frame"]["mean_dice"], color=GRAY, ls="--", lw=1)
        axis.scatter(values, range(len(values)), color=[GRAY if one else BLUE for one in few], s=28, zorder=3)
        for row, (value, (_, frames, group)) in enumerate(zip(values, groups)):
            text = f"n = {frames}, {group['videos']} video{'s' * (group['videos'] != 1)}"
            axis.annotate(f"{value:.3f}", (value, row), (0, 4), textcoords="offset points", ha="center", fontsize=7)
            axis.text(1.01, row, text, transform=axis.get_yaxis_transform(), va="center", fontsize=7)
        axis.set_yticks(range(len(groups)), fit_names([name for name, _, _ in groups], 28), fontsize=8)
        axis.set_ylim(len(groups) - 0.5, -0.7)
        axis.set_title(label, fontsize=9, loc="left")
        axis.tick_params(labelbottom=False)
    axes[-1, 0].tick_params(labelbottom=True)
    axes[-1, 0].set(xlabel=f"mean Dice of the frames (dashed: all; gray, *: fewer than {FEW} frames)")
    add_title(figure, title, synthetic_mark(metrics.get("data"), metrics.get("weights_data")), fontsize=9)
    return save_figure(figure, path)
