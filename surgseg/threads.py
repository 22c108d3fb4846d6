"""Compute results ahead in threads. Imports no other module of this project."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


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
