"""Intervals from few videos, and the signed-rank test, against values from tables."""

import math

import numpy as np
import pytest

from surgseg.scores.intervals import mean_interval, signed_rank


@pytest.mark.parametrize("n", [1, 2, 5])
def test_under_six_videos_there_is_no_interval_but_a_reason(n):
    found = mean_interval(range(n))
    assert found["n"] == n and found["mean"] == pytest.approx((n - 1) / 2) and found["interval"] is None
    assert f"{n} videos" in found["reason"] and found["method"] is None
    assert (found["sd"] is None) == (n == 1)


def test_from_six_videos_on_the_interval_is_students():
    found = mean_interval([1, 2, 3, 4, 5, 6])
    half = 2.570582 * math.sqrt(3.5 / 6)  # t(0.975, 5 degrees of freedom) from a table; variance 3.5
    assert found["interval"] == pytest.approx([3.5 - half, 3.5 + half], abs=1e-5)
    assert found["method"] == "Student's t, 6 videos" and found["reason"] is None


@pytest.mark.parametrize(("n", "t"), [(10, 2.262157), (17, 2.119905), (30, 2.045230)])  # t(0.975, n - 1), a table
def test_with_many_videos_too_it_is_students(n, t):
    found = mean_interval(range(n))
    half = t * math.sqrt(n * (n + 1) / 12 / n)  # variance of 0 ... n - 1, with n - 1
    assert found["interval"] == pytest.approx([(n - 1) / 2 - half, (n - 1) / 2 + half], abs=1e-5)
    assert found["method"] == f"Student's t, {n} videos"


@pytest.mark.parametrize("n", [6, 10, 17])
def test_the_interval_covers_the_truth_as_often_as_it_says(n):
    draws = np.random.default_rng(0).beta(20, 3, (400, n)) - np.random.default_rng(1).beta(18, 3, (400, n))
    ends = [mean_interval(values)["interval"] for values in draws]
    assert np.mean([low <= 20 / 23 - 18 / 21 <= high for low, high in ends]) == pytest.approx(0.95, abs=0.025)


def test_undefined_values_are_left_out_of_mean_and_count():
    found = mean_interval([0.2, None, math.nan, 0.4])
    assert found["n"] == 2 and found["mean"] == pytest.approx(0.3) and found["sd"] == pytest.approx(math.sqrt(0.02))
    assert mean_interval([])["mean"] is None


@pytest.mark.parametrize(("n", "smallest"), [(3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_even_a_clear_case_cannot_go_below_the_smallest_p(n, smallest):
    assert signed_rank(range(1, n + 1)) == {"n": n, "p": pytest.approx(smallest), "smallest": smallest}


def test_p_by_hand():
    # ranks 1, 2, 3 with the first negative: W = 1; of 8 sign patterns 2 reach W <= 1, two-sided 4/8
    assert signed_rank([-0.1, 0.2, 0.3])["p"] == pytest.approx(0.5)


def test_pairs_without_a_difference_are_no_pairs():
    assert signed_rank([0, 0.1, 0.2, 0.3])["n"] == 3
    assert signed_rank([0.0, 0.0]) == {"n": 0, "p": None, "smallest": None}


def test_tied_differences_share_a_rank():
    # three ranks of 2: of the sums 0, 2 (3 times), 4 (3 times), 6 half are 2 or less, two-sided 8/8
    assert signed_rank([0.25, 0.25, -0.25])["p"] == 1.0
    # ranks 1.5, 1.5, 3 with the last negative: W = 3; 5 of 8 sums (0, 1.5, 1.5, 3, 3) reach no more
    assert signed_rank([0.25, 0.25, -0.5])["p"] == 1.0
    # ranks 2, 2, 2, 4 with a tied one negative: W = 2; 4 of 16 sums (0, 2, 2, 2), two-sided 8/16
    assert signed_rank([0.25, 0.25, -0.25, 0.5])["p"] == pytest.approx(0.5)
