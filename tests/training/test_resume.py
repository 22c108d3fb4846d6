"""Interrupted runs: what goes on is the same run, bit for bit; what is not the same run is refused by name.

Run as a script, this file trains in processes that die by SIGKILL (`be_killed`, at the end); a test starts it.
"""

import copy
import errno
import importlib
import io
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import surgseg.training.fit as run_module
import surgseg.training.resume as resume_module
from models import build_model
from surgseg.checkpoint import Checkpoint, load_tensors, save_checkpoint
from surgseg.data.cache import open_cache
from surgseg.data.dataset import MANIFEST_FIELDS, load_prepared
from surgseg.data.splits import make_split
from surgseg.files import UserError, read_csv, write_csv
from surgseg.labels import SCHEMES
from surgseg.masks import read_mask, write_mask
from surgseg.training.config import ModelConfig
from surgseg.training.fit import finish, fit
from surgseg.training.loop import HISTORY_FIELDS, Trainer
from surgseg.training.machine import Machine
from surgseg.training.resume import find_resumable, fingerprint, identity_of, load_state, resume_path, save_state
from tests.configs import resolved
from tests.networks import Dropping

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
UNET = ModelConfig(arch="unet", base_channels=2, image_size=(32, 48), weights="none")
THREE = resolved(epochs=3, batch_size=4, learning_rate=0.01)
NO_VALIDATION = {"test_videos": ["video03", "video04"]}


class Killed(BaseException):
    """As sudden as a signal, but the test lives on."""


def train(data, folder, model=UNET, settings=THREE, resume="no", split=None):
    torch.manual_seed(settings.seed)  # the new model's weights, as the scripts do
    prepared = load_prepared(data)
    return fit(
        prepared,
        make_split(prepared.samples, **(split or {})),
        model,
        settings,
        Machine(CPU, folder / "cache"),
        weights_path=folder / "w.pth",
        history_path=folder / "history.csv",
        record={"script": "test"},
        resume=resume,
    )


def results(folder):
    """All that a run leaves but speed and memory: a checksum of each weight, its scores, choices and history."""
    saved = load_tensors(folder / "w.pth")
    weights = {key: zlib.crc32(value.numpy().tobytes()) for key, value in saved.pop("state_dict").items()}
    del saved["training"]["peak_memory"]
    rows = [*saved["training"].pop("history"), *read_csv(folder / "history.csv", HISTORY_FIELDS)]
    for row in rows:
        del row["seconds"], row["images_per_s"]
    return weights, [repr(row) for row in rows], repr(saved)  # repr: every digit, and nan equals nan


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def epochs_in(state_file):
    return len(load_tensors(state_file)["state"]["history"])


@contextmanager
def killed_in_epoch(epoch, error=Killed):
    """Raise after the first step of an epoch."""
    step = Trainer.train_step

    def train_step(self, *args):
        loss = step(self, *args)
        if len(self.history) + 1 == epoch:
            raise error
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", train_step)
        if error is not Killed:
            yield
            return
        with pytest.raises(Killed):
            yield


@pytest.fixture
def trained_epochs(monkeypatch):
    """The numbers of the epochs that are trained, as they begin."""
    begun, run_epoch = [], Trainer.run_epoch
    monkeypatch.setattr(Trainer, "run_epoch", lambda self, *args: begun.append(args[0]) or run_epoch(self, *args))
    return begun


def validated_as(monkeypatch, ious):
    """Choose the best epoch: give each the validation IoU of a list."""
    validate = Trainer.validate
    monkeypatch.setattr(
        Trainer, "validate", lambda self, rows: {**validate(self, rows), "val_iou": ious[len(self.history)]}
    )


@pytest.fixture(scope="module")
def start_weights(tmp_path_factory):
    """A weights file to fine-tune."""
    return save_unet(tmp_path_factory.mktemp("start") / "start.pth")


def save_unet(path, training=None, seed=5):
    torch.manual_seed(seed)
    model = build_model("unet", 2, base_channels=2)
    checkpoint = Checkpoint(model, "unet", {"base_channels": 2}, SCHEMES["binary"], (32, 48), training=training or {})
    save_checkpoint(path, checkpoint)
    return path


