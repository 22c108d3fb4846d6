"""analyze_mask_statistics.py on folders made by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import analyze_mask_statistics as script
from surgseg.labels import SCHEMES
from surgseg.video.generated_writer import GeneratedWriter
from surgseg.video.reader import Frame


def folder_of(path, coverage, suspect=(), complete=True):
    """A generated folder whose frames cover the given tenths of a 10x10 frame."""
    writer = GeneratedWriter(path, SCHEMES["binary"], "video", {"masks": "png"})
    writer.begin({})
    for index, pixels in enumerate(coverage):
        ids = np.zeros(100, np.uint8)
        ids[:pixels] = 1
        ids = ids.reshape(10, 10)
        frame = Frame(30 * index, 1.2 * index, np.zeros((10, 10, 3), np.uint8), index in suspect)
        writer.commit(writer.store(frame, ids, np.array([ids.mean(), 1.0, 0.0]), None))
    writer.finish({"video_data": "synthetic"}, None if complete else "Ctrl-C")
    return path


def result_of(path):
    return json.loads((path / "mask_statistics.json").read_text())


def test_numbers_go_to_screen_json_and_figure(tmp_path, capsys):
    folder = folder_of(tmp_path / "out", [0, 1, 10, 30])
    assert script.main(["--generated-dir", str(folder), "--min-area", "0.05"]) == 0
    result = result_of(folder)
    assert result["detection_rate"] == 0.75 and result["detection_rate_min_area"] == 0.5
    assert result["frames_without_detection"] == 1 and result["without_detection"][0]["frame"] == 0
    assert result["coverage"]["mean"] == pytest.approx(0.1025) and result["run"]["arguments"]["min_area"] == 0.05
    with Image.open(folder / "figures" / "mask_statistics.png") as figure:
        assert figure.width >= 1000
    shown = capsys.readouterr().out
    assert "MASK STATISTICS (SYNTHETIC)" in shown and "75.0%" in shown


def test_suspect_frames_are_left_out_and_counted(tmp_path):
    folder = folder_of(tmp_path / "out", [0, 10, 10], suspect={0})
    assert script.main(["--generated-dir", str(folder)]) == 0
    assert result_of(folder)["detection_rate"] == 1 and result_of(folder)["frames_suspect_left_out"] == 1
    assert script.main(["--generated-dir", str(folder), "--include-suspect"]) == 0
    assert result_of(folder)["frames"] == 3 and result_of(folder)["frames_suspect_left_out"] == 0


def test_a_single_frame_works(tmp_path, capsys):
    folder = folder_of(tmp_path / "out", [7])
    assert script.main(["--generated-dir", str(folder), "--output-dir", str(tmp_path / "there")]) == 0
    assert result_of(tmp_path / "there")["coverage"]["sd"] is None
    assert "not defined for one frame" in capsys.readouterr().out


def test_an_unfinished_run_is_said_to_be_one(tmp_path, capsys):
    assert script.main(["--generated-dir", str(folder_of(tmp_path / "out", [7, 8], complete=False))]) == 0
    assert "unfinished (Ctrl-C)" in capsys.readouterr().out
    assert result_of(tmp_path / "out")["complete"] is False


def test_mistakes_are_one_line(tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    cases = [
        ([str(empty)], "not a generated folder"),
        ([str(tmp_path / "nowhere")], "is not a folder"),
        ([str(folder_of(tmp_path / "none", []))], "holds no frames"),
        ([str(folder_of(tmp_path / "all", [5], suspect={0}))], "--include-suspect"),
        ([str(folder_of(tmp_path / "good", [5])), "--min-area", "7"], "--min-area 7"),
    ]
    for options, message in cases:
        assert script.main(["--generated-dir", *options]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not (tmp_path / "all" / "mask_statistics.json").exists()
