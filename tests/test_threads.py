"""Work ahead: order, distance, errors. How many threads there may be."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from surgseg import console
from surgseg.threads import ahead, cpu_count, one_behind
from tests.helpers import ROOT


def test_reading_ahead_keeps_order_and_its_distance():
    started = []
    with ThreadPoolExecutor(2) as pool:
        for taken, value in enumerate(ahead(pool, lambda i: started.append(i) or i * i, range(50), 4)):
            assert value == taken**2 and len(started) <= taken + 6
    assert sorted(started) == list(range(50))


def test_an_item_is_begun_before_the_one_before_it_is_used():
    order = []

    def begin():
        for number in range(3):
            order.append(f"begin {number}")
            yield number

    for number in one_behind(begin()):
        order.append(f"use {number}")
    assert order == ["begin 0", "begin 1", "use 0", "begin 2", "use 1", "use 2"]
    assert list(one_behind([])) == [] and list(one_behind([0])) == [0]


V2 = "0::/user/job\n"
V1 = "5:cpuset:/\n4:cpu,cpuacct:/slurm/job\n0::/\n"


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (V2, {}, 8),
        (V2, {"user/job/cpu.max": "max 100000"}, 8),
        (V2, {"user/job/cpu.max": "250000 100000"}, 3),  # 2.5, rounded up
        (V2, {"user/job/cpu.max": "400000 100000", "user/cpu.max": "150000 100000"}, 2),  # the group above allows less
        (V2, {"cpu.max": "200000 100000"}, 2),  # in a container: its group is the top
        (V2, {"user/job/cpu.max": "5000 100000"}, 1),
        (V2, {"user/job/cpu.max": "1600000 100000"}, 8),  # more than there are
        ("0::/\n", {"cpu.max": "200000 100000"}, 2),
        (V1, {"cpu/slurm/job/cpu.cfs_quota_us": "-1", "cpu/slurm/job/cpu.cfs_period_us": "100000"}, 8),
        (V1, {"cpu/slurm/job/cpu.cfs_quota_us": "300000", "cpu/slurm/job/cpu.cfs_period_us": "100000"}, 3),
        (V1, {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "25000"}, 2),
        (None, {"cpu.max": "200000 100000"}, 8),  # no Linux
    ],
)
def test_threads_are_those_of_the_job_and_not_of_the_machine(tmp_path, monkeypatch, groups, files, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 96)
    for name, text in {f"sys/fs/cgroup/{name}": text for name, text in files.items()}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    if groups is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups)
    assert cpu_count(tmp_path) == expected


def test_without_affinity_the_machine_counts(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for found, expected in ((6, 6), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda found=found: found)
        assert cpu_count(tmp_path) == expected


def test_torch_takes_no_more_threads_than_the_quota(monkeypatch):
    set_to = []
    monkeypatch.setattr(console, "cpu_count", lambda: 3)
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    for threads in (8, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        console.resolve_device("cpu")
    assert set_to == [3, 2]


def test_nobody_else_asks_for_the_machines_cpus():
    places = [path for folder in ("surgseg", "models", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.py")]
    asking = "os.cpu_" + "count"
    assert [path.name for path in [*places, *ROOT.glob("*.py")] if asking in path.read_text("utf-8")] == ["threads.py"]
