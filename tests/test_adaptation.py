"""Fine-tuning on a reviewed folder through the script, and what it says of the weights before and after."""

import numpy as np
import pytest

import instrument_segmentation
from surgseg.checkpoint import load_checkpoint
from surgseg.files import read_json
from surgseg.review.adaptation import Change, advise
from surgseg.review.estimate import Estimate
from tests.reviewed_folders import sample_name, write_reviewed


def change(difference: float, half: float, what: str = "audit") -> Change:
    none = np.zeros(1)
    estimate = Estimate(difference, difference - half, difference + half, none)
    return Change(what, 1, Estimate(0.5, 0.4, 0.6, none), Estimate(0.5 + difference, 0.4, 0.9, none), estimate)


@pytest.fixture
def options(tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return ["--data-root", str(write_reviewed(tmp_path / "new", 12)), "--init-from", str(tiny_run.weights),
            "--epochs", "1", "--device", "cpu", "--output-dir", "out"]  # fmt: skip


def test_the_loop_ends_with_a_comparison(options, tiny_prepared, capsys):
    assert instrument_segmentation.main([*options, "--mix-with", str(tiny_prepared), "--pseudo-labels", "0", "1"]) == 0
    told = capsys.readouterr().out
    assert "ADAPTATION: POOLED DICE" in told and "Pseudo-labels: " in told
    found = read_json("out/adaptation.json")
    assert [(item["frames"], item["what"].split()[0]) for item in found["changes"]] == [(2, "audit"), (6, "test")]
    training = load_checkpoint("out/instrument_segmentation_model.pth").training
    parts = training["split"]["assignment"]
    assert {name for name, part in parts.items() if part == "test"} == {sample_name(7), sample_name(8)}
    assert sample_name(9) not in parts and parts[sample_name(0)] == "train" and parts["video01_000000"] == "train"
    assert not any(name.startswith("video04") for name in parts), "the old test part does not train"


def test_without_pseudo_labels_only_reviewed_frames_train(options, capsys):
    assert instrument_segmentation.main(options) == 0
    parts = load_checkpoint("out/instrument_segmentation_model.pth").training["split"]["assignment"]
    assert sorted(name for name, part in parts.items() if part == "train") == [sample_name(0), sample_name(1)]


def test_a_folder_with_nothing_reviewed_needs_pseudo_labels(tmp_path, tiny_run, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = write_reviewed(tmp_path / "new", audit=(), done=(), never=())
    options = ["--data-root", str(folder), "--init-from", str(tiny_run.weights)]
    assert instrument_segmentation.main(options) == 2
    assert "no frame to train on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "trained", "better", "told"),
    [
        ([change(0.1, 0.05)], 0, True, "take them there"),
        ([change(0.1, 0.2)], 0, None, "is not shown"),
        ([change(-0.1, 0.05)], 0, False, "keep those that they started from"),
        ([change(0.1, 0.05), change(-0.1, 0.0)], 0, True, "lost on the earlier data"),
        ([change(0.1, 0.05)], 3, None, "3 frames of the audit trained"),
    ],
)
def test_the_advice_follows_the_numbers(changes, trained, better, told):
    found, sentences = advise(changes, True, trained)
    assert found is better and told in " ".join(sentences)


def test_without_an_audit_nothing_is_recommended():
    assert advise([change(0.1, 0.0, "old")], False, 0)[0] is None
