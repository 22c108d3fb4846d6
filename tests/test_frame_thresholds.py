"""test_single_frame.py (the script of that name is no test) on a frame whose probabilities are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import surgseg.checkpoint
import surgseg.console
import test_single_frame as script
from surgseg.checkpoint import Checkpoint
from surgseg.files import write_json
from surgseg.labels import SCHEMES
from surgseg.masks import read_mask, write_mask
from tests.helpers import save_image


class Red(torch.nn.Module):
    """Its probability of the first instrument is the frame's red level; with two instruments the second has a tenth."""

    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, frames):
        red = (frames[:, :1] * 0.229 + 0.485).clamp(1e-6, 1 - 1e-6)
        shares = [1 - red, red] if self.classes == 2 else [1 - red, 0.9 * red, 0.1 * red]
        return torch.cat(shares, 1).log()


@pytest.fixture
def weights(monkeypatch):
    """Sets the weights file that the script loads."""

    def use(scheme="binary", data="real", threshold=0.5):
        scheme = SCHEMES[scheme]
        model = Red(scheme.num_classes).eval()
        facts = {"threshold": threshold, "training": {"data": data}, "sha256": "0" * 64}
        loaded = Checkpoint(model, "unet", {}, scheme, (4, 10), **facts)
        monkeypatch.setattr(surgseg.checkpoint, "load_checkpoint", lambda path, arch=None: loaded)

    monkeypatch.setattr(surgseg.console, "git_state", dict)
    use()
    return use


@pytest.fixture
def drawn(monkeypatch):
    """(panel, title, mark) of each figure of a threshold, instead of drawing it; the overview is drawn as nothing."""
    import surgseg.figures.single_frame as module

    calls = []
    monkeypatch.setattr(
        module, "draw_threshold", lambda panel, scheme, path, *, title, mark: calls.append((panel, title, mark))
    )
    monkeypatch.setattr(module, "draw_single_frame", lambda *given, **options: None)
    return calls


@pytest.fixture
def frame(tmp_path):
    """Columns of red 0.05, 0.15, ..., 0.95: a threshold of 0.3 leaves 7 of 10."""
    red = np.round(255 * (np.arange(10) / 10 + 0.05)).astype(np.uint8)
    pixels = np.zeros((4, 10, 3), np.uint8)
    pixels[..., 0] = red
    return save_image(tmp_path / "op1_000007.png", pixels)


@pytest.fixture
def truth(tmp_path):
    """The right half is instrument, the last column void."""
    mask = np.zeros((4, 10), np.uint8)
    mask[:, 5:], mask[:, 9] = 1, 255
    write_mask(tmp_path / "truth.png", mask, SCHEMES["binary"])
    return tmp_path / "truth.png"


def run(frame, folder, *options):
    return script.main(["--frame", str(frame), "--output-dir", str(folder), "--device", "cpu", *map(str, options)])


def said(folder):
    return json.loads((folder / "test_single_frame.json").read_text())


def test_coverage_iou_and_dice_at_each_threshold(weights, frame, truth, drawn, tmp_path, capsys):
    assert run(frame, tmp_path / "out", "--mask", truth, "--thresholds", 0.7, 0.3, 0.3) == 0
    low, high = said(tmp_path / "out")["thresholds"]
    assert (low["threshold"], low["coverage"], low["components"]) == (0.3, 0.7, 1)
    assert low["iou"] == pytest.approx(4 / 6) and low["dice"] == pytest.approx(8 / 10)  # columns 3-8 against 5-8
    assert high["coverage"] == 0.3 and high["iou"] == pytest.approx(2 / 4) and high["dice"] == pytest.approx(4 / 6)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["Threshold", "Coverage", "Components", "IoU", "Dice"]
    assert lines[1].split() == ["0.3", "70.00%", "1", "0.6667", "0.8000"]
    assert "Components: connected, from 0.05% of the frame on." in lines[4] and "take 0.5 as threshold" in lines[5]
    assert drawn[1][1] == "threshold 0.7: coverage 30.00%, IoU 0.500, Dice 0.667"
    curves = said(tmp_path / "out")["curves"]
    place = int(np.argmin(np.abs(np.array(curves["thresholds"]) - 0.7)))
    assert curves["coverage"][place] == 0.3 and curves["iou"][place] == pytest.approx(0.5)


