"""make_figures.py refuses what it could not carry out, before hours of training."""

from pathlib import Path

import numpy as np
import pytest

import make_figures
from surgseg.files import write_json
from surgseg.video.writer import VideoWriter


@pytest.fixture(autouse=True)
def films(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, comment in (("real.mp4", ""), ("drawn.mp4", "synthetic laparoscopic scene")):
        with VideoWriter(Path(name), 25, metadata={"comment": comment} if comment else None) as writer:
            writer.write(np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--epochs", "0"], "--epochs 0: 1 or more"),
        (["--retrain"], "--retrain belongs to real data"),
        (["--data-root", "data", "--train-options", "'"], "--train-options ': No closing quotation"),
        (["--data-root", "data", "--video-paths", "drawn.mp4", "gone.mp4"], "gone.mp4: no such file"),
        (["--data-root", "data", "--video-paths", "real.mp4", "drawn.mp4", "--names", "a", "../b"], "'../b'"),
    ],
)
def test_mistakes_are_one_line(tiny_prepared, capsys, options, words):
    named = [str(tiny_prepared) if option == "data" else option for option in options]
    assert make_figures.main([*named, "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_videos_are_opened_where_the_data_is_synthetic_too(tiny_prepared, tmp_path, capsys):
    for name in ("manifest.csv", "classes.json"):
        Path(name).write_bytes((tiny_prepared / name).read_bytes())
    write_json(Path("audit.json"), {"data": "synthetic"})
    options = ["--data-root", str(tmp_path), "--dry-run", "--video-paths", "real.mp4"]
    assert make_figures.main([*options, "gone.mp4"]) == 2
    assert make_figures.main([*options, "drawn.mp4"]) == 0
    assert "synthetic_operation_2_visual_analysis.png" in capsys.readouterr().out


def test_a_dry_run_names_the_step_whose_frame_is_not_chosen_yet(capsys):
    assert make_figures.main(["--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    place = next(number for number, line in enumerate(lines) if "test_single_frame.py" in line)
    assert "--frame FRAME --mask MASK" in lines[place] and "check_both_videos.py" in lines[place + 1]
