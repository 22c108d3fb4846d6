"""Intervals from few videos, tests, effect sizes and ranks, against values from tables and by hand."""

import math

import numpy as np
import pytest

from surgseg.scores.intervals import holm, mean_interval, paired_effect, rank_shares, signed_rank


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
    # the same of scores, which make equal differences unequal in their last bits, and a difference of none
    differences = [0.9 - 0.8, 0.3 - 0.2, 0.7 - 0.8, 0.2, 0.3 - (0.1 + 0.2)]
    assert signed_rank(differences) == {"n": 4, "p": pytest.approx(0.5), "smallest": 0.125}


def test_holm_multiplies_the_smallest_p_by_the_number_of_tests_and_keeps_the_order():
    # in order .01 x 4, .02 x 3, .03 x 2 (raised to the .06 before it), .04 x 1 (the same)
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.005, 0.9, 0.4]) == pytest.approx([0.015, 0.9, 0.8])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02] and holm([]) == []


def test_an_undefined_test_counts_among_the_tests():
    assert holm([None, 0.01, 0.02]) == [None, pytest.approx(0.03), pytest.approx(0.04)]


def test_effect_sizes_by_hand():
    # mean .1; deviations .1, -.2, .1, so a variance of .06 / 2; sizes .2, .1, .2 have ranks 2.5, 1, 2.5
    found = paired_effect([0.2, -0.1, 0.2, None])
    assert found["d_z"] == pytest.approx(0.1 / math.sqrt(0.03)) and found["rank_biserial"] == pytest.approx(4 / 6)
    found = paired_effect([-0.3, 0.1, -0.2, 0.0])  # ranks 3, 1, 2 of the three that differ; d_z counts the zero
    assert found["rank_biserial"] == pytest.approx((1 - 5) / 6)
    assert found["d_z"] == pytest.approx(-0.1 / math.sqrt(0.1 / 3))


@pytest.mark.parametrize(
    ("differences", "d_z", "rank_biserial"),
    [([], None, None), ([0.3], None, None), ([0.0, 0.0], None, None), ([0.9 - 0.8, 0.8 - 0.7], None, 1.0)],
)
def test_effect_sizes_are_undefined_without_spread_or_difference(differences, d_z, rank_biserial):
    assert paired_effect(differences) == {"d_z": d_z, "rank_biserial": rank_biserial}


def test_shares_of_ranks_by_hand():
    # the first wins by 1 in one of 6 videos and loses by .1 in the others: it is ahead if that video is drawn at all
    scores = np.array([[1.0, 0.0, -1.0], *([[0.0, 0.1, -1.0]] * 5)])
    found, ahead = rank_shares(scores), 1 - (5 / 6) ** 6
    assert np.array(found["shares"]) == pytest.approx(
        np.array([[ahead, 1 - ahead, 0], [1 - ahead, ahead, 0], [0, 0, 1]]), abs=0.015
    )
    assert found == rank_shares(scores) and found["n"] == 6 and found["reason"] is None


def test_equal_models_share_their_ranks_evenly():
    base = np.linspace(0.1, 0.7, 7)
    shares = rank_shares(np.stack([base, base + 0.2, np.nextafter(base, 1)], 1))[
        "shares"
    ]  # equal but for the last bits
    assert shares == [[0, 0.5, 0.5], [1, 0, 0], [0, 0.5, 0.5]]


def test_few_videos_have_no_shares_but_a_reason():
    found = rank_shares(np.ones((5, 2)))
    assert found["shares"] is None and "5 videos" in found["reason"]
