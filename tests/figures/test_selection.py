"""Which frames of a generated folder are shown, and how the rule is worded."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from surgseg.figures.selection import SELECTIONS, frame_number, select_frames, synthetic_mark
from surgseg.files import UserError
from surgseg.reviews import Review

ROWS = [
    SimpleNamespace(name=str(index), frame=index, coverage=coverage, uncertainty=uncertainty)
    for index, (coverage, uncertainty) in enumerate(
        zip([0.0, 0.3, 0.1, 0.0, 0.5, 0.2, 0.05], [0.1, 0.2, 0.9, 0.4, 0.3, 0.8, 0.0])
    )
]


@pytest.mark.parametrize(
    ("rule", "frames", "words"),
    [
        ("spread", [0, 3, 6], "3 of 7 frames, spread evenly over the video"),
        ("largest", [4, 1, 5], "3 of 7 frames: the largest coverage first"),
        ("smallest", [6, 2, 5], "3 of 5 frames with an instrument, the smallest coverage first; 2 without one"),
        ("uncertain", [2, 5, 3], "3 of 7 frames: the highest uncertainty first"),
    ],
)
def test_each_rule_takes_its_frames_and_says_so(rule, frames, words):
    selected = select_frames(ROWS, rule, 3)
    assert [row.frame for row in selected.rows] == frames
    assert selected.words == words and selected.seed is None


def test_chance_is_repeatable_in_order_of_time_and_takes_no_frame_twice():
    first, again, other = (select_frames(ROWS, "random", 4, seed) for seed in (1, 1, 2))
    frames = [row.frame for row in first.rows]
    assert frames == [row.frame for row in again.rows] == sorted(set(frames)) and len(frames) == 4
    assert frames != [row.frame for row in other.rows]
    assert first.seed == 1 and "seed 1" in first.words


@pytest.mark.parametrize("rule", SELECTIONS)
def test_fewer_frames_than_asked_for_are_all_shown_and_that_is_said(rule):
    reviews = {row.name: Review(row.name, "correct", row.frame) for row in ROWS}
    selected = select_frames(ROWS[1:3], rule, 5, reviews=reviews)
    assert sorted(row.frame for row in selected.rows) == [1, 2] and "all 2 frames (5 requested)" in selected.words
    assert select_frames(ROWS[1:2], rule, 2, reviews=reviews).words.startswith("the only frame (2 requested)")


def test_there_is_no_smallest_of_nothing():
    with pytest.raises(UserError, match="no instrument in any of 2 frames"):
        select_frames([ROWS[0], ROWS[3]], "smallest", 1)


def test_the_frame_number_ends_the_name():
    assert [frame_number(name) for name in ("video01_000080", "img_07_raw", "left")] == [80, 7, 0]


def test_synthetic_frames_and_weights_are_marked():
    assert synthetic_mark("synthetic", "real") == synthetic_mark("synthetic") == "SYNTHETIC"
    assert synthetic_mark("real", "synthetic") == "SYNTHETIC WEIGHTS"
    assert synthetic_mark("real", "real") == synthetic_mark("unmarked", None) == ""


def test_an_unknown_rule_is_refused_and_never_another():
    with pytest.raises(UserError, match="unknown selection 'best': use spread, random"):
        select_frames(ROWS, "best", 3)
