"""Share one training between the processes that torchrun starts: turns, parts of the frames, sums over all processes.

Without torchrun there is one process, and these functions change nothing. `--batch-size` counts the frames of all
processes together, so the same command makes steps of the same frames on one GPU and on eight. Only operations on one
process's frames differ: dropout, and batch statistics unless they are shared (`batches.shares_statistics`).
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

WAIT_LIMIT = timedelta(hours=6)  # the other processes wait while one builds the cache or scores a fold
STEP_LIMIT = timedelta(minutes=30)  # for sums and gradients: a process that does not answer has failed


@dataclass(frozen=True)
class Processes:
    """This process, one of `count`. `rank` is its number among all processes, `local_rank` on its machine.

    `patient` is the group, on the CPUs, for objects and long waits; None is the default group.
    """

    rank: int = 0
    local_rank: int = 0
    count: int = 1
    patient: dist.ProcessGroup | None = None

    @property
    def first(self) -> bool:
        """True in the process that prints and writes."""
        return self.rank == 0

    def share(self, indices: np.ndarray) -> np.ndarray:
        """This process's part of the indices. The parts of all processes, in the order of rank, are the whole."""
        return np.array_split(indices, self.count)[self.rank] if self.count > 1 else indices

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum over all processes. Changes `tensor`."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def copy_from_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Overwrite the tensors with those of the first process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def from_first(self, make: Callable[[], Any]) -> Any:
        """Call `make` in the first process; return its result in all processes."""
        result = [make() if self.first else None]
        if self.count > 1:
            dist.broadcast_object_list(result, 0, self.patient)
        return result[0]

    def wait(self) -> None:
        """Wait until every process has called this."""
        if self.count > 1:
            dist.all_reduce(torch.zeros(1), group=self.patient)

    def in_turn(self) -> Iterator[None]:
        """Yield once in each process: first in the first process, then in one on each machine, then in the others.

        So later processes can use the files that earlier ones have written.
        """
        own_turn = 0 if self.first else 1 if self.local_rank == 0 else 2
        for turn in range(3 if self.count > 1 else 1):
            if turn == own_turn:
                yield
            self.wait()

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Return the model in DistributedDataParallel, or the model itself if there is one process."""
        if self.count == 1:
            return model
        return nn.parallel.DistributedDataParallel(
            model,
            device_ids=[device.index] if device.type == "cuda" else None,
            broadcast_buffers=False,  # training reads no statistics, and `Trainer.validate` takes those of the first
            gradient_as_bucket_view=True,  # no second copy of the gradients
        )


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the processes that torchrun started, inside the context. Only the first process prints.

    Enter it only once: torch cannot join the same processes a second time.
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
    dist.init_process_group("nccl" if cuda else "gloo", timeout=STEP_LIMIT, **bound)
    patient = dist.new_group(backend="gloo", timeout=WAIT_LIMIT)
    processes = Processes(dist.get_rank(), launched().local_rank, dist.get_world_size(), patient)
    try:
        with contextlib.ExitStack() as stack:
            if not processes.first:
                stack.enter_context(contextlib.redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
            yield processes
    finally:
        if sys.exc_info()[0] is None:  # after an error the others wait for this process: only exit, torchrun ends them
            dist.destroy_process_group()
