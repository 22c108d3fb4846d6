"""Polygons of masks: few points, and the same regions again."""

import cv2
import numpy as np
import pytest

from surgseg.annotations.outlines import outlines, paint_outlines


def painted(ids):
    return paint_outlines(outlines(ids), ids.shape)


def regions_iou(ids, other):
    """The lowest IoU of a region of `ids`, found on its own, with the pixels of its class around it in `other`."""
    found = []
    for class_id in set(np.unique(ids).tolist()) - {0}:
        count, labels = cv2.connectedComponents((ids == class_id).astype(np.uint8))
        for number in range(1, count):
            true = labels == number
            near = cv2.dilate(true.astype(np.uint8), np.ones((5, 5))) > 0
            claimed = (other == class_id) & near & ~((ids == class_id) & ~true)
            found.append((true & claimed).sum() / (true | claimed).sum())
    return min(found)


def tools(seed):
    """(240, 320) uint8: bars of 1 to 20 pixels of two classes, some over others, rings, and a thin border of void."""
    random = np.random.default_rng(seed)
    ids = np.zeros((240, 320), np.uint8)
    for number, width in enumerate((1, 2, 3, 8, 20)):
        start, end = random.integers(0, 240, 2), random.integers(0, 240, 2)
        cv2.line(ids, start.tolist(), end.tolist(), 1 + number % 2, int(width))
    cv2.circle(ids, random.integers(60, 180, 2).tolist(), 50, 1, 6)
    cv2.ellipse(ids, (200, 120), (40, 25), 30, 0, 360, 2, -1)
    cv2.circle(ids, (200, 120), 9, 0, -1)
    cv2.circle(ids, (200, 120), 3, 1, -1)
    ids[cv2.morphologyEx(ids, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0] = 255 if seed % 2 else 0
    return ids


@pytest.mark.parametrize("seed", range(6))
def test_every_instrument_has_an_iou_of_99_percent(seed):
    ids = tools(seed)
    assert regions_iou(ids, painted(ids)) >= 0.99


def test_a_smooth_instrument_has_few_points():
    ids = np.zeros((480, 854), np.uint8)
    cv2.line(ids, (0, 400), (500, 200), 1, 40)
    ((class_id, points),) = outlines(ids)
    assert class_id == 1 and len(points) < 60 and regions_iou(ids, painted(ids)) >= 0.99


def test_a_hole_is_a_later_polygon_of_what_is_in_it():
    ids = np.zeros((40, 40), np.uint8)
    ids[5:35, 5:35], ids[12:28, 12:28], ids[18:22, 18:22] = 1, 0, 2
    assert [class_id for class_id, _ in outlines(ids)] == [1, 0, 2]
    assert np.array_equal(painted(ids), ids)


def test_regions_that_cross_at_a_corner_come_back():
    ids = np.kron(np.array([[1, 2, 1], [2, 1, 2], [1, 2, 0]], np.uint8), np.ones((3, 3), np.uint8))
    assert np.array_equal(painted(ids), ids)
    noise = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (60, 60))
    assert np.array_equal(painted(noise), noise)


def test_an_empty_mask_has_no_polygon():
    assert outlines(np.zeros((5, 5), np.uint8)) == []
