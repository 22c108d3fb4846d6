"""Generated folders that somebody broke or named oddly: one line says so, or the result is whole; never half of one."""

from __future__ import annotations

import numpy as np
import pytest

import analyze_generated_masks
import analyze_mask_statistics
import compare_videos
from surgseg.analysis.ground_truth import match_ground_truth
from surgseg.files import UserError, read_csv, read_json, write_json
from surgseg.labels import SCHEMES
from surgseg.masks import write_mask
from tests.folders import pixels, read_folder, write_folder


def set_cell(folder, line: int, column: int, value: str) -> None:
    rows = [row.split(",") for row in (folder / "frames.csv").read_text().splitlines()]
    rows[line][column] = value
    (folder / "frames.csv").write_text("\n".join(",".join(row) for row in rows) + "\n")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (2, "nan", "frames.csv, line 3: not a row of frames (time_s is no number of seconds"),
        (2, "inf", "frames.csv, line 3: not a row of frames (time_s is no number of seconds"),
        (2, "99", "times do not ascend"),
        (6, "-1", "components are negative"),
    ],
)
def test_times_and_counts_that_cannot_be_are_refused(tmp_path, capsys, column, value, words):
    folder = write_folder(tmp_path / "made", [10, 20, 30])
    set_cell(folder, 2, column, value)
    assert analyze_mask_statistics.main(["--generated-dir", str(folder), "--output-dir", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_run_that_does_not_say_whether_it_is_complete_counts_as_unfinished(tmp_path, capsys):
    folder = write_folder(tmp_path / "made", [10, 20, 30])
    run = read_json(folder / "run.json")
    del run["complete"]
    write_json(folder / "run.json", run)
    assert analyze_mask_statistics.main(["--generated-dir", str(folder)]) == 0
    assert "unfinished" in capsys.readouterr().out
    assert read_json(folder / "mask_statistics.json")["complete"] is False


@pytest.mark.parametrize(
    "changed", [{"sampling": {"burst": "x"}}, {"sampling": 3}, {"video": [1]}, {"video": {"duration_s": "long"}}]
)
def test_a_run_json_changed_by_hand_is_refused(tmp_path, capsys, changed):
    folder = write_folder(tmp_path / "made", [10, 20, 30])
    write_json(folder / "run.json", {**read_json(folder / "run.json"), **changed})
    assert analyze_mask_statistics.main(["--generated-dir", str(folder)]) == 2
    assert "run.json was changed" in capsys.readouterr().err


def test_nothing_is_written_where_the_figure_cannot_be(tmp_path, capsys):
    folders = [str(write_folder(tmp_path / name, [10, 20, 30])) for name in "ab"]
    (tmp_path / "file").write_text("")
    options = ["--output-dir", str(tmp_path / "out"), "--figure", str(tmp_path / "file" / "x.png")]
    assert compare_videos.main(["--generated-dirs", *folders, *options]) == 2
    assert "is a file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_names_may_hold_what_others_take_for_formulas(tmp_path, capsys):
    folders = [str(write_folder(tmp_path / name, [10, 20, 30])) for name in "ab"]
    options = ["--names", "$ü_$", "a b", "--output-dir", str(tmp_path / "out")]
    assert compare_videos.main(["--generated-dirs", *folders, *options]) == 0
    assert (tmp_path / "out" / "figures" / "video_comparison.png").is_file()


@pytest.mark.parametrize(("first", "fits"), [(0, True), (1, False), (40, False)])
def test_masks_with_their_own_numbers_are_not_taken_for_places_in_a_folder_of_images(tmp_path, first, fits):
    made = read_folder(tmp_path / "made", [10, 20, 30], step=1, image_rate=25.0, video={"duration_s": 0.12})
    for number in range(first, first + 3):
        write_mask(tmp_path / "masks" / f"video09_{number:06d}.png", pixels(10), SCHEMES["binary"])
    if fits:
        assert len(match_ground_truth(made, tmp_path / "masks")) == 3
    else:
        with pytest.raises(UserError, match="numbered by their place"):
            match_ground_truth(made, tmp_path / "masks")


def test_corrected_masks_are_compared_by_the_option_that_the_error_names(tmp_path, capsys):
    folders = [write_folder(tmp_path / name, [10, 20, 30]) for name in "ab"]
    write_mask(folders[1] / "masks" / "video_000030.png", pixels(50), SCHEMES["binary"])
    options = ["--generated-dirs", *map(str, folders), "--output-dir", str(tmp_path / "out")]
    assert compare_videos.main(options) == 2 and "--from-masks" in capsys.readouterr().err
    assert compare_videos.main([*options, "--from-masks"]) == 0
    found = read_json(tmp_path / "out" / "video_comparison.json")["videos"][1]
    assert found["coverage"]["mean"] == pytest.approx((0.1 + 0.5 + 0.3) / 3)


def test_panels_of_corrected_masks_say_the_masks_coverage_and_that_the_table_disagrees(tmp_path, capsys):
    images = [np.zeros((10, 10, 3), np.uint8)] * 3
    folder = write_folder(tmp_path / "made", [10, 20, 30], images=images)
    assert analyze_generated_masks.main(["--generated-dir", str(folder)]) == 0
    assert "disagrees" not in capsys.readouterr().out
    write_mask(folder / "masks" / "video_000030.png", pixels(50), SCHEMES["binary"])
    assert analyze_generated_masks.main(["--generated-dir", str(folder)]) == 0
    assert "disagrees with 1 of these masks" in capsys.readouterr().out
    samples = read_json(folder / "figures" / "visual_analysis.json")["samples"]
    assert [sample["coverage"] for sample in samples] == pytest.approx([0.1, 0.5, 0.3])


def test_components_of_each_frame_are_those_of_the_masks_that_count(tmp_path):
    folder = write_folder(tmp_path / "made", [10, 20])
    apart = pixels(10)
    apart[9, 9] = 1
    write_mask(folder / "masks" / "video_000030.png", apart, SCHEMES["binary"])
    assert analyze_mask_statistics.main(["--generated-dir", str(folder), "--from-masks"]) == 0
    rows = read_csv(folder / "mask_statistics_frames.csv", ["components"])
    assert [row["components"] for row in rows] == ["1", "2"]
