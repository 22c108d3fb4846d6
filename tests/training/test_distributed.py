"""Two processes on the CPU: the curve, the files and the words of one, and an end where one of them fails."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import instrument_segmentation
import surgseg.figures.examples
import surgseg.run_training
import surgseg.training.fit as module
from models import build_model
from surgseg import console
from surgseg.checkpoint import load_checkpoint
from surgseg.data.cache import open_cache
from surgseg.data.dataset import load_prepared
from surgseg.data.splits import Split
from surgseg.files import UserError, read_csv, read_json, write_json
from surgseg.labels import SCHEMES
from surgseg.launch import Launch
from surgseg.training import distributed
from surgseg.training.batches import shares_statistics
from surgseg.training.config import ModelConfig, TrainConfig
from surgseg.training.distributed import Processes, joined
from surgseg.training.fit import check_run, fit
from surgseg.training.loop import Trainer
from surgseg.training.machine import Machine
from tests.configs import resolved
from tests.helpers import ROOT

CPU = torch.device("cpu")
MODEL = ModelConfig(arch="unet", base_channels=2, image_size=(32, 48), weights="none")
TRAIN = resolved(epochs=2, batch_size=4, learning_rate=0.01, freeze_norm=True)  # batch statistics differ by process
SCORES = ("train_loss", "val_loss", "val_iou", "val_dice", "val_accuracy", "learning_rate")
WAIT = 150  # seconds; a launch that hangs is ended and fails its test
BORDER = "--- the script ---"  # before and after what the script prints


@dataclass(frozen=True)
class Case:
    """A training on some rows of the data: 0-8 train, 9-11 validate."""

    config: TrainConfig = TRAIN
    train: int = 9
    val: int = 3
    resume: str = "no"


CASES = {
    "odd parts": Case(),  # 9 frames in batches of 3, shared as 2 and 1; 3 validate
    "one validation frame": Case(val=1),  # the second process has none
    "no validation part": Case(val=0),
    "a batch of one each": Case(replace(TRAIN, batch_size=2), train=5),
    "accumulated": Case(replace(TRAIN, batch_size=3, accumulate=2, class_weights="inverse")),
    "thawed backbone": Case(replace(TRAIN, epochs=3, freeze_backbone=1, accumulate=2, batch_size=2)),
    "resumed": Case(replace(TRAIN, epochs=3), resume="must"),
}
MOVING_STATISTICS = Case(replace(TRAIN, freeze_norm=False))


def run_case(case, data, folder, processes, resume):
    prepared = load_prepared(data)
    rows = {"train": np.arange(case.train), "val": np.arange(9, 9 + case.val), "test": np.arange(12, 15)}
    assignment = {prepared.samples[row].name: part for part in rows for row in rows[part]}
    torch.manual_seed(0)
    return fit(
        prepared,
        Split("test", "frame", assignment, rows),
        MODEL,
        case.config,
        Machine(CPU, folder / "cache", processes),
        weights_path=folder / "w.pth",
        history_path=folder / "history.csv",
        record={},
        resume=resume,
    )


def work(data, broken, folder):
    """What each of two processes does when torchrun starts this file; ends as a script does that meets bad data.

    They are joined once: PyTorch's gloo does not meet a second time where torchrun keeps the addresses of the first.
    """
    torch.set_num_threads(1)
    with joined(CPU) as processes:
        print("joined")
        write_json(folder / f"rank{processes.rank}.json", exchange(processes))
        run_script(options(data, folder / "script"), processes)
        draw_nothing(setattr)
        for name, case in {**CASES, "moving statistics": MOVING_STATISTICS}.items():
            run_case(case, data, folder / name, processes, case.resume)
        args = parsed(data, folder / "folds", "--folds", "2", "--epochs", "1")
        machine = Machine(CPU, args.cache_dir, processes)
        assert instrument_segmentation.train_on(args, load_prepared(data), machine) == 0
        args = parsed(broken, folder / "broken")
        machine = Machine(CPU, args.cache_dir, processes)
        instrument_segmentation.train_on(args, load_prepared(broken), machine)


def run_script(argv, processes):
    """Run the script as torchrun starts it, in processes that are joined already."""
    print(BORDER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed, "joined", lambda device: contextlib.nullcontext(processes))
        assert instrument_segmentation.main(argv) == 0
    print(BORDER)


def exchange(processes):
    made = []
    mine = torch.full((3,), float(processes.rank))
    processes.copy_from_first([mine])
    given = processes.from_first(lambda: made.append("made") or {"a": torch.tensor([7])})
    total = processes.sum(torch.tensor([processes.rank + 1]))
    return {"sum": total.item(), "from_first": given["a"].item(), "made": made, "copied": mine.tolist()}


def parsed(*given):
    return instrument_segmentation.build_parser().parse_args(options(*given))


def draw_nothing(set_attribute):
    set_attribute(surgseg.figures.examples, "draw_examples", lambda examples, scheme, path, **options: path)
    set_attribute(surgseg.run_training, "draw_training_loss", lambda history, path, **options: path)


def options(data, folder, *more):
    argv = ["--arch", "unet", "--base-channels", "2", "--image-size", "32", "48", "--device", "cpu", "--freeze-norm"]
    argv += ["--data-root", str(data), "--output-dir", str(folder / "out"), "--save-preds", str(folder / "preds")]
    return [*argv, "--cache-dir", str(folder / "cache"), "--lr", "0.01", "--epochs", "2", *more]


def torchrun(*argv):
    """Start two processes as users do. What a torchrun has told this process is none of theirs."""
    kept = {key: value for key, value in os.environ.items() if key not in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, argv)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", cwd=ROOT,
        env={**kept, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def finish(launch):
    """Its exit status, output and errors. A launch that hangs is ended, and its processes with it, and fails."""
    try:
        out, err = launch.communicate(timeout=WAIT)
    except subprocess.TimeoutExpired:
        launch.terminate()
        out, err = launch.communicate(timeout=60)
        pytest.fail(f"did not end within {WAIT} s\n{out}\n{err}")
    return launch.returncode, out, err


@pytest.fixture(scope="module")
def data(make_prepared, tmp_path_factory):
    """9 frames to train, 3 to validate, 3 to test."""
    parts = {"video01": "train", "video02": "train", "video03": "train", "video04": "val", "video05": "test"}
    return make_prepared(tmp_path_factory.mktemp("data") / "prepared", parts, frames=3)


class Launched:
    """What a launch of `work` left: exit status, what the script printed, other text, and folders.

    The run to be resumed was interrupted in one process.
    """

    def __init__(self, data, root):
        self.cases, self.broken = root / "cases", root / "broken"
        self.script = self.cases / "script"
        shutil.copytree(data, self.broken)
        (self.broken / "masks" / "video02_000001.png").write_bytes(b"broken")
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
            patch.setattr(module, "epoch_block", interrupt_after_one_epoch)
            run_case(CASES["resumed"], data, self.cases / "resumed", Processes(), "no")
        launch = torchrun("-m", "tests.training.test_distributed", data, self.broken, self.cases)
        self.status, out, self.err = finish(launch)
        before, self.script_out, after = (out + 2 * BORDER).split(BORDER)[:3]
        self.out = before + after


@pytest.fixture(scope="module")
def launched(data, tmp_path_factory):
    return Launched(data, tmp_path_factory.mktemp("launched"))


@pytest.fixture
def cases(launched):
    """The folder of the cases, all of which went through."""
    assert (launched.cases / "folds" / "out" / "folds.json").is_file(), launched.err
    return launched.cases


def interrupt_after_one_epoch(row, epochs):
    if row["epoch"] == 2:
        raise KeyboardInterrupt
    return ""


def curve(path):
    """{column: [value of each epoch]} of a history file."""
    rows = read_csv(path)
    return {key: [float(row[key] or "nan") for row in rows] for key in SCORES}


def assert_same_curve(found, wanted):
    assert len(found["train_loss"]) == len(wanted["train_loss"]) > 1
    for key in SCORES:
        assert found[key] == pytest.approx(wanted[key], abs=1e-4, nan_ok=True), key


@pytest.mark.parametrize("name", CASES)
def test_two_processes_make_the_curve_of_one(cases, data, tmp_path, name, capsys):
    run_case(CASES[name], data, tmp_path, Processes(), "no")
    assert_same_curve(curve(cases / name / "history.csv"), curve(tmp_path / "history.csv"))


def test_what_two_processes_train_is_what_one_trains(cases, data, tmp_path, capsys):
    alone = run_case(CASES["odd parts"], data, tmp_path, Processes(), "no").checkpoint.model.state_dict()
    together = load_checkpoint(cases / "odd parts" / "w.pth").model.state_dict()
    for key, value in alone.items():
        torch.testing.assert_close(together[key], value, atol=1e-4, rtol=1e-4, msg=lambda text, key=key: f"{key}{text}")


def test_what_was_validated_is_what_was_saved(cases, data, tmp_path):
    """On CPUs each process gathers statistics of its own; those of the first are validated everywhere."""
    loaded = load_checkpoint(cases / "moving statistics" / "w.pth")
    cache = open_cache(load_prepared(data).samples, (32, 48), SCHEMES["binary"], tmp_path)
    scores = Trainer(loaded.model, cache, loaded.scheme, CPU, MOVING_STATISTICS.config).validate(np.arange(9, 12))
    assert scores == pytest.approx(loaded.metrics, abs=1e-5)


def test_values_are_summed_copied_and_given_to_all(cases):
    found = [read_json(cases / f"rank{rank}.json") for rank in range(2)]
    assert [item["sum"] for item in found] == [3, 3]
    assert [item["from_first"] for item in found] == [7, 7]
    assert [item["made"] for item in found] == [["made"], []]
    assert [item["copied"] for item in found] == [[0.0] * 3] * 2


def test_only_the_first_process_speaks_while_they_are_joined(launched, cases):
    out = launched.out
    assert out.count("joined") == 1 and out.count("Resumed after epoch 1 of 3.") == 1
    assert out.count("2 processes, device cpu") == len(CASES) + 1 + 2, "the cases, two folds"


def test_folds_are_scored_in_the_first_process_while_the_other_waits(launched, cases):
    folds = read_json(cases / "folds" / "out" / "folds.json")
    videos = [video for row in folds["folds"] for video in row["test_videos"]]
    assert sorted(videos) == [f"video0{number}" for number in range(1, 6)]
    assert launched.out.count("FOLD 2 OF 2") == launched.out.count("CROSS-VALIDATION") == 1


def test_the_cache_is_built_once_and_nothing_half_made_is_left(cases):
    for name in CASES:
        (cache,) = (cases / name / "cache").iterdir()
        assert cache.name.startswith("32x48-")
        written = {"w.pth", "w.json", "w.resume.pth", "history.csv", "cache"}
        before = {"w.pth.prev"} if name == "resumed" else set()
        assert {path.name for path in (cases / name).iterdir()} == written | before


def test_torchrun_writes_and_says_what_a_single_process_does(launched, cases, data, tmp_path, monkeypatch, capsys):
    folder, out = launched.script, launched.script_out
    draw_nothing(monkeypatch.setattr)
    assert instrument_segmentation.main(options(data, tmp_path)) == 0
    assert_same_curve(curve(folder / "out" / "history.csv"), curve(tmp_path / "out" / "history.csv"))
    together, alone = (json.loads((root / "out" / "metrics.json").read_text()) for root in (folder, tmp_path))
    assert together["frames"] == alone["frames"] == 3
    for key in ("iou", "dice", "precision", "recall"):  # at native size, where a pixel counts for about 0.001
        assert together["instrument_union"][key] == pytest.approx(alone["instrument_union"][key], abs=5e-3)
    said = capsys.readouterr().out
    for words in ("LAPAROSCOPIC INSTRUMENT SEGMENTATION", "Model: unet", "Epoch 1/2", "EVALUATION METRICS", "Written:"):
        assert out.count(words) == said.count(words) == 1
    assert "2 processes, device cpu" in out and "processes" not in said


def test_torchrun_leaves_each_file_once_and_no_other(launched, cases):
    folder = launched.script
    (cache,) = (folder / "cache").iterdir()
    assert {path.name for path in cache.iterdir()} == {"cache.json", "checksums.npy", "frames.npy", "masks.npy"}
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if cache not in path.parents) == [
        "cache", cache.relative_to(folder).as_posix(), "out", "out/figures", "out/figures/segmentation_results.json",
        "out/figures/segmentation_results.png", "out/figures/training_loss.png", "out/history.csv",
        "out/instrument_segmentation_model.json", "out/instrument_segmentation_model.pth", "out/metrics.json",
        "out/metrics_frames.csv", "preds", "preds/predictions.json",
        *(f"preds/video05_{number:06d}.png" for number in range(3)),
    ]  # fmt: skip


def test_an_error_in_the_first_process_ends_the_launch(launched, cases):
    """The broken mask is found while the cache is built; the other process waits for it."""
    assert launched.status != 0
    (line,) = [line for line in launched.err.splitlines() if line.startswith("error: ")]
    assert "1 of 15 frames" in line and "video02_000001.png" in line
    assert [path.name for path in (cases / "broken").iterdir()] == ["cache"]
    assert list((cases / "broken" / "cache").iterdir()) == []


@pytest.mark.slow
def test_torchrun_starts_the_script_itself(data, tmp_path):
    status, out, err = finish(torchrun("instrument_segmentation.py", *options(data, tmp_path)))
    assert status == 0, err
    assert out.count("2 processes, device cpu") == 1 and (tmp_path / "out" / "metrics.json").is_file()


@given(st.integers(0, 40), st.integers(1, 9))
def test_shares_are_even_and_cover_everything_once_in_order(count, processes):
    indices = np.random.default_rng(count).permutation(count)
    shares = [Processes(rank, rank, processes).share(indices) for rank in range(processes)]
    assert np.array_equal(np.concatenate(shares), indices)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_first_process_goes_first_then_one_on_each_machine_then_the_rest():
    """Two machines of three processes, as threads."""
    barrier, passes, lock = threading.Barrier(6, timeout=20), [], threading.Lock()

    class Threads(Processes):
        def wait(self):
            barrier.wait()

    def go(processes):
        for _ in processes.in_turn():
            with lock:
                passes.append(processes.rank)
            time.sleep(0.02)  # whoever does not wait comes too early
            with lock:
                passes.append(processes.rank)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(go, [Threads(rank, rank % 3, 6) for rank in range(6)]))
    assert passes[:4] == [0, 0, 3, 3] and sorted(passes[4:]) == [1, 1, 2, 2, 4, 4, 5, 5]


def test_alone_there_is_nothing_to_wait_for():
    model, made = torch.nn.Linear(2, 2), []
    with joined(CPU) as processes:
        assert processes == Processes() and processes.first and not torch.distributed.is_initialized()
        assert [made.append("pass") for _ in processes.in_turn()] == [None]
        assert processes.wrap(model, CPU) is model and processes.from_first(lambda: 5) == 5
        assert processes.sum(torch.tensor(3)).item() == 3 and processes.share(np.arange(4)).tolist() == [0, 1, 2, 3]


def test_gpus_wait_briefly_for_steps_and_long_for_files_and_objects_on_the_cpu(monkeypatch):
    """Objects go over the CPU: a resumed state would take its size on every GPU."""
    calls = []

    def record(name, result=None):
        return lambda *given, **options: calls.append((name, given, options)) or result

    monkeypatch.setattr(distributed, "launched", lambda: Launch(0, 0, 2, True))
    monkeypatch.setattr(torch.cuda, "set_device", record("set_device"))
    for name, result in {
        "init_process_group": None, "new_group": "on the CPU", "get_rank": 0, "get_world_size": 2,
        "broadcast_object_list": None, "all_reduce": None, "destroy_process_group": None,
    }.items():  # fmt: skip
        monkeypatch.setattr(distributed.dist, name, record(name, result))
    with joined(CUDA) as processes:
        processes.from_first(dict)
        processes.wait()
        processes.sum(torch.zeros(1))
    found = {name: (given, options) for name, given, options in calls[:4]}
    assert found["init_process_group"] == (("nccl",), {"timeout": timedelta(minutes=30), "device_id": CUDA})
    assert found["new_group"] == ((), {"backend": "gloo", "timeout": timedelta(hours=6)})
    objects, wait, gradients, _ = calls[-4:]
    assert objects == ("broadcast_object_list", ([{}], 0, "on the CPU"), {})
    assert wait[1][0].device.type == "cpu" and wait[2] == {"group": "on the CPU"}
    assert gradients[2] == {}, "sums of GPU tensors are NCCL's"


def test_gradients_exist_once(monkeypatch):
    wrapped = []
    monkeypatch.setattr(torch.nn.parallel, "DistributedDataParallel", lambda model, **given: wrapped.append(given))
    for device, ids in ((CUDA, [1]), (CPU, None)):
        TWO.wrap(torch.nn.Linear(2, 2), device)
        assert wrapped.pop() == {"device_ids": ids, "broadcast_buffers": False, "gradient_as_bucket_view": True}


@pytest.mark.parametrize(
    ("count", "device", "batch_size", "shared"),
    [(2, "cuda", 15, True), (2, "cuda", 16, False), (8, "cuda", 63, True), (1, "cuda", 2, False), (2, "cpu", 4, False)],
)
def test_statistics_are_shared_between_gpus_with_fewer_than_8_frames_each(count, device, batch_size, shared):
    assert shares_statistics(Processes(0, 0, count), torch.device(device), batch_size) is shared


TWO, CUDA = Processes(1, 1, 2), torch.device("cuda", 1)
DEEPLAB = replace(MODEL, arch="deeplabv3")


@pytest.mark.parametrize(
    ("model", "device", "batch_size", "freeze_norm", "least"),
    [
        (MODEL, CPU, 1, True, 2),
        (MODEL, CUDA, 1, True, 2),
        (DEEPLAB, CPU, 3, False, 4),  # each process normalises its own frames: two each
        (DEEPLAB, CUDA, 1, False, 2),  # batch statistics go over all GPUs
        (DEEPLAB, CPU, 1, True, 2),
    ],
)
def test_a_batch_too_small_for_all_processes_is_refused(model, device, batch_size, freeze_norm, least):
    settings = replace(TRAIN, batch_size=batch_size, freeze_norm=freeze_norm)
    machine = Machine(device, Path("cache"), TWO)
    with pytest.raises(UserError, match=rf"--batch-size {batch_size}: at least {least} is needed for 2 processes"):
        check_run(model, settings, machine)
    check_run(model, replace(settings, batch_size=least), machine)


class Alone(Processes):
    """One of several processes, tried by itself: its share of the work, and nothing from the others."""

    def sum(self, tensor):
        return tensor

    def copy_from_first(self, tensors):
        pass

    def wrap(self, model, device):
        return model


def test_no_process_of_a_deeplab_gets_a_single_frame(data, tmp_path):
    """9 frames in batches of at most 4 are three batches of 3; on CPUs the second process would get one of each."""
    cache = open_cache(load_prepared(data).samples, (32, 48), SCHEMES["binary"], tmp_path)
    settings = replace(TRAIN, epochs=1, freeze_norm=False)
    model = build_model("deeplabv3", 2)
    trainer = Trainer(
        model, cache, SCHEMES["binary"], CPU, settings, architecture=DEEPLAB.architecture, processes=Alone(1, 1, 2)
    )
    trainer.run(np.arange(9), np.array([], np.int64))
    assert trainer.history


def test_fewer_frames_than_processes_are_refused(data, tmp_path):
    cache = open_cache(load_prepared(data).samples, (32, 48), SCHEMES["binary"], tmp_path)
    model = build_model("unet", 2, base_channels=2)
    trainer = Trainer(model, cache, SCHEMES["binary"], CPU, replace(TRAIN, batch_size=4), processes=Alone(3, 3, 4))
    with pytest.raises(UserError, match="3 training frames: 4 or more"):
        trainer.run(np.arange(3), np.array([], np.int64))


if __name__ == "__main__":
    raise SystemExit(console.report_errors(lambda folders: work(*folders), [Path(name) for name in sys.argv[1:]]))
