"""Stability of masks between frames at most 0.2 s apart, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from surgseg.analysis.stability import (
    MaskPair,
    close_pairs,
    compare_masks,
    flicker,
    jitter,
    overlap,
    stability,
    why_no_pairs,
)
from surgseg.flow import Warp
from surgseg.masks import is_present

NO, YES = False, True


def bar(first, last, width=10):
    mask = np.zeros((2, width), bool)
    mask[:, first:last] = True
    return mask


def shift_right(step, shape, trusted=None):
    """The warp of a picture that moves to the right by `step` pixels."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    return Warp(columns - step, rows, np.ones(shape, bool) if trusted is None else trusted)


def test_frames_exactly_a_fifth_of_a_second_apart_count_and_farther_ones_do_not():
    assert close_pairs([0.0, 0.2]) == [0]
    assert close_pairs([0.0, 0.21]) == []
    assert close_pairs([1.001, 1.2012]) == [0], "six frames at 29.97 a second"
    assert close_pairs([0, 0.2, 0.41, 0.45, 1.0, 1.2]) == [0, 2, 4]
    assert close_pairs([3599.8, 3600.0]) == [0], "late times are rounded more"
    assert close_pairs([5 / 25 * index for index in range(50)]) == list(range(49)), "25 frames/s, every fifth"
    assert close_pairs([1.0]) == [] and close_pairs([]) == []


def test_two_frames_of_one_time_are_no_pair():
    assert close_pairs([0.0, 0.0, 0.04]) == [1]


def test_overlap_is_intersection_over_union_on_what_counts():
    assert overlap(bar(0, 4), bar(2, 6)) == 4 / 12
    counted = np.ones((2, 10), bool)
    counted[:, :2] = False
    assert overlap(bar(0, 4), bar(2, 6), counted) == 4 / 8
    assert overlap(bar(0, 4), bar(6, 8)) == 0
    assert math.isnan(overlap(bar(0, 0), bar(0, 0))), "two empty masks have no overlap, not a perfect one"
    assert math.isnan(overlap(bar(0, 2), bar(0, 2), counted)), "empty where it counts"


def test_along_the_flow_a_moved_mask_is_the_same_mask():
    pair = compare_masks(3, bar(1, 4), bar(3, 6), np.ones((2, 10), bool), shift_right(2, (2, 10)))
    assert (pair.first, pair.iou, pair.flow_iou) == (3, 2 / 10, 1.0)
    assert pair.untrusted == 0 and pair.untrusted_instrument == 0


def test_untrusted_pixels_are_left_out_and_their_shares_told():
    trusted = np.ones((2, 10), bool)
    trusted[:, 5:] = False
    pair = compare_masks(0, bar(1, 4), bar(2, 6), np.ones((2, 10), bool), shift_right(2, (2, 10), trusted))
    # carried: columns 3-5; later: 2-5; trusted among these: 2, 3, 4
    assert pair.flow_iou == pytest.approx(2 / 3) and pair.untrusted == 0.5
    assert pair.untrusted_instrument == pytest.approx(1 / 4)


def test_void_takes_no_part_in_either_overlap():
    counted = np.ones((2, 10), bool)
    counted[:, 2] = False
    pair = compare_masks(0, bar(0, 3), bar(0, 2), counted, shift_right(0, (2, 10)))
    assert pair.iou == 1 and pair.flow_iou == 1
    unsure = shift_right(0, (2, 10), counted)  # where it is void alone
    assert compare_masks(0, bar(0, 3), bar(0, 2), counted, unsure).untrusted_instrument == 0
    assert compare_masks(0, bar(0, 3), bar(0, 2), np.ones((2, 10), bool), None).iou == 2 / 3


def test_without_flow_only_the_plain_overlap_is_known():
    pair = compare_masks(1, bar(0, 2), bar(0, 2), np.ones((2, 10), bool), None)
    assert pair.iou == 1 and all(map(math.isnan, (pair.flow_iou, pair.untrusted, pair.untrusted_instrument)))


def test_both_masks_empty_is_undefined_along_the_flow_too():
    pair = compare_masks(0, bar(0, 0), bar(0, 0), np.ones((2, 10), bool), shift_right(1, (2, 10)))
    assert math.isnan(pair.iou) and math.isnan(pair.flow_iou) and math.isnan(pair.untrusted_instrument)
    assert pair.untrusted == 0


def test_flicker_counts_one_frame_gaps_and_one_frame_detections():
    present = [YES, NO, YES, YES, NO, NO, YES, NO]
    # triples by their middle: gap, -, -, -, -, detection
    assert flicker(present, range(7)) == {
        "triples": 6,
        "one_frame_gaps": 1,
        "one_frame_detections": 1,
        "rate": pytest.approx(2 / 6),
    }


