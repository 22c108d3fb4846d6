"""The precision of a training: float32 on a CPU unless asked or measured, and the same again when a run goes on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import surgseg.training.precision as precision_module
from models import build_model
from surgseg.checkpoint import load_tensors
from surgseg.data.cache import open_cache
from surgseg.data.dataset import load_prepared
from surgseg.files import read_csv
from surgseg.training.loop import Trainer
from surgseg.training.machine import Machine
from surgseg.training.precision import choose_precision
from tests.configs import resolved
from tests.training.test_resume import CPU, UNET, Killed, train

FASTEST = resolved(epochs=2, batch_size=4, precision="fastest")


def times(monkeypatch, **ms):
    """Let a step of each precision take so many ms; return the precisions in the order of their steps."""
    taken = []

    def step(trainer, rows):
        taken.append(trainer.config.precision)
        return ms[taken[-1]] / 1000

    monkeypatch.setattr(precision_module, "_timed_step", step)
    return taken


def choice(tiny_prepared, tmp_path, rows, precision="fastest", network=None):
    prepared = load_prepared(tiny_prepared)
    cache = open_cache(prepared.samples, UNET.image_size, prepared.scheme, tmp_path)
    network = network or build_model("unet", 2, base_channels=2)
    config, machine = resolved(batch_size=4, precision=precision), Machine(CPU, tmp_path)
    return choose_precision(network, cache, prepared.scheme, config, UNET.architecture, machine, rows)


@pytest.fixture
def killed_in_second_epoch(monkeypatch, tiny_prepared, tmp_path):
    """Kill a run in its second epoch; afterwards training works again."""

    def kill(settings):
        run_epoch = Trainer.run_epoch

        def begin(self, epoch, rows):
            if epoch == 2:
                raise Killed
            return run_epoch(self, epoch, rows)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "run_epoch", begin)
            with pytest.raises(Killed):
                train(tiny_prepared, tmp_path, settings=settings)

    return kill


def test_auto_is_float32_on_a_cpu_that_names_bf16_instructions(monkeypatch, tiny_prepared, tmp_path):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert choice(tiny_prepared, tmp_path, np.arange(8), "auto") == "float32"


@pytest.mark.parametrize(("ms", "chosen"), [(400, "bf16"), (640, "float32"), (600, "float32"), (500, "bf16")])
def test_fastest_takes_bf16_where_a_step_is_clearly_faster(monkeypatch, tiny_prepared, tmp_path, capsys, ms, chosen):
    taken = times(monkeypatch, float32=620, bf16=ms)
    assert choice(tiny_prepared, tmp_path, np.arange(8)) == chosen
    assert taken[:4] == ["float32", "bf16"] * 2, "by turns"
    said = capsys.readouterr().out
    assert f"Precision: {chosen}, chosen by --precision fastest" in said and "float32 155.0" in said


def test_measuring_changes_neither_the_network_nor_the_weights_that_follow(monkeypatch, tiny_prepared, tmp_path):
    monkeypatch.setattr(precision_module, "SECONDS", 0.01)
    network = build_model("unet", 2, base_channels=2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert choice(tiny_prepared, tmp_path, np.arange(8), network=network) in ("float32", "bf16")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_too_few_frames_are_not_measured(monkeypatch, tiny_prepared, tmp_path):
    assert not times(monkeypatch) and choice(tiny_prepared, tmp_path, np.arange(1)) == "float32"


def test_the_choice_is_recorded_and_a_resumed_run_keeps_it(
    monkeypatch, tiny_prepared, tmp_path, killed_in_second_epoch
):
    times(monkeypatch, float32=100, bf16=50)
    killed_in_second_epoch(FASTEST)
    times(monkeypatch, float32=50, bf16=100)  # the machine has become another
    run = train(tiny_prepared, tmp_path, settings=FASTEST, resume="must")
    assert [row["precision"] for row in run.history] == ["bf16", "bf16"]
    assert [row["precision"] for row in read_csv(run.history_path)] == ["bf16", "bf16"]
    assert load_tensors(run.weights_path)["training"]["settings"]["precision"] == "bf16"
    assert train(tiny_prepared, tmp_path, settings=FASTEST, resume="may").history == run.history, "not trained again"


def test_auto_goes_on_in_the_precision_of_the_state(tiny_prepared, tmp_path, killed_in_second_epoch):
    killed_in_second_epoch(replace(FASTEST, precision="bf16"))
    run = train(tiny_prepared, tmp_path, settings=replace(FASTEST, precision="auto"), resume="must")
    assert [row["precision"] for row in run.history] == ["bf16", "bf16"]


def test_another_run_s_precision_is_not_taken_over(tiny_prepared, tmp_path, killed_in_second_epoch):
    killed_in_second_epoch(replace(FASTEST, precision="bf16", seed=1))
    run = train(tiny_prepared, tmp_path, settings=replace(FASTEST, precision="auto"), resume="may")
    assert [row["precision"] for row in run.history] == ["float32", "float32"]
