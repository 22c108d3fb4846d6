"""Work done ahead of whoever waits for it. Imports nothing of ours."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor


def ahead(pool: ThreadPoolExecutor, work, items, depth: int):
    """Like `pool.map`, but never more than `depth` results wait to be taken."""
    waiting = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for job in waiting:
            job.cancel()
