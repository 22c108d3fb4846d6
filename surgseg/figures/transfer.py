"""The transfer matrix as a heat map, from its JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.patches import Rectangle

from surgseg.figures.selection import synthetic_mark
from surgseg.figures.style import RED, add_title, fit_names, new_figure, save_figure
from surgseg.study.transfer_report import MARK, cell_score


def draw_transfer(result: dict[str, Any], path: Path) -> Path:
    """Draw the pooled Dice and the mean Dice over videos of each model (row) on each set (column).

    `result` is the content of transfer.json. Own sets have a frame, undefined scores are blank.
    """
    models, sets = result["models"], list(result["sets"])
    rows = [[result["cells"][model][name] for name in sets] for model in models]
    panels = {
        "Dice, pooled": (lambda cell: cell["instrument_union"]["dice"], lambda cell: cell_score(cell, "dice")),
        "Dice, mean over videos": (lambda cell: cell["video_intervals"]["dice"]["mean"], _video_text),
    }
    size = (max(4.5, 1.8 + 1.2 * len(sets)), 1.0 + 2 * (0.9 + 0.55 * len(models)))
    figure, axes = new_figure(len(panels), 1, size=size)
    for axis, (title, (value, text)) in zip(axes[:, 0], panels.items()):
        values = np.array([[value(cell) for cell in row] for row in rows], float)  # None becomes NaN
        texts = np.array([[text(cell) for cell in row] for row in rows])
        sns.heatmap(
            values, vmin=0, vmax=1, annot=texts, fmt="", cmap="Blues", cbar=False, ax=axis, linewidths=0.5,
            xticklabels=fit_names(sets, 14, 2), yticklabels=fit_names(models, 14, 2), annot_kws={"size": 9},
        )  # fmt: skip
        axis.grid(visible=False)
        axis.tick_params(axis="both", rotation=0)
        axis.set_title(title, fontsize=10)
        for index, model in enumerate(models.values()):
            if model["own"]:
                place = (sets.index(model["own"]), index)
                axis.add_patch(Rectangle(place, 1, 1, fill=False, edgecolor=RED, linewidth=2, clip_on=False))
    axes[-1, 0].set_xlabel(f"red: the set that trained the model; {MARK} see the warnings", fontsize=8)
    data = {row["data"] for row in result["sets"].values()}, {row["data"] for row in models.values()}
    mark = synthetic_mark(*("synthetic" if "synthetic" in kinds else None for kinds in data))
    add_title(figure, "Models (rows) on data sets", mark, fontsize=11)
    return save_figure(figure, path)


def _video_text(cell: dict[str, Any]) -> str:
    found, mark = cell["video_intervals"]["dice"], MARK * cell["marked"]
    if not found["interval"]:
        return f"{found['mean']:.3f}{mark}\n{found['n']} video{'s' * (found['n'] != 1)}" if found["n"] else ""
    return f"{found['mean']:.3f}{mark}\n{found['interval'][0]:.2f} to {found['interval'][1]:.2f}"
