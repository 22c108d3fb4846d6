"""What people see of a running training: a bar on a terminal only, curves that TensorBoard reads."""

import contextlib
import io
import math
import re
import sys

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from models import build_model
from surgseg.data.cache import open_cache
from surgseg.data.dataset import load_prepared
from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.training import progress as module
from surgseg.training.loop import HISTORY_FIELDS, Trainer
from surgseg.training.progress import Curves, Progress
from tests.configs import resolved


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when a test says so: `clock(seconds)`."""
    now = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    return wait


def draw(monkeypatch, stderr, clock, *, shown=True, history=(), losses=(0.75, 0.5, 0.25), epoch=3):
    """Go through one epoch of 4 steps of 8 frames and 2 seconds, of 5 epochs; what was drawn."""
    monkeypatch.setattr(sys, "stderr", stderr)
    with Progress(epoch, 5, 4, list(history), shown) as progress:
        for loss in losses:
            progress.advance(8)
            clock(2)
            progress.show(loss)
            progress.bar.refresh()
    return stderr.getvalue()


def last_line(text):
    return re.split(r"[\r\n]", text.strip())[-1]


def test_the_bar_shows_speed_loss_the_last_validation_and_the_time_left(monkeypatch, clock):
    line = last_line(draw(monkeypatch, Terminal(), clock, history=[{"val_iou": 0.1}, {"val_iou": 0.4321}]))
    assert "Epoch 3/5" in line and "3/4" in line
    assert "images/s=4.0" in line and "loss=0.2500" in line and "val IoU=0.4321" in line
    # 1 step of this epoch and 2 epochs of 4, at 2 seconds a step
    assert "all done in=00:18" in line


def test_before_the_first_step_is_done_no_speed_is_made_up(monkeypatch, clock):
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    with Progress(1, 5, 4, [], True) as progress:
        clock(2)
        progress.show(0.5)
        progress.bar.refresh()
    line = last_line(stderr.getvalue())
    assert "loss=0.5000" in line and "images/s" not in line and "all done" not in line


@pytest.mark.parametrize("history", [[], [{"train_loss": 1.0}], [{"val_iou": math.nan}]])
def test_without_a_validation_score_none_is_shown(monkeypatch, clock, history):
    line = last_line(draw(monkeypatch, Terminal(), clock, history=history))
    assert "loss=0.2500" in line and "IoU" not in line and "nan" not in line


@pytest.mark.parametrize(("stderr", "shown"), [(io.StringIO, True), (Terminal, False)])
def test_nothing_is_drawn_into_a_file_or_by_another_process(monkeypatch, clock, stderr, shown):
    assert draw(monkeypatch, stderr(), clock, shown=shown) == ""


def test_the_loss_is_looked_at_now_and_then(clock):
    with Progress(1, 5, 4, [], False) as progress:
        assert not progress.due()
        clock(module.REFRESH + 0.01)
        assert progress.due()
        progress.show(0.5)
        assert not progress.due()


@pytest.fixture
def trained_line(tiny_prepared, tmp_path, monkeypatch, clock):
    """The line that the loop leaves: 4 steps of 2 frames and 2 seconds, the losses 1, 2, 3, 4."""
    losses = iter([1.0, 2.0, 3.0, 4.0])

    def train_step(self, batches, images):
        clock(2)
        return torch.tensor(next(losses))

    monkeypatch.setattr(Trainer, "train_step", train_step)
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    scheme = SCHEMES["binary"]
    cache = open_cache(load_prepared(tiny_prepared).samples, (32, 48), scheme, tmp_path)
    model = build_model("unet", 2, base_channels=2)
    trainer = Trainer(model, cache, scheme, torch.device("cpu"), resolved(epochs=1, batch_size=2))
    trainer.run(np.arange(8), np.array([], np.int64))
    return last_line(stderr.getvalue())


def test_the_loop_shows_its_steps_and_the_last_loss(trained_line):
    assert "Epoch 1/1" in trained_line and "4/4" in trained_line and "loss=4.0000" in trained_line


def test_the_loop_counts_the_step_it_has_just_made(trained_line):
    assert "images/s=1.0" in trained_line and "all done in=00:00" in trained_line


def row(epoch, **values):
    return {"epoch": epoch, **dict.fromkeys(HISTORY_FIELDS[1:], epoch / 10), **values}


def write(folder, first_epoch, rows):
    with contextlib.closing(Curves(folder, first_epoch)) as curves:
        for item in rows:
            curves.add(item)


def read(folder):
    """{tag: {epoch: value}} as TensorBoard shows them; a step that stands twice is an error."""
    events = EventAccumulator(str(folder)).Reload()
    found = {}
    for tag in events.Tags()["scalars"]:
        points = [(event.step, event.value) for event in events.Scalars(tag)]
        found[tag] = dict(points)
        assert len(found[tag]) == len(points)
    return found


def test_tensorboard_reads_every_value_of_every_epoch(tmp_path):
    write(tmp_path, 1, [row(1), row(2, val_iou=0.75)])
    found = read(tmp_path)
    assert set(found) == {
        "training/train_loss", "training/learning_rate", "training/seconds", "training/images_per_s",
        "validation/val_loss", "validation/val_iou", "validation/val_dice", "validation/val_accuracy",
    }  # fmt: skip
    assert found["validation/val_iou"] == pytest.approx({1: 0.1, 2: 0.75})
    assert found["training/train_loss"] == pytest.approx({1: 0.1, 2: 0.2})


def test_curves_are_readable_while_the_training_runs(tmp_path):
    with contextlib.closing(Curves(tmp_path, 1)) as curves:
        curves.add(row(1))
        assert read(tmp_path)["training/train_loss"] == pytest.approx({1: 0.1})


def test_an_undefined_score_is_a_gap_and_no_error(tmp_path):
    write(tmp_path, 1, [row(1), row(2, val_iou=math.nan), row(3)])
    assert read(tmp_path)["validation/val_iou"] == pytest.approx({1: 0.1, 2: math.nan, 3: 0.3}, nan_ok=True)


def test_without_a_validation_part_there_are_training_curves_only(tmp_path):
    write(tmp_path, 1, [{"epoch": 1, "train_loss": 0.5}])
    assert read(tmp_path) == {"training/train_loss": {1: 0.5}}


def test_a_resumed_run_replaces_what_the_interrupted_one_wrote_later(tmp_path):
    """Epoch 3 was written, its state was not: resuming makes it again."""
    write(tmp_path, 1, [row(1), row(2), row(3, train_loss=9.0)])
    write(tmp_path, 3, [row(3), row(4)])
    assert read(tmp_path)["training/train_loss"] == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4})


def test_a_new_run_replaces_the_curves_of_an_earlier_longer_one(tmp_path):
    write(tmp_path, 1, [row(1, train_loss=9.0), row(2, train_loss=9.0), row(3, train_loss=9.0)])
    write(tmp_path, 1, [row(1), row(2)])
    assert read(tmp_path)["training/train_loss"] == pytest.approx({1: 0.1, 2: 0.2})


def test_a_missing_package_is_one_line_that_names_it(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserError) as caught:
        Curves(tmp_path / "tensorboard", 1)
    assert "pip install tensorboard" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "tensorboard").exists()


def test_a_file_in_the_folders_place_is_a_users_error(tmp_path):
    (tmp_path / "tensorboard").write_text("in the way")
    with pytest.raises(UserError, match="tensorboard"):
        Curves(tmp_path / "tensorboard", 1)
