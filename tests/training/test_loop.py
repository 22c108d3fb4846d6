"""The loop: repeatable, learns, chooses its epoch on the validation part, ends well when stopped."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import ARCHITECTURES, build_model
from surgseg.data.cache import open_cache
from surgseg.data.dataset import load_prepared
from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.training import loop
from surgseg.training.batches import even_batches
from surgseg.training.loop import HISTORY_FIELDS, Trainer
from surgseg.training.losses import LOSSES
from surgseg.training.schedule import learning_rate
from tests.configs import resolved

CPU = torch.device("cpu")
NOBODY = np.array([], np.int64)


@pytest.fixture(scope="module")
def cache(tiny_prepared, tmp_path_factory):
    samples = load_prepared(tiny_prepared).samples
    return open_cache(samples, (32, 48), SCHEMES["binary"], tmp_path_factory.mktemp("cache"))


def make_trainer(cache, *, channels=2, weights_seed=0, **options):
    torch.manual_seed(weights_seed)
    model = build_model("unet", 2, base_channels=channels)
    return Trainer(model, cache, SCHEMES["binary"], CPU, resolved(**{"learning_rate": 0.01, **options}))


def step(trainer, rows):
    pieces = even_batches(rows, trainer.config.batch_size)
    return trainer.train_step(list(trainer.feed.stream(pieces)), len(rows))


def copy_of(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first)


def trained(cache, **options):
    trainer = make_trainer(cache, epochs=2, batch_size=3, **options)
    trainer.run(np.arange(8), np.arange(12, 15))
    return copy_of(trainer.averaged), trainer.history


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 60), st.integers(1, 9))
def test_batches_are_even_hold_every_sample_once_and_never_one_alone(count, size):
    batches = even_batches(np.arange(count), size)
    lengths = [len(batch) for batch in batches]
    assert np.array_equal(np.concatenate(batches), np.arange(count))
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) <= size + (size > 1)
    if size > 1 and count > 1:
        assert min(lengths) > 1


def test_the_same_seed_gives_the_same_weights(cache):
    first, history = trained(cache, seed=1)
    second, again = trained(cache, seed=1)
    assert same(first, second)
    for key in ("train_loss", "val_loss", "val_iou", "learning_rate"):
        assert [row[key] for row in history] == [row[key] for row in again]


def test_another_seed_gives_others(cache):
    """From one start, so that order and augmentation alone make the difference."""
    assert not same(trained(cache, seed=1)[0], trained(cache, seed=2)[0])


def test_global_random_numbers_do_not_matter(cache):
    first = make_trainer(cache, epochs=1)
    first.run(np.arange(6), NOBODY)
    second = make_trainer(cache, epochs=1)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    second.run(np.arange(6), NOBODY)
    assert same(copy_of(first.averaged), copy_of(second.averaged))


def test_one_batch_can_be_learned_by_heart(cache):
    trainer = make_trainer(
        cache, channels=4, epochs=60, batch_size=4, learning_rate=0.02, augment="none", ema_decay=0.8
    )
    trainer.run(np.arange(4), NOBODY)
    assert trainer.validate(np.arange(4))["val_iou"] > 0.95
    assert trainer.history[-1]["train_loss"] < 0.2 * trainer.history[0]["train_loss"]


def gradients(cache, batch_size, accumulate, indices, augmented):
    trainer = make_trainer(
        cache, batch_size=batch_size, accumulate=accumulate, augment=augmented, class_weights=[0.5, 1.5]
    )
    trainer.start_epoch(1)
    trainer.model.eval()  # batch statistics are the one thing that sees the other images
    loss = step(trainer, indices)
    return loss, torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()])


@pytest.mark.parametrize("augmented", ["none", "medium+border"])
def test_accumulated_gradients_equal_the_whole_batchs(cache, augmented):
    masks = np.array(cache.masks)
    masks[2] = 255  # void alone
    masks[3, :20] = 255
    changed = replace(cache, masks=masks)
    indices = np.array([5, 2, 0, 3, 11])
    loss, whole = gradients(changed, 5, 1, indices, augmented)
    for batch_size in (3, 2):
        other_loss, parts = gradients(changed, batch_size, 3, indices, augmented)
        assert other_loss.item() == pytest.approx(loss.item(), abs=1e-6)
        assert (parts - whole).norm() <= 1e-6 * max(1, whole.norm())


def test_accumulation_makes_fewer_steps_of_the_same_images(cache):
    for accumulate, steps in ((1, 6), (3, 2)):
        trainer = make_trainer(cache, batch_size=2, accumulate=accumulate, epochs=1)
        trainer.run(np.arange(12), NOBODY)
        assert trainer.step_count == steps


def test_an_epoch_shows_every_sample_once_in_an_order_of_its_own(cache, monkeypatch):
    seen = []

    def train_step(self, batches, images):
        seen.extend((len(self.history) + 1, batch.rows) for batch in batches)
        return torch.zeros(())

    monkeypatch.setattr(Trainer, "train_step", train_step)
    make_trainer(cache, epochs=2, batch_size=3).run(np.arange(4, 11), NOBODY)
    orders = [np.concatenate([batch for number, batch in seen if number == epoch]).tolist() for epoch in (1, 2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(4, 11)) and orders[0] != orders[1]


class Validated:
    """Replaces `validate` by given IoUs and remembers the averaged weights of each epoch."""

    def __init__(self, trainer, ious):
        self.trainer, self.ious, self.states = trainer, iter(ious), []
        trainer.validate = self

    def __call__(self, indices):
        self.states.append(copy_of(self.trainer.averaged))
        return {"val_loss": 1.0, "val_iou": next(self.ious), "val_dice": 0.5, "val_accuracy": 0.5}


@pytest.mark.parametrize(
    ("ious", "best"),
    [([0.2, 0.9, 0.5], 2), ([0.1, 0.2, 0.3], 3), ([0.9, 0.1, 0.2], 1), ([math.nan] * 3, 3), ([math.nan, 0.4, 0.2], 2)],
)
def test_the_best_validated_epoch_is_kept(cache, ious, best):
    trainer = make_trainer(cache, epochs=3, batch_size=4)
    validated = Validated(trainer, ious)
    trainer.run(np.arange(4), np.array([12, 13]))
    assert trainer.best_epoch == best
    assert same(copy_of(trainer.averaged), validated.states[best - 1])


def test_without_validation_part_the_last_weights_count(cache):
    trainer, states = make_trainer(cache, epochs=3), []
    trainer.run(np.arange(4), NOBODY, lambda row: states.append(copy_of(trainer.averaged)))
    assert trainer.best_epoch == 3 and same(copy_of(trainer.averaged), states[-1])
    assert "val_iou" not in trainer.history[0]


def test_an_epochs_time_is_all_that_the_user_waits_for(cache, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: clock[0])
    trainer = make_trainer(cache, epochs=2)

    def wait(seconds, result=None):
        clock[0] += seconds
        return result

    trainer.run_epoch = lambda epoch, train: wait(3, {"epoch": epoch})
    trainer.validate = lambda indices: wait(1, {"val_iou": 0.5})
    trainer.run(np.arange(8), np.array([12]), lambda row: wait(12))
    assert [row["seconds"] for row in trainer.history] == [4, 16], "with the writing after the epoch before"
    assert [row["images_per_s"] for row in trainer.history] == [2, 0.5]


def test_validation_takes_twice_the_frames_of_a_step(cache, monkeypatch):
    trainer, lengths = make_trainer(cache, batch_size=3), []
    stream = trainer.feed.stream
    monkeypatch.setattr(trainer.feed, "stream", lambda rows: lengths.extend(map(len, rows)) or stream(rows))
    trainer.validate(np.arange(12))
    assert lengths == [6, 6]


def test_the_history_holds_what_its_file_shows(cache):
    rows = []
    trainer = make_trainer(cache, epochs=2)
    trainer.run(np.arange(4), np.array([12, 13]), rows.append)
    assert rows == trainer.history and [row["epoch"] for row in rows] == [1, 2]
    assert all(set(row) == set(HISTORY_FIELDS) for row in rows)
    assert all(0 <= row["val_iou"] <= row["val_dice"] <= 1 for row in rows)


def test_ctrl_c_keeps_what_is_there(cache):
    trainer, states = make_trainer(cache, epochs=5), []

    def stop(row):
        states.append(copy_of(trainer.averaged))
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    trainer.run(np.arange(4), NOBODY, stop)
    assert trainer.stopped and len(trainer.history) == 2 and trainer.best_epoch == 2
    assert same(copy_of(trainer.averaged), states[1])


def test_ctrl_c_within_the_first_epoch_ends_it_without_traceback(cache, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "train_step", stop)
    trainer = make_trainer(cache, epochs=5)
    trainer.run(np.arange(4), np.array([12]))
    assert trainer.stopped and trainer.history == [] and trainer.best_epoch == 0


def broken_from(epoch, monkeypatch):
    """Make the loss NaN from an epoch on."""
    step = Trainer.train_step

    def train_step(self, *args):
        loss = step(self, *args)
        return loss * math.nan if len(self.history) + 1 >= epoch else loss

    monkeypatch.setattr(Trainer, "train_step", train_step)


def test_a_loss_that_is_no_number_is_a_users_error(cache, monkeypatch):
    broken_from(1, monkeypatch)
    with pytest.raises(UserError, match=r"epoch 1, step 1, frames video01.*lower --lr \(now 0.01\)"):
        make_trainer(cache, epochs=2).run(np.arange(4), NOBODY)


def test_a_loss_that_breaks_later_keeps_the_good_epochs(cache, monkeypatch):
    broken_from(3, monkeypatch)
    trainer, states = make_trainer(cache, epochs=5), []
    trainer.run(np.arange(4), NOBODY, lambda row: states.append(copy_of(trainer.averaged)))
    assert "--lr" in trainer.stopped and len(trainer.history) == 2 and trainer.best_epoch == 2
    assert same(copy_of(trainer.averaged), states[1])


def test_running_out_of_gpu_memory_names_a_smaller_batch(cache, monkeypatch):
    def full(*args):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Trainer, "train_step", full)
    with pytest.raises(UserError, match=r"--batch-size 4; try --batch-size 2 --accumulate 2"):
        make_trainer(cache, batch_size=4).run(np.arange(4), NOBODY)


def test_one_frame_is_too_few(cache):
    with pytest.raises(UserError, match="2 or more"):
        make_trainer(cache).run(np.array([3]), NOBODY)


def test_the_rate_warms_up_and_falls_to_one_percent():
    rates = [learning_rate(step, 100, resolved(learning_rate=1.0, warmup=0.1)) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[10] == 1 and all(a > b for a, b in zip(rates[10:], rates[11:]))
    assert rates[-1] == pytest.approx(0.01, abs=0.001) and min(rates[10:]) >= 0.01


def test_validation_leaves_the_model_and_its_statistics_alone(cache):
    trainer = make_trainer(cache)
    before = copy_of(trainer.averaged)
    first, second = trainer.validate(np.arange(3)), trainer.validate(np.arange(3))
    assert first == second and same(before, copy_of(trainer.averaged)) and not trainer.averaged.training


def test_the_averaged_weights_are_the_ones_that_are_validated(cache):
    trainer = make_trainer(cache)
    before = trainer.validate(np.arange(3))
    with torch.no_grad():
        trainer.model.head.bias.add_(torch.tensor([0.0, 9.0]))
    assert trainer.validate(np.arange(3)) == before


def test_averaged_weights_follow_the_trained_ones(cache):
    trainer = make_trainer(cache, ema_decay=0.5, augment="none")
    start = copy_of(trainer.averaged)
    trainer.model.train()
    trainer.start_epoch(1)
    step(trainer, np.arange(4))
    now = copy_of(trainer.model)
    decay = 2 / 11  # early on the mean forgets faster: (1 + step) / (10 + step)
    for key, value in trainer.averaged.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, decay * start[key] + (1 - decay) * now[key])
        else:
            assert torch.equal(value, now[key])


class Plain(torch.nn.Module):
    """A network without batch normalisation, hence without counters, and without a backbone."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Conv2d(3, 2, 1)

    def forward(self, frames):
        return self.head(frames)


