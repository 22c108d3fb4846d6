import numpy as np
import pytest
from scipy.stats import beta, t

from surgseg.review.estimate import (
    Auxiliary,
    Design,
    estimate_difference,
    estimate_ratio,
    estimate_share,
    frames_to_halve,
    to_iou,
)

STRATA = np.array([0, 0, 1, 1])  # two of four frames, and two of six


def test_the_ratio_is_that_of_the_weighted_totals_and_its_variance_that_of_the_residuals():
    design = Design(STRATA, np.array([4, 6]))
    found = estimate_ratio(design, np.array([6, 8, 3, 5]), np.array([8, 10, 6, 6]))
    # weights 2 and 3: above 2 * 14 + 3 * 8 = 52, below 2 * 18 + 3 * 12 = 72
    assert found.value == pytest.approx(52 / 72)
    # residuals above - 52/72 below, in 18ths: 4, 14, -24, 12, over 72; their sample variances (10/18)^2/2, (36/18)^2/2
    parts = [4**2 * (1 - 2 / 4) / 2 * (10 / 18) ** 2 / 2, 6**2 * (1 - 2 / 6) / 2 * 2**2 / 2]
    assert design.variance(found.residuals) == pytest.approx(sum(parts) / 72**2)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 1 + parts[1] ** 2 / 1)
    middle, half = np.log(52 / 20), t.ppf(0.975, freedom) * sum(parts) ** 0.5 / 72 / (52 / 72 * 20 / 72)
    assert (found.low, found.high) == pytest.approx((1 / (1 + np.exp(half - middle)), 1 / (1 + np.exp(-half - middle))))
    iou = to_iou(found)
    assert iou.value == pytest.approx(52 / 92) and (iou.low, iou.high) == pytest.approx(
        (found.low / (2 - found.low), found.high / (2 - found.high))
    )
    assert iou.residuals == pytest.approx(found.residuals * 2 * (72 / 92) ** 2)


def test_a_census_and_a_perfect_auxiliary_leave_no_width():
    above, below = np.array([6, 8, 3, 5]), np.array([8, 10, 6, 6])
    census = estimate_ratio(Design(STRATA, np.array([2, 2])), above, below)
    assert (census.low, census.value, census.high) == pytest.approx((22 / 30,) * 3)
    known = estimate_ratio(Design(STRATA, np.array([4, 6])), above, below, Auxiliary(above, below, (60, 80)))
    assert (known.low, known.value, known.high) == pytest.approx((0.75,) * 3)
    assert frames_to_halve(Design(STRATA, np.array([4, 6])), known) is None


def test_the_difference_of_two_models_is_that_on_the_same_frames():
    design = Design(np.zeros(4, int), np.array([10**9]))
    below = np.full(4, 10)
    first = estimate_ratio(design, np.array([2, 4, 6, 8]), below)
    second = estimate_ratio(design, np.array([3, 5, 7, 9]), below)
    better = estimate_difference(design, first, second)
    assert (better.low, better.value, better.high) == pytest.approx((0.1,) * 3)  # always by one of ten pixels
    third = estimate_difference(design, first, estimate_ratio(design, np.array([2, 4, 6, 12]), below))
    half = t.ppf(0.975, 3) * 0.2 / 2  # differences 0, 0, 0, .4: standard deviation .2
    assert (third.low, third.high) == pytest.approx((0.1 - half, 0.1 + half))


@pytest.mark.parametrize("hits", [0, 3, 10])
def test_the_interval_of_a_share_is_that_of_clopper_and_pearson_where_the_sample_is_simple(hits):
    design = Design(np.zeros(10, int), np.array([10**9]))
    found = estimate_share(design, np.arange(10) < hits, np.ones(10, bool))
    low, high = beta.ppf(0.025, hits, 11 - hits), beta.ppf(0.975, hits + 1, 10 - hits)
    assert found.value == hits / 10
    assert (found.low, found.high) == pytest.approx((low if hits else 0, high if hits < 10 else 1))


def test_strata_change_how_many_frames_count_for_the_interval_of_a_share():
    design = Design(np.repeat([0, 1], 4), np.array([10**9, 10**9]))
    found = estimate_share(design, np.array([1, 1, 1, 0, 0, 0, 0, 1]), np.ones(8, bool))
    # variance (1/4 / 4 + 1/4 / 4) / 4 = 1/32; of eight frames of one stratum it would be 1/4 / 7
    frames = 8 * (1 / 4 / 7) / (1 / 32) * (t.ppf(0.975, 7) / t.ppf(0.975, 6)) ** 2
    assert found.high == pytest.approx(beta.ppf(0.975, frames / 2 + 1, frames / 2))


def test_a_share_of_no_frames_is_not_defined():
    assert np.isnan(estimate_share(Design(STRATA, np.array([4, 6])), np.ones(4, bool), np.zeros(4, bool)).value)


def test_the_interval_is_half_as_wide_with_four_times_the_frames_or_fewer_of_a_small_population():
    above, below = np.tile([4, 6], 25), np.full(50, 10)
    large = Design(np.zeros(50, int), np.array([10**6]))
    assert 140 <= frames_to_halve(large, estimate_ratio(large, above, below)) <= 150  # t with 199 for 49 is smaller
    strata = Design(np.repeat([0, 1], [10, 40]), np.array([10**6, 4 * 10**6]))
    assert 140 <= frames_to_halve(strata, estimate_ratio(strata, above, below)) <= 150
    small = Design(np.zeros(50, int), np.array([60]))
    # (60 - n) / n has to be a quarter of 10 / 50, or 1.007 times that with t of 57 for 49: n = 57.1
    assert frames_to_halve(small, estimate_ratio(small, above, below)) == 8


def test_one_frame_of_a_larger_stratum_is_refused():
    with pytest.raises(ValueError, match="two"):
        Design(np.array([0, 0, 1]), np.array([4, 6]))
