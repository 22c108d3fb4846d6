"""One training shared by the processes that torchrun starts: whose turn it is, whose part, and sums over all.

Without torchrun there is one process, and everything here does nothing. `--batch-size` counts the frames of all
processes together, so that the same command makes steps of the same frames on one GPU and on eight. They differ in
what looks at one process's frames only: dropout, and batch statistics on CPUs (GPUs share them).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from surgseg.files import UserError
from surgseg.launch import launched

PATIENCE = timedelta(hours=6)  # others wait while one builds the cache, or scores a fold


@dataclass(frozen=True)
class Processes:
    """This process among `count`; `rank` counts over all machines, `local_rank` on this one."""

    rank: int = 0
    local_rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """True in the one process that prints and writes."""
        return self.rank == 0

    def share(self, indices: np.ndarray) -> np.ndarray:
        """This process's part; the parts of all, in the order of their ranks, are the whole."""
        return np.array_split(indices, self.count)[self.rank] if self.count > 1 else indices

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in each of them."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def copy_from_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Overwrite the tensors with those of the first process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def from_first(self, make: Callable[[], Any]) -> Any:
        """What `make` returns in the first process, given to all of them."""
        found = [make() if self.first else None]
        if self.count > 1:
            dist.broadcast_object_list(found, 0)
        return found[0]

    def wait(self) -> None:
        """Until every process has come here."""
        if self.count > 1:
            dist.barrier()

    def in_turn(self) -> Iterator[None]:
        """A loop of one pass that the first process makes first, then one on each machine, then the rest.

        What a pass leaves on disk the later ones find there.
        """
        turn = 0 if self.first else 1 if self.local_rank == 0 else 2
        for now in range(3 if self.count > 1 else 1):
            if now == turn:
                yield
            self.wait()

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model as DistributedDataParallel; itself where there is one process."""
        if self.count == 1:
            return model
        cuda = device.type == "cuda"  # there SyncBatchNorm keeps the statistics of all processes the same
        return nn.parallel.DistributedDataParallel(
            model, device_ids=[device.index] if cuda else None, broadcast_buffers=not cuda
        )


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """The processes that torchrun started, joined for the time of the context; only the first one prints.

    To be entered once: torch does not join the same processes a second time.
    """
    if launched().count == 1:
        yield Processes()
        return
    cuda = device.type == "cuda"
    if device.type == "mps":
        raise UserError("torchrun: Apple's GPU is one device; start without torchrun, or with --device cpu")
    if cuda:
        torch.cuda.set_device(device)
    bound = {"device_id": device} if cuda else {}
    dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE, **bound)
    processes = Processes(dist.get_rank(), launched().local_rank, dist.get_world_size())
    try:
        with contextlib.ExitStack() as stack:
            if not processes.first:
                stack.enter_context(contextlib.redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
            yield processes
    finally:
        if sys.exc_info()[0] is None:  # after an error the others wait for this process: just go, torchrun ends them
            dist.destroy_process_group()
