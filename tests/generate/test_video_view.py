"""The field of view of a video: found once, stored, and kept by a run that goes on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import check_both_videos
import generate_masks_from_model as script
import surgseg.checkpoint
import surgseg.console
from surgseg.generate.folder import read_generated
from surgseg.masks import read_mask
from tests.films import bright_checkpoint
from tests.helpers import save_image
from tests.scopes import SIZE, film_of, rectangle

INSIDE = rectangle(0, 240, 100, 328)


@pytest.fixture(autouse=True)
def bright(monkeypatch):
    """Weights that were trained on crops and find what is bright; no git."""
    cropped = replace(bright_checkpoint(), view="auto")
    monkeypatch.setattr(surgseg.checkpoint, "load_checkpoint", lambda path, arch=None: cropped)
    monkeypatch.setattr(surgseg.console, "git_state", dict)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Twelve images: dark tissue between black bars, a bright square in it and a bright caption in one bar."""
    folder = tmp_path_factory.mktemp("film") / "images"
    for number, frame in enumerate(film_of(INSIDE, light=0.5)):
        frame[60:120, 120:180] = 255
        frame[210:230, 10:50] = 255
        save_image(folder / f"{number:03d}.png", frame)
    return folder


def run(film, folder, *options):
    films = [str(item) for item in (film if isinstance(film, list) else [film])]
    given = ["--output-dir", str(folder), "--device", "cpu", "--backend", "torch", "--frame-step", "1"]
    return script.main(["--video-path", *films, *given, *map(str, options)])


def run_json(folder):
    return json.loads((folder / "run.json").read_text())


def test_what_lies_outside_the_view_is_background(film, tmp_path, capsys):
    assert run(film, tmp_path / "out") == 0
    shown = capsys.readouterr().out
    stored = run_json(tmp_path / "out")
    height, width, top, left = stored["view_rectangle"]
    assert (height, top, stored["view"], stored["view_reason"]) == (240, 0, "auto", "")
    assert 88 <= left <= 100 and 328 <= left + width <= 340
    assert f"Field of view: 240 {width} 0 {left} (height width top left) of 240x428" in shown
    generated = read_generated(tmp_path / "out")
    assert len(generated.rows) == 12
    for row in generated.rows:
        mask = read_mask(generated.mask_path(row), 2)
        assert mask.shape == SIZE and mask[61:119, 121:179].all() and not mask[:, :100].any()
        assert row.coverage == pytest.approx(mask.mean(), abs=1e-8)
        assert row.coverage == pytest.approx(60 * 60 / (240 * 428), rel=0.05)


def test_whole_frames_are_looked_at_where_that_is_asked(film, tmp_path):
    assert run(film, tmp_path / "out", "--view", "full", "--max-frames", 1) == 0
    generated = read_generated(tmp_path / "out")
    assert read_mask(generated.mask_path(generated.rows[0]), 2)[212:228, 12:48].all()  # the caption too
    assert generated.run["view"] == "full" and generated.run["view_rectangle"] is None


def test_a_run_that_goes_on_keeps_its_view(film, tmp_path, monkeypatch):
    assert run(film, tmp_path / "out") == 0
    whole = {path.name: path.read_bytes() for path in (tmp_path / "out" / "masks").iterdir()}
    stored = run_json(tmp_path / "out")
    table = tmp_path / "out" / "frames.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:6]))
    (tmp_path / "out" / "run.json").write_text(json.dumps({**stored, "complete": False, "view_reason": "because"}))
    monkeypatch.setattr("surgseg.view.find_view", None)  # it is not looked for again
    assert run(film, tmp_path / "out") == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out" / "masks").iterdir()} == whole
    kept = run_json(tmp_path / "out")
    assert (kept["view_rectangle"], kept["view_reason"]) == (stored["view_rectangle"], "because")


def test_a_run_of_an_earlier_version_looked_at_whole_frames(film, tmp_path, capsys):
    assert run(film, tmp_path / "out", "--view", "full") == 0
    stored = {key: value for key, value in run_json(tmp_path / "out").items() if not key.startswith("view")}
    (tmp_path / "out" / "run.json").write_text(json.dumps(stored))
    capsys.readouterr()
    assert run(film, tmp_path / "out", "--view", "full") == 0 and "was finished before" in capsys.readouterr().out
    assert run(film, tmp_path / "out") == 2
    assert "--view: full there, auto now" in capsys.readouterr().err


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("larger") / "images"
    for number in range(2):
        save_image(folder / f"{number}.png", np.full((300, 428, 3), 60 + number, np.uint8))
    return folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--view small", "--view small: use auto, full, or four numbers"),
        ("--view 0 10 0 0", "HEIGHT and WIDTH from 1"),
        ("--view 100 -10 0 0", "HEIGHT and WIDTH from 1"),
        ("--view 200 400 41 0", "--view 200 400 41 0: outside the frame, which is 240x428 pixels"),
    ],
)
def test_a_view_that_is_none_is_one_clear_line(film, tmp_path, capsys, words, message):
    assert run(film, tmp_path / "out", *words.split()) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out" / "run.json").exists()


def test_a_rectangle_for_videos_of_several_sizes_is_refused(film, larger, tmp_path, capsys):
    assert run([film, larger], tmp_path / "out", "--view", 200, 400, 0, 0) == 2
    assert "is 300x428 pixels (height x width)" in capsys.readouterr().err
    given = ["--video-paths", str(film), str(larger), "--output", str(tmp_path / "x.png"), "--device", "cpu"]
    assert check_both_videos.main([*given, "--view", "200", "400", "0", "0"]) == 2
    assert "four numbers for --view need videos of one size" in capsys.readouterr().err


def test_every_video_has_a_view_of_its_own(film, larger, tmp_path, capsys):
    assert run([film, larger], tmp_path / "out") == 0
    assert "Field of view: the whole frame (no frame shows a picture)" in capsys.readouterr().out
    rectangles = [run_json(tmp_path / "out" / f"video_0{number}")["view_rectangle"] for number in (1, 2)]
    assert rectangles[0][3] > 80 and rectangles[1] == [300, 428, 0, 0]


def test_a_quick_check_crops_as_the_long_run_does(film, larger, tmp_path):
    given = ["--video-paths", str(film), str(larger), "--output", str(tmp_path / "x.png"), "--device", "cpu"]
    assert check_both_videos.main([*given, "--frames", "2"]) == 0
    record = json.loads((tmp_path / "x.json").read_text())
    assert record["view"] == "auto" and record["videos"][0]["view_rectangle"][3] > 80
    assert record["videos"][0]["mean_coverage"] == pytest.approx(60 * 60 / (240 * 428), rel=0.05)
