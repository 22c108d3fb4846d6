"""compare_videos.py on folders made by hand: what it says, what it warns of, what it refuses."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import compare_videos as script
from surgseg.labels import SCHEMES
from surgseg.masks import write_mask
from tests.folders import columns, pixels, texture, write_folder, write_tools


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run the script on folders; `.status`, `.out`, `.err`, `.result` (the JSON), `.markdown`, `.output`."""

    class Run:
        output = tmp_path / "results"

        def __init__(self, *folders, options=(), draw=False):
            if not draw:  # half a second each; tests/figures/test_videos.py looks at what is drawn
                monkeypatch.setattr("surgseg.figures.videos.draw_video_comparison", lambda path, *rest: path)
            shutil.rmtree(self.output, ignore_errors=True)
            arguments = ["--generated-dirs", *map(str, folders), "--output-dir", str(self.output)]
            self.status = script.main([*arguments, *map(str, options)])
            self.out, self.err = capsys.readouterr()
            path = self.output / "video_comparison.json"
            self.result = json.loads(path.read_text()) if path.exists() else None
            if self.status == 0:
                self.markdown = (self.output / "video_comparison.md").read_text()
                self.figure = self.output / "figures" / "video_comparison.png"

        def refused(self, message):
            assert self.status == 2 and message in self.err and self.err.count("\n") == 1, self.err
            assert not self.output.exists(), "nothing half-written"

    return Run


@pytest.fixture
def folder(tmp_path):
    def make(name, masks, **options):
        return write_folder(tmp_path / name, masks, **options)

    return make


