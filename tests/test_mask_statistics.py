"""analyze_mask_statistics.py on folders made by hand."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

import analyze_mask_statistics as script
from surgseg.labels import SCHEMES
from surgseg.masks import write_mask
from tests.folders import columns, pixels, texture, write_folder, write_phases, write_tools


@pytest.fixture
def undrawn(monkeypatch):
    """The figure costs half a second; tests/figures/test_mask_statistics_figure.py looks at what is drawn."""
    monkeypatch.setattr("surgseg.figures.mask_statistics.draw_mask_statistics", lambda path, *rest: path)


def start(folder, *options):
    return script.main(["--generated-dir", str(folder), *map(str, options)])


def result_of(path):
    return json.loads((path / "mask_statistics.json").read_text())


def test_numbers_go_to_screen_json_csv_and_figure(tmp_path, capsys):
    folder = write_folder(tmp_path / "out", [0, 1, 10, 30], video_data="synthetic")
    assert start(folder, "--min-area", 0.05) == 0
    result = result_of(folder)
    assert result["detection_rate"] == 0.75 and result["detection_rate_min_area"] == 0.5
    assert result["frames_without_detection"] == 1 and result["without_detection"][0]["frame"] == 0
    assert result["coverage"]["mean"] == pytest.approx(0.1025) and result["run"]["arguments"]["min_area"] == 0.05
    assert result["coverage"]["median"] == pytest.approx(0.055) and {"sd", "p5", "p95"} <= set(result["coverage"])
    with Image.open(folder / "figures" / "mask_statistics.png") as figure:
        assert figure.width >= 1000
    shown = capsys.readouterr().out
    assert "MASK STATISTICS (SYNTHETIC)" in shown and "75.0 %" in shown and "0 (0.00 s)" in shown
    with (folder / "mask_statistics_frames.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["coverage"] for row in rows] == ["0", "0.01", "0.1", "0.3"]
    assert [row["present"] for row in rows] == ["0", "0", "1", "1"]


def test_stability_is_said_to_be_missing_with_the_option_that_gets_it(tmp_path, capsys, undrawn):
    assert start(write_folder(tmp_path / "out", [10, 10])) == 0
    shown = capsys.readouterr().out
    assert "not computed: no two frames are at most 0.2 s apart (the closest 1.20 s)" in shown and "--burst" in shown
    assert result_of(tmp_path / "out")["stability"]["computed"] is False


def test_neighbours_give_stability_on_screen(tmp_path, capsys, undrawn):
    size = (64, 96)
    image = np.repeat(texture(size)[..., None], 3, 2)
    masks = [columns(10, 20, size), columns(10, 30, size), columns(0, 0, size), columns(10, 30, size)]
    assert start(write_folder(tmp_path / "out", masks, step=1, images=[image] * 4)) == 0
    shown = capsys.readouterr().out
    found = result_of(tmp_path / "out")["stability"]
    assert found["iou"]["mean"] == pytest.approx(0.5 / 3) and found["flow"]["iou"]["mean"] == pytest.approx(0.5 / 3)
    assert "1 one-frame gaps, 0 one-frame detections in 2 triples" in shown
    assert "Detection rate of these frames" in shown and "75.0 %" in shown
    assert start(tmp_path / "out", "--flow-pairs", 0) == 0
    assert "not computed: switched off (--flow-pairs 0)" in capsys.readouterr().out


def test_phases_tools_and_truth_are_reported_together(tmp_path, capsys, undrawn):
    folder = write_folder(tmp_path / "out", [columns(0, 1), columns(0, 2), columns(0, 0), columns(0, 0)], step=25)
    phases = write_phases(tmp_path / "p.txt", ["Preparation"] * 50 + ["ClippingCutting"] * 50)
    tools = write_tools(tmp_path / "t.txt", [{"Hook"}, {"Hook"}, {"Clipper"}, set()])
    for stem in ("video07_000000", "video07_000025"):
        write_mask(tmp_path / "masks" / f"{stem}.png", columns(0, 2), SCHEMES["binary"])
    options = ["--phase-file", phases, "--tool-file", tools, "--mask-dir", tmp_path / "masks"]
    assert start(folder, *options) == 0
    shown, result = capsys.readouterr().out, result_of(folder)
    assert list(result["phases"]) == ["Preparation", "ClippingCutting"]
    assert result["phases"]["Preparation"]["detection_rate"] == 1 and result["phases"]["ClippingCutting"]["frames"] == 2
    assert result["phases"]["Preparation"]["tools"]["specificity"] is None
    assert result["tools"]["min_area"]["sensitivity"] == pytest.approx(2 / 3)
    assert result["ground_truth"]["dice"]["mean"] == pytest.approx((2 / 3 + 1) / 2)
    for words in (
        "Preparation",
        "ClippingCutting",
        "Against ground truth (2 frames",
        "66.7 % of 3",
        "Clipper: frames in view",
    ):
        assert words in shown
    assert "n/a" in shown and "nan" not in shown


def test_only_the_chosen_tools_count(tmp_path, undrawn):
    folder = write_folder(tmp_path / "out", [10, 10], step=25)
    tools = write_tools(tmp_path / "t.txt", [{"Hook"}, {"Grasper"}])
    assert start(folder, "--tool-file", tools, "--tools", "hook") == 0
    found = result_of(folder)["tools"]
    assert found["tools"] == ["Hook"] and found["min_area"]["false_positive"] == 1


def test_a_run_whose_length_is_unknown_states_the_frames_without_phase(tmp_path, capsys, undrawn):
    folder = write_folder(tmp_path / "out", [10, 10, 10], step=25, video={"duration_s": None})
    assert start(folder, "--phase-file", write_phases(tmp_path / "p.txt", ["A"] * 30)) == 0
    assert "in the phase file: 1" in capsys.readouterr().out and result_of(folder)["frames_without_phase"] == 1
    assert start(folder, "--phase-file", write_phases(tmp_path / "q.txt", ["A"] * 30, first=9000)) == 0
    assert "in the phase file: 3" in capsys.readouterr().out and result_of(folder)["phases"] == {}


def test_another_rate_of_the_annotation_can_be_given(tmp_path, capsys, undrawn):
    folder = write_folder(tmp_path / "out", [10, 10, 10, 10], step=25)
    phases = write_phases(tmp_path / "p.txt", ["A", "A", "B", "B"])
    assert start(folder, "--phase-file", phases) == 2 and "--annotation-rate" in capsys.readouterr().err
    assert start(folder, "--phase-file", phases, "--annotation-rate", 1) == 0
    assert result_of(folder)["phases"]["B"]["frames"] == 2


def test_suspect_frames_are_left_out_and_counted(tmp_path, undrawn):
    folder = write_folder(tmp_path / "out", [0, 10, 10], suspect={0})
    assert start(folder) == 0
    assert result_of(folder)["detection_rate"] == 1 and result_of(folder)["frames_suspect_left_out"] == 1
    assert start(folder, "--include-suspect") == 0
    assert result_of(folder)["frames"] == 3 and result_of(folder)["frames_suspect_left_out"] == 0


def test_a_single_frame_works(tmp_path, capsys):
    folder = write_folder(tmp_path / "out", [7])
    assert start(folder, "--output-dir", tmp_path / "there") == 0
    result = result_of(tmp_path / "there")
    assert result["coverage"]["sd"] is None and result["presence"]["present_s"] is None
    shown = capsys.readouterr().out
    assert "not defined for one frame" in shown and "there is only one frame" in shown and "nan" not in shown
    assert (tmp_path / "there" / "figures" / "mask_statistics.png").exists()
    assert not (folder / "mask_statistics.json").exists()


def test_a_run_without_masks_is_a_stated_partial_result(tmp_path, capsys, undrawn):
    assert start(write_folder(tmp_path / "out", [7, 8], step=1, parts={})) == 0
    assert "not computed: the run kept no masks (--save masks keeps them)" in capsys.readouterr().out


def test_corrected_masks_are_refused_or_counted(tmp_path, capsys, undrawn):
    folder = write_folder(tmp_path / "out", [10, 20])
    write_mask(folder / "masks" / "video_000030.png", pixels(40), SCHEMES["binary"])
    assert start(folder) == 2
    error = capsys.readouterr().err
    assert "disagrees with 1 of 2 checked masks" in error and "--from-masks" in error and error.count("\n") == 1
    assert not (folder / "mask_statistics.json").exists()
    assert start(folder, "--from-masks") == 0 and result_of(folder)["coverage"]["mean"] == pytest.approx(0.25)


def test_an_unfinished_run_is_said_to_be_one(tmp_path, capsys, undrawn):
    assert start(write_folder(tmp_path / "out", [7, 8], complete=False)) == 0
    assert "unfinished (Ctrl-C)" in capsys.readouterr().out
    assert result_of(tmp_path / "out")["complete"] is False


def broken(tmp_path):
    """Folders that are no generated folder, or not in themselves one, with the words that say why."""
    (tmp_path / "empty").mkdir()
    no_run = write_folder(tmp_path / "no_run", [5])
    (no_run / "run.json").unlink()
    bad_run = write_folder(tmp_path / "bad_run", [5])
    (bad_run / "run.json").write_text('{"schema"')
    fewer = write_folder(tmp_path / "fewer", [5, 6])
    (fewer / "masks" / "video_000030.png").unlink()
    more = write_folder(tmp_path / "more", [5, 6])
    write_mask(more / "masks" / "video_000031.png", pixels(3), SCHEMES["binary"])
    shorter = write_folder(tmp_path / "shorter", [5, 6])
    table = (shorter / "frames.csv").read_text().splitlines(keepends=True)
    (shorter / "frames.csv").write_text("".join(table[:-1]))
    words = write_folder(tmp_path / "words", [5])
    (words / "frames.csv").write_text((words / "frames.csv").read_text().replace("0.05", "much"))
    no_image = write_folder(tmp_path / "no_image", [5])
    (no_image / "masks" / "video_000000.png").write_bytes(b"")
    return [
        (tmp_path / "empty", "not a generated folder"),
        (tmp_path / "nowhere", "is not a folder"),
        (no_run, "run.json missing"),
        (bad_run, "not valid JSON"),
        (fewer, "missing in masks/: video_000030.png"),
        (more, "not in the table, but in masks/: video_000031.png"),
        (shorter, "run.json counts 2 frames, the table 1"),
        (words, "line 2: not a row of frames"),
        (no_image, "video_000000.png: cannot be decoded"),
        (write_folder(tmp_path / "none", []), "holds no frames"),
        (write_folder(tmp_path / "all", [5], suspect={0}), "--include-suspect"),
        (write_folder(tmp_path / "sizes", [pixels(5), pixels(5, (5, 20))]), "differing sizes"),
    ]


def test_bad_folders_are_one_line_and_nothing_is_written(tmp_path, capsys):
    for folder, message in broken(tmp_path):
        assert start(folder, "--output-dir", tmp_path / "results") == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error
        assert str(folder) in error and not (tmp_path / "results").exists()


def test_bad_options_are_one_line_and_nothing_is_written(tmp_path, capsys):
    good = write_folder(tmp_path / "good", [5, 5], step=25)
    long = write_phases(tmp_path / "long.txt", ["A"] * 2500)
    (tmp_path / "file").write_text("")
    cases = [
        (["--min-area", 7], "--min-area 7"),
        (["--min-area", "nan"], "--min-area nan"),
        (["--flow-pairs", -1], "--flow-pairs -1"),
        (["--figure", "figure.jpg"], ".png"),
        (["--figure", tmp_path / "file" / "figure.png"], "is a file"),
        (["--output-dir", tmp_path / "file"], "is a file"),
        (["--phase-file", long], "covers 100.0 s at 25 frames a second, the video lasts 2.0 s"),
        (["--phase-file", tmp_path / "nowhere.txt"], "cannot read"),
        (["--tool-file", long], "is a phase file"),
        (["--tools", "Hook"], "--tool-file"),
        (["--mask-dir", tmp_path / "nowhere"], "nowhere"),
        (["--mask-video", "video01"], "--mask-dir"),
    ]
    before = sorted(path.name for path in good.rglob("*"))
    for options, message in cases:
        assert start(good, *options) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error
    assert sorted(path.name for path in good.rglob("*")) == before