@pytest.mark.parametrize(
    "present, gaps, detections",
    [([YES, NO, YES], 1, 0), ([NO, YES, NO], 0, 1), ([YES, YES, NO], 0, 0), ([NO, NO, YES], 0, 0), ([YES] * 3, 0, 0)],
)
def test_a_change_that_stays_is_no_flicker(present, gaps, detections):
    found = flicker(present, [0, 1])
    assert (found["one_frame_gaps"], found["one_frame_detections"], found["triples"]) == (gaps, detections, 1)
    assert found["rate"] == gaps + detections


def test_a_gap_in_time_or_a_cut_breaks_the_triples():
    found = flicker([YES, NO, YES, NO, YES], [0, 2, 3])
    assert (found["triples"], found["one_frame_gaps"], found["one_frame_detections"]) == (1, 1, 0)
    assert math.isnan(flicker([YES, NO, YES, NO], [0, 2])["rate"])
    assert math.isnan(flicker([], [])["rate"])


def test_jitter_is_the_change_of_coverage_between_neighbours():
    coverage = [0.1, 0.2, 0.2, 0.9, 0.5]
    found = jitter(coverage, [0, 1])
    assert found["mean"] == pytest.approx(0.05) and found["p95"] == pytest.approx(0.095)
    assert found["relative"] == pytest.approx(0.05 / (0.5 / 3)), "the level is that of the three frames compared"
    assert jitter(coverage, [2])["mean"] == pytest.approx(0.7), "a fall counts as a rise does"
    assert jitter(coverage, [3])["mean"] == pytest.approx(0.4)


def test_jitter_of_empty_masks_has_no_level_to_be_compared_with():
    found = jitter([0, 0], [0])
    assert found["mean"] == 0 and math.isnan(found["relative"])
    assert all(math.isnan(value) for value in jitter([0.5, 0.5], []).values())


def test_present_means_any_pixel_and_at_least_the_area():
    assert is_present([0, 0.001, 0.01, 0.02], 0.01).tolist() == [NO, NO, YES, YES]
    assert is_present([0, 1e-9], 0).tolist() == [NO, YES], "an empty mask is never a detection"


def test_stability_gathers_the_pairs_with_the_detection_rate_of_the_same_frames():
    times, coverage = [0, 0.1, 0.3, 5, 5.1], [0.2, 0.4, 0.0, 0.0, 0.0]
    pairs = [MaskPair(0, 0.5, 0.75, 0.1, 0.2), MaskPair(1, 0.0), MaskPair(3, math.nan, math.nan, 0.3, math.nan)]
    found = stability(times, coverage, pairs, 0.3)  # any pixel is a detection, whatever the least area
    assert found["computed"] and found["pairs"] == 3 and found["frames"] == 5
    assert found["detection_rate"] == 2 / 5 and found["median_step_s"] == pytest.approx(0.1)
    assert found["pairs_both_empty"] == 1 and found["iou"]["n"] == 2 and found["iou"]["mean"] == 0.25
    flow = found["flow"]
    assert flow["computed"] and flow["pairs"] == 2 and flow["iou"]["mean"] == 0.75
    assert flow["iou_without_flow"]["mean"] == 0.5, "of the same pairs, so that the two can be compared"
    assert flow["untrusted"] == pytest.approx(0.2) and flow["untrusted_instrument"] == pytest.approx(0.2)
    assert found["flicker"]["triples"] == 1 and found["jitter"]["mean"] == pytest.approx((0.2 + 0.4 + 0) / 3)


def test_frames_far_apart_are_not_computed_with_the_reason_and_the_option():
    found = stability([0, 1.2, 3], [0.1, 0.1, 0.1], [], 0.001)
    assert found == {"computed": False, "reason": why_no_pairs([0, 1.2, 3]), "pairs": 0}
    assert "0.2 s" in found["reason"] and "1.20 s" in found["reason"] and "--burst" in found["reason"]
    assert "only one frame" in stability([0], [0.1], [], 0.001)["reason"]


def test_masks_that_were_not_kept_are_the_reason_where_frames_are_close():
    found = stability([0, 0.04], [0.1, 0.1], [], 0.001, no_masks="the run kept no masks")
    assert not found["computed"] and found["reason"] == "the run kept no masks"


def test_why_there_is_no_flow_is_always_said():
    found = stability([0, 0.04], [0.1, 0.1], [MaskPair(0, 0.5)], 0.001, "the run kept no frames")
    assert not found["flow"]["computed"] and found["flow"]["reason"] == "the run kept no frames"
    found = stability([0, 0.04], [0.1, 0.1], [MaskPair(0, 0.5)], 0.001)
    assert "--flow-pairs" in found["flow"]["reason"], "other pairs got flow, these did not"


def test_frames_left_out_between_close_ones_are_the_reason_where_there_are_any():
    reason = stability([0, 0.08, 0.16], [0.1, 0.1, 0.1], [], 0.001)["reason"]
    assert "left out" in reason and "the closest" not in reason
