"""What the statistics and the comparison say in words: every sentence from its numbers, n/a where there is none."""

import math

import pytest

from surgseg.analysis.compare_report import video_comparison_markdown, video_sentences
from surgseg.analysis.report import SHOWN, decimal, percent, stability_lines, statistics_block
from surgseg.analysis.statistics import describe


def result(coverage, **more):
    absent = [{"name": f"v_{i}", "frame": i, "time_s": float(i)} for i, value in enumerate(coverage) if not value]
    segments = [
        {"start_s": 2.0 * i, "end_s": 2.0 * i + 1, "length_s": 1.0, "frames": 1} for i in range(more.pop("segments", 1))
    ]
    return {
        "complete": True,
        "frames": len(coverage),
        "frames_suspect_left_out": 0,
        "cuts": {"source": "detected", "reason": None, "frames": [7], "after_the_end": 0},
        "detection_rate": 0.5,
        "detection_rate_min_area": 0.25,
        "min_area": 0.001,
        "frames_without_detection": len(absent),
        "without_detection": absent,
        "coverage": describe(coverage),
        "mean_confidence": 0.9,
        "mean_uncertainty": 0.1,
        "mean_components": 1.0,
        "presence": {
            "count": len(segments),
            "resolution_s": 1.0,
            "present_share_of_time": 0.5,
            "median_length_s": 1.0,
            "longest_s": 1.0,
            "segments": segments,
        },
        "stability": {"computed": False, "reason": "there is only one frame", "pairs": 0},
        **more,
    }


@pytest.mark.parametrize("value", [None, math.nan])
def test_what_is_undefined_is_not_applicable(value):
    assert percent(value) == decimal(value) == "n/a"


def test_fractions_are_shown_in_percent():
    assert percent(0.1234) == "12.3 %" and percent(1, 2) == "100.00 %" and decimal(0.12345) == "0.123"


def test_long_lists_are_cut_on_the_screen_and_say_how_much_is_left_out():
    text = statistics_block(result([0.0] * 30, segments=20))
    line = next(line for line in text.splitlines() if "frame (time)" in line)
    assert line.count(" s)") == SHOWN and line.endswith("and 18 more") and "and 8 more in the JSON" in text
    short = statistics_block(result([0.0, 0.1], segments=1))
    assert "more" not in short and "0 (0.00 s)" in short


def test_seconds_that_follow_from_a_given_rate_of_images_are_noted():
    assert "all seconds follow from 12.5 images a second" in statistics_block(result([0.1], image_rate=12.5))
    assert "images" not in statistics_block(result([0.1], image_rate=None))


def test_an_unfinished_run_is_noted_with_its_reason():
    assert "unfinished (Ctrl-C)" in statistics_block(result([0.1], complete=False), stopped="Ctrl-C")
    assert "still running" in statistics_block(result([0.1], complete=False))
    assert "unfinished" not in statistics_block(result([0.1]))


def test_stability_is_never_shown_without_the_detection_rate_of_its_frames():
    flow = {"computed": False, "reason": "no frames", "iou": describe([])}
    found = {
        "computed": True,
        "pairs": 2,
        "pairs_both_empty": 2,
        "pairs_across_cuts": 3,
        "detection_rate": 0.0,
        "iou": describe([]),
        "flow": flow,
        "flicker": {"triples": 0, "one_frame_gaps": 0, "one_frame_detections": 0, "rate": math.nan},
        "jitter": {"mean": 0.0, "relative": math.nan},
    }
    text = "\n".join(stability_lines(found))
    assert "Detection rate of these frames" in text and "0.0 %" in text and "2 with two empty masks" in text
    assert "3 more across cuts" in text and "across" not in "".join(stability_lines({**found, "pairs_across_cuts": 0}))
    assert "nan" not in text and "not computed: no frames" in text
    assert stability_lines({"computed": False, "reason": "why"}) == ["  not computed: why"]


def difference(value, interval=None, reason="few frames"):
    return {"difference": value, "interval": interval, "reason": None if interval else reason}


def comparison(kind="content", shift=None, **differences):
    found = {"first": "a", "second": "b", "appearance": None, "shift": shift or {}}
    found |= {"detection_rate": difference(0.1), "mean_coverage": difference(-0.05), **differences}
    stability = {"computed": False, "reason": "why"}
    spreads = {"coverage": describe([0.1, 0.2]), "stability": stability, "appearance": None, "min_area": 0.001}
    numbers = {"frames": 2, "detection_rate": 0.5, "detection_rate_min_area": 0.5, "frames_without_detection": 1}
    videos = [{"name": name, "mean_confidence": 0.9, **numbers, **spreads} for name in "ab"]
    return {"kind": kind, "videos": videos, "differences": [found], "warnings": ["mind this"]}


def test_differences_are_points_with_their_interval_or_why_there_is_none():
    said = video_sentences(comparison(detection_rate=difference(0.1, [0.05, 0.15])))
    assert "b against a: detection rate +10.00 points (95 % interval +5.00 to +15.00)." in said
    assert "b against a: mean coverage -5.00 points (no interval: few frames)." in said
    assert said[0] == "Warning: mind this."


def test_intervals_are_explained_where_there_are_any():
    assert not any("bootstrap" in sentence for sentence in video_sentences(comparison()))
    labelled = comparison("shift", {"dice": difference(-0.2, [-0.3, -0.1])})
    said = video_sentences(labelled)
    assert "Shift of dice, b against a: -0.2000 (95 % interval -0.3000 to -0.1000)." in said
    assert any("bootstrap" in sentence for sentence in said)


def test_an_undefined_shift_says_so():
    said = video_sentences(comparison("shift", {"specificity": difference(math.nan, reason="no frames on one side")}))
    assert "Shift of specificity, b against a: undefined (no frames on one side)." in said


def test_only_without_labels_it_is_called_a_comparison_of_content():
    assert "comparison of content" in video_sentences(comparison())[-1]
    assert not any("comparison of content" in sentence for sentence in video_sentences(comparison("shift")))


def test_markdown_is_a_table_with_a_column_for_each_video():
    lines = video_comparison_markdown(comparison(), "SYNTHETIC").splitlines()
    assert lines[0] == "# Comparison of content (SYNTHETIC)"
    table = [line for line in lines if line.startswith("|")]
    assert len(table) >= 8 and {line.count("|") for line in table} == {4}
