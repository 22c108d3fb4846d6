"""Intervals over frames: blocks and their error by hand, and how often the intervals cover the truth."""

import math

import numpy as np
import pytest

from surgseg.analysis.bootstrap import (
    LEAST_BLOCKS,
    autocorrelation_time,
    autocovariance,
    block_length,
    difference_of_means,
    drop_rare_intervals,
    variance_of_mean,
)


def correlated(rng, count, coefficient):
    """(count,) autoregressive sequence of variance 1 around 0."""
    values, noise = np.empty(count), rng.standard_normal(count) * math.sqrt(1 - coefficient**2)
    values[0] = rng.standard_normal()
    for index in range(1, count):
        values[index] = coefficient * values[index - 1] + noise[index]
    return values


def test_the_error_of_the_mean_is_that_of_the_means_of_all_blocks():
    # blocks of 1: the population variance 14/3 over 3 frames; one block of all 3: their mean, wherever it begins
    assert variance_of_mean([1.0, 2.0, 6.0], 1) == pytest.approx(14 / 9)
    assert variance_of_mean([1.0, 2.0, 6.0], 3) == pytest.approx(0)
    # blocks of 2, the last begins anew at the first frame: 1.5 4 3.5 around 3: 3.5 / 3, and 1.5 blocks
    assert variance_of_mean([1.0, 2.0, 6.0], 2) == pytest.approx(3.5 / 3 / 1.5)


def test_resampled_blocks_scatter_as_the_error_says():
    values, rng = correlated(np.random.default_rng(1), 300, 0.5), np.random.default_rng(2)
    starts = rng.integers(0, 300, (4000, 30))
    means = values[(starts[..., None] + np.arange(10)) % 300].mean((1, 2))
    assert means.var() == pytest.approx(variance_of_mean(values, 10), rel=0.1)


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


def test_autocovariance_of_few_values_by_hand():
    assert autocovariance([1, 1, 0, 0]) == pytest.approx([1 / 4, 1 / 16, -1 / 8, -1 / 16])


def test_the_block_is_that_of_the_politis_white_rule():
    # 1 1 0 0: no correlation is significant, so the bandwidth is 2 with weights 1 0: slope 1/8, variance 3/8, and
    # (3/2 4 (1/3)^2)^(1/3) = 0.87
    assert block_length([1, 1, 0, 0]) == 1
    assert block_length([5.0] * 1000) == 1 and block_length([5.0] * 1000, burst=25) == 25
    assert block_length([0, 1, 0, 1], burst=3) == 3 and block_length([1.0]) == 1
    for coefficient in (0.5, 0.9):  # of an autoregressive sequence: slope / variance = 2 a / (1 - a^2)
        found = block_length(correlated(np.random.default_rng(0), 20000, coefficient))
        assert found == pytest.approx((1.5 * 20000 * (2 * coefficient / (1 - coefficient**2)) ** 2) ** (1 / 3), rel=0.2)


def test_the_interval_is_students_of_both_errors():
    rng = np.random.default_rng(3)
    first, second = rng.random(200), rng.random(250) + 0.5
    found = difference_of_means(first, second)
    assert found["difference"] == pytest.approx(second.mean() - first.mean()) and found["reason"] is None
    low, high = found["interval"]
    error = math.hypot(first.std() / math.sqrt(200), second.std() / math.sqrt(250))
    assert (low + high) / 2 == pytest.approx(found["difference"]) and (high - low) / 2 == pytest.approx(
        1.96 * error, rel=0.15
    )


def test_exchanging_the_videos_changes_the_sign():
    rng = np.random.default_rng(3)
    first, second = rng.random(200), rng.random(200) + 0.5
    one, other = difference_of_means(first, second), difference_of_means(second, first)
    assert one["difference"] == -other["difference"]
    assert one["interval"] == pytest.approx([-other["interval"][1], -other["interval"][0]])


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


@pytest.mark.parametrize(("coefficient", "count"), [(0.6, 500), (0.9, 1000)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says_though_frames_are_alike(coefficient, count):
    rng, hits, plain_hits, tries = np.random.default_rng(1), 0, 0, 100
    for _ in range(tries):
        first, second = (correlated(rng, count, coefficient) for _ in range(2))
        low, high = difference_of_means(first, second)["interval"] or (-9, 9)
        hits += low <= 0 <= high
        error = math.hypot(first.std(), second.std()) / math.sqrt(count)  # as if the frames were independent
        plain_hits += abs(second.mean() - first.mean()) <= 1.96 * error
    assert 0.86 <= hits / tries <= 0.98
    assert plain_hits / tries < 0.8, "frames taken for independent give intervals far too narrow"


@pytest.mark.parametrize("count", [100, 300])
def test_strongly_correlated_frames_have_no_interval(count):
    rng = np.random.default_rng(2)
    found = [difference_of_means(correlated(rng, count, 0.97), correlated(rng, count, 0.97)) for _ in range(40)]
    assert not any(one["interval"] for one in found)


def test_where_most_measures_have_no_interval_none_has():
    rng = np.random.default_rng(4)
    noise = difference_of_means(rng.random(200), rng.random(200))
    ramp = difference_of_means(np.linspace(0, 1, 200), rng.random(200))
    constant, none = difference_of_means([1.0] * 200, [1.0] * 200), difference_of_means([], [1.0])
    for others, kept in (([ramp, ramp], False), ([ramp], True), ([ramp, noise], True), ([constant, none], True)):
        measures = [dict(one) for one in (noise, *others)]
        drop_rare_intervals(measures)
        assert (measures[0]["interval"] is not None) == kept
        assert kept or "most measures" in measures[0]["reason"]
        assert [one["reason"] for one in measures[1:]] == [one["reason"] for one in others]
