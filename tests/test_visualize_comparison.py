"""Figures and table of a comparison, through the script: from JSON alone, and what is said of an incomplete one."""

import pytest

import visualize_comparison
from surgseg.files import read_json, write_text
from tests.comparisons import comparison_of, run_of, write_comparison
from tests.helpers import folder_bytes

FILES = {"final_comparison.png", "training_comparison.png", "comparison_table.md"}
TWO = {"unet": [run_of(0.9, {"v1": 0.9, "v2": 0.8})], "deeplabv3": [run_of(0.8, {"v1": 0.7, "v2": 0.75})]}


def show(folder, *more):
    return visualize_comparison.main(["--comparison-dir", str(folder), *more])


def test_figures_and_table_are_made_from_the_json_alone(tmp_path, capsys):
    folder = write_comparison(tmp_path / "in", comparison_of(TWO))
    before = folder_bytes(folder)
    assert show(folder, "--output-dir", str(tmp_path / "out"), "--note", "Quite undertrained.") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES and folder_bytes(folder) == before
    table = (tmp_path / "out/comparison_table.md").read_text(encoding="utf-8")
    assert "U-Net achieves 0.1000 higher IoU" in table and "Quite undertrained." in table
    assert "U-Net achieves 0.1000 higher IoU" in capsys.readouterr().out


def test_an_unfinished_comparison_is_a_stated_partial_result(tmp_path, capsys):
    missing = [{"model": "deeplabv3", "seed": 0, "fold": None}]
    folder = write_comparison(tmp_path, comparison_of({"unet": TWO["unet"]}, missing=missing))
    assert show(folder) == 3
    assert not FILES - {path.name for path in folder.iterdir()}
    assert "Partial: unfinished: DeepLabV3-ResNet50" in capsys.readouterr().out
    assert "Unfinished: DeepLabV3-ResNet50" in (folder / "comparison_table.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("gone", "figures", "words"),
    [(["deeplabv3"], 2, "Not in training_comparison.png:"), (["unet", "deeplabv3"], 1, "No training_comparison.png:")],
)
def test_a_missing_history_is_said_and_leaves_a_partial_result(tmp_path, capsys, gone, figures, words):
    folder = write_comparison(tmp_path, comparison_of(TWO))
    for model in gone:
        (folder / f"{model}_history.json").unlink()
    assert show(folder) == 3
    printed = capsys.readouterr().out
    assert f"{gone[0]}_history.json is missing" in printed and words in printed
    assert len(list(folder.glob("*.png"))) == figures
    assert "is missing" in (folder / "comparison_table.md").read_text(encoding="utf-8")


def broken_json(folder):
    write_text(folder / "comparison.json", "{")


def no_run(folder):
    comparison = {**read_json(folder / "comparison.json"), "models": {}, "complete": False}
    write_comparison(folder, comparison)


def foreign_history(folder):
    write_text(folder / "unet_history.json", "[]")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (broken_json, "move it away and run train_comparative.py again"),
        (no_run, "without a finished run"),
        (foreign_history, "no history of a training"),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_no_figure(tmp_path, capsys, spoil, words):
    folder = write_comparison(tmp_path / "in", comparison_of(TWO))
    spoil(folder)
    assert show(folder, "--output-dir", str(tmp_path / "out")) == 2
    line = capsys.readouterr().err.strip()
    assert words in line and "\n" not in line and not (tmp_path / "out").exists()
