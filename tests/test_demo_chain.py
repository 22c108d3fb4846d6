"""The demo's chain at tiny size, and the commands that the README and the Makefile show."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

import analyze_mask_statistics
import analyze_model
import generate_masks_from_model
import instrument_segmentation
import prepare_full_dataset
import surgseg.synthetic.__main__ as synthetic
from surgseg.files import read_csv, read_json

ROOT = Path(__file__).resolve().parents[1]


def test_no_data_to_statistics_of_a_video(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    stream = "--videos 3 --clips 1 --frames 4 --size 64 112 --seed 3 --workers 1".split()
    assert synthetic.main(["--output-root", "stream", *stream]) == 0
    assert prepare_full_dataset.main(["--source-root", "stream", "--output-root", "dataset"]) == 0
    training = "--arch unet --base-channels 4 --image-size 32 48 --epochs 1 --cache-dir cache".split()
    assert (
        instrument_segmentation.main(
            ["--data-root", "dataset", "--output-dir", "out", "--save-preds", "preds", *training]
        )
        == 0
    )
    scoring = ["--mask-dir", "dataset/masks", "--pred-dir", "preds", "--output-dir", "out"]
    assert analyze_model.main(["--mode", "dataset", *scoring]) == 0
    weights = "out/instrument_segmentation_model.pth"
    video = ["--video-path", "stream/videos/video01.mp4", "--frame-step", "1", "--output-dir", "generated"]
    assert generate_masks_from_model.main([*video, "--model-path", weights]) == 0
    assert analyze_mask_statistics.main(["--generated-dir", "generated", "--output-dir", "out"]) == 0

    printed = capsys.readouterr()
    assert "SYNTHETIC DATASET EVALUATION" in printed.out
    assert "not marked synthetic" not in printed.out + printed.err
    assert read_json("out/instrument_segmentation_model.json")["training"]["data"] == "synthetic"
    assert read_json("out/metrics.json")["classes"] == read_json("out/analysis_metrics.json")["classes"]
    assert [int(row["frame"]) for row in read_csv("generated/frames.csv")] == [0, 1, 2, 3]
    figures = {path.name for path in Path("out/figures").iterdir()}
    assert figures >= {"training_loss.png", "segmentation_results.png", "comprehensive_analysis.png"}


def shown_commands(path: Path) -> list[list[str]]:
    """The arguments after `python` of each command of ours: continuation lines joined, comments dropped."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    ours = {script.name for script in ROOT.glob("*.py")} | {"surgseg.synthetic", "surgseg.scores.floors"}
    starters = r"(?:python +(?:-m +)?|torchrun +(?:--[\w-]+ +\S+ +)+)"
    found = re.findall(starters + r"([\w./]+.*)$", text, re.MULTILINE)
    found = [line.replace("$RESUME", "--resume") for line in found]
    commands = [shlex.split(line, comments=True) for line in found if line.split()[0] in ours]
    return [command for command in commands if command]


COMMANDS = [
    pytest.param(command, id=f"{path.name}:{' '.join(command)[:60]}")
    for path in (ROOT / "README.md", ROOT / "Makefile", *sorted((ROOT / "docs").rglob("*.md")))
    for command in shown_commands(path)
]


def test_commands_are_found():
    assert len(COMMANDS) >= 12


@pytest.mark.parametrize("command", COMMANDS)
def test_a_shown_command_is_one_its_script_takes(command):
    modules = {"surgseg.synthetic": "surgseg.synthetic.__main__", "surgseg.scores.floors": "surgseg.scores.floors"}
    module = importlib.import_module(modules.get(command[0], Path(command[0]).stem))
    module.build_parser().parse_args(command[1:])
