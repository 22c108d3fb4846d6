"""generate_masks_from_model.py from the command line to the folder."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import generate_masks_from_model as script
import surgseg.checkpoint
from models import build_model
from surgseg.labels import SCHEMES
from surgseg.masks import read_mask
from surgseg.video.generated import read_generated
from tests.helpers import shared_data
from tests.video.films import SIDE, bright_checkpoint, damage, square_at, write_film


@pytest.fixture
def bright(monkeypatch):
    monkeypatch.setattr(surgseg.checkpoint, "load_checkpoint", lambda path, arch=None: bright_checkpoint())


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_film(tmp_path_factory.mktemp("films") / "Anna Example 1950.mp4", 60, b_frames=2)


def run(film, folder, *options):
    return script.main(["--video-path", str(film), "--output-dir", str(folder), "--device", "cpu", *options])


def test_the_square_is_found_where_it_was_drawn(bright, film, tmp_path, capsys):
    assert run(film, tmp_path / "out", "--frame-step", "5") == 0
    generated = read_generated(tmp_path / "out")
    assert [row.frame for row in generated.rows] == list(range(0, 60, 5))
    for row in generated.rows:
        rows, columns = np.nonzero(read_mask(generated.mask_path(row), 2))
        assert row.time_s == pytest.approx(row.frame / 25)
        if row.frame % 50 >= 45:
            assert row.coverage == 0 and not len(rows)
            continue
        left = square_at(row.frame, 160)
        found = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
        assert np.allclose(found, (40, 40 + SIDE, left, left + SIDE), atol=2)
        assert row.coverage == pytest.approx(SIDE**2 / (120 * 160), rel=0.2)
    shown = capsys.readouterr().out
    assert "Covered 2.4 s of 2.4 s" in shown
    assert f"python analyze_mask_statistics.py --generated-dir {tmp_path / 'out'}" in shown
    run_json = generated.run
    assert run_json["complete"] and run_json["frames_expected"] == run_json["frames_read"] == 60
    assert run_json["weights_data"] == "real" and run_json["video_data"] == "unmarked"


def test_the_sources_name_stays_out_unless_asked_for(bright, film, tmp_path):
    run(film, tmp_path / "out")
    text = "".join(path.read_text() for path in (tmp_path / "out").glob("*.*"))
    assert "Anna" not in text and not list((tmp_path / "out").rglob("*Anna*"))
    run(film, tmp_path / "kept", "--keep-source-name")
    assert (tmp_path / "kept" / "masks" / "Anna_Example_1950_000030.png").is_file()
    assert json.loads((tmp_path / "kept" / "run.json").read_text())["source"]["name"] == film.name


def test_part_of_the_video_is_said_to_be_a_part(bright, film, tmp_path, capsys):
    assert run(film, tmp_path / "out", "--frame-step", "1", "--max-frames", "15", "--frame-format", "none") == 0
    assert "Covered 0.6 s of 2.4 s" in capsys.readouterr().out
    assert not (tmp_path / "out" / "frames").exists()


def test_damage_ends_with_status_3_and_is_counted(bright, tmp_path, capsys):
    path = damage(write_film(tmp_path / "film.mp4", 100, gop=25), share=0.1)
    assert run(path, tmp_path / "out", "--frame-step", "1") == 3
    generated = read_generated(tmp_path / "out")
    assert generated.run["frames_lost"] == 100 - len(generated.rows) > 0
    assert generated.run["complete"] is True
    assert "lost to damage" in capsys.readouterr().err


def test_synthetic_weights_on_unmarked_video_are_announced(monkeypatch, film, tmp_path, capsys):
    monkeypatch.setattr(surgseg.checkpoint, "load_checkpoint", lambda path, arch=None: bright_checkpoint("synthetic"))
    run(film, tmp_path / "out")
    assert "Warning: these weights were trained on synthetic" in capsys.readouterr().out


def test_a_second_run_needs_overwrite(bright, film, tmp_path, capsys):
    assert run(film, tmp_path / "out") == 0
    before = (tmp_path / "out" / "frames.csv").read_text()
    assert run(film, tmp_path / "out") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(film, tmp_path / "out", "--overwrite") == 0
    assert (tmp_path / "out" / "frames.csv").read_text() == before


def test_a_bad_video_leaves_an_earlier_run_alone(bright, film, tmp_path):
    run(film, tmp_path / "out")
    before = (tmp_path / "out" / "frames.csv").read_text()
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"")
    assert run(bad, tmp_path / "out", "--overwrite") == 2
    assert (tmp_path / "out" / "frames.csv").read_text() == before


BAD_OPTIONS = [
    (("--frame-step", "0"), "--frame-step 0"),
    (("--max-frames", "0"), "--max-frames 0"),
    (("--batch-size", "-1"), "--batch-size -1"),
    (("--threshold", "1.5"), "between 0 and 1"),
    (("--name", "a/b"), "--name"),
    (("--model-path", "nowhere.pth"), r"nowhere.pth; training writes one: python instrument_segmentation.py"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_a_mistake_is_one_line_and_writes_nothing(film, tmp_path, capsys, options, message):
    assert run(film, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_cuda_without_cuda_is_one_line(film, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    options = ["--video-path", str(film), "--output-dir", str(tmp_path / "out"), "--device", "cuda"]
    assert script.main(options) == 2
    assert "--device cuda" in capsys.readouterr().err


def test_real_clip_with_real_weights_file_gives_all_frames(tmp_path):
    clip = shared_data("cholec80_video01") / "clip.mp4"
    torch.manual_seed(0)
    weights = surgseg.checkpoint.Checkpoint(
        build_model("unet", 2, base_channels=4), "unet", {"base_channels": 4}, SCHEMES["binary"], (64, 112)
    )
    surgseg.checkpoint.save_checkpoint(tmp_path / "w.pth", weights)
    assert run(clip, tmp_path / "out", "--frame-step", "1", "--model-path", str(tmp_path / "w.pth")) == 0
    generated = read_generated(tmp_path / "out")
    assert [row.frame for row in generated.rows] == list(range(20))
    assert generated.run["video"]["width"] == 640 and generated.run["weights_data"] == "unknown"
