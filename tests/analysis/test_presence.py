"""Segments of presence worked out by hand, and presence against an annotation."""

import math

import numpy as np
import pytest

from surgseg.analysis.presence import Segment, agreement, presence_segments, segment_summary, typical_spacing

NO, YES = False, True


def segments(times, present):
    return [(found.start_s, found.end_s, found.frames) for found in presence_segments(times, present)]


def test_segments_have_start_end_length_and_frames():
    times, present = [0, 1, 2, 3, 4, 5], [NO, YES, YES, NO, NO, YES]
    assert segments(times, present) == [(1, 3, 2), (5, 6, 1)]
    assert Segment(1.0, 3.0, 2).to_json() == {"start_s": 1.0, "end_s": 3.0, "length_s": 2.0, "frames": 2}


def test_always_and_never_in_view():
    times = [10, 10.5, 11]
    assert segments(times, [YES] * 3) == [(10, 11.5, 3)]
    assert segments(times, [NO] * 3) == []


def test_a_part_nobody_looked_at_ends_a_segment():
    times = [0, 1, 2, 10, 11]
    assert segments(times, [YES] * 5) == [(0, 3, 3), (10, 12, 2)]
    assert segments([0, 1, 3.1, 4.1], [YES] * 4) == [(0, pytest.approx(2), 2), (3.1, 5.1, 2)], (
        "longer than two spacings"
    )


def test_a_single_frame_left_out_does_not_end_one():
    assert segments([0, 1, 3, 4], [YES] * 4) == [(0, 5, 4)]


@pytest.mark.parametrize("burst", [2, 3, 5, 8])
def test_bursts_do_not_merge_across_the_time_between_them(burst):
    times = [round(10 * place + 0.04 * frame, 2) for place in range(5) for frame in range(burst)]
    assert typical_spacing(times, burst) == 10
    expected = [(10.0 * place, pytest.approx(10 * place + 0.04 * burst), burst) for place in range(5)]
    assert segments(times, [YES] * len(times)) == expected
    one = [place == burst for place in range(len(times))]
    assert segments(times, one) == [(10, pytest.approx(10.04), 1)]


def test_a_rate_that_changes_does_not_end_segments():
    steps = [0.04] * 300 + [0.1] * 100
    times = np.concatenate([[0], np.cumsum(steps)])
    present = np.ones(401, bool)
    present[[50, 350]] = NO
    assert len(segments(times, present)) == 3
    for change in ([0.04] * 20 + [0.2] * 20, [0.2] * 20 + [0.04] * 20, np.geomspace(0.02, 2, 50)):
        drifting = np.concatenate([[0], np.cumsum(change)])
        found = segments(drifting, [YES] * len(drifting))
        assert len(found) == 1 and found[0][1] > drifting[-1], "whatever the change, and where it drifts"
    held = segments(np.delete(times, [199, 200, 201, 370, 371]), [YES] * 396)
    assert [frames for _, _, frames in held] == [199, 168, 29], "a gap in either part is one"


@pytest.mark.parametrize("rate", [240, 60, 30000 / 1001, 25, 0.1])
def test_a_step_of_exactly_twice_the_spacing_is_no_gap_however_times_are_rounded(rate):
    for digits in (3, 6, 12):
        times = np.round(np.arange(400) / rate, digits)
        assert len(segments(np.delete(times, np.arange(5, 395, 20)), [YES] * 380)) == 1
        assert len(segments(np.delete(times, [100, 101]), [YES] * 398)) == 2, "three times is one"


def test_a_cut_and_a_dissolve_end_a_segment_once():
    times, shots = [0, 1, 2, 3, 4, 5, 6], [0, 0, 1, 2, 3, 3, 4]  # frames 2 to 3 mix two shots; a cut before frame 6
    found = presence_segments(times, [YES] * 7, shots=shots)
    assert [(one.start_s, one.frames) for one in found] == [(0, 2), (2, 4), (6, 1)]


