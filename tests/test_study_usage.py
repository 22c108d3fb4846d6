"""The usage of the original study, command by command and unchanged, on the synthetic release."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from models import ARCHITECTURES
from surgseg import onnx
from surgseg.figures import examples, style
from surgseg.files import read_json
from surgseg.synthetic.release import write_release
from surgseg.training import start
from tests.test_docs import module_of

USAGE = """
prepare_cholecseg8k_assets.py --frame-dir CholecSeg8k --mask-dir CholecSeg8k
prepare_full_dataset.py --source-root CholecSeg8k --output-root data/full_dataset
instrument_segmentation.py
analyze_model.py --mode dataset --mask-dir data/masks --pred-dir data/preds --num-classes 2 --class-names "background,instrument"
generate_masks_from_model.py --video-path CholecSeg8k/videos/video01.mp4 --model-path instrument_segmentation_model.pth --output-dir data/generated --frame-step 30 --max-frames 500
analyze_generated_masks.py --generated-dir data/generated --output visual_analysis.png --num-samples 10
analyze_mask_statistics.py --generated-dir data/generated
train_comparative.py
visualize_comparison.py
"""  # noqa: E501


@pytest.fixture
def release(tmp_path, monkeypatch):
    """A small release in an empty folder, and small networks in place of the study's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(start, "IMAGE_SIZE", (32, 48))
    for arch in ("unet", "deeplabv3"):
        small = replace(ARCHITECTURES[arch], module="tests.networks:SmallDeepLab", options=())
        monkeypatch.setitem(ARCHITECTURES, arch, small)
    monkeypatch.setattr(onnx, "missing_packages", lambda: ["onnx"])  # an export takes seconds
    monkeypatch.setattr(style, "DPI", 50)
    monkeypatch.setattr(examples, "draw_examples", lambda examples, scheme, path, **options: path)
    write_release("CholecSeg8k", videos=4, clips=1, frames=6, size=(64, 112), seed=3, workers=1)


def test_the_studys_usage_runs_unchanged(release, capsys):
    printed = {}
    for line in USAGE.strip().split("\n"):
        command = shlex.split(line)
        assert module_of(command).main(command[1:]) == 0, (line, capsys.readouterr().err)
        printed[command[0]] = capsys.readouterr().out
    assert "Both data/full_dataset and data/sample_frames are prepared" in printed["instrument_segmentation.py"]
    assert "Data: data/full_dataset (synthetic)" in printed["instrument_segmentation.py"]
    said = "instrument_segmentation_model.pth is not in this folder; taking outputs/instrument_segmentation_model.pth"
    assert said in printed["generate_masks_from_model.py"]
    assert read_json("outputs/analysis_metrics.json")["classes"] == read_json("outputs/metrics.json")["classes"]
    assert "Frames analyzed:" in printed["analyze_model.py"]
    assert [path.suffix for path in Path("data/generated/masks").iterdir()] == [".png"]  # 6 frames: one in 30
    assert Path("visual_analysis.png").is_file() and Path("data/generated/mask_statistics.json").is_file()
    assert set(read_json("outputs/comparative/comparison.json")["models"]) == {"unet", "deeplabv3"}
    assert Path("outputs/comparative/final_comparison.png").is_file()
