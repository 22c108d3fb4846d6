"""The ONNX export: equal to PyTorch, kept for its own weights only, refused where it disagrees."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import export_model
from models import ARCHITECTURES, Architecture, build_model
from surgseg import onnx as module
from surgseg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.onnx import OnnxNetwork, choose_network, onnx_path
from surgseg.predict import Predictor, TorchNetwork
from tests.helpers import ROOT, noise_frame

pytestmark = pytest.mark.skipif(bool(module.missing_packages()), reason="the packages for ONNX are not installed")
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def dot():
    """An architecture that is exported in a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "dot", Architecture("tests.networks:Dot", "Dot", "#000000"))
        yield


def save_weights(path, seed=0, arch="dot", size=(32, 48), scheme="binary", **model_args):
    torch.manual_seed(seed)
    model = build_model(arch, SCHEMES[scheme].num_classes, **model_args)
    facts = {"threshold": 0.5, "temperature": 0.5}
    save_checkpoint(path, Checkpoint(model, arch, model_args, SCHEMES[scheme], size, **facts))
    return path


def frames():
    return [noise_frame(seed, (40, 60)) for seed in range(3)]


def choose(path, backend="auto", frames=frames, **options):
    return choose_network(load_checkpoint(path), path, CPU, backend=backend, frames=frames, **options)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Weights whose export is kept beside them. Not to be changed."""
    path = save_weights(tmp_path_factory.mktemp("exported") / "w.pth")
    choose(path)
    return path


@pytest.mark.parametrize(
    ("arch", "scheme", "model_args"),
    [
        ("unet", "grasper-hook", {"base_channels": 4}),
        pytest.param("deeplabv3", "binary", {"aux": False}, marks=pytest.mark.slow),
    ],
)
def test_both_backends_find_the_same(tmp_path, arch, scheme, model_args):
    path = save_weights(tmp_path / "w.pth", arch=arch, scheme=scheme, **model_args)
    checkpoint = load_checkpoint(path)
    network = choose(path)
    assert network.describe()["name"] == "onnxruntime"
    for count in (1, 3):  # any batch size
        batch = torch.randint(0, 256, (count, 3, 32, 48), dtype=torch.uint8)
        with torch.inference_mode():
            reference = TorchNetwork(checkpoint, CPU)(batch)
        assert reference.shape == network(batch).shape == (count, SCHEMES[scheme].num_classes, 32, 48)
        assert float((reference - network(batch)).abs().max()) < 1e-4
    found = [Predictor(checkpoint, CPU, network=item).predict(np.stack(frames())) for item in (None, network)]
    assert (found[0].ids != found[1].ids).mean() < 1e-3
    np.testing.assert_allclose(found[0].measures, found[1].measures, atol=1e-4)


def test_the_export_is_made_once_and_states_its_check(exported):
    before = onnx_path(exported).stat().st_mtime_ns
    network = choose(exported, frames=lambda: pytest.fail("no frames are needed for a kept export"))
    assert onnx_path(exported).stat().st_mtime_ns == before
    assert network.parity.agrees and network.parity.frames == 3
    assert network.metadata["weights_sha256"] == load_checkpoint(exported).sha256


def test_other_weights_under_the_same_name_are_exported_anew(exported, tmp_path):
    path = shutil.copytree(exported.parent, tmp_path / "copy") / exported.name
    first = choose(path).metadata["weights_sha256"]
    save_weights(path, seed=1)
    second = choose(path)
    assert second.metadata["weights_sha256"] == load_checkpoint(path).sha256 != first
    assert OnnxNetwork(onnx_path(path)).metadata == second.metadata


def test_an_export_that_disagrees_is_refused_and_not_kept(tmp_path, monkeypatch, capsys):
    path = save_weights(tmp_path / "w.pth")
    other = module._trace(load_checkpoint(save_weights(tmp_path / "other.pth", seed=9)))
    monkeypatch.setattr(module, "_trace", lambda checkpoint: other)
    with pytest.raises(UserError, match=r"disagrees with PyTorch .*--backend torch"):
        choose(path, "onnx")
    assert isinstance(choose(path, "auto"), TorchNetwork)
    assert "ONNX Runtime is not used" in capsys.readouterr().out
    assert not onnx_path(path).exists()


def test_a_file_of_another_program_is_never_replaced(tmp_path):
    path = save_weights(tmp_path / "w.pth")
    onnx_path(path).write_bytes(b"something else")
    with pytest.raises(UserError, match=r"w\.onnx is no ONNX file .* move it away"):
        choose(path, "onnx")
    assert isinstance(choose(path, "auto"), TorchNetwork)
    assert onnx_path(path).read_bytes() == b"something else"


def test_without_the_packages_torch_computes_and_onnx_says_what_to_install(exported, monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", (*module.PACKAGES, "no_such_package"))
    assert isinstance(choose(exported), TorchNetwork)
    with pytest.raises(UserError, match="pip install no_such_package"):
        choose(exported, "onnx")


def test_onnx_is_for_the_cpu_in_float32(exported):
    with pytest.raises(UserError, match="--device cpu"):
        choose_network(load_checkpoint(exported), exported, torch.device("cuda"), backend="onnx", frames=frames)
    with pytest.raises(UserError, match="bf16 needs --backend torch"):
        choose(exported, "onnx", precision="bf16")
    assert choose(exported, "auto", precision="bf16").describe()["precision"] == "bf16"


def test_a_folder_that_cannot_be_written_into_costs_only_the_time(exported, tmp_path, monkeypatch, capsys):
    path = Path(shutil.copy(exported, tmp_path))

    def full(*_):
        raise UserError("cannot write: read-only file system")

    monkeypatch.setattr(module, "write_bytes", full)
    monkeypatch.setattr(module, "export", lambda checkpoint, frames: onnx_path(exported).read_bytes())
    assert choose(path).describe()["name"] == "onnxruntime"
    assert "made again next time" in capsys.readouterr().out and not onnx_path(path).exists()


def test_the_script_prints_size_parity_and_milliseconds(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = save_weights(tmp_path / "w.pth")
    assert export_model.main(["--model-path", str(path), "--format", "onnx", "--repeats", "1"]) == 0
    shown = capsys.readouterr().out
    assert "4 synthetic frames" in shown and "largest probability difference" in shown
    for name in ("torch float32", "torch bf16", "onnxruntime float32"):
        assert name in shown
    assert OnnxNetwork(onnx_path(path)).parity.agrees


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model-path", "nowhere.pth"], "no weights file nowhere.pth"),
        (["--frames", "nowhere.mp4"], "nowhere.mp4: no such file"),
        (["--output", "w.pth"], "ends in .onnx"),
        (["--output", "w.pth/model.onnx"], "w.pth is a file"),
        (["--repeats", "0"], "--repeats 0"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    save_weights(tmp_path / "w.pth")
    before = sorted(path.name for path in tmp_path.iterdir())
    defaults = [] if "--model-path" in options else ["--model-path", "w.pth"]
    assert export_model.main([*defaults, *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_unknown_backend_is_refused_and_never_another(exported):
    with pytest.raises(UserError, match="unknown backend 'tensorrt': use auto, torch, onnx"):
        choose(exported, "tensorrt")


def test_the_example_of_the_docs_finds_the_masks_of_this_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = save_weights(tmp_path / "outputs" / "instrument_segmentation_model.pth")
    frame = noise_frame(5, (97, 143))
    probability = Predictor(load_checkpoint(weights), CPU).probabilities(frame[None])[0, 1]
    checkpoint = replace(load_checkpoint(weights), threshold=float(probability.median()))
    save_checkpoint(weights, checkpoint)
    choose(weights)
    Image.fromarray(frame).save("frame.png")
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs/exporting.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    exec(code, {})
    with Image.open("mask.png") as image:
        mask = np.asarray(image) == 255
    assert 0.3 < mask.mean() < 0.7 and (mask == (probability >= checkpoint.threshold).numpy()).mean() > 0.98