def test_a_network_without_batch_normalisation_trains(cache):
    trainer = Trainer(Plain(), cache, SCHEMES["binary"], CPU, resolved(epochs=1))
    trainer.run(np.arange(4), np.arange(12, 14))
    assert trainer.history[0]["val_iou"] >= 0 and trainer.step_count == 1


@pytest.mark.parametrize("field", ["augment", "schedule", "precision", "loss"])
def test_an_unknown_name_is_refused_and_never_another(cache, field):
    with pytest.raises(UserError, match=r"unknown .* 'other'"):
        make_trainer(cache, **{field: "other"}).run(np.arange(4), NOBODY)


def test_frames_are_normalised_and_padded_as_the_architectures_record_says(cache, monkeypatch):
    record = replace(ARCHITECTURES["unet"], mean=(0.2, 0.4, 0.6), std=(0.5, 0.25, 0.2))
    model = build_model("unet", 2, base_channels=2)
    trainer = Trainer(model, cache, SCHEMES["binary"], CPU, resolved(), architecture=record)
    inputs = trainer.prepare(torch.full((1, 3, 1, 2), 51, dtype=torch.uint8))
    assert inputs[0, :, 0, 1].tolist() == pytest.approx([0.0, -0.8, -2.0])
    fills, augment = [], loop.augment
    monkeypatch.setattr(loop, "augment", lambda *given: fills.append(given[4:]) or augment(*given))
    trainer.start_epoch(1)
    step(trainer, np.arange(2))
    assert fills == [(record.mean,)]


def test_validation_uses_the_threshold_that_the_weights_file_will_hold(cache, monkeypatch):
    seen = []
    to_mask = loop.to_mask
    monkeypatch.setattr(loop, "to_mask", lambda p, scheme, threshold: seen.append(threshold) or to_mask(p, scheme, 0.5))
    trainer = make_trainer(cache)
    trainer.threshold = 0.3
    trainer.validate(np.arange(2))
    assert seen == [0.3]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_on_a_gpu_waits_for_nothing(cache, loss):
    device = torch.device("cuda", 0)
    model = build_model("unet", 2, base_channels=2)
    chosen = resolved(loss=loss, precision="bf16")
    weights = [0.5, 1.5]
    trainer = Trainer(model, cache, SCHEMES["binary"], device, chosen, class_weights=weights, cache_device="cuda")
    trainer.start_epoch(1)
    batches = list(trainer.feed.stream([np.arange(4), np.arange(4)]))
    trainer.train_step(batches[:1], 4)  # memory is reserved, kernels are chosen
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.train_step(batches[1:], 4)
    finally:
        torch.cuda.set_sync_debug_mode("default")
