"""What a comparison of videos, and a table of phases, must say beside their numbers so that nobody reads too much."""

import math

import numpy as np

from surgseg.analysis.bootstrap import difference_of_means
from surgseg.analysis.compare_report import CONTENT, video_sentences, video_table_rows
from surgseg.analysis.report import statistics_block
from surgseg.analysis.statistics import describe
from surgseg.generate.cuts import Cuts

FLICKER = {"triples": 1, "one_frame_gaps": 0, "one_frame_detections": 0, "rate": 0.0}
JITTER = {"mean": 0.0, "p95": 0.0, "relative": 0.0}


def stable(pairs: int, with_flow: int) -> dict:
    flow = {"computed": with_flow > 0, "reason": None, "pairs": with_flow, "iou": describe([0.5] * with_flow)}
    flow |= {"iou_without_flow": describe([0.4]), "untrusted": 0.1, "untrusted_instrument": 0.2}
    found = {"computed": True, "reason": None, "pairs": pairs + 9, "pairs_both_empty": 9, "detection_rate": 1.0}
    found["pairs_across_cuts"] = 0
    return {**found, "iou": describe([0.8] * pairs), "flow": flow, "flicker": FLICKER, "jitter": JITTER}


def video(name: str, pairs: int = 40, with_flow: int = 3) -> dict:
    numbers = {"frames": 2, "detection_rate": 0.5, "detection_rate_min_area": 0.5, "frames_without_detection": 1}
    rest = {"min_area": 0.001, "mean_confidence": 0.9, "appearance": None, "coverage": describe([0.1, 0.2])}
    return {"name": name, **numbers, **rest, "stability": stable(pairs, with_flow)}


def comparison(first, second, shift=None) -> dict:
    found = {"first": "a", "second": "b", "appearance": None, "shift": shift or {}}
    found |= {"detection_rate": difference_of_means(first, second), "mean_coverage": difference_of_means([0], [0])}
    kind = "shift" if shift else "content"
    return {"kind": kind, "videos": [video("a"), video("b")], "differences": [found], "warnings": []}


def test_an_interval_says_where_one_video_s_value_is_taken_for_certain():
    varied = np.random.default_rng(0).integers(0, 2, 300)
    assert any("treated as exact" in sentence for sentence in video_sentences(comparison([1.0] * 300, varied)))
    both = comparison(varied, varied[::-1])
    assert any("95 % interval" in sentence for sentence in video_sentences(both))
    assert not any("treated as exact" in sentence for sentence in video_sentences(both))


def test_with_labels_detection_and_coverage_are_still_said_to_speak_of_content():
    shift = {"sensitivity": difference_of_means([1.0], [0.0]), "specificity": difference_of_means([], [1.0])}
    assert math.isnan(shift["specificity"]["difference"])
    last = video_sentences(comparison([1.0], [0.0], shift))[-1]
    assert "what the videos show" in last and "sensitivity, specificity alone" in last
    assert video_sentences(comparison([1.0], [0.0]))[-1] == CONTENT


def test_the_table_says_over_how_many_pairs_the_flow_went():
    rows = dict(video_table_rows(comparison([1.0], [0.0])))
    assert rows["Stability: IoU of neighbours"] == ["0.800 (40 pairs)"] * 2
    assert rows["Stability: along the flow"] == ["0.500 (3 pairs)"] * 2


def phases(with_flow: int, **tools) -> str:
    numbers = {"frames": 2, "detection_rate": 1.0, "coverage": describe([0.1]), "presence": {"count": 1}, **tools}
    found = {"one": {**numbers, "stability": stable(40, with_flow)}}
    found["two"] = {**numbers, "stability": {"computed": False, "reason": "why", "pairs": 0}}
    presence = {"count": 0, "resolution_s": math.nan, "segments": []}
    one = {**video("a"), "complete": True, "frames_suspect_left_out": 0, "without_detection": [], "presence": presence}
    one |= {"mean_uncertainty": 0.1, "mean_components": 1.0, "detection_rate_min_area": 1.0, "cuts": Cuts().to_json()}
    return statistics_block({**one, "phases": found, "frames_without_phase": 0})


def test_phases_say_what_counts_as_detected_and_which_pairs_have_flow():
    assert "Flow IoU is over 3 pairs, IoU over 40: do not compare" in phases(3)
    assert "do not compare" not in phases(40) and "do not compare" not in phases(0)
    assert "(Detected: any pixel; segments: from 0.1 % of the frame; coverage and IoU: means; pairs: with a mask)" in (
        phases(40)
    )
