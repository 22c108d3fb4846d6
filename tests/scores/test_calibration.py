"""Scores of probabilities, by hand."""

import numpy as np
import pytest

from surgseg.scores.calibration import best_threshold, calibration, count_probabilities, reliability, risk


def counts(other: dict[int, int], instrument: dict[int, int]) -> np.ndarray:
    """(2, 256): pixels at each 255th."""
    found = np.zeros((2, 256), np.int64)
    for row, pixels in enumerate((other, instrument)):
        for level, number in pixels.items():
            found[row, level] = number
    return found


def test_void_is_not_counted_and_instrument_classes_are_one():
    probability = np.array([[0, 255, 51], [51, 7, 255]], np.uint8)
    truth = np.array([[0, 1, 2], [0, 255, 255]], np.uint8)
    found = count_probabilities(probability, truth, [1, 2])
    assert np.array_equal(found, counts({0: 1, 51: 1}, {255: 1, 51: 1}))


def test_ece_and_brier_are_those_counted_by_hand():
    found = reliability(counts({51: 3, 204: 1}, {51: 1, 204: 1}))  # p .2: 1 of 4 pixels; p .8: 1 of 2
    assert found["pixels"] == 6
    assert found["ece"] == pytest.approx((4 * 0.05 + 2 * 0.3) / 6)
    assert found["brier"] == pytest.approx((3 * 0.04 + 0.64 + 0.64 + 0.04) / 6)
    full = [row for row in found["bins"] if row["pixels"]]
    assert [(row["from"], row["probability"], row["share"]) for row in full] == [
        (0.2, pytest.approx(0.2), 0.25), (0.8, pytest.approx(0.8), 0.5)
    ]  # fmt: skip
    assert reliability(counts({0: 5}, {255: 2}))["ece"] == reliability(counts({0: 5}, {255: 2}))["brier"] == 0
    assert reliability(counts({}, {}))["ece"] is None


def test_each_video_has_its_own_scores():
    frames = np.stack([counts({0: 4}, {}), counts({255: 1}, {255: 3}), counts({}, {})])
    found = calibration(frames, ["a", "b", "void"], np.zeros(3), np.array([np.nan, 0.9, np.nan]))
    assert found["per_video"] == {
        "a": {"ece": 0, "brier": 0}, "b": {"ece": 0.25, "brier": 0.25}, "void": {"ece": None, "brier": None}
    }  # fmt: skip
    assert found["video_intervals"]["ece"]["n"] == 2 and found["video_intervals"]["ece"]["mean"] == 0.125
    assert found["brier_of_share"] == pytest.approx(3 / 8 * 5 / 8) and found["risk"]["frames"] == 1


def test_the_most_uncertain_frames_are_left_out_first():
    found = risk(np.array([0.3, 0.1, 0.9, 0.2]), np.array([0.4, 0.0, np.nan, 0.2]))
    assert found["frames"] == 3
    assert [(row["share"], row["frames"], row["risk"]) for row in found["kept"][::3]] == [
        (1.0, 3, pytest.approx(0.2)), (0.7, 2, pytest.approx(0.1)), (0.4, 1, 0.0), (0.1, 1, 0.0)
    ]  # fmt: skip
    assert (found["area"], found["area_random"]) == (pytest.approx(0.1), pytest.approx(0.2))
    assert found["area_best"] == found["area"]
    assert risk(np.array([0.5]), np.array([np.nan]))["kept"] == []


def test_the_threshold_has_the_highest_dice_and_lies_nearest_to_a_half():
    assert best_threshold(counts({0: 90, 60: 10}, {80: 5, 200: 5})) == (pytest.approx(79.5 / 255), 1.0)
    value, dice = best_threshold(counts({0: 90, 60: 30}, {40: 1, 80: 9}))
    assert (value, dice) == (pytest.approx(79.5 / 255), pytest.approx(18 / 19))
    assert best_threshold(counts({0: 9}, {255: 9}))[0] == pytest.approx(0.5)