@pytest.fixture(scope="module")
def whole_run(tiny_prepared, tmp_path_factory):
    """The folder of an uninterrupted run of `UNET` and `THREE`. Not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    train(tiny_prepared, folder)
    return folder


# --- the same run, bit for bit


@pytest.mark.parametrize(
    ("settings", "killed_in", "ious", "chosen", "split"),
    [
        pytest.param({"epochs": 4}, [2, 4], None, None, None, id="twice"),
        pytest.param({}, [3], [0.9, 0.2, 0.3], 1, None, id="best epoch before"),
        pytest.param({}, [2], [0.2, 0.1, 0.9], 3, None, id="best epoch after"),
        pytest.param({"epochs": 4}, [3], [math.nan, 0.4, 0.3, 0.2], 2, None, id="undefined scores"),
        pytest.param({}, [3], None, 3, NO_VALIDATION, id="no validation part"),
        pytest.param({"accumulate": 2, "batch_size": 2}, [2], None, None, None, id="accumulated steps"),
    ],
)
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    tiny_prepared, tmp_path, monkeypatch, trained_epochs, capsys, settings, killed_in, ious, chosen, split
):
    settings, whole, parts = replace(THREE, **settings), tmp_path / "whole", tmp_path / "parts"
    if ious:
        validated_as(monkeypatch, ious)
    fitted = train(tiny_prepared, whole, settings=settings, split=split)
    assert chosen is None or fitted.chosen_epoch == chosen
    for epoch in killed_in:
        with killed_in_epoch(epoch):
            train(tiny_prepared, parts, settings=settings, resume="may", split=split)
        assert epochs_in(parts / "w.resume.pth") == epoch - 1 and not (parts / "w.pth").exists()
    trained_epochs.clear()
    capsys.readouterr()
    train(tiny_prepared, parts, settings=settings, resume="must", split=split)
    assert trained_epochs == list(range(killed_in[-1], settings.epochs + 1))
    assert f"Resumed after epoch {killed_in[-1] - 1} of {settings.epochs}." in capsys.readouterr().out
    assert results(parts) == results(whole)


@pytest.mark.parametrize("killed_in", [2, 3])
def test_a_backbone_unfreezes_after_an_interruption_as_it_would_have(tiny_prepared, tmp_path, start_weights, killed_in):
    """Until then its parameters have no state in the optimizer."""
    model = replace(UNET, init_from=start_weights)
    settings = replace(THREE, epochs=4, freeze_backbone=2, class_weights="inverse")
    train(tiny_prepared, tmp_path / "whole", model, settings)
    with killed_in_epoch(killed_in):
        train(tiny_prepared, tmp_path / "parts", model, settings)
    train(tiny_prepared, tmp_path / "parts", model, settings, resume="must")
    assert results(tmp_path / "parts") == results(tmp_path / "whole")
    trained, start = (load_tensors(path)["state_dict"] for path in (tmp_path / "parts" / "w.pth", start_weights))
    assert not torch.equal(trained["stem.0.weight"], start["stem.0.weight"])


def test_dropout_goes_on_as_it_would_have(tiny_prepared, tmp_path):
    """A network that draws random numbers in every step, as a DeepLabV3 does."""
    prepared = load_prepared(tiny_prepared)
    cache = open_cache(prepared.samples, (32, 32), prepared.scheme, tmp_path)
    settings = resolved(epochs=2, batch_size=2)

    def trainer(seed):
        torch.manual_seed(seed)
        return Trainer(Dropping(2), cache, prepared.scheme, CPU, settings)

    def weights(of):
        return {key: zlib.crc32(value.numpy().tobytes()) for key, value in of.averaged.state_dict().items()}

    whole, resumed, rows, nobody = trainer(0), trainer(1), np.arange(4), np.array([], np.int64)
    whole.run(rows, nobody, lambda row: row["epoch"] == 1 and resumed.restore(copy.deepcopy(whole.state())))
    resumed.run(rows, nobody)
    assert [row["train_loss"] for row in resumed.history] == [row["train_loss"] for row in whole.history]
    assert weights(resumed) == weights(whole)
    torch.manual_seed(5)
    assert not torch.equal(*(Dropping(2)(torch.ones(1, 3, 8, 8)) for _ in range(2))), "it does draw"


def test_a_run_killed_again_and_again_ends_as_an_uninterrupted_one(tiny_prepared, tmp_path):
    """By SIGKILL, while it computes and while it writes; whatever the moment, the state that is there is whole."""
    train(tiny_prepared, tmp_path / "whole", settings=MANY)
    folder = tmp_path / "parts"
    command = [sys.executable, __file__, str(tiny_prepared), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    deaths = json.loads(done.stdout.splitlines()[-1])
    assert [death["status"] for death in deaths] == [-signal.SIGKILL] * len(MOMENTS)
    epochs = [death["epochs"] for death in deaths]
    assert epochs[0] == 0, "half a first state is no state"
    assert epochs == sorted(epochs) and epochs[-1] == MANY.epochs
    train(tiny_prepared, folder, settings=MANY, resume="must")
    assert results(folder) == results(tmp_path / "whole")


def test_after_ctrl_c_the_weights_so_far_are_there_and_the_run_goes_on(tiny_prepared, tmp_path, whole_run):
    with killed_in_epoch(3, KeyboardInterrupt):
        fitted = train(tiny_prepared, tmp_path)
    assert fitted.stopped and len(load_tensors(tmp_path / "w.pth")["training"]["history"]) == 2
    finish(fitted)
    assert epochs_in(tmp_path / "w.resume.pth") == 2, "a stopped run keeps its state"
    train(tiny_prepared, tmp_path, resume="must")
    assert results(tmp_path) == results(whole_run)


# --- where a run starts


@pytest.fixture(scope="module")
def identity(tiny_prepared, tmp_path_factory):
    return identify(tiny_prepared, tmp_path_factory.mktemp("cache"))


def identify(data, cache_dir, model=UNET, settings=THREE, **split):
    prepared = load_prepared(data)
    cache = open_cache(prepared.samples, model.image_size, prepared.scheme, cache_dir)
    return identity_of(model, asdict(settings), make_split(prepared.samples, **split), prepared.scheme, cache)


def test_an_unknown_kind_of_resuming_is_refused(tmp_path):
    with pytest.raises(UserError, match="unknown resume 'maybe': use no, may or must"):
        find_resumable(tmp_path / "w.pth", {}, "maybe")


STATE = {"step_count": 7, "model": {"weight": torch.arange(3.0)}, "history": [{"epoch": 1, "val_iou": math.nan}]}


def put_nothing(weights, identity):
    pass


def put_state(weights, identity):
    save_state(resume_path(weights), STATE, identity)


def put_another_state(weights, identity):
    save_state(resume_path(weights), STATE, {**identity, "options": {**identity["options"], "epochs": 2}})


def put_finished(weights, identity):
    save_unet(weights, {"fingerprint": fingerprint(identity), "stopped": None})


def put_another_finished(weights, identity):
    save_unet(weights, {"fingerprint": fingerprint({**identity, "split": "another"}), "stopped": None})


def put_stopped(weights, identity):
    save_unet(weights, {"fingerprint": fingerprint(identity), "stopped": "Ctrl-C"})


def put_finished_and_state(weights, identity):
    put_finished(weights, identity)
    put_state(weights, identity)


def put_finished_without_weights(weights, identity):
    put_finished(weights, identity)
    weights.unlink()


def put_another_finished_before_its_json(weights, identity):
    put_finished(weights, identity)
    ours = weights.with_suffix(".json").read_bytes()
    put_another_finished(weights, identity)
    weights.with_suffix(".json").write_bytes(ours)


def put_truncated(weights, identity):
    put_state(weights, identity)
    whole = resume_path(weights).read_bytes()
    resume_path(weights).write_bytes(whole[: len(whole) // 2])


def put_empty(weights, identity):
    resume_path(weights).write_bytes(b"")


def put_garbage(weights, identity):
    resume_path(weights).write_bytes(bytes(range(256)) * 9)


def put_plain_weights(weights, identity):
    save_unet(resume_path(weights))


NOTHING = "nothing to resume"
FOUND = [  # what "may" makes of it, and "must": a way to start, or the words of a message
    (put_nothing, "new", NOTHING),
    (put_state, "state", "state"),
    (put_another_state, "epochs was 2, is 3", "epochs was 2, is 3"),
    (put_finished, "finished", "finished"),
    (put_another_finished, "new", NOTHING),
    (put_finished_and_state, "finished", "finished"),
    (put_finished_without_weights, "new", NOTHING),
    (put_another_finished_before_its_json, "new", NOTHING),
    (put_stopped, "new", NOTHING),
    (put_truncated, "damaged", "damaged"),
    (put_empty, "damaged", "damaged"),
    (put_garbage, "damaged", "damaged"),
    (put_plain_weights, "no resumable state", "no resumable state"),
]


def check_start(outcome, expected):
    assert outcome[0] == expected
    if expected != "state":
        assert outcome[1] is None
        return
    assert torch.equal(outcome[1]["model"]["weight"], STATE["model"]["weight"])
    assert outcome[1]["step_count"] == 7 and math.isnan(outcome[1]["history"][0]["val_iou"])


@pytest.mark.parametrize(("put", "may", "must"), FOUND, ids=[row[0].__name__[4:] for row in FOUND])
def test_a_run_starts_from_what_belongs_to_it_or_says_why_not(tmp_path, identity, capsys, put, may, must):
    weights = tmp_path / "w.pth"
    put(weights, identity)
    before = files_of(tmp_path)
    assert find_resumable(weights, identity, "no") == ("new", None)
    known = ("new", "state", "finished")
    check_start(find_resumable(weights, identity, "may"), may if may in known else "new")
    printed = capsys.readouterr().out
    if may in known:
        assert not printed
    else:
        assert may in printed and printed.startswith(f"Starting anew: {resume_path(weights)}")
        assert printed.count("\n") == 1
    if must in known:
        check_start(find_resumable(weights, identity, "must"), must)
    else:
        with pytest.raises(UserError) as caught:
            find_resumable(weights, identity, "must")
        message = str(caught.value)
        assert must in message and str(resume_path(weights)) in message and "\n" not in message
        assert message.endswith("; start without --resume")
    assert files_of(tmp_path) == before, "looking changes nothing"


def refusal(tmp_path, before, now):
    """What is said when a state of identity `before` is to go on as `now`; "" where nothing is."""
    path = tmp_path / "x.resume.pth"
    save_state(path, STATE, before)
    try:
        load_state(path, now)
    except UserError as error:
        assert str(error).startswith(f"{path} belongs to another run, of other options or data (") and "\n" not in str(
            error
        )
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        ({}, {"epochs": 5}, "(epochs was 3, is 5)"),
        ({}, {"seed": 1, "batch_size": 2}, "(batch_size was 4, is 2; seed was 0, is 1)"),
        ({}, {"class_weights": [0.5, 1.5]}, "(class_weights was none, is [0.5, 1.5])"),
        ({}, {"freeze_norm": True}, "(freeze_norm was False, is True)"),
        ({"base_channels": 4}, {}, "(base_channels was 2, is 4)"),
        ({"image_size": (48, 48)}, {}, "(image_size was [32, 48], is [48, 48])"),
    ],
)
def test_a_changed_option_is_named(tiny_prepared, tmp_path, identity, model, settings, words):
    now = identify(tiny_prepared, tmp_path, replace(UNET, **model), replace(THREE, **settings))
    assert words in refusal(tmp_path, identity, now)


def test_a_file_of_pretrained_weights_counts_by_its_content(tiny_prepared, tmp_path):
    path, found = tmp_path / "backbone.pth", []
    for content in (b"one", b"other"):
        path.write_bytes(content)
        found.append(identify(tiny_prepared, tmp_path, replace(UNET, weights=str(path))))
    assert "(weights was a file with SHA-256 " in refusal(tmp_path, *found)


def test_finishing_removes_nobody_elses_state(tiny_prepared, tmp_path):
    fitted = train(tiny_prepared, tmp_path)
    path = resume_path(fitted.weights_path)
    save_state(path, STATE, identify(tiny_prepared, tmp_path, settings=replace(THREE, seed=7)))
    finish(fitted)
    assert path.is_file()


def test_a_run_does_not_write_over_its_own_start(tiny_prepared, tmp_path):
    weights = train(tiny_prepared, tmp_path).weights_path
    with pytest.raises(UserError, match="overwrite this file"):
        train(tiny_prepared, tmp_path, replace(UNET, init_from=weights))


def test_what_killed_runs_left_half_written_is_removed(tiny_prepared, tmp_path):
    left = [tmp_path / name for name in (".w.resume.pth.abc.part.pth", ".w.pth.abc.part.pth")]
    for path in [*left, tmp_path / ".other.pth.abc.part.pth"]:
        path.write_bytes(b"half")
    train(tiny_prepared, tmp_path)
    assert [path.exists() for path in left] == [False, False] and (tmp_path / ".other.pth.abc.part.pth").exists()


@pytest.fixture
def data_copy(tiny_prepared, tmp_path):
    return shutil.copytree(tiny_prepared, tmp_path / "data")


def rewrite_manifest(data, keep):
    rows = read_csv(data / "manifest.csv")
    write_csv(data / "manifest.csv", MANIFEST_FIELDS, [row for row in rows if keep(row["name"])])


def test_a_changed_mask_or_frame_is_named(data_copy, tmp_path, identity):
    path = data_copy / "masks" / "video02_000003.png"
    mask = np.array(read_mask(path, 2))
    mask[:9] = 1 - (mask[:9] == 1)
    write_mask(path, mask, SCHEMES["binary"])
    shutil.copyfile(data_copy / "frames" / "video04_000001.png", data_copy / "frames" / "video04_000002.png")
    now = identify(data_copy, tmp_path)
    assert "(2 frames or masks changed: video02_000003, video04_000002)" in refusal(tmp_path, identity, now)


def test_missing_and_new_frames_are_named(data_copy, tmp_path, identity):
    rewrite_manifest(data_copy, lambda name: not name.startswith("video03") or name > "video03_000003")
    fewer = identify(data_copy, tmp_path)
    listed = "video03_000000, video03_000001, video03_000002 and 1 more"
    assert f"(4 frames or masks missing: {listed})" in refusal(tmp_path, identity, fewer)
    assert f"(4 frames or masks new: {listed})" in refusal(tmp_path, fewer, identity)


def test_another_split_is_named(tiny_prepared, tmp_path, identity):
    now = identify(tiny_prepared, tmp_path, test_videos=["video03"])
    assert "(another split)" in refusal(tmp_path, identity, now)


def test_another_class_scheme_is_named(tiny_prepared, tmp_path, identity):
    now = {**identity, "classes": SCHEMES["grasper-hook"].to_json()}
    assert "(another class scheme)" in refusal(tmp_path, identity, now) and fingerprint(now) != fingerprint(identity)


def test_the_same_data_elsewhere_and_newer_is_the_same(data_copy, tmp_path, identity):
    for path in data_copy.rglob("*.png"):
        os.utime(path, (1e9, 1e9))
    assert refusal(tmp_path, identity, identify(data_copy, tmp_path)) == ""


def test_a_starting_file_counts_by_its_content(tiny_prepared, tmp_path, start_weights):
    moved, other = shutil.copyfile(start_weights, tmp_path / "moved.pth"), save_unet(tmp_path / "other.pth", seed=6)
    before, same, now = (
        identify(tiny_prepared, tmp_path, replace(UNET, init_from=path)) for path in (start_weights, moved, other)
    )
    assert refusal(tmp_path, before, same) == "" and fingerprint(before) == fingerprint(same)
    assert "(init_from was " in refusal(tmp_path, before, now) and fingerprint(before) != fingerprint(now)


def test_another_run_is_refused_before_anything_is_trained(tiny_prepared, tmp_path, trained_epochs):
    with killed_in_epoch(2):
        train(tiny_prepared, tmp_path)
    before = files_of(tmp_path)
    trained_epochs.clear()
    with pytest.raises(UserError, match=r"w\.resume\.pth belongs to another run.*\(epochs was 3, is 4\)"):
        train(tiny_prepared, tmp_path, settings=replace(THREE, epochs=4), resume="must")
    assert trained_epochs == [] and files_of(tmp_path) == before


# --- a full disk


def raise_runtime_error(value, path):
    path.write_bytes(b"half")
    raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 832 vs 726\nframe #0: ...")


def raise_no_space(value, path):
    path.write_bytes(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def break_off(value, path, save=torch.save):
    """The system itself refuses to let the file grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        save(value, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("fail", [raise_runtime_error, raise_no_space, break_off])
def test_a_full_disk_costs_the_state_but_not_the_training(
    tiny_prepared, tmp_path, whole_run, monkeypatch, capsys, fail
):
    save, saved = torch.save, []

    def full_from_the_second_state(value, path):
        state = path.name.startswith(".w.resume.pth.")
        saved.append(state)
        return fail(value, path) if state and saved.count(True) > 1 else save(value, path)

    monkeypatch.setattr(torch, "save", full_from_the_second_state)
    fitted = train(tiny_prepared, tmp_path)
    assert saved == [True, True, True, False] and fitted.stopped is None
    warnings = [line for line in capsys.readouterr().out.splitlines() if "WARNING" in line]
    assert len(warnings) == 2
    assert all(line.startswith(f"WARNING: cannot write {tmp_path / 'w.resume.pth'}: ") for line in warnings)
    assert epochs_in(tmp_path / "w.resume.pth") == 1
    assert set(files_of(tmp_path)) == {"history.csv", "w.json", "w.pth", "w.resume.pth"}, "no half file is left"
    assert results(tmp_path) == results(whole_run)


def test_weights_that_could_not_be_written_are_written_later(
    tiny_prepared, tmp_path, whole_run, monkeypatch, trained_epochs
):
    def full(path, checkpoint):
        raise UserError(f"cannot write {path}: No space left on device")

    with monkeypatch.context() as patch, pytest.raises(UserError, match="No space left"):
        patch.setattr(run_module, "save_checkpoint", full)
        train(tiny_prepared, tmp_path)
    trained_epochs.clear()
    train(tiny_prepared, tmp_path, resume="must")
    assert trained_epochs == [] and results(tmp_path) == results(whole_run)


@pytest.mark.parametrize(
    ("resume", "states", "advice"),
    [
        ("no", 3, "free some space, then the same command with --resume continues after epoch 3"),
        ("may", 1, "free some space, then the same command continues after epoch 1"),
        ("no", 0, "free some space, then train again: no epoch could be kept"),
    ],
)
def test_the_advice_after_a_full_disk_speaks_of_the_state_that_was_kept(
    tiny_prepared, tmp_path, monkeypatch, resume, states, advice
):
    save, saved = torch.save, []

    def full_after(value, path):
        saved.append(path)
        return save(value, path) if len(saved) <= states else raise_no_space(value, path)

    monkeypatch.setattr(torch, "save", full_after)
    with pytest.raises(UserError, match=f"No space left on device; {advice}$"):
        train(tiny_prepared, tmp_path, resume=resume)


# --- states are written while the training goes on


def test_a_state_is_written_as_it_was_while_the_training_goes_on(tmp_path, monkeypatch):
    may_write, written = threading.Event(), []

    def slow(path, state, identity):
        assert may_write.wait(10)
        written.append(state)

    monkeypatch.setattr(resume_module, "save_state", slow)
    weights = torch.zeros(3)
    with resume_module.StateWriter(tmp_path / "w", {}, 0) as states:
        states.save({"model": {"w": weights}, "kept": None, "history": [{"epoch": 1}]})
        weights.add_(1)  # the next epoch trains
        assert not written and states.kept == 0
        may_write.set()
    assert written[0]["model"]["w"].tolist() == [0, 0, 0] and states.kept == 1, "leaving waits"


def test_an_error_of_the_writing_thread_is_reported_once(tmp_path, monkeypatch):
    def full(path, state, identity):
        raise UserError("cannot write w")

    monkeypatch.setattr(resume_module, "save_state", full)
    with resume_module.StateWriter(tmp_path / "w", {}, 2) as states:
        states.save({"history": []})
        with pytest.raises(UserError, match="cannot write w"):
            states.wait()
        states.wait()
    assert states.kept == 2


# --- finished runs


@pytest.fixture
def finished(whole_run, tmp_path):
    """A copy of the uninterrupted run, its state removed."""
    folder = shutil.copytree(whole_run, tmp_path / "finished")
    resume_path(folder / "w.pth").unlink()
    return folder


def test_finishing_removes_the_state_and_nothing_else(tiny_prepared, tmp_path):
    fitted = train(tiny_prepared, tmp_path, settings=replace(THREE, epochs=1))
    before = files_of(tmp_path)
    assert "w.resume.pth" in before, "until the results are written"
    finish(fitted)
    finish(fitted)
    del before["w.resume.pth"]
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("resume", ["may", "must"])
def test_a_finished_run_is_not_trained_again(tiny_prepared, finished, trained_epochs, capsys, resume):
    before = files_of(finished)
    fitted = train(tiny_prepared, finished, resume=resume)
    assert trained_epochs == [] and files_of(finished) == before
    assert f"{finished / 'w.pth'} is of this run, which has finished" in capsys.readouterr().out
    assert fitted.stopped is None and [row["epoch"] for row in fitted.history] == [1, 2, 3]
    saved = load_tensors(finished / "w.pth")["state_dict"]
    assert all(torch.equal(value, saved[key]) for key, value in fitted.checkpoint.model.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "split", "resume"),
    [({"epochs": 2}, None, "may"), ({}, NO_VALIDATION, "may"), ({}, None, "no")],
    ids=["other settings", "another split", "without --resume"],
)
def test_a_finished_run_does_not_stand_for_another(tiny_prepared, finished, trained_epochs, settings, split, resume):
    settings = replace(THREE, **settings)
    train(tiny_prepared, finished, settings=settings, split=split, resume=resume)
    assert trained_epochs == list(range(1, settings.epochs + 1))
    assert load_tensors(finished / "w.pth")["training"]["epochs"] == settings.epochs


