"""Which frames are examples, and what their panels show."""

from __future__ import annotations

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from surgseg.data.dataset import load_prepared
from surgseg.figures import examples as module
from surgseg.figures.examples import ERRORS, Example, ImageFiles, draw_examples, error_map, write_examples
from surgseg.figures.selection import EXAMPLE_RULES, choose_examples
from surgseg.figures.style import fit_names
from surgseg.files import UserError, read_csv
from surgseg.labels import SCHEMES
from surgseg.masks import write_mask
from surgseg.scores.scored import scored_set

BINARY = SCHEMES["binary"]
SCORED = scored_set(np.ones((6, 3, 2), int), ["a"] * 6, "ignore")


def example(iou=0.5):
    truth, predicted = np.zeros((2, 4), np.uint8), np.zeros((2, 4), np.uint8)
    truth[0], predicted[0] = (1, 1, 0, 255), (1, 0, 1, 1)
    return Example("a_1", np.full((2, 4, 3), 100, np.uint8), truth, predicted, iou, 0.25)


def test_the_error_map_tells_hit_miss_false_positive_and_void():
    image = error_map(example(), BINARY)
    expected = [ERRORS[name] for name in ("correct", "missed", "false positive", "void")]
    assert [tuple(pixel) for pixel in image[0].tolist()] == expected
    assert (image[1] == 185).all(), "the rest is the frame, dimmed"


def test_confused_instruments_are_no_error_of_the_union():
    one = example()
    swapped = Example("a", one.frame, np.full((2, 4), 1, np.uint8), np.full((2, 4), 2, np.uint8), 1.0)
    assert (error_map(swapped, SCHEMES["grasper-hook"]) == ERRORS["correct"]).all()


def row(name, iou, coverage=0.1):
    """A row of a frame table; the video is the name's first letter."""
    text = "" if iou is None else str(iou)
    return {"name": name, "video": name[0], "iou": text, "coverage": str(coverage), "dice": text}


def names_of(rows, rule, count):
    return [found["name"] for found in choose_examples(rows, rule, count).rows]


FAR = [row(f"{video}_{1000 * index}", (index + 1) / 10 + shift, (5 - index) / 10)
       for video, shift in (("a", 0.0), ("b", 0.05)) for index in range(5)]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("best", ["b_4000", "a_4000", "b_3000", "a_3000"]),
        ("challenging", ["a_0", "b_0", "a_1000", "b_1000"]),
        ("impressive", ["a_0", "b_0", "a_1000", "b_1000"]),
        ("spread", ["a_0", "b_1000", "a_3000", "b_4000"]),
    ],
)
def test_each_rule_ranks_by_its_own_column(rule, expected):
    assert names_of(FAR, rule, 4) == expected


def test_one_video_does_not_fill_the_figure():
    rows = [row(f"a_{1000 * index}", 0.9) for index in range(6)] + [row("b_0", 0.1), row("b_1000", 0.2)]
    choice = choose_examples(rows, "best", 4)
    assert [found["name"][0] for found in choice.rows] == ["a", "a", "b", "b"] and choice.per_video == 2
    assert choice.words == (
        "4 of 8 frames with an instrument: highest IoU first\n(at most 2 of each video, at least 80 frames apart)"
    )


def test_neighbouring_frames_are_passed_over_where_there_are_others():
    rows = [row("a_100", 0.9), row("a_101", 0.8), row("a_150", 0.7), row("a_300", 0.6)]
    assert names_of(rows, "best", 2) == ["a_100", "a_300"]
    found = choose_examples(rows, "best", 3)
    assert [item["name"] for item in found.rows] == ["a_100", "a_150", "a_300"] and found.distance == 40
    assert len(choose_examples(rows, "best", 9).rows) == 4, "no more than there are, neighbours too"


def test_frames_without_instrument_are_no_challenge():
    rows = [row("a_1", 0.0, 0.0), row("a_2", None, 0.0), row("b_1", 0.3, 0.2)]
    assert names_of(rows, "challenging", 3) == ["b_1"]
    assert names_of(rows, "spread", 3) == ["a_1", "b_1"], "an alarm without instrument is an IoU of 0"
    assert names_of(rows[1:2], "spread", 3) == ["a_2"] and names_of(rows[:2], "best", 3) == []


def test_unnumbered_names_can_all_be_chosen():
    rows = [{**row("left", 0.4), "video": "v"}, {**row("right", 0.5), "video": "v"}]
    assert names_of(rows, "best", 2) == ["right", "left"]


