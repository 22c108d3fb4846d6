"""Figures for visual inspection: frames of a generated folder, one frame at several thresholds, frames of several
videos."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surgseg.figures.examples import check_size, colour_patch
from surgseg.figures.style import BLACK, BLUE, ORANGE, RED, add_title, fit_names, new_figure, save_figure, show_image
from surgseg.files import UserError
from surgseg.frames import read_frame
from surgseg.labels import VOID, Scheme
from surgseg.masks import read_mask
from surgseg.overlay import Painter
from surgseg.reviews import Review

_WIDTH = 7.2  # inches: the text width of a page
_LEGEND_COLUMNS = 4
_LABEL_LETTERS = 54  # in a line above the three images of a sample


@dataclass(frozen=True)
class Panel:
    """A frame (H, W, 3) uint8 RGB, its class ids (H, W) uint8, and the label above them."""

    frame: np.ndarray
    ids: np.ndarray
    label: str

    @property
    def ratio(self) -> float:
        """Height of the frame divided by its width."""
        return self.frame.shape[0] / self.frame.shape[1]


@dataclass(frozen=True)
class VideoPanel:
    """Some frames of a video, its name, its numbers (`words`, lines of at most 55 letters), the mark of its images."""

    name: str
    words: str
    panels: list[Panel]
    mark: str = ""


def read_panels(
    generated, rows: Sequence, *, uncertainty: bool = False, reviews: Mapping[str, Review] | None = None
) -> list[Panel]:
    """Read frames and masks of rows of a generated folder; labels give time and coverage (and uncertainty).

    With `reviews`, they give the reason why a frame is to be reviewed.

    Raises `UserError` where the run kept no frames or no masks, or where sizes differ.
    """
    for part, option in (("frames", "--frame-format jpg"), ("masks", "--save masks")):
        if part not in generated.run["parts"]:
            raise UserError(
                f"{generated.folder} holds no {part}: run generate_masks_from_model.py with {option} (and --overwrite)"
            )
    panels = []
    for row in rows:
        frame_path, mask_path = generated.frame_path(row), generated.mask_path(row)
        frame, ids = read_frame(frame_path), read_mask(mask_path, generated.scheme.num_classes)
        check_size(frame, frame_path, ids, mask_path)
        label = f"{row.time_s:.2f} s, coverage {row.coverage:.2%}"
        label += f", uncertainty {row.uncertainty:.3f}" if uncertainty else ""
        label += ", suspect" * row.suspect + ", reviewed" * generated.is_reviewed(row)
        reason = reviews[row.name].reason if reviews else ""
        panels.append(Panel(frame, ids, "\n".join([label, *textwrap.wrap(reason, _LABEL_LETTERS)])))
    return panels


def draw_visual_analysis(panels: list[Panel], scheme: Scheme, path: Path, *, title: str, mark: str = "") -> Path:
    """Draw frame, mask (class colours on black) and overlay of each sample, two samples side by side."""
    pairs = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // pairs)
    widths = [1, 1, 1, 0.08, 1, 1, 1] if pairs == 2 else [1, 1, 1]
    title = _fit_title(f"{title}\nEach: frame, mask, overlay")
    more_lines = max(panel.label.count("\n") for panel in panels)
    figure, axes = _image_grid(rows, widths, panels, 0.15 * rows * more_lines + _margins(title, panels, scheme))
    for index, panel in enumerate(panels):
        row, side = divmod(index, pairs)
        _three_panels(axes[row, 4 * side : 4 * side + 3], panel, scheme, mark)
        _label_row(axes[row, 4 * side], panel.label)
    _class_legend(figure, panels, scheme)
    add_title(figure, title, mark, fontsize=9)
    return save_figure(figure, path)


def draw_threshold(panel: Panel, scheme: Scheme, path: Path, *, title: str, mark: str = "") -> Path:
    """Draw frame, mask and overlay of one frame at one threshold, which `title` gives."""
    title = _fit_title(f"{fit_names([panel.label], 70)[0]}\n{title}")
    figure, axes = new_figure(1, 3, size=(_WIDTH, _WIDTH / 3 * panel.ratio + 0.25 + _margins(title, [panel], scheme)))
    _three_panels(axes[0], panel, scheme, mark)
    for axis, name in zip(axes[0], ("frame", "mask", "overlay")):
        axis.set_title(name, fontsize=9)
    _class_legend(figure, [panel], scheme)
    add_title(figure, title, mark, fontsize=9)
    return save_figure(figure, path)


def draw_single_frame(
    panel: Panel,
    probability: np.ndarray,
    curves: dict[str, np.ndarray],
    marked: list[int],
    path: Path,
    *,
    mark: str = "",
) -> Path:
    """Draw frame, probability map, coverage against threshold and, where `curves` has it, IoU against threshold.

    `probability` (H, W) 0-1 of the instrument; `curves` holds thresholds, coverage and perhaps iou, each (N,);
    `marked` are the indices of the requested thresholds.
    """
    above = 3.2 * panel.ratio
    ratios = {"height_ratios": [above, 2.3], "width_ratios": [1, 1.12]}
    figure, axes = new_figure(2, 2, size=(_WIDTH, above + 3.3), gridspec_kw=ratios)
    show_image(axes[0, 0], panel.frame, "frame", mark=mark)
    show_image(axes[0, 1], probability, "instrument probability", mark=mark, cmap="viridis", vmin=0, vmax=1)
    figure.colorbar(axes[0, 1].images[0], ax=axes[0, 1], fraction=0.05, pad=0.02, label="probability (0-1)")
    coverage, score = axes[1]
    if "iou" in curves:
        _iou_curve(score, curves, marked)
    else:
        score.remove()
        coverage.set_subplotspec(coverage.get_gridspec()[1, :])
    _coverage_curve(coverage, curves, marked)
    add_title(figure, fit_names([panel.label], 70)[0], mark, fontsize=9)
    return save_figure(figure, path)


def _coverage_curve(axis, curves: dict[str, np.ndarray], marked: list[int]) -> None:
    thresholds, coverage = curves["thresholds"], 100 * curves["coverage"]
    axis.plot(thresholds, coverage, color=BLUE)
    for index in marked:
        axis.plot(thresholds[index], coverage[index], "o", color=RED, markersize=5)
        axis.vlines(thresholds[index], 0, coverage[index], color=RED, linewidth=0.8, linestyle=":")
    names = [f"{thresholds[index]:.3g}:\u00a0{coverage[index]:.2f}\u00a0%" for index in marked]  # no line break inside
    shown = names if len(names) <= 6 else [*names[:3], "…", *names[-2:]]
    axis.set_title(textwrap.fill(",  ".join(shown), 46 if "iou" in curves else 96), fontsize=8, color=RED)
    axis.set(xlim=(0, 1), xlabel="threshold (probability)", ylabel="coverage (% of frame)")
    axis.set_ylim(0, max(1.05 * float(coverage.max()), 0.1))


def _iou_curve(axis, curves: dict[str, np.ndarray], marked: list[int]) -> None:
    thresholds, iou = curves["thresholds"], curves["iou"]
    axis.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="threshold (probability)", ylabel="IoU of this frame")
    if np.isnan(iou).all():
        axis.text(0.5, 0.5, "n/a: no instrument, or all void", transform=axis.transAxes, ha="center")
        return
    axis.plot(thresholds, iou, color=BLACK)
    axis.plot(thresholds[marked], iou[marked], "o", color=RED, markersize=5)
    best = int(np.nanargmax(iou))
    if iou[best] == 0:
        axis.set_title("no threshold finds the true instrument", fontsize=8.5)
        return
    axis.plot(thresholds[best], iou[best], "D", color=ORANGE, markersize=7, markeredgecolor=BLACK, zorder=3)
    axis.set_title(
        f"◆ {iou[best]:.3f} at {thresholds[best]:.3g}: best for this frame only,\ndo not choose a threshold by it",
        fontsize=8.5,
    )


def draw_videos(videos: list[VideoPanel], scheme: Scheme, path: Path, *, title: str, mark: str = "") -> Path:
    """Draw frames and overlays of several videos: a pair of columns each, two videos side by side."""
    rows = [max(len(video.panels) for video in videos[start : start + 2]) for start in range(0, len(videos), 2)]
    widths = [1, 1, 0.08, 1, 1] if len(videos) > 1 else [1, 1]
    title = _fit_title(title)
    shown = [panel for video in videos for panel in video.panels]
    figure, axes = _image_grid(sum(rows), widths, shown, 0.45 * len(rows) + _margins(title, shown, scheme))
    paint = Painter(scheme)
    names = fit_names((video.name for video in videos), 40)
    for index, video in enumerate(videos):
        block, side = divmod(index, 2)
        pairs = axes[sum(rows[:block]) :, 3 * side : 3 * side + 2]
        heading = f"{names[index]}\n{video.words}\n"
        for (left, right), panel in zip(pairs, video.panels):
            show_image(left, panel.frame, mark=video.mark)
            show_image(right, paint(panel.frame, panel.ids), mark=video.mark)
            for axis in (left, right):
                axis.set_anchor("N")  # aligns the top edges of videos with different shapes
            _label_row(left, heading + panel.label)
            heading = ""  # above the first row only
    _class_legend(figure, shown, scheme)
    add_title(figure, title, mark, fontsize=9)
    return save_figure(figure, path)


def _image_grid(rows: int, widths: list[float], panels: list[Panel], extra: float):
    """A page-wide figure with empty axes, high enough for the images, their labels and `extra` inches."""
    height = _WIDTH / sum(widths) * max(panel.ratio for panel in panels) + 0.27
    size = (_WIDTH, rows * height + extra)
    figure, axes = new_figure(rows, len(widths), size=size, gridspec_kw={"width_ratios": widths})
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes


def _three_panels(axes, panel: Panel, scheme: Scheme, mark: str) -> None:
    show_image(axes[0], panel.frame, mark=mark)
    show_image(axes[1], Painter(scheme, 1.0)(np.zeros_like(panel.frame), panel.ids), mark=mark)
    show_image(axes[2], Painter(scheme)(panel.frame, panel.ids), mark=mark)


def _label_row(axis, text: str) -> None:
    """Write text above an axis and its right neighbours. A title of that width would push the columns apart."""
    axis.set_title("\n".join("|" for _ in text.split("\n")), fontsize=8, alpha=0)  # keeps the height free
    axis.annotate(
        text, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", fontsize=8, ha="left",
        va="bottom", annotation_clip=False,
    ).set_in_layout(False)  # fmt: skip


def _margins(title: str, panels: list[Panel], scheme: Scheme) -> float:
    """The height of title and legend in inches."""
    legend = -(-len(_legend_entries(panels, scheme)) // _LEGEND_COLUMNS)
    return 0.15 + 0.16 * len(title.split("\n")) + 0.2 * legend


def _legend_entries(panels: list[Panel], scheme: Scheme) -> list:
    """A legend entry for each class in the masks, and for void."""
    shown = {int(value) for panel in panels for value in np.unique(panel.ids)} - {0}
    handles = [colour_patch(item.colour, item.name) for item in scheme.classes if item.id in shown]
    return handles + ([colour_patch((224, 224, 224), "void")] if VOID in shown else [])


def _class_legend(figure, panels: list[Panel], scheme: Scheme) -> None:
    handles = _legend_entries(panels, scheme)
    if handles:
        columns = min(len(handles), _LEGEND_COLUMNS)
        figure.legend(handles=handles, loc="outside lower right", ncols=columns, fontsize=8)


def _fit_title(title: str) -> str:
    """Break the title's lines before the mark in the corner."""
    return "\n".join(textwrap.fill(line, 74) for line in title.split("\n"))
