"""Temperature and threshold: fitted on the validation part alone, stored in the weights, applied by every backend."""

import shutil

import pytest
import torch

import analyze_model
from models import ARCHITECTURES, Architecture, build_model
from surgseg.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from surgseg.data.dataset import load_prepared
from surgseg.evaluation.calibrate import calibrate, fit_temperature
from surgseg.files import UserError, read_json
from surgseg.labels import SCHEMES
from surgseg.predict import TorchNetwork
from surgseg.preprocess import normalise
from tests.helpers import noise_frame

CPU = torch.device("cpu")
SIZE = (48, 64)
PARTS = {"video01": "train", "video02": "train", "video03": "val", "video04": "test"}


@pytest.fixture(autouse=True)
def bright(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "bright", Architecture("tests.networks:Bright", "Bright", "#000000"))


def bright_checkpoint(parts=PARTS, level=0.0, **fields):
    """Instrument where red is above `level`, which is sure of itself."""
    split = {"name": "manifest", "by": "video", "hash": "abc", "assignment": parts}
    training = {"data": "real", "split": split if parts else None}
    model, args = build_model("bright", 2, level=level), {"level": level}
    return Checkpoint(model, "bright", args, SCHEMES["binary"], SIZE, training=training, **fields)


@pytest.fixture
def data(tiny_prepared, tmp_path):
    return shutil.copytree(tiny_prepared, tmp_path / "data")


def test_the_temperature_of_drawn_labels_is_found():
    torch.manual_seed(0)
    logits = 4 * torch.randn(60_000, 3)
    labels = (logits / 2.5).softmax(1).multinomial(1)[:, 0]
    temperature, before, after = fit_temperature(logits, labels)
    assert temperature == pytest.approx(2.5, abs=0.05) and after < before
    again = fit_temperature((logits / 2.5).softmax(1).log(), labels)  # probabilities lead to the same
    assert again[0] == pytest.approx(temperature / 2.5, abs=0.005) and again[2] == pytest.approx(after, abs=1e-4)


def test_a_model_without_errors_has_no_temperature():
    for count in (50, 0):  # 0: every pixel is void
        with pytest.raises(UserError, match="no temperature from"):
            fit_temperature(torch.eye(2).repeat(count, 1), torch.tensor([0, 1]).repeat(count))


def test_only_the_validation_part_is_read_and_both_values_are_changed(data):
    for path in [*data.glob("*/video01_*"), *data.glob("*/video04_*")]:
        path.write_bytes(b"not to be read")
    checkpoint = bright_checkpoint(level=1.2, temperature=2.0)
    record = calibrate(checkpoint, load_prepared(data), CPU, temperature=True, threshold=True)
    assert (record["part"], record["videos"], record["frames"]) == ("val", ["video03"], 6)
    assert record["temperature"]["before"] == 2.0 and record["temperature"]["value"] == checkpoint.temperature > 2.5
    assert record["temperature"]["cross_entropy"] < record["temperature"]["cross_entropy_before"]
    assert record["threshold"]["before"] == 0.5 and record["threshold"]["value"] == checkpoint.threshold < 0.5
    assert record["threshold"]["dice"] > record["threshold"]["dice_before"]
    assert "has 1 video" in record["warnings"]["few validation videos"]
    again = calibrate(checkpoint, load_prepared(data), CPU, temperature=True, threshold=False)
    assert again["temperature"]["value"] == pytest.approx(record["temperature"]["value"], rel=0.01)


@pytest.mark.parametrize("parts", [None, {"video01": "train", "video03": "test"}])
def test_without_a_validation_part_nothing_is_fitted(data, parts):
    checkpoint = bright_checkpoint(parts)
    with pytest.raises(UserError, match="the test part must not choose"):
        calibrate(checkpoint, load_prepared(data), CPU, temperature=True, threshold=True)
    assert (checkpoint.temperature, checkpoint.threshold) == (1.0, 0.5)


def test_new_weights_are_written_beside_and_scored(data, tmp_path, monkeypatch, capsys):
    from surgseg.figures import analysis

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(analysis, "write_figures", lambda *given, **options: ([], [], True))
    save_checkpoint(tmp_path / "w.pth", bright_checkpoint(level=1.2))
    before = (tmp_path / "w.pth").read_bytes()
    argv = ["--mode", "model", "--model-path", "w.pth", "--data-root", str(data), "--device", "cpu"]
    assert analyze_model.main([*argv, "--choose-threshold"]) == 0
    loaded = load_checkpoint(tmp_path / "w_calibrated.pth")
    metrics = read_json(tmp_path / "outputs" / "analysis_metrics.json")
    assert loaded.threshold == metrics["threshold"] == metrics["scored"]["threshold"] < 0.5
    assert metrics["scored"]["part"] == "test" and metrics["weights"]["sha256"] == loaded.sha256
    stored = loaded.training["calibration"]
    assert "temperature" not in stored and stored["run"]["arguments"]["choose_threshold"] is True
    assert (tmp_path / "w.pth").read_bytes() == before and loaded.temperature == 1
    assert metrics["calibration"]["pixels"] == 6 * 47 * 63
    assert "calibration error (ECE)" in capsys.readouterr().out
    (tmp_path / "w_calibrated.pth").unlink()
    for extra in (
        ["--threshold", "0.4"],
        ["--mode", "dataset"],
        ["--batch-size", "0"],
        ["--save-preds", str(data / "masks")],
    ):
        assert analyze_model.main([*argv, "--choose-threshold", *extra]) == 2
        assert not (tmp_path / "w_calibrated.pth").exists()


def test_probabilities_have_the_temperature():
    checkpoint = bright_checkpoint(temperature=25.0)
    inputs = torch.from_numpy(noise_frame(0, SIZE)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        logits = checkpoint.model.eval()(normalise(inputs, checkpoint.mean, checkpoint.std))
        found = TorchNetwork(checkpoint, CPU)(inputs)  # that exports give the same: test_onnx.py, test_quantise.py
    assert float((found - (logits / 25).softmax(1)).abs().max()) < 1e-6


def test_a_file_of_an_earlier_version_has_temperature_1(tmp_path):
    save_checkpoint(tmp_path / "w.pth", bright_checkpoint(temperature=3.0))
    value = torch.load(tmp_path / "w.pth", weights_only=True)
    assert load_checkpoint(tmp_path / "w.pth").temperature == value.pop("temperature") == 3
    torch.save(value, tmp_path / "old.pth")
    assert load_checkpoint(tmp_path / "old.pth").temperature == 1