# --- death by SIGKILL

MANY = replace(THREE, epochs=9)
PAUSE = 0.04  # seconds for which half a file lies there, so that moments drawn at random often fall on it
LONGEST = 0.15  # seconds after it began to write its first state that are drawn at most: not enough for all epochs
DRAWN = "drawn"
MOMENTS = [
    ("w.resume.pth", "half written"),
    DRAWN,
    ("w.resume.pth", "not yet renamed"),
    ("w.resume.pth", "renamed"),
    ("w.resume.pth", "half written"),
    DRAWN,
    ("history.csv", "not yet renamed"),
    ("w.pth", "half written"),
    ("w.pth", "renamed"),
]


def be_killed(data, folder):
    """Train on and on in processes that die at `MOMENTS`: how each died, and how many epochs the state then holds.

    They are forked from a process that has computed no gradient: where there is a GPU, torch allows no other.
    """
    importlib.import_module("torch._dynamo")  # an optimiser imports it, for seconds: once, before the processes fork
    torch.set_num_threads(1)
    chance, deaths = random.Random(0), []
    for moment in MOMENTS:
        begun, begin = os.pipe()
        child = os.fork()
        if not child:
            write_slowly_and_die(moment, begin)
            train(data, folder, settings=MANY, resume="may")
            os._exit(0)
        os.close(begin)
        if moment == DRAWN:
            os.read(begun, 1)
            time.sleep(chance.uniform(0, LONGEST))
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.close(begun)
        state = folder / "w.resume.pth"
        deaths.append({"moment": moment, "status": status, "epochs": epochs_in(state) if state.exists() else 0})
    return deaths


def write_slowly_and_die(moment, begin):
    """In a child: report when it begins to write, write tensors in two halves, die at the moment."""
    save, replace_by = torch.save, Path.replace

    def reached(name, what):
        if moment == (name, what):
            os.kill(os.getpid(), signal.SIGKILL)

    def slow_save(value, path):
        os.write(begin, b".")
        buffer = io.BytesIO()
        save(value, buffer)
        written = buffer.getvalue()
        with path.open("wb") as stream:
            stream.write(written[: len(written) // 2])
            stream.flush()
            reached(target_of(path), "half written")
            time.sleep(PAUSE)
            stream.write(written[len(written) // 2 :])

    def watched_replace(path, target):
        reached(target.name, "not yet renamed")
        replace_by(path, target)
        reached(target.name, "renamed")

    torch.save, Path.replace = slow_save, watched_replace


def target_of(temporary):
    """The file that a temporary one is to become: ".w.pth.x1y2.part.pth" is a future "w.pth"."""
    return temporary.name[1:].rsplit(".", 3)[0]


if __name__ == "__main__":
    print(json.dumps(be_killed(Path(sys.argv[1]), Path(sys.argv[2]))))
