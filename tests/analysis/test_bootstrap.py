"""Block bootstrap: resampled means that can be worked out by hand, and what the intervals cover."""

import math

import numpy as np
import pytest

from surgseg.analysis.bootstrap import (
    LEAST_BLOCKS,
    autocorrelation_time,
    block_length,
    difference_of_means,
    resampled_means,
)


class Starts:
    """In place of a random generator: blocks begin where the test says."""

    def __init__(self, rows):
        self.rows = np.array(rows)

    def integers(self, low, high, shape):
        assert (low, shape) == (0, self.rows.shape) and self.rows.max() < high
        return self.rows


def correlated(rng, count, coefficient):
    """(count,) autoregressive sequence of variance 1 around 0."""
    values, noise = np.empty(count), rng.standard_normal(count) * math.sqrt(1 - coefficient**2)
    values[0] = rng.standard_normal()
    for index in range(1, count):
        values[index] = coefficient * values[index - 1] + noise[index]
    return values


def test_blocks_of_one_frame_are_the_plain_bootstrap():
    means = resampled_means([1.0, 2.0, 6.0], 1, Starts([[0, 0, 0], [0, 1, 2], [2, 2, 1]]), draws=3)
    assert means == pytest.approx([1, 3, 14 / 3])


def test_a_block_of_the_whole_sequence_has_its_mean_wherever_it_begins():
    means = resampled_means([1.0, 2.0, 6.0], 3, Starts([[0], [1], [2]]), draws=3)
    assert means == pytest.approx([3, 3, 3])


def test_blocks_run_on_at_the_beginning_and_the_last_is_cut():
    values = [1.0, 2.0, 4.0, 8.0, 16.0]
    # blocks of 2 from frames 4, 1 and 3: 16 1 | 2 4 | 8
    assert resampled_means(values, 2, Starts([[4, 1, 3]]), draws=1) == pytest.approx([31 / 5])


def test_resampled_means_scatter_around_the_mean():
    values = np.random.default_rng(1).random(300)
    means = resampled_means(values, 7, np.random.default_rng(2))
    assert means.shape == (2000,) and means.mean() == pytest.approx(values.mean(), abs=0.003)
    assert means.std() == pytest.approx(values.std() / math.sqrt(300), rel=0.2)


def test_autocorrelation_time_tells_independent_frames_from_alike_ones():
    rng = np.random.default_rng(0)
    assert autocorrelation_time([5.0] * 20) == 1 and autocorrelation_time([0.0, 1.0]) == 1
    assert autocorrelation_time([0.0, 1.0] * 10) == 1, "alternating: the first autocorrelation is negative"
    assert autocorrelation_time(rng.standard_normal(5000)) < 1.3
    # (1 + a) / (1 - a) of an autoregressive sequence
    assert autocorrelation_time(correlated(rng, 20000, 0.8)) == pytest.approx(9, rel=0.25)


def test_autocorrelation_of_few_values_by_hand():
    # 1 1 0 0: centred +-1/2, variance 1/4; lag 1: (1/4 - 1/4 + 1/4) / 1 = 1/4, lag 2 is negative
    assert autocorrelation_time([1, 1, 0, 0]) == pytest.approx(1.5)


def test_a_block_is_twice_the_autocorrelation_time_and_no_shorter_than_a_burst():
    assert block_length([1, 1, 0, 0]) == 3
    assert block_length([5.0] * 1000) == 10 and block_length([5.0] * 1001) == 11, "cube root of the number of frames"
    assert block_length([5.0] * 1000, burst=25) == 25


def test_the_same_seed_gives_the_same_interval_and_another_one_nearly_so():
    rng = np.random.default_rng(3)
    first, second = rng.random(200), rng.random(250) + 0.5
    found = difference_of_means(first, second, seed=4)
    assert found == difference_of_means(first, second, seed=4)
    other = difference_of_means(first, second, seed=5)
    assert found["interval"] != other["interval"] and found["interval"] == pytest.approx(other["interval"], abs=0.02)
    assert found["difference"] == pytest.approx(second.mean() - first.mean()) and found["reason"] is None
    assert found["interval"][0] < found["difference"] < found["interval"][1] and found["interval"][0] > 0.3


def test_exchanging_the_videos_changes_the_sign():
    rng = np.random.default_rng(3)
    first, second = rng.random(200), rng.random(200) + 0.5
    one, other = difference_of_means(first, second), difference_of_means(second, first)
    assert one["difference"] == -other["difference"]
    assert one["interval"] == pytest.approx([-other["interval"][1], -other["interval"][0]], abs=0.02)


def test_where_nothing_varies_there_is_no_interval():
    found = difference_of_means([1.0] * 100, [0.25] * 100)
    assert found["difference"] == -0.75 and found["interval"] is None and "nothing varies" in found["reason"]


def test_one_constant_side_leaves_the_other_s_uncertainty():
    found = difference_of_means([1.0] * 200, np.random.default_rng(0).integers(0, 2, 200))
    assert found["interval"] is not None and found["interval"][0] < found["difference"] < found["interval"][1]


def test_too_few_stretches_give_the_difference_and_the_reason():
    ramp = np.linspace(0, 1, 100)
    found = difference_of_means(ramp, ramp + 1)
    assert found["difference"] == pytest.approx(1) and found["interval"] is None
    assert str(LEAST_BLOCKS) in found["reason"] and min(found["blocks"]) < LEAST_BLOCKS
    short = difference_of_means([0.0], [1.0, 0.5])
    assert short["difference"] == 0.75 and short["interval"] is None
    noise = np.random.default_rng(0).random(200)
    assert difference_of_means(noise, noise, bursts=(1, 1))["interval"] is not None
    assert difference_of_means(noise, noise, bursts=(1, 50))["interval"] is None, "4 bursts only"


@pytest.mark.parametrize("first, second", [([], [1.0]), ([1.0], []), ([], [])])
def test_of_no_frames_no_difference_is_defined(first, second):
    found = difference_of_means(first, second)
    assert math.isnan(found["difference"]) and found["interval"] is None and "no frames" in found["reason"]


def test_the_interval_covers_the_truth_about_as_often_as_it_says_though_frames_are_alike():
    rng, hits, plain_hits, tries = np.random.default_rng(1), 0, 0, 150
    for seed in range(tries):
        first, second = (correlated(rng, 500, 0.6) for _ in range(2))
        low, high = difference_of_means(first, second, seed=seed)["interval"]
        hits += low <= 0 <= high
        error = math.hypot(first.std(), second.std()) / math.sqrt(500)  # as if the frames were independent
        plain_hits += abs(second.mean() - first.mean()) <= 1.96 * error
    assert 0.86 <= hits / tries <= 0.98
    assert plain_hits / tries < 0.8, "frames taken for independent give intervals far too narrow"
