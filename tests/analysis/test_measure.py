"""What is said of a generated folder, beside annotations and ground truth, against numbers worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from surgseg.analysis.frame_table import frame_rows
from surgseg.analysis.ground_truth import match_ground_truth
from surgseg.analysis.measure import AnalysisRequest as Request
from surgseg.analysis.measure import analyse
from surgseg.cholec80 import read_phases, read_tools
from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.masks import write_mask
from tests.folders import columns, pixels, read_folder, texture, write_phases, write_tools


def truth_folder(path: Path, masks: dict) -> Path:
    for stem, mask in masks.items():
        write_mask(path / f"{stem}.png", pixels(mask) if isinstance(mask, int) else mask, SCHEMES["binary"])
    return path


def moving_bar(count: int, step: int = 4, size=(96, 128)):
    """(masks, images): a bar and the texture under it that move to the right together."""
    large = texture((size[0], size[1] + step * count), seed=5)
    masks, images = [], []
    for index in range(count):
        left = step * (count - index)
        images.append(np.repeat(large[:, left : left + size[1], None], 3, 2))
        masks.append(columns(30 + step * index, 50 + step * index, size))
    return masks, images


# detection, presence


def test_frames_far_apart_give_detection_and_segments_but_no_stability(tmp_path):
    found = analyse(read_folder(tmp_path / "g", [0, 10, 20, 0], step=25), Request(min_area=0.15)).statistics
    assert found["detection_rate"] == 0.5 and found["detection_rate_min_area"] == 0.25
    assert found["coverage"]["mean"] == pytest.approx(0.075)
    assert [row["frame"] for row in found["without_detection"]] == [0, 75]
    presence = found["presence"]
    assert presence["segments"] == [{"start_s": 2.0, "end_s": 3.0, "length_s": 1.0, "frames": 1}]
    assert not found["stability"]["computed"] and "--burst" in found["stability"]["reason"]
    assert "phases" not in found and "tools" not in found and "ground_truth" not in found


def test_bursts_give_stability_and_their_places_the_spacing(tmp_path):
    masks = [columns(0, 2), columns(0, 4), columns(0, 0), columns(0, 0)]
    generated = read_folder(tmp_path / "g", masks, numbers=[0, 1, 50, 51], sampling={"burst": 2})
    analysis = analyse(generated, Request())
    stability = analysis.statistics["stability"]
    assert analysis.statistics["presence"]["resolution_s"] == 2
    assert [pair.first for pair in analysis.pairs] == [0, 2]
    assert stability["iou"]["mean"] == 0.5 and stability["pairs_both_empty"] == 1
    assert "--frame-format" in stability["flow"]["reason"]


def test_the_last_frame_speaks_to_the_video_s_end_at_most(tmp_path):
    generated = read_folder(tmp_path / "g", [10, 10], step=100, video={"duration_s": 5.5})
    assert analyse(generated, Request()).statistics["presence"]["segments"][0]["end_s"] == 5.5


def test_flow_makes_a_moving_mask_stable(tmp_path):
    masks, images = moving_bar(4)
    found = analyse(read_folder(tmp_path / "g", masks, step=1, images=images), Request()).statistics["stability"]
    assert found["iou"]["mean"] == pytest.approx(16 / 24)
    assert found["flow"]["computed"] and found["flow"]["pairs"] == 3 and found["flow"]["iou"]["mean"] > 0.95
    assert 0 < found["flow"]["untrusted"] < 0.3


def test_of_many_pairs_some_spread_evenly_get_flow(tmp_path):
    masks, images = moving_bar(6)
    generated = read_folder(tmp_path / "g", masks, step=1, images=images)
    with_flow = [not math.isnan(pair.flow_iou) for pair in analyse(generated, Request(flow_pairs=3)).pairs]
    assert with_flow == [True, False, True, False, True]
    found = analyse(generated, Request(flow_pairs=0)).statistics["stability"]
    assert found["computed"] and not found["flow"]["computed"] and "--flow-pairs 0" in found["flow"]["reason"]


def test_frames_and_masks_of_different_size_are_brought_together(tmp_path):
    masks, images = moving_bar(2)
    large = [np.repeat(np.repeat(mask, 2, 0), 2, 1) for mask in masks]
    found = analyse(read_folder(tmp_path / "g", large, step=1, images=images), Request()).statistics["stability"]
    assert found["iou"]["mean"] == pytest.approx(16 / 24) and found["flow"]["iou"]["mean"] > 0.95


def test_void_pixels_of_a_mask_count_for_nothing(tmp_path):
    first, second = columns(0, 4), columns(0, 2)
    second[:, 2:] = 255
    generated = read_folder(tmp_path / "g", [first, second, first], step=1)
    analysis = analyse(generated, Request())
    assert [row.coverage for row in analysis.rows] == [0.4, 1.0, 0.4]
    assert [pair.iou for pair in analysis.pairs] == [1, 1], "void in the later mask, then in the earlier one"


def test_the_union_of_the_instruments_is_what_counts(tmp_path):
    first, second = columns(0, 4), columns(0, 4)
    second[:, 2:4] = 2  # the same pixels, taken for another instrument
    generated = read_folder(tmp_path / "g", [first, second], step=1, scheme="grasper-hook")
    assert analyse(generated, Request()).pairs[0].iou == 1


def test_a_run_without_masks_is_analysed_as_far_as_the_table_goes(tmp_path):
    generated = read_folder(tmp_path / "g", [10, 0, 10], step=1, parts={})
    found = analyse(generated, Request()).statistics
    assert found["detection_rate"] == pytest.approx(2 / 3) and found["presence"]["count"] == 2
    assert not found["stability"]["computed"] and "kept no masks" in found["stability"]["reason"]
    with pytest.raises(UserError, match="keeps no masks"):
        analyse(generated, Request(from_masks=True))
    with pytest.raises(UserError, match="keeps no masks"):
        analyse(
            generated,
            Request(ground_truth=match_ground_truth(generated, truth_folder(tmp_path / "t", {"x_000000": 5}))),
        )


def test_a_single_frame_is_analysed(tmp_path):
    generated = read_folder(tmp_path / "g", [10])
    request = Request(ground_truth=match_ground_truth(generated, truth_folder(tmp_path / "t", {"video_000000": 10})))
    found = analyse(generated, request).statistics
    assert found["frames"] == 1 and math.isnan(found["coverage"]["sd"])
    assert "only one frame" in found["stability"]["reason"]
    assert found["ground_truth"]["dice"]["mean"] == 1 and not found["ground_truth"]["stability"]["computed"]


# suspect frames


def test_suspect_frames_are_left_out_everywhere(tmp_path):
    masks = [10, 10, 100, 10, 10]
    generated = read_folder(tmp_path / "g", masks, step=5, suspect={2})
    truth = truth_folder(tmp_path / "t", {f"video_{5 * index:06d}": 10 for index in range(5)})
    request = Request(
        phases=read_phases(write_phases(tmp_path / "p.txt", ["A"] * 25)),
        tools=read_tools(write_tools(tmp_path / "t.txt", [{"Hook"}])),
        ground_truth=match_ground_truth(generated, truth),
    )
    analysis = analyse(generated, request)
    found = analysis.statistics
    assert found["frames_suspect_left_out"] == 1 and found["frames"] == 4 and found["coverage"]["max"] == 0.1
    assert found["stability"]["pairs"] == 2, "none across the frame left out"
    assert found["phases"]["A"]["frames"] == 4
    assert found["tools"]["frames_annotated"] + found["tools"]["frames_not_annotated"] == 4
    assert found["ground_truth"]["frames"] == 4 and found["ground_truth"]["dice"]["min"] == 1
    assert len(analysis.scores) == 4 and all(score["dice"] == 1 for score in analysis.scores.values())
    assert len(frame_rows(analysis)) == len(analysis.phases) == len(analysis.in_view) == 4

    all_of_it = analyse(generated, Request(include_suspect=True, ground_truth=match_ground_truth(generated, truth)))
    assert all_of_it.statistics["frames"] == 5 and all_of_it.statistics["stability"]["pairs"] == 4
    assert all_of_it.statistics["ground_truth"]["dice"]["min"] < 1


def test_ground_truth_of_suspect_frames_only_is_refused(tmp_path):
    generated = read_folder(tmp_path / "g", [10, 10], suspect={1})
    truth = match_ground_truth(generated, truth_folder(tmp_path / "t", {"video_000030": 10}))
    with pytest.raises(UserError, match="--include-suspect"):
        analyse(generated, Request(ground_truth=truth))


# phases and tools


def test_phases_cut_pairs_and_segments_at_their_borders(tmp_path):
    generated = read_folder(tmp_path / "g", [columns(0, 2), columns(0, 4), columns(0, 2), columns(0, 2)], step=5)
    phases = read_phases(write_phases(tmp_path / "p.txt", ["A"] * 10 + ["B"] * 10))
    found = analyse(generated, Request(phases=phases)).statistics
    assert found["stability"]["pairs"] == 3 and found["presence"]["count"] == 1
    first, second = found["phases"]["A"], found["phases"]["B"]
    assert list(found["phases"]) == ["A", "B"] and found["frames_without_phase"] == 0
    assert first["stability"]["pairs"] == second["stability"]["pairs"] == 1, "the pair across the border is nobody's"
    assert first["stability"]["iou"]["mean"] == 0.5 and second["stability"]["iou"]["mean"] == 1
    assert first["coverage"]["mean"] == pytest.approx(0.3) and second["coverage"]["mean"] == pytest.approx(0.2)
    assert first["presence"]["segments"] == [{"start_s": 0, "end_s": 0.4, "length_s": 0.4, "frames": 2}]
    assert second["presence"]["segments"][0]["start_s"] == 0.4


def test_a_phase_that_comes_back_has_a_segment_for_each_time(tmp_path):
    generated = read_folder(tmp_path / "g", [10, 10, 10, 10, 10], step=25)
    phases = read_phases(write_phases(tmp_path / "p.txt", ["A"] * 50 + ["B"] * 25 + ["A"] * 50))
    found = analyse(generated, Request(phases=phases)).statistics["phases"]
    assert [found["A"]["presence"]["count"], found["B"]["presence"]["count"]] == [2, 1]
    assert found["A"]["presence"]["present_s"] + found["B"]["presence"]["present_s"] == 5


def test_a_phase_whose_pairs_got_no_flow_says_so(tmp_path):
    masks, images = moving_bar(4)
    generated = read_folder(tmp_path / "g", masks, step=1, images=images)
    phases = read_phases(write_phases(tmp_path / "p.txt", ["A", "A", "B", "B"]))
    found = analyse(generated, Request(phases=phases, flow_pairs=1)).statistics["phases"]
    assert found["A"]["stability"]["flow"]["computed"]
    flow = found["B"]["stability"]["flow"]
    assert not flow["computed"] and "--flow-pairs" in flow["reason"]


def test_frames_the_phase_file_says_nothing_of_are_counted(tmp_path):
    generated = read_folder(tmp_path / "g", [10, 10, 10, 10], step=25)
    phases = read_phases(write_phases(tmp_path / "p.txt", ["A"] * 50, first=50))
    found = analyse(generated, Request(phases=phases)).statistics
    assert found["frames_without_phase"] == 2 and found["phases"]["A"]["frames"] == 2


def test_presence_is_scored_against_the_tools_by_both_rules(tmp_path):
    # covered 0, 10, 20, 0 % ; annotated no, hook, grasper, hook
    generated = read_folder(tmp_path / "g", [0, 10, 20, 0], step=25)
    tools = read_tools(write_tools(tmp_path / "t.txt", [set(), {"Hook"}, {"Grasper"}, {"Hook"}]))
    found = analyse(generated, Request(min_area=0.15, tools=tools)).statistics["tools"]
    assert found["any_pixel"]["sensitivity"] == pytest.approx(2 / 3) and found["any_pixel"]["specificity"] == 1
    assert found["min_area"]["sensitivity"] == pytest.approx(1 / 3)
    assert found["by_tool"]["Hook"] == {"frames": 2, "detected": 0, "sensitivity": 0}
    assert found["by_tool"]["Grasper"]["sensitivity"] == 1 and math.isnan(found["by_tool"]["Clipper"]["sensitivity"])
    assert found["frames_annotated"] == 4


def test_frames_the_tool_file_says_nothing_of_are_left_out_and_counted(tmp_path):
    generated = read_folder(tmp_path / "g", [10, 0, 10, 10], step=25, video={"duration_s": None})
    tools = read_tools(write_tools(tmp_path / "t.txt", [{"Hook"}, set()]))
    analysis = analyse(generated, Request(tools=tools))
    found = analysis.statistics["tools"]
    assert (found["frames_annotated"], found["frames_not_annotated"]) == (2, 2)
    for rule in ("any_pixel", "min_area"):
        assert [found[rule][key] for key in ("true_positive", "true_negative")] == [1, 1]
        assert [found[rule][key] for key in ("false_positive", "false_negative")] == [0, 0]
    assert [row["tool_in_view"] for row in frame_rows(analysis)] == [1, 0, "", ""]


def test_sensitivity_by_phase_is_undefined_where_the_class_is_absent(tmp_path):
    generated = read_folder(tmp_path / "g", [0, 10, 20, 10], step=25)
    tools = read_tools(write_tools(tmp_path / "t.txt", [set(), set(), {"Hook"}, {"Hook"}]))
    phases = read_phases(write_phases(tmp_path / "p.txt", ["A"] * 50 + ["B"] * 50))
    found = analyse(generated, Request(tools=tools, phases=phases)).statistics["phases"]
    assert math.isnan(found["A"]["tools"]["sensitivity"]) and found["A"]["tools"]["specificity"] == 0.5
    assert found["B"]["tools"]["sensitivity"] == 1 and math.isnan(found["B"]["tools"]["specificity"])


@pytest.mark.parametrize("what", ["phases", "tools"])
def test_an_annotation_of_another_length_is_refused(tmp_path, what):
    generated = read_folder(tmp_path / "g", [10, 10], step=25)  # 2 s
    phases = read_phases(write_phases(tmp_path / "p.txt", ["A"] * 1000))
    tools = read_tools(write_tools(tmp_path / "t.txt", [{"Hook"}] * 40))
    with pytest.raises(UserError, match=r"covers 40\.0 s .* lasts 2\.0 s"):
        analyse(generated, Request(**{what: {"phases": phases, "tools": tools}[what]}))


# ground truth


def test_ground_truth_is_matched_by_name(tmp_path):
    generated = read_folder(tmp_path / "g", [10, 20], step=25)
    folder = truth_folder(tmp_path / "t", {"video_000000": 20, "video_000025": 20, "other_000000": 1})
    matched = match_ground_truth(generated, folder)
    assert {name: path.name for name, path in matched.items()} == {
        "video_000000": "video_000000.png",
        "video_000025": "video_000025.png",
    }
    found = analyse(generated, Request(ground_truth=matched)).statistics["ground_truth"]
    assert found["frames"] == 2 and found["dice"]["min"] == pytest.approx(2 / 3) and found["dice"]["max"] == 1
    assert found["iou"]["min"] == pytest.approx(0.5) and found["true_coverage"]["mean"] == pytest.approx(0.2)


def test_ground_truth_is_matched_by_frame_number(tmp_path):
    generated = read_folder(tmp_path / "g", [10, 20, 30], step=25)
    matched = match_ground_truth(
        generated, truth_folder(tmp_path / "t", {"video01_50": 30, "video01_25": 10, "video01_7": 1})
    )
    assert {name: path.stem for name, path in matched.items()} == {
        "video_000025": "video01_25",
        "video_000050": "video01_50",
    }
    found = analyse(generated, Request(ground_truth=matched)).statistics["ground_truth"]
    assert found["frames"] == 2 and found["iou"]["min"] == 0.5 and found["iou"]["max"] == 1


def test_of_several_videos_masks_one_must_be_named(tmp_path):
    generated = read_folder(tmp_path / "g", [10, 20], step=25)
    folder = truth_folder(tmp_path / "t", {"video01_000000": 10, "video10_000000": 50, "video10_000025": 20})
    with pytest.raises(UserError, match=r"several videos \(video01, video10\).*--mask-video"):
        match_ground_truth(generated, folder)
    assert [path.stem for path in match_ground_truth(generated, folder, "video10").values()] == [
        "video10_000000",
        "video10_000025",
    ]
    with pytest.raises(UserError, match=r"no masks of video2; it holds video01, video10"):
        match_ground_truth(generated, folder, "video2")


def test_masks_of_equal_name_in_two_videos_are_not_taken_for_each_other(tmp_path):
    generated = read_folder(tmp_path / "g", [10, 20])
    for video, count in (("op1", 10), ("op2", 50)):
        for frame in (0, 30):
            write_mask(tmp_path / "t" / video / f"video_{frame:06d}.png", pixels(count), SCHEMES["binary"])
    with pytest.raises(UserError, match=r"several videos \(op1, op2\)"):
        match_ground_truth(generated, tmp_path / "t")
    (tmp_path / "t" / "op2" / "video_000000.png").unlink()  # the other half is still of two videos
    (tmp_path / "t" / "op1" / "video_000030.png").unlink()
    with pytest.raises(UserError, match=r"several videos \(op1, op2\)"):
        match_ground_truth(generated, tmp_path / "t")
    found = match_ground_truth(generated, tmp_path / "t", "op1")
    assert {name: path.parent.name for name, path in found.items()} == {"video_000000": "op1"}
    for part in ("a", "b"):
        write_mask(tmp_path / "u" / "op1" / part / "video_000000.png", pixels(5), SCHEMES["binary"])
    with pytest.raises(UserError, match="two masks for one frame"):
        match_ground_truth(generated, tmp_path / "u")


def test_a_mask_of_void_alone_says_nothing_of_detection(tmp_path):
    generated = read_folder(tmp_path / "g", [10, 0, 0])
    truth = {"video_000000": 10, "video_000030": np.full((10, 10), 255, np.uint8), "video_000060": 0}
    found = analyse(generated, Request(ground_truth=match_ground_truth(generated, truth_folder(tmp_path / "t", truth))))
    found = found.statistics["ground_truth"]
    assert (found["frames"], found["both_empty"], found["true_detection_rate"]) == (2, 1, 0.5)
    assert found["scored"]["frames_all_void"] == 1 and found["scored"]["void_share"] == pytest.approx(1 / 3)
    assert found["scored"]["threshold"] == 0.5


def test_masks_that_fit_no_frame_are_refused(tmp_path):
    generated = read_folder(tmp_path / "g", [10], step=25)
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="holds no masks"):
        match_ground_truth(generated, tmp_path / "none")
    with pytest.raises(UserError, match="has the number of a frame"):
        match_ground_truth(generated, truth_folder(tmp_path / "t", {"video01_000099": 10}))
    with pytest.raises(UserError, match="has the number of a frame"):
        match_ground_truth(generated, truth_folder(tmp_path / "u", {"unnumbered": 10}))


def test_two_masks_for_one_frame_are_refused(tmp_path):
    generated = read_folder(tmp_path / "g", [10], step=25)
    with pytest.raises(UserError, match=r"two masks for one frame: .*video01_0.*\.png"):
        match_ground_truth(generated, truth_folder(tmp_path / "t", {"video01_0": 10, "video01_000": 20}))


def test_ground_truth_of_another_size_is_refused(tmp_path):
    generated = read_folder(tmp_path / "g", [10])
    matched = match_ground_truth(generated, truth_folder(tmp_path / "t", {"video_000000": pixels(5, (20, 10))}))
    with pytest.raises(UserError, match=r"differing sizes: .* is 10x10, .* 10x20"):
        analyse(generated, Request(ground_truth=matched))


def test_both_masks_empty_is_counted_and_scores_nothing(tmp_path):
    generated = read_folder(tmp_path / "g", [0, 10, 0], step=25)
    folder = truth_folder(tmp_path / "t", {"video_000000": 0, "video_000025": 0, "video_000050": 10})
    found = analyse(generated, Request(ground_truth=match_ground_truth(generated, folder))).statistics["ground_truth"]
    assert found["both_empty"] == 1 and found["dice"]["n"] == 2 and found["dice"]["mean"] == 0
    assert found["true_detection_rate"] == pytest.approx(1 / 3)


def test_void_of_the_ground_truth_is_left_out(tmp_path):
    true = columns(0, 2)
    true[:, 2:6] = 255
    generated = read_folder(tmp_path / "g", [columns(0, 6)])
    matched = match_ground_truth(generated, truth_folder(tmp_path / "t", {"video_000000": true}))
    found = analyse(generated, Request(ground_truth=matched)).statistics["ground_truth"]
    assert found["dice"]["mean"] == 1 and found["true_coverage"]["mean"] == pytest.approx(20 / 60)


def test_the_truth_s_own_stability_stands_beside_that_of_the_same_predictions(tmp_path):
    generated = read_folder(tmp_path / "g", [columns(0, 2), columns(0, 4), columns(0, 1)], step=2)
    folder = truth_folder(tmp_path / "t", {"video_000000": columns(0, 4), "video_000002": columns(0, 5)})
    found = analyse(generated, Request(ground_truth=match_ground_truth(generated, folder))).statistics
    assert found["stability"]["pairs"] == 2
    assert found["ground_truth"]["stability"]["iou"]["mean"] == pytest.approx(0.8)
    assert found["ground_truth"]["predicted_stability_same_frames"]["iou"]["mean"] == 0.5


def test_where_every_frame_has_ground_truth_the_predictions_stability_is_the_whole_run_s(tmp_path):
    generated = read_folder(tmp_path / "g", [columns(0, 2), columns(0, 4)], step=2)
    folder = truth_folder(tmp_path / "t", {"video_000000": columns(0, 4), "video_000002": columns(0, 4)})
    found = analyse(generated, Request(ground_truth=match_ground_truth(generated, folder))).statistics
    assert found["ground_truth"]["stability"]["iou"]["mean"] == 1
    assert found["ground_truth"]["predicted_stability_same_frames"]["iou"] == pytest.approx(
        found["stability"]["iou"], nan_ok=True
    )


def test_void_of_a_corrected_prediction_is_left_out(tmp_path):
    corrected = columns(0, 4)
    corrected[:, 4:] = 255
    generated = read_folder(tmp_path / "g", [corrected])
    matched = match_ground_truth(generated, truth_folder(tmp_path / "t", {"video_000000": columns(0, 8)}))
    assert analyse(generated, Request(ground_truth=matched)).statistics["ground_truth"]["dice"]["mean"] == 1


def test_an_empty_mask_is_no_detection_whatever_the_least_area(tmp_path):
    statistics = analyse(read_folder(tmp_path / "g", [0, 0, 10]), Request(min_area=0.0)).statistics
    assert statistics["detection_rate_min_area"] == statistics["detection_rate"] == pytest.approx(1 / 3)


def test_truth_of_every_other_frame_is_compared_on_the_same_neighbours(tmp_path):
    masks = [columns(0, 2), columns(0, 0), columns(0, 4)]
    generated = read_folder(tmp_path / "g", masks, step=2)
    folder = truth_folder(tmp_path / "t", {"video_000000": columns(0, 4), "video_000004": columns(0, 5)})
    found = analyse(generated, Request(ground_truth=match_ground_truth(generated, folder))).statistics["ground_truth"]
    truth, own = found["stability"], found["predicted_stability_same_frames"]
    assert truth["pairs"] == own["pairs"] == 1
    assert truth["iou"]["mean"] == pytest.approx(0.8) and own["iou"]["mean"] == 0.5


# masks and table


def test_corrected_masks_are_noticed_and_counted_where_asked_for(tmp_path):
    generated = read_folder(tmp_path / "g", [10, 20, 30], step=25)
    write_mask(generated.mask_path(generated.rows[1]), pixels(50), SCHEMES["binary"])
    with pytest.raises(
        UserError, match=r"disagrees with 1 of 3 checked masks .*video_000025 20\.000 % in the table, 50\.000 %"
    ):
        analyse(generated, Request())
    analysis = analyse(generated, Request(from_masks=True))
    assert [row.coverage for row in analysis.rows] == [0.1, 0.5, 0.3]
    assert analysis.statistics["coverage"]["mean"] == pytest.approx(0.3)
    assert [row.components for row in analysis.rows] == [1, 1, 1]


def test_a_corrected_mask_of_void_alone_covers_nothing(tmp_path):
    generated = read_folder(tmp_path / "g", [10, 20], step=25)
    write_mask(generated.mask_path(generated.rows[0]), np.full((10, 10), 255, np.uint8), SCHEMES["binary"])
    assert analyse(generated, Request(from_masks=True)).rows[0].coverage == 0


@pytest.mark.parametrize("from_masks", [False, True])
def test_masks_of_differing_sizes_are_refused(tmp_path, from_masks):
    generated = read_folder(tmp_path / "g", [pixels(10), pixels(20, (20, 10)), pixels(5)])
    with pytest.raises(
        UserError, match=r"differing sizes: masks/video_000000.png is 10x10, masks/video_000030.png is 10x20"
    ):
        analyse(generated, Request(from_masks=from_masks))


def test_frames_of_differing_sizes_are_refused(tmp_path):
    images = [np.zeros((10, 10, 3), np.uint8), np.zeros((20, 10, 3), np.uint8)]
    with pytest.raises(UserError, match=r"frames of differing sizes: video_000000 and video_000001"):
        analyse(read_folder(tmp_path / "g", [10, 10], step=1, images=images), Request())


def test_damaged_masks_and_unknown_classes_are_refused_by_name(tmp_path):
    generated = read_folder(tmp_path / "g", [10, 10])
    path = generated.mask_path(generated.rows[1])
    write_mask(path, np.full((10, 10), 3, np.uint8), SCHEMES["endovit8"])
    with pytest.raises(UserError, match=r"video_000030\.png"):
        analyse(generated, Request())
    path.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"video_000030\.png"):
        analyse(generated, Request())


# the table of frames


def test_the_frame_table_holds_what_is_known_and_nothing_else(tmp_path):
    generated = read_folder(tmp_path / "g", [columns(0, 2), columns(0, 4), columns(0, 0)], step=4)
    tools = read_tools(write_tools(tmp_path / "t.txt", [{"Hook"}]))
    phases = read_phases(write_phases(tmp_path / "p.txt", ["A"] * 4, first=0))
    folder = truth_folder(tmp_path / "t", {"video_000004": columns(0, 4)})
    request = Request(min_area=0.3, tools=tools, phases=phases, ground_truth=match_ground_truth(generated, folder))
    rows = frame_rows(analyse(generated, request))
    assert len({tuple(row) for row in rows}) == 1
    first, second, third = rows
    assert (first["name"], first["time_s"], first["coverage"]) == ("video_000000", "0.000000", "0.2")
    assert [row["detected"] for row in rows] == [1, 1, 0] and [row["present"] for row in rows] == [0, 1, 0]
    assert first["iou_next"] == "0.500000" and second["iou_next"] == "0.000000" and third["iou_next"] == ""
    assert first["flow_iou_next"] == "" and first["dice"] == "" and second["dice"] == "1.000000"
    assert second["true_coverage"] == "0.400000" and first["tool_in_view"] == 1
    assert [row["phase"] for row in rows] == ["A", "A", ""]


def test_without_annotation_their_columns_stay_empty(tmp_path):
    row = frame_rows(analyse(read_folder(tmp_path / "g", [10]), Request()))[0]
    assert row["phase"] == row["tool_in_view"] == row["dice"] == row["true_coverage"] == ""