def test_long_names_are_broken_and_shortened():
    same, broken = fit_names(["video01_000080", "a" * 30 + "b" * 30], 26, 2)
    assert same == "video01_000080"
    assert [len(line) for line in broken.split("\n")] == [26, 26] and "…" in broken and broken.endswith("b" * 25)


def test_names_stay_different_and_numbers_whole_when_they_are_shortened():
    videos = [f"the_hospital_operation_{number:02d}_left_camera" for number in range(30)]
    for width in (10, 18, 24):
        shown = fit_names(videos, width)
        assert len(set(shown)) == 30 and max(map(len, shown)) == width
        assert [name for name in shown if "07" in name] == [shown[7]] and "11" in shown[11]
    for width in range(12, 26):
        shown = fit_names([f"the_operation_{number}_left_camera" for number in (10, 25, 38)], width)
        assert all(str(number) in name for number, name in zip((10, 25, 38), shown)), "25 must not become 5"
    apart = ["x" * 10 + first + "y" * 20 + second + "z" * 10 for first in "ab" for second in "cd"]
    assert fit_names(apart, 9) == ["xxxx…1", "xxxx…2", "xxxx…3", "xxxx…4"]
    assert fit_names([], 5) == [] and fit_names(["x" * 9, "x" * 9], 5) == ["xx…xx"] * 2


@pytest.fixture
def scored(tiny_run):
    """(rows, files) of the test part of `tiny_run`."""
    samples = [sample for sample in load_prepared(tiny_run.data).samples if sample.part == "test"]
    return read_csv(tiny_run.output / "metrics_frames.csv"), ImageFiles.of_samples(samples, tiny_run.preds)


def test_the_listing_says_rule_and_frames(scored, tmp_path):
    rows, files = scored
    ious = ["0.1", "0.2", "0.3", "0.4", "0.5", ""]
    rows = [{**item, "iou": iou} for item, iou in zip(rows, ious)]
    figure, listing = write_examples("spread", rows, files, BINARY, tmp_path, scored=SCORED, count=3)
    said = json.loads(listing.read_text())
    assert (figure.name, said["figure"]) == ("segmentation_results.png",) * 2 and figure.is_file()
    assert [frame["iou"] for frame in said["frames"]] == [0.1, 0.3, 0.5]
    assert said["rule"] == "spread" and said["candidates"] == 5 and said["max_per_video"] == 3


def test_nothing_is_drawn_of_nothing(scored, tmp_path):
    rows, files = scored
    empty = [{**item, "coverage": "0.0"} for item in rows]
    assert write_examples("best", empty, files, BINARY, tmp_path, scored=SCORED) == [] and not list(tmp_path.iterdir())
    assert (
        write_examples("best", rows, ImageFiles({}, files.masks, files.predictions), BINARY, tmp_path, scored=SCORED)
        == []
    )


def test_a_prediction_of_another_size_is_named(scored, tmp_path):
    rows, files = scored
    small = tmp_path / "small.png"
    write_mask(small, np.zeros((4, 6), np.uint8), BINARY)
    files = ImageFiles(files.frames, files.masks, dict.fromkeys(files.predictions, small))
    with pytest.raises(UserError, match=r"64x48 pixels, .*small\.png 6x4"):
        write_examples("best", rows, files, BINARY, tmp_path, scored=SCORED)
    assert [path.name for path in tmp_path.iterdir()] == ["small.png"]


def test_panels_are_frame_truth_prediction_and_errors(monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(module, "save_figure", lambda figure, path: figures.append(figure) or path)
    draw_examples([example(), example(float("nan"))], BINARY, tmp_path / "x.png", title="t", mark="SYNTHETIC")
    axes = figures[0].axes
    assert [axis.get_title() for axis in axes[:4]] == [
        "a_1", "ground truth\n25.0% instrument", "prediction\nIoU 0.500", "errors",
    ]  # fmt: skip
    assert axes[6].get_title() == "prediction\nn/a: no instrument"
    assert all([text.get_text() for text in axis.texts] == ["SYNTHETIC"] for axis in axes), "in every image"
    assert "SYNTHETIC" in [text.get_text() for text in figures[0].texts]
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == list(ERRORS)
    plt.close("all")


def test_every_rule_has_a_figure_of_its_own():
    assert len({rule.figure for rule in EXAMPLE_RULES.values()}) == 4