def images_of(count, level, seed=0):
    return [np.repeat(texture((10, 10), seed + index)[..., None] // 3 + level, 3, 2) for index in range(count)]


def test_the_study_s_table_goes_to_screen_markdown_and_json(run, folder):
    done = run(
        folder("a", [0, 10, 20, 0]), folder("b", [10, 30, 30, 50]), options=["--names", "video01", "video80"], draw=True
    )
    assert done.status == 0
    first, second = done.result["videos"]
    assert (first["name"], second["name"]) == ("video01", "video80")
    assert (first["frames"], first["detection_rate"], first["frames_without_detection"]) == (4, 0.5, 2)
    assert first["coverage"]["mean"] == pytest.approx(0.075) and second["coverage"]["mean"] == pytest.approx(0.3)
    assert second["detection_rate"] == 1 and second["frames_without_detection"] == 0
    for text in (done.out, done.markdown):
        rows = [line for line in text.splitlines() if "Mean coverage" in line]
        assert "7.50 %" in rows[0] and "30.00 %" in rows[0] and rows[0].index("7.50") < rows[0].index("30.00")
        for what in ("Frames evaluated", "Detection rate", "Frames without detection", "Stability", "not computed"):
            assert what in text
    with Image.open(done.figure) as image:
        assert image.width >= 1000
    assert done.result["run"]["arguments"]["min_area"] == 0.001 and done.result["schema"].endswith("/1")


def test_differences_have_the_sign_of_the_second_less_the_first(run, folder):
    one, other = folder("a", [0, 10]), folder("b", [30, 30])
    found = run(one, other).result["differences"][0]
    assert (found["first"], found["second"]) == ("a", "b")
    assert found["detection_rate"]["difference"] == 0.5 and found["mean_coverage"]["difference"] == pytest.approx(0.25)
    done = run(other, one)
    assert done.result["differences"][0]["detection_rate"]["difference"] == -0.5
    assert "a against b: detection rate -50.00 points" in done.out
    assert "no interval" in done.out, "two frames allow none"


def test_many_frames_give_intervals_that_are_said_to_speak_of_these_videos_only(run, folder):
    rng = np.random.default_rng(0)
    folders = [
        folder(name, [int(value) for value in rng.integers(0, high, 150)]) for name, high in (("a", 9), ("b", 40))
    ]
    done = run(*folders)
    found = done.result["differences"][0]["mean_coverage"]
    assert found["interval"][0] < found["difference"] < found["interval"][1] and found["interval"][0] > 0
    assert "95 % interval" in done.out and "not of other operations" in done.out


def test_frames_of_one_burst_are_not_taken_for_independent(run, folder):
    masks = [int(value) for value in np.random.default_rng(0).integers(0, 9, 100)]
    other = folder("b", masks[::-1])
    alone, bursts = folder("a", masks), folder("c", masks, sampling={"burst": 20})
    assert run(alone, other).result["differences"][0]["mean_coverage"]["interval"] is not None
    found = run(bursts, other).result["differences"][0]["mean_coverage"]
    assert found["interval"] is None and "only about 5 independent" in found["reason"]


def test_three_videos_are_compared_with_the_first(run, folder):
    done = run(folder("a", [10, 10]), folder("b", [20, 20]), folder("c", [30, 0]))
    assert [(one["first"], one["second"]) for one in done.result["differences"]] == [("a", "b"), ("a", "c")]
    assert done.markdown.splitlines()[2] == "| | a | b | c |"


def test_stability_of_neighbours_is_in_the_table(run, folder):
    masks = [columns(0, 2), columns(0, 4)]
    done = run(folder("a", masks, step=1), folder("b", masks[:1] * 2, step=1))
    assert "0.500 (1 pairs)" in done.out and "1.000 (1 pairs)" in done.out
    assert done.result["videos"][0]["stability"]["iou"]["mean"] == 0.5


# content and shift


def test_without_labels_it_is_a_comparison_of_content_and_proves_no_shift(run, folder):
    done = run(folder("a", [10, 10]), folder("b", [0, 10]))
    assert done.result["kind"] == "content" and done.result["labels"] == []
    assert done.result["differences"][0]["shift"] == {}
    for text in (done.out, done.markdown):
        assert "comparison of content" in text.lower() and "no domain shift" in text
        assert "Shift of" not in text and "sensitivity" not in text.lower()
        assert "--tool-files" in text and "--mask-dirs" in text


def test_with_tool_files_the_change_of_sensitivity_and_specificity_is_the_shift(run, folder, tmp_path):
    folders = [folder("a", [10, 10, 0, 10], step=25), folder("b", [10, 0, 0, 0], step=25)]
    shown = [{"Hook"}, {"Grasper"}, set(), set()]
    files = [write_tools(tmp_path / f"{name}.txt", shown) for name in "ab"]
    done = run(*folders, options=["--tool-files", *files])
    assert done.result["kind"] == "shift" and done.result["labels"] == ["tools"]
    presence = [video["presence"]["min_area"] for video in done.result["videos"]]
    assert [one["sensitivity"] for one in presence] == [1, 0.5] and [one["specificity"] for one in presence] == [0.5, 1]
    shift = done.result["differences"][0]["shift"]
    assert shift["sensitivity"]["difference"] == -0.5 and shift["specificity"]["difference"] == 0.5
    assert "Shift of sensitivity, b against a: -50.00 points" in done.out
    assert "comparison of content" not in done.out.lower() and "comparison of content" not in done.markdown.lower()


def test_a_sensitivity_nobody_can_know_is_undefined(run, folder, tmp_path):
    folders = [folder("a", [10, 10], step=25), folder("b", [10, 0], step=25)]
    files = [write_tools(tmp_path / "a.txt", [set(), set()]), write_tools(tmp_path / "b.txt", [{"Hook"}, set()])]
    done = run(*folders, options=["--tool-files", *files])
    assert done.status == 0 and done.result["videos"][0]["presence"]["min_area"]["sensitivity"] is None
    assert done.result["differences"][0]["shift"]["sensitivity"]["difference"] is None
    assert "Shift of sensitivity, b against a: undefined" in done.out and "n/a" in done.out


def test_with_ground_truth_the_change_of_dice_is_the_shift(run, folder, tmp_path):
    folders = [folder("a", [10, 10], step=25), folder("b", [10, 10], step=25)]
    for name, true in (("ta", 10), ("tb", 30)):
        for stem in ("video01_000000", "video01_000025"):
            write_mask(tmp_path / name / f"{stem}.png", pixels(true), SCHEMES["binary"])
    done = run(*folders, options=["--mask-dirs", tmp_path / "ta", tmp_path / "tb"])
    assert done.result["kind"] == "shift" and done.result["labels"] == ["ground_truth"]
    assert done.result["differences"][0]["shift"]["dice"]["difference"] == pytest.approx(-0.5)
    assert "Shift of dice, b against a: -0.5000" in done.out and "1.000" in done.out


def test_suspect_frames_have_no_part_in_the_shift(run, folder, tmp_path):
    folders = [folder("a", [10, 10], step=25), folder("b", [10, 90], step=25, suspect={1})]
    for stem in ("video_000000", "video_000025"):
        write_mask(tmp_path / "t" / f"{stem}.png", pixels(10), SCHEMES["binary"])
    options = ["--mask-dirs", tmp_path / "t", tmp_path / "t"]
    assert run(*folders, options=options).result["differences"][0]["shift"]["dice"]["difference"] == 0
    changed = run(*folders, options=[*options, "--include-suspect"]).result["differences"][0]["shift"]["dice"]
    assert changed["difference"] < -0.1


def test_masks_of_several_videos_need_a_name(run, folder, tmp_path):
    folders = [folder("a", [10]), folder("b", [10])]
    for stem in ("video01_000000", "video80_000000"):
        write_mask(tmp_path / "t" / f"{stem}.png", pixels(10), SCHEMES["binary"])
    options = ["--mask-dirs", tmp_path / "t", tmp_path / "t"]
    run(*folders, options=options).refused("--mask-video")
    assert run(*folders, options=[*options, "--mask-videos", "video01", "video80"]).status == 0


# warnings


def warned(done):
    found = done.result["warnings"]
    assert all(f"Warning: {warning}." in done.out and warning in done.markdown for warning in found)
    return " / ".join(found)


def test_equal_sampling_warns_of_nothing(run, folder):
    done = run(folder("a", [10, 10, 10]), folder("b", [10, 10, 10]))
    assert warned(done) == "" and "Warning" not in done.out


WARNINGS = (
    "different weights",
    "different thresholds",
    "different views",
    "synthetic and other",
    "differ in length",
    "differ in place",
    "sampled differently",
    "unfinished",
)


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"weights_sha256": "b" * 64}, "different weights"),
        ({"threshold": 0.7}, "different thresholds"),
        ({"view": "auto"}, "different views"),
        ({"video_data": "synthetic"}, "synthetic and other"),
        ({"numbers": [0, 30, 120, 150, 180, 210]}, "differ in length"),
        ({"numbers": [300, 330, 360, 390], "video": {"duration_s": 19.2}}, "differ in place"),
        ({"video": {"duration_s": 48.0}}, "differ in place"),
        ({"numbers": [0, 15, 30, 45, 60, 75, 90, 105]}, "sampled differently"),
        ({"complete": False}, "unfinished"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_the_comparison_unequal_is_warned_of(run, folder, changed, words):
    masks = [10] * len(changed.get("numbers", range(4)))
    done = run(folder("a", [10] * 4), folder("b", masks, **changed))
    assert done.status == 0 and warned(done).count(words) == 1, done.result["warnings"]
    assert not [word for word in set(WARNINGS) - {words} if word in warned(done)]


def test_of_videos_of_unknown_length_the_times_are_compared(run, folder):
    unknown = {"video": {"duration_s": None}}
    one = folder("a", [10] * 4, **unknown)
    done = run(one, folder("b", [10] * 4, numbers=[9000, 9030, 9060, 9090], **unknown))
    assert "differ in place: frames begin at 0.0 s and 360.0 s" in warned(done)
    assert warned(run(one, folder("c", [10] * 4, **unknown))) == ""


def test_an_unfinished_run_is_compared_as_far_as_it_came_and_said_to_be_one(run, folder):
    done = run(folder("a", [10, 10]), folder("b", [10, 10], complete=False))
    assert done.status == 0 and done.result["complete"] is False and "b is unfinished" in done.out


# appearance


def test_brighter_frames_are_measured_to_be_brighter(run, folder):
    sure = [0.6, 0.7, 0.8, 0.9]
    dark = folder(
        "a", [10] * 4, images=[np.full((10, 10, 3), 50 + 10 * i, np.uint8) for i in range(4)], confidence=sure
    )
    bright = folder("b", [10] * 4, images=images_of(4, 150), confidence=sure[::-1])
    done = run(dark, bright)
    appearance = [video["appearance"] for video in done.result["videos"]]
    assert appearance[1]["brightness"] > appearance[0]["brightness"] + 20 and appearance[0]["reference"] == "a"
    assert appearance[0]["confidence_rank_correlation"]["brightness"] == pytest.approx(1), "the brighter, the surer"
    assert appearance[0]["confidence_rank_correlation"]["saturation"] is None, "all gray"
    change = done.result["differences"][0]["appearance"]["brightness"]["difference"]
    assert change == pytest.approx(appearance[1]["brightness"] - appearance[0]["brightness"])
    assert f"brightness {change:+.2f}" in done.out and "rank correlation of confidence over 4 frames" in done.out


def test_colours_differ_by_their_hellinger_distance(run, folder):
    red, green = (np.tile(np.array(colour, np.uint8), (10, 10, 1)) for colour in ((200, 20, 20), (20, 200, 20)))
    done = run(folder("a", [10, 10], images=[red] * 2), folder("b", [10, 10], images=[red, green]))
    assert done.result["videos"][0]["appearance"]["histogram_distance"] == pytest.approx(0, abs=1e-3)
    assert done.result["videos"][1]["appearance"]["histogram_distance"] == pytest.approx(0.5, abs=1e-3)
    found = done.result["differences"][0]["appearance"]["histogram_distance"]
    assert found == pytest.approx(np.sqrt(1 - np.sqrt(0.5)), abs=1e-3), "of the videos' mean colours"


def test_runs_without_frames_are_compared_without_their_looks(run, folder):
    done = run(folder("a", [10, 10]), folder("b", [10, 10]))
    assert [video["appearance"] for video in done.result["videos"]] == [None, None]
    assert done.out.count("appearance not measured") == 2 and "Brightness" not in done.out
    mixed = run(folder("c", [10, 10], images=images_of(2, 50)), folder("d", [10, 10]))
    assert mixed.status == 0 and mixed.out.count("appearance not measured") == 1
    assert mixed.result["differences"][0]["appearance"] is None and "Brightness" not in mixed.markdown


def test_black_frames_have_no_appearance_and_end_no_run(run, folder):
    black = [np.zeros((10, 10, 3), np.uint8)] * 2
    done = run(folder("a", [10, 10], images=black), folder("b", [10, 10], images=images_of(2, 50)), draw=True)
    assert done.status == 0 and done.result["videos"][0]["appearance"]["brightness"] is None
    assert "brightness n/a" in done.out and "nan" not in done.markdown.lower()


def test_runs_without_masks_are_compared_without_stability(run, folder):
    done = run(folder("a", [10, 10], step=1, parts={}), folder("b", [10, 10], step=1, parts={}))
    assert done.status == 0 and done.out.count("the run kept no masks") == 2


# bad input


def test_one_frame_each_is_compared_without_interval_or_stability(run, folder):
    done = run(folder("a", [10]), folder("b", [0]), draw=True)
    assert done.status == 0 and done.result["differences"][0]["detection_rate"]["interval"] is None
    assert "there is only one frame" in done.out and done.result["videos"][0]["coverage"]["sd"] is None
    assert done.figure.exists()


def test_synthetic_videos_carry_the_mark(run, folder):
    done = run(folder("a", [10], video_data="synthetic"), folder("b", [10], video_data="synthetic"))
    assert "(SYNTHETIC)" in done.out.splitlines()[0] and "SYNTHETIC" in done.markdown.splitlines()[0]


def test_lists_that_do_not_belong_together_are_refused(run, folder, tmp_path):
    one, other = folder("a", [10]), folder("b", [10])
    (tmp_path / "deep").mkdir()
    same_name = write_folder(tmp_path / "deep" / "a", [10])
    run(one).refused("two folders or more")
    run(one, one).refused("one folder twice")
    run(one, tmp_path / "deep" / ".." / "a").refused("one folder twice")
    run(one, same_name).refused("two videos are called a")
    run(one, other, options=["--names", "x"]).refused("--names gives 1 for 2 folders")
    run(one, other, options=["--names", "x", "x"]).refused("two videos are called x")
    run(one, other, options=["--tool-files", "t.txt"]).refused("--tool-files gives 1 for 2")
    run(one, other, options=["--mask-dirs", "a", "b", "c"]).refused("--mask-dirs gives 3 for 2")
    run(one, other, options=["--min-area", 2]).refused("--min-area 2")
    run(one, other, options=["--min-area", "nan"]).refused("--min-area nan")
    run(one, other, options=["--flow-pairs", -1]).refused("--flow-pairs")
    run(one, other, options=["--tools", "Hook"]).refused("--tools needs --tool-files")
    run(one, other, options=["--mask-videos", "a", "b"]).refused("--mask-videos needs --mask-dirs")


def test_bad_folders_are_refused_and_nothing_is_written(run, folder, tmp_path):
    good = folder("good", [10, 20])
    (tmp_path / "empty").mkdir()
    run(good, tmp_path / "empty").refused("not a generated folder")
    run(good, tmp_path / "nowhere").refused("is not a folder")
    run(good, folder("none", [])).refused("holds no frames")
    run(good, folder("suspects", [10], suspect={0})).refused("--include-suspect")
    run(good, folder("sizes", [pixels(10), pixels(5, (20, 10))])).refused("differing sizes")
    no_run = folder("no_run", [10])
    (no_run / "run.json").unlink()
    run(no_run, good).refused("run.json missing")
    (no_run / "run.json").write_text("{")
    run(no_run, good).refused("run.json")
    changed = folder("changed", [10, 20])
    write_mask(changed / "masks" / "video_000000.png", pixels(99), SCHEMES["binary"])
    run(good, changed).refused("disagrees with 1 of 2 checked masks")
    fewer = folder("fewer", [10, 20])
    (fewer / "masks" / "video_000030.png").unlink()
    run(good, fewer).refused("missing in masks/: video_000030.png")


def test_annotations_that_do_not_fit_are_refused(run, folder, tmp_path):
    folders = [folder("a", [10, 20], step=25), folder("b", [10, 20], step=25)]
    fits, long = (write_tools(tmp_path / f"{count}.txt", [{"Hook"}] * count) for count in (2, 90))
    run(*folders, options=["--tool-files", fits, long]).refused("covers 90.0 s")
    run(*folders, options=["--tool-files", fits, tmp_path / "no.txt"]).refused("cannot read")
    run(*folders, options=["--tool-files", fits, fits, "--tools", "Scalpel"]).refused("has no tool Scalpel")
    run(*folders, options=["--mask-dirs", tmp_path / "no", tmp_path / "no"]).refused("is not a folder")


def test_an_output_folder_that_is_a_file_is_refused(run, folder, tmp_path):
    (tmp_path / "results").write_text("mine")
    status = script.main(
        ["--generated-dirs", str(folder("a", [10])), str(folder("b", [10])), "--output-dir", str(tmp_path / "results")]
    )
    assert status == 2 and (tmp_path / "results").read_text() == "mine"
