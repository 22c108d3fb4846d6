"""Coverage and overlap at every threshold of one frame, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from surgseg.analysis.thresholds import threshold_curves, threshold_grid, threshold_label, union_truth

PROBABILITY = np.array([[0.1, 0.3, 0.5], [0.7, 0.9, 0.3]], np.float32)


def test_coverage_counts_pixels_that_reach_the_threshold():
    marked = np.array([0.05, 0.3, 0.31, 0.7, 0.95], np.float32)
    curves = threshold_curves(PROBABILITY, marked)
    assert curves["coverage"].tolist() == pytest.approx([1, 5 / 6, 3 / 6, 2 / 6, 0]) and set(curves) == {"coverage"}


def test_overlap_leaves_void_out():
    truth = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
    curves = threshold_curves(PROBABILITY, np.array([0.3, 0.5, 0.8], np.float32), truth)
    assert curves["iou"].tolist() == pytest.approx([3 / 4, 2 / 3, 1 / 3])  # TP 3 2 1, FP 1 0 0, FN 0 1 2
    assert curves["dice"].tolist() == pytest.approx([6 / 7, 4 / 5, 2 / 4])


def test_overlap_of_nothing_with_nothing_is_undefined():
    curves = threshold_curves(PROBABILITY, np.array([0.8, 0.95], np.float32), np.zeros((2, 3), np.uint8))
    assert curves["iou"][0] == 0 and np.isnan(curves["iou"][1]) and np.isnan(curves["dice"][1])


def test_the_grid_holds_the_marked_thresholds_as_the_masks_know_them():
    grid = threshold_grid([0.3, 1 / 3])
    assert {float(np.float32(0.3)), float(np.float32(1 / 3))} <= set(grid.tolist()) and len(grid) == 200
    assert (np.diff(grid) > 0).all() and grid.dtype == np.float32 and grid[0] > 0 and grid[-1] < 1
    probability = np.random.default_rng(0).random((40, 50), np.float32)
    curve = threshold_curves(probability, grid)["coverage"]
    assert curve.tolist() == [(probability >= threshold).mean() for threshold in grid]


def test_file_names_carry_thresholds():
    assert [threshold_label(value) for value in (0.3, 0.5, 0.25, 0.05, 1e-5)] == ["03", "05", "025", "005", "000001"]


def test_the_union_keeps_void():
    assert union_truth(np.array([[0, 1, 2, 3, 255]], np.uint8), [1, 3]).tolist() == [[0, 1, 0, 1, 255]]
