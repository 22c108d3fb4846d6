"""Which of several processes this one is, read from the environment variables of torchrun."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """This process among the `count` of torchrun: `rank` over all machines, `local_rank` on this machine."""

    rank: int = 0
    local_rank: int = 0
    count: int = 1
    by_torchrun: bool = False


def launched(environment: Mapping[str, str] = os.environ) -> Launch:
    """Return this process's `Launch` as torchrun set it; the defaults without torchrun."""
    rank, local_rank = (int(environment.get(key, 0)) for key in ("RANK", "LOCAL_RANK"))
    return Launch(rank, local_rank, int(environment.get("WORLD_SIZE", 1)), "LOCAL_RANK" in environment)
