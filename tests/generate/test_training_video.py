"""A video that trained the weights is marked in its generated folder, and in what is computed from that."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import generate_masks_from_model as script
import surgseg.checkpoint
from surgseg.analysis.ground_truth import match_ground_truth
from surgseg.analysis.measure import AnalysisRequest, analyse
from surgseg.data.likeness import frame_hashes, pack
from surgseg.data.seen import training_warnings
from surgseg.generate.earlier import _find_rows
from surgseg.generate.folder import read_generated
from surgseg.generate.run import _is_training_video
from surgseg.video.inputs import VideoSource, join_sources
from tests.data.test_leaks import moved, scene
from tests.films import bright_checkpoint
from tests.folders import columns, read_folder, write_folder
from tests.helpers import save_image


@pytest.fixture()
def generate(tmp_path, monkeypatch):
    """A function: generate the folder of four images with weights that one of them trained, at `rate` images/s."""
    assignment = {"Video09": "train", "x": "test"}
    training = {"data": "real", "split": {"name": "video", "by": "video", "hash": "h", "assignment": assignment}}
    hashes = torch.from_numpy(pack(frame_hashes([scene(0)])[0]))
    weights = replace(bright_checkpoint(), training=training, trained_frames=hashes)
    monkeypatch.setattr(surgseg.checkpoint, "load_checkpoint", lambda path, arch=None: weights)

    def run(name, rate, target="out"):
        for index, picture in enumerate((scene(5), moved(scene(0)), scene(6), scene(7))):
            save_image(tmp_path / name / f"{index}.png", picture)
        given = f"--video-path {tmp_path / name} --output-dir {tmp_path / target / name} --device cpu --backend torch"
        assert script.main([*given.split(), "--image-rate", str(rate), "--frame-step", "1"]) == 0
        return tmp_path / target / name

    return run


def test_a_video_is_known_by_its_name_and_the_name_is_not_stored(generate):
    runs = [(generate(name, 2) / "run.json").read_text() for name in ("video09", "x")]
    assert [json.loads(run)["training_video"] for run in runs] == [True, False]
    assert "Video09" not in runs[0] and "video09" not in runs[0]


@pytest.mark.parametrize(("parts", "known"), [("ab", True), ("ba", True), ("bc", False)])
def test_an_operation_is_known_by_each_of_its_parts(parts, known):
    source = join_sources([VideoSource(Path(f"{part}.mp4")) for part in parts])
    assert _is_training_video(source, SimpleNamespace(trained_videos={"A"})) is known


def test_a_video_is_known_by_the_look_of_one_frame_a_second(generate, capsys):
    folder = generate("x", 1)
    assert [row.trained for row in read_generated(folder).rows] == ["0", "1", "0", "0"]
    assert "WARNING: 1 of 4 compared frames of this video look like" in capsys.readouterr().out
    half = read_generated(generate("x", 2, "half"))
    assert [row.trained for row in half.rows] == ["0", "", "0", ""]
    assert (half.run["frames_compared"], half.run["frames_trained"]) == (2, 0)


def test_a_continued_run_counts_the_rows_that_stay(generate):
    folder = generate("x", 1)
    found = _find_rows(folder, json.loads((folder / "run.json").read_text()), 1)
    assert (found.rows, found.compared, found.trained) == (4, 4, 1)


def test_scores_of_a_training_video_carry_the_warning(tmp_path):
    generated = read_folder(tmp_path / "g", [columns(0, 4)], training_video=True)
    truth = save_image(tmp_path / "truth" / f"{generated.rows[0].name}.png", columns(0, 4)).parent
    found = analyse(generated, AnalysisRequest(ground_truth=match_ground_truth(generated, truth)))
    scored = found.statistics["ground_truth"]["scored"]
    assert "video trained the weights" in scored["warnings"] and scored["seen"]["training_video"] is True


def test_an_earlier_folder_says_nothing(tmp_path):
    run = read_generated(write_folder(tmp_path / "g", [3])).run
    assert training_warnings({key: run[key] for key in run if not key.startswith("frames_")}) == {}
