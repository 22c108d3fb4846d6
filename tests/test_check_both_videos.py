"""check_both_videos.py: a few frames of several videos."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import check_both_videos as script
import surgseg.checkpoint
import surgseg.console
from surgseg.files import write_json
from surgseg.video.reader import VideoReader
from tests.films import SIDE, bright_checkpoint, draw, write_film
from tests.helpers import save_image


@pytest.fixture(autouse=True)
def bright(monkeypatch):
    """Weights that find the bright square; no git in these tests."""
    monkeypatch.setattr(surgseg.checkpoint, "load_checkpoint", lambda path, arch=None: bright_checkpoint())
    monkeypatch.setattr(surgseg.console, "git_state", dict)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_film(tmp_path_factory.mktemp("films") / "Anna Example 1950.mp4", 50)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of ten images; the first five show nothing."""
    folder = tmp_path_factory.mktemp("images") / "Bob Example"
    for index in range(10):
        save_image(folder / f"{index:03d}.png", draw(index if index >= 5 else 45))
    return folder


@pytest.fixture
def drawn(monkeypatch):
    """What would be drawn, instead of drawing it."""
    import surgseg.figures.video_checks

    calls = []
    monkeypatch.setattr(
        surgseg.figures.video_checks, "draw_videos",
        lambda videos, scheme, path, **options: calls.append((videos, options)) or path,
    )  # fmt: skip
    return calls


def run(path, *videos_and_options):
    given = [str(item) for item in videos_and_options]
    return script.main(["--output", str(path), "--device", "cpu", "--video-paths", *given])


def said(path):
    return json.loads(path.with_suffix(".json").read_text())


def test_the_four_numbers_of_each_video(film, images, drawn, tmp_path, capsys):
    path = tmp_path / "check.png"
    assert run(path, film, images, "--frames", 5) == 0
    first, second = said(path)["videos"]
    assert [row["frame"] for row in first["selection"]] == [5, 15, 25, 35, 45]
    assert [row["time_s"] for row in first["selection"]] == pytest.approx([0.2, 0.6, 1.0, 1.4, 1.8])
    assert (first["frames"], first["detection_rate"], first["frames_without_detection"]) == (5, 0.8, 1)
    square = SIDE**2 / (120 * 160)
    assert first["mean_coverage"] == pytest.approx(0.8 * square, rel=0.1)
    assert [row["frame"] for row in second["selection"]] == [1, 3, 5, 7, 9]
    assert (second["detection_rate"], second["frames_without_detection"]) == (0.6, 2)
    shown = capsys.readouterr().out
    assert "video A: 5 frames evaluated, detection rate 80.0%, mean coverage" in shown
    for words in ("prove nothing", "generate_masks_from_model.py", "compare_videos.py"):
        assert words in shown
    videos, options = drawn[0]
    assert "prove nothing" in options["title"] and len(videos[0].panels) == 5 and videos[1].name == "video B"
    assert videos[1].panels[0].label == "0.0 s, 0.00%" and not videos[1].panels[0].ids.any()


def test_nothing_that_is_written_names_the_files(film, images, tmp_path):
    path = tmp_path / "check.png"
    assert run(path, film, images, "--frames", 1) == 0
    with Image.open(path) as figure:
        assert figure.width == 1440 and not figure.info.get("Description")
    assert "Example" not in path.with_suffix(".json").read_text()


def test_names_are_the_users(film, images, drawn, tmp_path):
    assert run(tmp_path / "x.png", film, images, "--frames", 1, "--names", "smoke", "no smoke") == 0
    assert [video.name for video in drawn[0][0]] == ["smoke", "no smoke"]


def test_a_synthetic_folder_marks_its_images_and_its_line_alone(film, images, drawn, tmp_path, capsys):
    folder = tmp_path / "stream" / "frames"
    for index in range(2):
        save_image(folder / f"{index}.png", np.zeros((120, 160, 3), np.uint8))
    write_json(folder.parent / "synthetic.json", {"data": "synthetic"})
    assert run(tmp_path / "x.png", film, folder, "--frames", 1) == 0
    videos, options = drawn[0]
    assert [video.mark for video in videos] == ["", "SYNTHETIC"] and options["mark"] == "SYNTHETIC"
    assert [video["data"] for video in said(tmp_path / "x.png")["videos"]] == ["unmarked", "synthetic"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("video A: 1 frame ") and lines[1].startswith("video B (SYNTHETIC): 1 frame ")


def test_where_the_length_is_unknown_every_25th_frame_is_taken(film, images, drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(VideoReader, "length_s", None)
    assert run(tmp_path / "x.png", film, images, "--frames", 4) == 0
    first = said(tmp_path / "x.png")["videos"][0]
    assert [row["frame"] for row in first["selection"]] == [0, 25] and "length unknown" in first["rule"]


def test_suspect_frames_are_left_out_and_counted(film, images, drawn, tmp_path, monkeypatch):
    frames = VideoReader.__iter__
    monkeypatch.setattr(
        VideoReader, "__iter__", lambda reader: (frame._replace(suspect=frame.index > 20) for frame in frames(reader))
    )
    assert run(tmp_path / "x.png", film, images, "--frames", 2) == 0
    first = said(tmp_path / "x.png")["videos"][0]
    assert (first["frames"], first["frames_suspect_left_out"]) == (1, 1)
    assert drawn[0][0][0].words.endswith("1 suspect left out (decoded after damage)")


def test_mistakes_are_one_line(film, images, tmp_path, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    cases = [
        ((film,), "one video only"),
        ((film, broken), "broken.mp4"),
        ((film, tmp_path / "none.mp4"), "none.mp4: no such file"),
        ((film, images, "--names", "a"), "--names names 1"),
        ((film, images, "--names", "a", "a"), "--names names 1"),
        ((film, images, "--frames", 0), "--frames 0"),
        ((film, images, "--threshold", 2), "--threshold 2"),
        ((film, images, "--image-rate", 0), "--image-rate 0"),
    ]
    for given, words in cases:
        assert run(tmp_path / "x.png", *given) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    assert run(tmp_path / "x.jpg", film, images) == 2 and ".png" in capsys.readouterr().err
    assert not list(tmp_path.glob("x.*"))
