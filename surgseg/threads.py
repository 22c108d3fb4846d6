"""How many threads this process may use, and results that threads compute ahead. Imports no other module of ours."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def cpu_count(root: Path = Path("/")) -> int:
    """Return how many CPUs this process may use: those of Slurm or taskset, at most the quota of its container.

    The quota is the smallest one of the process's cgroup (v1 or v2) and of the groups above it, rounded up.
    """
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # Windows, macOS
        allowed = os.cpu_count() or 1
    return min([allowed, *(max(1, math.ceil(quota)) for quota in _quotas(root))])


def _quotas(root: Path) -> Iterator[float]:
    """Yield each quota of this process, in CPUs."""
    try:
        groups = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in groups:
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
        group = top / path.lstrip("/")  # in a container this can be the host's path; then only `top` exists
        for folder in [group, *group.parents][: len(group.relative_to(top).parts) + 1]:
            try:
                quota, period = " ".join((folder / name).read_text() for name in names).split()
            except (OSError, ValueError):
                continue
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)


def ahead(pool: ThreadPoolExecutor, work, items, depth: int):
    """Yield `work(item)` in order like `pool.map`, with at most `depth` further items submitted ahead."""
    pending = deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for job in pending:
            job.cancel()


def one_behind(items: Iterable[T]) -> Iterator[T]:
    """Yield the items; take each from `items` before the one before it is used, so that its work has begun."""
    before = None
    for item in items:
        if before is not None:
            yield before
        before = item
    if before is not None:
        yield before
