"""Distributions over frames and the detection of frames, by hand."""

import math

import numpy as np
import pytest

from surgseg.scores.distribution import detection, distribution_of

NAN = math.nan


def test_a_distribution_has_quantiles_and_the_worst_video_and_leaves_out_undefined_frames():
    values, videos = np.array([1, 0.5, 0.6, NAN, 0.7]), np.array(list("aabbb"))
    found = distribution_of(values, videos)
    assert found == pytest.approx(
        {"n": 4, "mean": 0.7, "median": 0.65, "q25": 0.575, "q75": 0.775, "worst_5_percent": 0.515}
        | {"worst_video": "b", "worst_video_mean": 0.65}
    )
    distance = distribution_of(values, videos, lower_is_better=True)
    assert distance["worst_5_percent"] == pytest.approx(0.955) and distance["worst_video"] == "a"
    assert set(distribution_of(np.array([NAN]), videos[:1]).values()) == {0, None}


def test_detection_of_frames_counts_equal_coverage_half():
    """Positive: .3 and 0 predicted; negative: .1 and 0. The frame of void alone does not count."""
    found = detection(np.array([0.2, 0.1, 0, 0, NAN]), np.array([0.3, 0, 0.1, 0, NAN]))
    assert (found["positive_frames"], found["negative_frames"]) == (2, 2)
    assert (found["sensitivity"], found["specificity"]) == (1 / 2, 1 / 2)
    assert found["auroc"] == pytest.approx(2.5 / 4)  # .3 beats both, 0 equals one
    assert found["auprc"] == pytest.approx((1 + 2 / 4) / 2)


@pytest.mark.parametrize(("coverage", "known"), [([0.1, 0.2], "sensitivity"), ([0, 0], "specificity")])
def test_without_the_other_kind_of_frame_there_is_no_curve(coverage, known):
    found = detection(np.array(coverage), np.zeros(2))
    defined = {key for key in ("sensitivity", "specificity", "auroc", "auprc") if not math.isnan(found[key])}
    assert defined == {known}