def test_two_gaps_in_a_row_leave_a_frame_alone():
    assert segments([0, 1, 2, 10, 18, 19, 20], [YES] * 7) == [(0, 3, 3), (10, 11, 1), (18, 21, 3)]


def test_no_segment_ends_behind_the_video_s_end():
    def ends(video_end):
        return [one.end_s for one in presence_segments([0, 10, 20], [YES] * 3, video_end)]

    assert ends(math.inf) == [30] and ends(24.5) == [24.5] and ends(40) == [30]
    assert ends(15.0) == [30], "a header that says less than the frames is not believed"
    found = segment_summary(presence_segments([0, 10], [YES, NO], 12.5), [0, 10], 10.0, None, 12.5)
    assert found["present_share_of_time"] == pytest.approx(10 / 12.5)


def test_spacing_is_the_median_step_and_undefined_for_one_place():
    assert typical_spacing([0, 1, 2, 9]) == 1
    assert math.isnan(typical_spacing([5.0])) and math.isnan(typical_spacing([0, 0.04, 0.08], burst=3))


def test_the_summary_tells_shares_and_lengths_of_the_time_looked_at():
    times, present = [0, 1, 2, 3, 4, 5], [NO, YES, YES, NO, NO, YES]
    found = segment_summary(presence_segments(times, present), times, 1.0)
    assert found["count"] == 2 and found["resolution_s"] == 1 and found["present_s"] == 3
    assert found["present_share_of_time"] == pytest.approx(0.5)
    assert found["median_length_s"] == 1.5 and found["longest_s"] == 2
    assert [one["length_s"] for one in found["segments"]] == [2, 1]


@pytest.mark.parametrize("times", [[0, 1, 2, 3.5, 4.5], [0, 1, 3, 4, 5], [0, 1, 2, 50, 51]])
def test_an_instrument_always_in_view_is_there_the_whole_time_looked_at(times):
    spacing = typical_spacing(times)
    found = segment_summary(presence_segments(times, [YES] * len(times)), times, spacing)
    assert found["present_share_of_time"] == pytest.approx(1)


def test_a_phase_that_is_interrupted_counts_its_own_time_only():
    times, in_phase = [0, 1, 2, 3, 4], [YES, YES, NO, YES, YES]
    found = segment_summary(presence_segments(times, in_phase), times, 1.0, in_phase)
    assert found["count"] == 2 and found["present_s"] == 4 and found["present_share_of_time"] == 1


def test_no_instrument_at_all_leaves_lengths_undefined_but_not_the_share():
    found = segment_summary([], [0, 1, 2], 1.0)
    assert found["count"] == 0 and found["present_s"] == 0 and found["present_share_of_time"] == 0
    assert math.isnan(found["median_length_s"]) and math.isnan(found["longest_s"])


def test_of_a_single_frame_no_length_is_defined():
    times, spacing = [2.0], typical_spacing([2.0])
    found = segment_summary(presence_segments(times, [YES]), times, spacing)
    assert found["count"] == 1 and found["segments"][0]["frames"] == 1
    assert all(math.isnan(found[key]) for key in ("present_s", "present_share_of_time", "longest_s", "resolution_s"))


def test_agreement_counts_the_four_cases():
    predicted = [YES, YES, YES, NO, NO, NO, NO]
    annotated = [YES, YES, NO, YES, NO, NO, NO]
    assert agreement(predicted, annotated) == {
        "sensitivity": pytest.approx(2 / 3),
        "specificity": pytest.approx(3 / 4),
        "true_positive": 2,
        "false_negative": 1,
        "false_positive": 1,
        "true_negative": 3,
    }


def test_a_class_that_is_absent_from_the_annotation_has_no_score():
    always = agreement([YES, NO], [YES, YES])
    assert always["sensitivity"] == 0.5 and math.isnan(always["specificity"])
    never = agreement([YES, NO], [NO, NO])
    assert math.isnan(never["sensitivity"]) and never["specificity"] == 0.5
    nothing = agreement([], [])
    assert math.isnan(nothing["sensitivity"]) and math.isnan(nothing["specificity"])
