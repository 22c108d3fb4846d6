"""Parameter groups, frozen parts and the learning rate of each step."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import BatchNorm2d

from models import backbone_of, build_model
from surgseg.data.cache import open_cache
from surgseg.data.dataset import load_prepared
from surgseg.training.loop import Trainer
from surgseg.training.optimizer import make_optimizer, set_learning_rate, set_training_mode
from surgseg.training.schedule import learning_rate
from tests.configs import resolved

CPU = torch.device("cpu")
NOBODY = np.array([], np.int64)


@pytest.fixture(scope="module", params=["unet", "deeplabv3"])
def model(request):
    return build_model(request.param, 2, **({"base_channels": 2} if request.param == "unet" else {}))


@pytest.fixture(scope="module")
def make_trainer(tiny_prepared, tmp_path_factory):
    """A trainer of a small U-Net on frames of 32x48; keyword arguments are settings."""
    prepared = load_prepared(tiny_prepared)
    cache = open_cache(prepared.samples, (32, 48), prepared.scheme, tmp_path_factory.mktemp("cache"))

    def make(**options):
        torch.manual_seed(0)
        net = build_model("unet", 2, base_channels=2)
        return Trainer(net, cache, prepared.scheme, CPU, resolved(**{"learning_rate": 0.01, **options}))

    return make


def copy_of(state):
    return {key: value.clone() for key, value in state.items()}


def statistics_of(model):
    """The running means and variances and the counters of every batch normalisation."""
    return copy_of(dict(model.named_buffers()))


def changed(before, after):
    return {key for key in before if not torch.equal(before[key], after[key])}


def in_backbone(key):
    return key.startswith(("stem.", "down."))  # of a U-Net


def test_every_parameter_is_in_one_of_two_groups(model):
    backbone, rest = make_optimizer(model, resolved(), CPU).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    held = [[names[id(parameter)] for parameter in group["params"]] for group in (backbone, rest)]
    assert sorted(held[0] + held[1]) == sorted(names.values())
    start = ("stem.", "down.", "backbone.")
    assert held[0] and all(name.startswith(start) for name in held[0])
    assert held[1] and not any(name.startswith(start) for name in held[1])


def test_the_backbones_rate_is_a_multiple_of_the_heads(model):
    optimizer = make_optimizer(model, resolved(backbone_rate=0.1, weight_decay=0.03), CPU)
    for rate in (0.5, 0.002):
        set_learning_rate(optimizer, rate)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1 * rate, rate])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.03, 0.03]


def test_a_frozen_backbone_alone_neither_learns_nor_gathers_statistics(model):
    set_training_mode(model, backbone_frozen=True, norm_frozen=False)
    inside = {id(module) for part in backbone_of(model) for module in part.modules()}
    assert all(module.training != (id(module) in inside) for module in model.modules())
    held = {id(parameter) for part in backbone_of(model) for parameter in part.parameters()}
    assert all(parameter.requires_grad != (id(parameter) in held) for parameter in model.parameters())
    set_training_mode(model, backbone_frozen=False, norm_frozen=False)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_frozen_norm_still_learns_its_scales_and_shifts(model):
    set_training_mode(model, backbone_frozen=False, norm_frozen=True)
    assert all(module.training != isinstance(module, BatchNorm2d) for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_backbone_stays_bit_for_bit_until_it_is_unfrozen(make_trainer):
    trainer = make_trainer(epochs=4, freeze_backbone=2, batch_size=4, weight_decay=0.5)
    states = [copy_of(trainer.model.state_dict())]
    means = [copy_of(trainer.averaged.state_dict())]

    def remember(row):
        states.append(copy_of(trainer.model.state_dict()))
        means.append(copy_of(trainer.averaged.state_dict()))

    trainer.run(np.arange(8), NOBODY, remember)
    every = set(states[0])
    backbone = {key for key in every if in_backbone(key)}
    for epoch, moved in enumerate((every - backbone, every - backbone, every, every), 1):
        assert changed(states[epoch - 1], states[epoch]) == moved, f"epoch {epoch}"
        assert changed(means[epoch - 1], means[epoch]) == moved, f"averaged weights, epoch {epoch}"


def test_frozen_norm_keeps_the_running_statistics_of_the_whole_model(make_trainer):
    trainer = make_trainer(epochs=2, freeze_norm=True, batch_size=4)
    before, weights = statistics_of(trainer.model), copy_of(dict(trainer.model.named_parameters()))
    trainer.run(np.arange(8), NOBODY)
    assert not changed(before, statistics_of(trainer.model))
    assert not changed(before, statistics_of(trainer.averaged))
    assert changed(weights, dict(trainer.model.named_parameters())) == set(weights)


def test_without_freezing_every_statistic_moves(make_trainer):
    trainer = make_trainer(epochs=1, batch_size=4)
    before = statistics_of(trainer.model)
    trainer.run(np.arange(8), NOBODY)
    assert changed(before, statistics_of(trainer.model)) == set(before)


def test_a_slower_backbone_moves_less_in_a_first_step(make_trainer):
    """The first step of Adam moves every weight by its rate, whatever the gradient."""
    trainer = make_trainer(epochs=1, batch_size=4, backbone_rate=0.1, weight_decay=0.0, warmup=0.0)
    before = copy.deepcopy(trainer.model)
    trainer.run(np.arange(4), NOBODY)
    for (name, old), new in zip(before.named_parameters(), trainer.model.parameters()):
        moved = (new - old).abs().max().item()
        assert moved == pytest.approx(0.001 if in_backbone(name) else 0.01, rel=0.01), name


# 10 steps at a peak of 2, two of them warm-up; then 0.02 + 1.98 * (1 + cos(angle)) / 2 at 0, 45, 90, 135, 157.5 degrees
COSINE = [(0, 1.0), (1, 2.0), (2, 2.0), (4, 1.710036), (6, 1.01), (8, 0.309964), (9, 0.095359)]


@pytest.mark.parametrize(("step", "rate"), COSINE)
def test_the_rate_rises_in_a_line_and_falls_in_half_a_cosine(step, rate):
    settings = resolved(learning_rate=2.0, warmup=0.2)
    assert learning_rate(step, 10, settings) == pytest.approx(rate, abs=1e-6)


@pytest.mark.parametrize("step", [0, 1, 5, 9])
def test_a_constant_rate_has_no_warm_up(step):
    assert learning_rate(step, 10, resolved(learning_rate=2.0, warmup=0.5, schedule="constant")) == 2.0


@pytest.mark.parametrize(("schedule", "rates"), [("constant", [0.01] * 3), ("cosine", [0.01, 0.01, 0.00505])])
def test_the_history_tells_the_rate_of_each_epochs_last_step(make_trainer, schedule, rates):
    """Three steps: the one of the warm-up, which ends at the peak, the peak, and the middle of the fall."""
    trainer = make_trainer(epochs=3, batch_size=4, warmup=0.0, schedule=schedule)
    trainer.run(np.arange(4), NOBODY)
    assert [row["learning_rate"] for row in trainer.history] == pytest.approx(rates)
    assert [group["lr"] for group in trainer.optimizer.param_groups] == pytest.approx([rates[-1]] * 2)
