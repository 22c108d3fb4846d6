"""The panels that people look at: what stands in them, whatever their number."""

from __future__ import annotations

import numpy as np
import pytest

from surgseg.figures import panels as module
from surgseg.figures.panels import (
    Panel,
    VideoPanel,
    draw_single_frame,
    draw_threshold,
    draw_videos,
    draw_visual_analysis,
)
from surgseg.labels import SCHEMES

TOOLS = SCHEMES["grasper-hook"]


@pytest.fixture
def kept(keep_figures):
    return keep_figures(module)


def panel(label="1.00 s", ids=((0, 1), (2, 255))):
    return Panel(np.full((2, 2, 3), 100, np.uint8), np.array(ids, np.uint8), label)


def pictures(figure):
    return [axis for axis in figure.axes if axis.images]


def notes(axis):
    return [text.get_text() for text in axis.texts]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()] if figure.legends else []


@pytest.mark.parametrize(("count", "columns"), [(1, 3), (2, 7), (5, 7)])
def test_each_sample_is_frame_mask_and_overlay(kept, tmp_path, count, columns):
    draw_visual_analysis(
        [panel(f"{n} s") for n in range(count)], TOOLS, tmp_path / "x.png", title="t", mark="SYNTHETIC"
    )
    panels = pictures(kept[0])
    assert len(panels) == 3 * count and kept[0].axes[0].get_gridspec().ncols == columns
    assert all("SYNTHETIC" in notes(axis) for axis in panels), "in every image"
    assert [notes(axis)[-1] for axis in panels[::3]] == [f"{n} s" for n in range(count)]
    mask = panels[1].images[0].get_array()
    assert mask[0, 0].tolist() == [0, 0, 0] and mask[0, 1].tolist() == list(TOOLS.classes[1].colour)
    assert legend(kept[0]) == ["grasper", "l-hook", "void"]


def test_an_empty_mask_needs_no_legend(kept, tmp_path):
    draw_threshold(panel("f.png", ids=((0, 0), (0, 0))), TOOLS, tmp_path / "x.png", title="t")
    assert legend(kept[0]) == [] and len(pictures(kept[0])) == 3
    assert kept[0].texts[0].get_text() == "f.png\nt"


def test_videos_of_several_lengths_stand_in_blocks_of_two(kept, tmp_path):
    videos = [VideoPanel(name, f"words of {name}", [panel()] * count) for name, count in (("a", 3), ("b", 1), ("c", 2))]
    draw_videos(videos, TOOLS, tmp_path / "x.png", title="t")
    assert kept[0].axes[0].get_gridspec().nrows == 5 and len(pictures(kept[0])) == 12
    labels = [notes(axis)[0] for axis in pictures(kept[0]) if notes(axis)]
    assert sorted(label for label in labels if "words" in label) == [f"{n}\nwords of {n}\n1.00 s" for n in "abc"]


CURVES = {"thresholds": np.array([0.3, 0.5, 0.7]), "coverage": np.array([0.5, 0.25, 0.0])}


@pytest.mark.parametrize(
    ("iou", "words"),
    [
        ([0.2, 0.6, 0.1], "◆ 0.600 at 0.5: best for this frame only,\ndo not choose a threshold by it"),
        ([0.0, 0.0, np.nan], "no threshold finds the true instrument"),
        ([np.nan] * 3, ""),
    ],
)
def test_the_best_threshold_is_named_with_its_limits(kept, tmp_path, iou, words):
    curves = {**CURVES, "iou": np.array(iou)}
    draw_single_frame(panel(), np.zeros((2, 2)), curves, [1], tmp_path / "x.png")
    axis = next(axis for axis in kept[0].axes if axis.get_ylabel() == "IoU of this frame")
    assert axis.get_title() == words
    assert notes(axis) == (["n/a: no instrument, or all void"] if np.isnan(iou).all() else [])


def test_without_ground_truth_there_is_no_iou(kept, tmp_path):
    draw_single_frame(panel(), np.zeros((2, 2)), CURVES, [0, 2], tmp_path / "x.png", mark="SYNTHETIC WEIGHTS")
    assert [axis.get_ylabel() for axis in kept[0].axes if "IoU" in axis.get_ylabel()] == []
    axis = next(axis for axis in kept[0].axes if axis.get_ylabel() == "coverage (% of frame)")
    assert axis.get_title().replace("\u00a0", " ") == "0.3: 50.00 %,  0.7: 0.00 %"
    assert sum("SYNTHETIC WEIGHTS" in notes(panel) for panel in pictures(kept[0])) == 2
