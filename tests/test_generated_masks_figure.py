"""analyze_generated_masks.py on folders made by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import analyze_generated_masks as script
from surgseg.generate.writer import GeneratedWriter
from surgseg.labels import SCHEMES
from surgseg.masks import write_mask
from surgseg.predict import Measures
from surgseg.video.reader import Frame


def folder_of(path, coverage, suspect=(), complete=True, parts=("frames", "masks"), data="unmarked", weights="real"):
    """A generated folder whose frames cover the given hundredths of a 10x20 frame, uncertain as they are small."""
    writer = GeneratedWriter(path, SCHEMES["binary"], "video", dict.fromkeys(parts, "png"))
    writer.begin({})
    for index, pixels in enumerate(coverage):
        ids = np.zeros(200, np.uint8)
        ids[: 2 * pixels] = 1
        ids = ids.reshape(10, 20)
        frame = Frame(30 * index, 1.2 * index, np.full((10, 20, 3), 90, np.uint8), index in suspect)
        writer.commit(writer.store(frame, ids, Measures(ids.mean(), 1.0, 1 - ids.mean()), None))
    writer.finish({"video_data": data, "weights_data": weights}, None if complete else "Ctrl-C")
    return path


@pytest.fixture
def drawn(monkeypatch):
    """What would be drawn, instead of drawing it."""
    import surgseg.figures.panels

    calls = []
    monkeypatch.setattr(
        surgseg.figures.panels, "draw_visual_analysis",
        lambda panels, scheme, path, **options: calls.append((panels, path, options)) or path,
    )  # fmt: skip
    return calls


def run(folder, *options):
    return script.main(["--generated-dir", str(folder), *[str(item) for item in options]])


def test_the_figure_and_its_listing_lie_in_the_folder(tmp_path, capsys):
    folder = folder_of(tmp_path / "out", [0, 10, 40, 5], data="synthetic")
    assert run(folder, "--num-samples", 3) == 0
    with Image.open(folder / "figures" / "visual_analysis.png") as figure:
        assert figure.width == 1440
    said = json.loads((folder / "figures" / "visual_analysis.json").read_text())
    assert [sample["frame"] for sample in said["samples"]] == [0, 60, 90] and said["rule"] == "spread"
    assert said["samples"][1] == {
        "name": "video_000060", "frame": 60, "time_s": 2.4, "coverage": 0.4, "uncertainty": 0.6, "suspect": False,
    }  # fmt: skip
    assert said["words"] == "3 of 4 frames, spread evenly over the video" and said["frames_without_detection"] == 1
    assert "3 of 4 frames, spread" in capsys.readouterr().out


def test_labels_say_time_and_coverage_and_what_chose(tmp_path, drawn):
    folder = folder_of(tmp_path / "out", [0, 10, 40, 5], weights="synthetic")
    assert run(folder, "--num-samples", 2, "--select", "largest", "--output", tmp_path / "there.png") == 0
    assert run(folder, "--num-samples", 2, "--select", "uncertain", "--output", tmp_path / "there") == 0
    (largest, path, options), (uncertain, there, _) = drawn
    assert [panel.label for panel in largest] == ["2.40 s, coverage 40.00%", "1.20 s, coverage 10.00%"]
    assert uncertain[0].label == "0.00 s, coverage 0.00%, uncertainty 1.000"
    assert (path, there) == (tmp_path / "there.png", tmp_path / "there" / "visual_analysis.png")
    assert options == {"title": "2 of 4 frames: the largest coverage first", "mark": "SYNTHETIC WEIGHTS"}
    assert largest[0].ids.sum() == 80 and (largest[0].frame == 90).all()


def test_suspect_frames_and_unfinished_runs_are_said(tmp_path, drawn):
    folder = folder_of(tmp_path / "out", [50, 10, 20], suspect={0}, complete=False)
    assert run(folder, "--select", "largest", "--num-samples", 2) == 0
    assert run(folder, "--select", "largest", "--num-samples", 2, "--include-suspect") == 0
    (panels, _, options), (all_panels, _, _) = drawn
    assert [panel.label for panel in panels] == ["2.40 s, coverage 20.00%", "1.20 s, coverage 10.00%"]
    assert "1 suspect frame (decoded after damage) left out\n" in options["title"] and "unfinished" in options["title"]
    assert all_panels[0].label == "0.00 s, coverage 50.00%, suspect"


def test_a_mask_of_another_size_is_named(tmp_path, capsys):
    folder = folder_of(tmp_path / "out", [10])
    write_mask(folder / "masks" / "video_000000.png", np.zeros((5, 5), np.uint8), SCHEMES["binary"])
    assert run(folder) == 2
    error = capsys.readouterr().err
    assert "frames/video_000000.png is 20x10" in error and "masks/video_000000.png 5x5" in error
    assert not (folder / "figures").exists()


@pytest.mark.parametrize(
    ("made", "options", "words"),
    [
        ({"parts": ("masks",)}, [], "--frame-format jpg"),
        ({"parts": ("frames",)}, [], "--save masks"),
        ({"suspect": {0, 1}}, [], "--include-suspect"),
        ({}, ["--select", "smallest"], "no instrument in any of 2 frames"),
        ({}, ["--num-samples", "0"], "--num-samples 0"),
        ({}, ["--seed", "-1"], "--seed -1"),
        ({}, ["--output", "figure.pdf"], "a .png file or a folder"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, made, options, words):
    folder = folder_of(tmp_path / "out", [0, 0], **made)
    assert run(folder, *options) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and not (folder / "figures").exists()
