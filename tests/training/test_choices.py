"""What a training chooses by itself, frames of a batch and rates, and what a resumed run keeps on other machines."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import surgseg.training.fit as module
from models import build_model
from surgseg.checkpoint import load_tensors
from surgseg.data.dataset import load_prepared
from surgseg.data.splits import make_split
from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.training import choices, precision
from surgseg.training.choices import auto_batch_size, check_run, resolve, saved_bytes
from surgseg.training.config import ModelConfig, TrainConfig
from surgseg.training.distributed import Processes
from surgseg.training.loop import Trainer
from surgseg.training.machine import Machine
from tests.configs import resolved

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
UNET = ModelConfig(arch="unet", base_channels=2, image_size=(32, 48), weights="none")
MIB = 2**20


def machine(device, count=1):
    return Machine(device, Path("cache"), Processes(0, 0, count))


def test_what_a_step_keeps_is_counted_without_computing():
    """A convolution keeps its input, a ReLU its output: 3 and 4 channels of 10x20 float32."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU())
    assert saved_bytes(network, (10, 20)) == (3 + 4) * 10 * 20 * 4


@pytest.mark.parametrize(
    ("device", "count", "memory", "frames", "given", "expected"),
    [
        (CPU, 1, None, 9999, "auto", 4),  # as in the study
        (CPU, 6, None, 9999, "auto", 6),  # a frame for each process
        (CUDA, 1, 1000, 9999, "auto", 16),
        (CUDA, 1, 1000, 9999, "float32", 16),
        (CUDA, 1, 200, 9999, "float32", 8),  # 0.4 of 200 MiB is 8 of 10 MiB
        (CUDA, 1, 200, 9999, "auto", 16),  # half of that in half precision
        (CUDA, 1, 30, 9999, "float32", 1),
        (CUDA, 4, 1000, 9999, "auto", 64),
        (CUDA, 1, 1000, 300, "auto", 8),  # 32 steps of 8 are 256 frames
        (CUDA, 1, 1000, 20, "auto", 4),
        (CUDA, 3, 1000, 20, "auto", 6),  # half of it would be under 4
    ],
)
def test_a_batch_fits_into_the_memory_and_leaves_steps(monkeypatch, device, count, memory, frames, given, expected):
    monkeypatch.setattr(choices, "saved_bytes", lambda network, size: 10 * MIB)
    properties = SimpleNamespace(total_memory=(memory or 0) * MIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    train = TrainConfig(precision=given)
    assert auto_batch_size(train, UNET, machine(device, count), None, frames) == expected


@pytest.mark.parametrize(
    ("train", "rate"),
    [
        (TrainConfig(), 2e-3),  # four times the frames: twice the rate
        (TrainConfig(learning_rate=0.5), 0.5),
        (TrainConfig(batch_size=64), 1e-3),
        (TrainConfig(batch_size=2), 1e-3),
    ],
)
def test_the_rate_grows_with_the_root_of_a_chosen_batch_alone(monkeypatch, train, rate):
    monkeypatch.setattr(choices, "auto_batch_size", lambda *given: 16)
    assert resolve(train, UNET, machine(CPU), None, 999, pretrained=False).learning_rate == pytest.approx(rate)


@pytest.mark.parametrize(
    ("arch", "pretrained", "init_from", "rates"),
    [
        ("deeplabv3", False, None, (1e-3, 1.0)),
        ("deeplabv3", True, None, (3e-4, 1.0)),
        ("lite-unet", False, None, (1e-3, 1.0)),
        ("lite-unet", True, None, (1e-3, 0.3)),  # chosen on EndoVis 2015
        ("lite-unet", True, Path("own.pth"), (3e-4, 0.1)),
    ],
)
def test_the_rates_follow_the_starting_weights(arch, pretrained, init_from, rates):
    model = ModelConfig(arch=arch, init_from=init_from)
    chosen = resolve(TrainConfig(batch_size=4), model, machine(CPU), None, 999, pretrained=pretrained)
    assert (chosen.learning_rate, chosen.backbone_rate) == rates


def test_a_precision_that_the_device_only_emulates_is_refused_before_any_work():
    with pytest.raises(UserError, match="--precision fp16 needs"):
        check_run(UNET, TrainConfig(precision="fp16"), machine(CPU))


def run(data, folder, resume, **options):
    prepared = load_prepared(data)
    torch.manual_seed(0)
    return module.fit(
        prepared,
        make_split(prepared.samples),
        UNET,
        TrainConfig(epochs=2, **options),
        Machine(CPU, folder / "cache"),
        weights_path=folder / "w.pth",
        history_path=folder / "history.csv",
        record={},
        resume=resume,
    )


def settings_of(folder):
    return load_tensors(folder / "w.pth")["training"]["settings"]


def test_a_run_goes_on_elsewhere_with_what_was_chosen_first(tiny_prepared, tmp_path, monkeypatch, capsys):
    run_epoch = Trainer.run_epoch

    def stop_in_the_second(self, epoch, train):
        if epoch == 2:
            raise KeyboardInterrupt
        return run_epoch(self, epoch, train)

    with monkeypatch.context() as first_machine:
        first_machine.setattr(choices, "auto_batch_size", lambda *given: 9)
        first_machine.setattr(precision, "best_precision", lambda device: "bf16")
        first_machine.setattr(Trainer, "run_epoch", stop_in_the_second)
        assert run(tiny_prepared, tmp_path, "no").stopped
    fitted = run(tiny_prepared, tmp_path, "must")
    assert fitted.batch_size == 9 and len(fitted.history) == 2
    assert settings_of(tmp_path)["precision"] == "bf16" and settings_of(tmp_path)["learning_rate"] == 1.5e-3
    assert run(tiny_prepared, tmp_path, "must").history == fitted.history, "found finished"
    assert "is not trained again" in capsys.readouterr().out
    with pytest.raises(UserError, match="batch_size was 9, is 4"):
        run(tiny_prepared, tmp_path, "must", batch_size=4)


def test_a_state_of_fp16_goes_on_where_there_is_none(tiny_prepared, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as first_machine:
        first_machine.setattr(precision, "best_precision", lambda device: "fp16")
        first_machine.setattr(module, "usable_precision", lambda device, name: "float32")
        validate = Trainer.validate

        def stop_in_the_second(self, rows):
            if self.history:
                raise KeyboardInterrupt
            return validate(self, rows)

        first_machine.setattr(Trainer, "validate", stop_in_the_second)
        assert run(tiny_prepared, tmp_path, "no").stopped
    fitted = run(tiny_prepared, tmp_path, "must")
    assert "The run began in fp16, and goes on in float32" in capsys.readouterr().out
    assert fitted.history[1]["precision"] == "float32" and settings_of(tmp_path)["precision"] == "fp16"


def test_another_runs_choices_are_not_taken(tiny_prepared, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as first_machine:
        first_machine.setattr(choices, "auto_batch_size", lambda *given: 9)
        run(tiny_prepared, tmp_path, "no", seed=7)
    assert run(tiny_prepared, tmp_path, "may").batch_size == 4


def test_the_scale_of_fp16_is_part_of_the_state():
    cache = SimpleNamespace(names=["a"], frames=torch.zeros(4, 32, 32, 3).byte().numpy(), masks=None)

    def trainer(precision):
        model = build_model("unet", 2, base_channels=2)
        return Trainer(model, cache, SCHEMES["binary"], CPU, resolved(precision=precision))

    half, again, full = trainer("fp16"), trainer("fp16"), trainer("float32")
    half.scaler.scale(torch.ones(()))  # makes the scale
    half.scaler.update(128.0)
    half.kept = half.averaged.state_dict()
    again.restore(half.state())
    assert again.scaler.get_scale() == 128
    full.restore(half.state())
    half.restore(full.state() | {"kept": half.kept})
    assert half.scaler.get_scale() == 128, "a state without a scale leaves it"
