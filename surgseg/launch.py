"""Which of several processes this one is, read from the environment variables of torchrun and Slurm."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from surgseg.files import UserError


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


def share_of(share: str, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return (number of this process, from 0; count of processes that share the videos) for `share` auto, none or K/N.

    K counts from 1. auto reads the variables of torchrun and of a Slurm array (SLURM_ARRAY_TASK_*). Raises `UserError`.
    """
    process = launched(environment)
    if share != "auto" and process.count > 1:
        raise UserError(f"--share {share} under torchrun, which distributes the videos itself: leave out --share")
    if share == "none":
        return 0, 1
    if share != "auto":
        number, _, count = share.partition("/")
        if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
            raise UserError(f"--share {share}: auto, none, or K/N with K from 1 to N")
        return int(number) - 1, int(count)
    tasks = int(environment.get("SLURM_ARRAY_TASK_COUNT", 1))
    if tasks == 1:
        return process.rank, process.count
    first, last = (int(environment[f"SLURM_ARRAY_TASK_{end}"]) for end in ("MIN", "MAX"))
    step = int(environment.get("SLURM_ARRAY_TASK_STEP", 1)) or 1
    if (last - first) // step + 1 != tasks:
        raise UserError("the tasks of this Slurm array are not evenly numbered; give --share K/N to each")
    task = (int(environment["SLURM_ARRAY_TASK_ID"]) - first) // step
    return task * process.count + process.rank, tasks * process.count
