"""Generated folders that somebody broke or named oddly: one line says so, or the result is whole; never half of one."""

from __future__ import annotations

import pytest

import analyze_mask_statistics
import compare_videos
from surgseg.files import UserError, read_json, write_json
from surgseg.labels import SCHEMES
from surgseg.masks import write_mask
from surgseg.video.truth import match_truth
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
        assert len(match_truth(made, tmp_path / "masks")) == 3
    else:
        with pytest.raises(UserError, match="numbered by their place"):
            match_truth(made, tmp_path / "masks")
