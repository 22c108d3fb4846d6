"""Compute results ahead in threads. Imports no other module of this project."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor


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
