"""What each convention makes of the same frames, by hand."""

import math

import numpy as np
import pytest

from surgseg.labels import SCHEMES
from surgseg.scores.conventions import by_convention

NAN = math.nan
HIT, MISSED, ALARM, NEITHER, VOID = (
    [[6, 0], [0, 2], [0, 0]], [[6, 0], [2, 0], [0, 0]], [[6, 2], [0, 0], [0, 0]], [[8, 0], [0, 0], [0, 0]],
    [[0, 0], [0, 0], [8, 0]],
)  # fmt: skip


def test_conventions_differ_in_frames_that_do_not_show_the_class():
    """A hit, a missed instrument, a false alarm and a frame of void in video a; a frame of neither in video b."""
    frames = {"nsd_2": np.array([1, 0, 0, NAN, NAN]), "hd95": np.array([0, 50, 50, NAN, NAN])}
    counts = np.array([HIT, MISSED, ALARM, NEITHER, VOID])
    found = by_convention(list("aaaba"), counts, frames, SCHEMES["binary"], "ignore")
    overlap = {"ours": 1 / 3, "monai": 1 / 2, "sar-rarp50": (1 / 3 + 1) / 2, "present-only": 1 / 2}
    assert {name: row["iou"] for name, row in found.items()} == pytest.approx(overlap)
    assert {name: row["dice"] for name, row in found.items()} == pytest.approx(overlap)
    assert {name: row["nsd_2"] for name, row in found.items()} == pytest.approx({**overlap, "monai": 1 / 3})
    distance = {"ours": 100 / 3, "monai": 0, "sar-rarp50": NAN, "present-only": 25}
    assert {name: row["hd95"] for name, row in found.items()} == pytest.approx(distance, nan_ok=True)


def test_the_mean_is_over_the_classes_of_a_frame_then_over_frames():
    """Frame 1: the grasper is hit, the hook missed. Frame 2: the grasper is hit, there is no hook."""
    counts = np.zeros((2, 4, 3), int)
    counts[:, 1, 1], counts[0, 2, 0] = 5, 5
    frames = {"hd95": np.zeros(2), "hd95:grasper": np.zeros(2), "hd95:l-hook": np.array([50, NAN])}
    found = by_convention(["a", "a"], counts, frames, SCHEMES["grasper-hook"], "ignore")
    assert found["ours"] == pytest.approx({"iou": 3 / 4, "dice": 3 / 4, "hd95": 12.5})
    assert found["sar-rarp50"]["iou"] == pytest.approx((1 / 2 + 1) / 2)