def test_outside_the_view_nothing_is_marked(weights, frame, drawn, tmp_path, capsys):
    assert run(frame, tmp_path / "out", "--thresholds", 0.3, "--view", 4, 4, 0, 2) == 0
    assert read_mask(tmp_path / "out/masks/op1_000007_thresh03.png", 2)[:, [0, 1, 6, 7, 8, 9]].max() == 0
    assert said(tmp_path / "out")["view_rectangle"] == [4, 4, 0, 2]
    assert said(tmp_path / "out")["thresholds"][0]["coverage"] == 0.3  # columns 3-5 of ten
    assert "Field of view: 4 4 0 2 (height width top left) of 4x10" in capsys.readouterr().out
    assert run(frame, tmp_path / "out", "--view", 4, 9, 0, 2) == 2
    assert "--view 4 9 0 2: outside the frame, which is 4x10" in capsys.readouterr().err


def test_255_is_the_instrument_in_a_gray_mask_alone(weights, frame, drawn, tmp_path):
    mask = save_image(tmp_path / "m" / "truth.png", np.repeat([[0] * 5 + [255] * 5], 4, axis=0).astype(np.uint8))
    assert run(frame, tmp_path / "out", "--mask", mask, "--thresholds", 0.3) == 0
    assert said(tmp_path / "out")["thresholds"][0]["iou"] == pytest.approx(5 / 7)  # columns 3-9 against 5-9


def test_a_predicted_mask_is_no_truth(weights, frame, tmp_path, capsys):
    write_mask(tmp_path / "p" / "a.png", np.ones((4, 10), np.uint8), SCHEMES["binary"])
    (tmp_path / "p" / "predictions.json").write_text('{"names": ["a"]}')
    given = (frame, tmp_path / "out", "--mask", tmp_path / "p" / "a.png")
    assert run(*given) == 2 and "prediction of a model" in capsys.readouterr().err
    assert run(*given, "--masks-reviewed") == 0


def test_figures_and_masks_carry_the_threshold(weights, frame, tmp_path):
    assert run(frame, tmp_path / "out", "--thresholds", 0.25, 0.5) == 0
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")) == [
        "masks/op1_000007_thresh025.png", "masks/op1_000007_thresh05.png", "test_mask_thresh025.png",
        "test_mask_thresh05.png", "test_single_frame.png",
    ]  # fmt: skip
    mask = read_mask(tmp_path / "out/masks/op1_000007_thresh05.png", 2)
    assert mask.tolist() == [[0] * 5 + [1] * 5] * 4
    with Image.open(tmp_path / "out/test_single_frame.png") as figure:
        assert figure.width == 1440
    assert "iou" not in said(tmp_path / "out")["thresholds"][0]


def test_every_class_keeps_its_own_id_and_the_usual_rule_is_told(weights, frame, drawn, tmp_path, capsys):
    weights("grasper-hook", threshold=None)
    assert run(frame, tmp_path / "out", "--thresholds", 0.3) == 0
    assert "take the most probable class, no threshold" in capsys.readouterr().out
    assert read_mask(tmp_path / "out/masks/op1_000007_thresh03.png", 3).tolist() == [[0] * 3 + [1] * 7] * 4


def test_nothing_against_nothing_is_undefined(weights, frame, drawn, tmp_path, capsys):
    write_mask(tmp_path / "empty.png", np.zeros((4, 10), np.uint8), SCHEMES["binary"])
    assert run(frame, tmp_path / "out", "--mask", tmp_path / "empty.png", "--thresholds", 0.99) == 0
    assert said(tmp_path / "out")["thresholds"][0]["iou"] is None
    assert "n/a" in capsys.readouterr().out and drawn[0][1].endswith("IoU n/a, Dice n/a")


@pytest.mark.parametrize(
    ("data", "trained", "mark"),
    [("real", "real", ""), ("real", "synthetic", "SYNTHETIC WEIGHTS"), ("synthetic", "real", "SYNTHETIC")],
)
def test_synthetic_frames_and_weights_are_marked(weights, frame, drawn, tmp_path, data, trained, mark):
    write_json(tmp_path / "synthetic.json", {"data": data})
    weights(data=trained)
    assert run(frame, tmp_path / "out", "--thresholds", 0.5) == 0
    assert drawn[0][2] == mark and said(tmp_path / "out")["weights_data"] == trained


def test_mistakes_are_one_line(weights, frame, truth, tmp_path, capsys):
    write_mask(tmp_path / "small.png", np.zeros((2, 2), np.uint8), SCHEMES["binary"])
    write_mask(tmp_path / "many.png", np.full((4, 10), 2, np.uint8), SCHEMES["parts"])
    cases = [
        ((frame, "--thresholds", 1.0), "--thresholds 1"),
        ((frame, "--thresholds", 0.5, 0), "--thresholds 0"),
        ((tmp_path / "none.png",), "none.png: no such file"),
        ((frame, "--mask", tmp_path / "small.png"), "small.png 2x2"),
        ((frame, "--mask", tmp_path / "many.png"), "2 (40 pixels)"),
    ]
    for (image, *options), words in cases:
        assert run(image, tmp_path / "out", *options) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
