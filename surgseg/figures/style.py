"""The style of every figure: legible in print at one column, in colours that colour-blind readers can tell apart."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # write files only; no display is needed

import matplotlib.pyplot as plt

from surgseg.files import atomic_path, short_names

# Okabe & Ito 2008, "Color Universal Design": https://jfly.uni-koeln.de/color/
BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
RED = "#D55E00"
PURPLE = "#CC79A7"
GRAY = "#7F7F7F"
PALETTE = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK, YELLOW)

DPI = 200
_STYLE = {
    "figure.dpi": 100,
    "savefig.dpi": DPI,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "image.interpolation": "nearest",
    "text.parse_math": False,  # users' names may hold dollar signs
}
plt.rcParams.update(_STYLE)


def new_figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (7.0, 4.0), **options):
    """Return a figure of `size` inches (width, height) and its axes, always a two-dimensional (rows, columns) array.

    `options` go to `plt.subplots` (e.g. `sharex=True`, `gridspec_kw={"width_ratios": [2, 1]}`).
    """
    return plt.subplots(rows, columns, figsize=size, squeeze=False, **options)


def fit_names(names: Iterable[str], width: int, lines: int = 1) -> list[str]:
    """Return the `short_names` of videos, classes or files, each in at most `lines` lines of `width` letters."""
    shown = short_names(names, width * lines)
    return ["\n".join(textwrap.wrap(name, width, break_on_hyphens=False)) if lines > 1 else name for name in shown]


def show_image(axis, image, title: str = "", *, mark: str = "", **options) -> None:
    """Draw an image without ticks, grid or frame. `mark` ("SYNTHETIC") is written inside it, so that crops keep it."""
    axis.imshow(image, **options)
    axis.set_title(title)
    axis.set_axis_off()
    if mark:
        axis.text(
            0.985, 0.03, mark, transform=axis.transAxes, ha="right", va="bottom", fontsize=5, fontweight="bold",
            color="white", bbox={"facecolor": "black", "alpha": 0.55, "linewidth": 0, "pad": 1},
        )  # fmt: skip


def add_title(figure, title: str, mark: str = "", **font) -> None:
    """Write the title at the left of the figure's top and `mark` ("SYNTHETIC", if any) at its right."""
    figure.suptitle(title, x=0.01, ha="left", **font)
    if mark:
        mark_synthetic(figure, mark)


def mark_synthetic(figure, text: str = "SYNTHETIC") -> None:
    """Write SYNTHETIC into the figure itself, because a caption can get lost."""
    figure.text(0.995, 0.995, text, ha="right", va="top", color=RED, fontsize=10, fontweight="bold")


def save_figure(figure, path: Path | str) -> Path:
    """Write a figure atomically at 200 dpi, close it, and return the path."""
    path = Path(path)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format=path.suffix.lstrip(".") or "png")
    plt.close(figure)
    return path
