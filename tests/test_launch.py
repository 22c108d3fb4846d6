"""Which process this is, as torchrun or a Slurm array says."""

from __future__ import annotations

import pytest

from surgseg.files import UserError
from surgseg.launch import Launch, launched, share_of


def test_torchrun_says_rank_and_count():
    assert launched({}) == Launch(0, 0, 1, False)
    assert launched({"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}) == Launch(3, 1, 4, True)


def test_alone_a_process_does_everything():
    assert share_of("auto", {}) == (0, 1)
    assert share_of("none", {"SLURM_ARRAY_TASK_COUNT": "4"}) == (0, 1)
    with pytest.raises(UserError, match="torchrun"):
        share_of("none", {"RANK": "1", "WORLD_SIZE": "2"})


def test_torchrun_says_which_process_this_is():
    assert share_of("auto", {"RANK": "2", "WORLD_SIZE": "4"}) == (2, 4)


def array(task, first, last, step=1, count=None):
    values = {"ID": task, "MIN": first, "MAX": last, "STEP": step, "COUNT": count or (last - first) // step + 1}
    return {f"SLURM_ARRAY_TASK_{key}": str(value) for key, value in values.items()}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (array(0, 0, 3), (0, 4)),
        (array(5, 3, 6), (2, 4)),
        (array(11, 1, 11, 5), (2, 3)),
        (array(1, 1, 12, 5), (0, 3)),
        (array(7, 7, 7), (0, 1)),
    ],
)
def test_a_slurm_array_says_which_task_this_is(environment, expected):
    assert share_of("auto", environment) == expected


def test_an_array_of_torchruns_multiplies():
    processes = [
        share_of("auto", {**array(task, 1, 3), "RANK": str(rank), "WORLD_SIZE": "2"})
        for task in (1, 2, 3)
        for rank in (0, 1)
    ]
    assert processes == [(number, 6) for number in range(6)]


def test_an_array_with_gaps_needs_a_word():
    with pytest.raises(UserError, match="--share K/N"):
        share_of("auto", array(9, 1, 9, count=3))  # --array 1,2,9


def test_shares_count_from_one():
    assert share_of("1/3", {}) == (0, 3)
    assert share_of("3/3", {}) == (2, 3)


@pytest.mark.parametrize("share", ["", "0/3", "4/3", "3", "a/b", "1/0", "-1/2", "1/2/3", "1.5/2"])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UserError, match="--share"):
        share_of(share, {})
