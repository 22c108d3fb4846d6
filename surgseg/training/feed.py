"""Batches of cache rows on the training device, from its own memory or streamed to it in advance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from surgseg.data.cache import Cache
from surgseg.files import check_named
from surgseg.threads import ahead
from surgseg.training.config import PLACES

MEMORY_SHARE = 0.5  # of a GPU's free memory that a resident cache may take
PREFETCHED = 4  # batches kept ready in pinned memory


class Batch(NamedTuple):
    """Cache `rows` (N,) int64, `frames` (N, 3, H, W) uint8 RGB and `masks` (N, H, W) uint8, on the device."""

    rows: torch.Tensor
    frames: torch.Tensor
    masks: torch.Tensor


class Feed:
    """Yields batches of cache rows on `device`.

    `place` is the memory of the cache for a CUDA device. "cuda": the GPU's memory. "cpu": the page cache, from which a
    thread reads into pinned memory. "auto": "cuda" if the cache fits. For any other device, rows are read directly.
    """

    def __init__(self, cache: Cache, device: torch.device, place: str = "auto"):
        check_named("place of the cache", place, PLACES)
        self.cache, self.device = cache, device
        if place == "auto":
            place = "cuda" if device.type == "cuda" and _fits(cache, device) else "cpu"
        self.resident = None
        if place == "cuda" and device.type == "cuda":
            self.resident = tuple(_uploaded(array, device) for array in (cache.frames, cache.masks))

    @property
    def place(self) -> str:
        """The place of the cache in words, for the console."""
        if self.resident is not None:
            return "in GPU memory"
        return "streamed through pinned memory" if self.device.type == "cuda" else "memory-mapped"

    def stream(self, batches: Sequence[np.ndarray]) -> Iterator[Batch]:
        """Yield one `Batch` for each array of row numbers, in order."""
        if self.resident is not None:
            yield from self._stream_resident(batches)
        elif self.device.type == "cuda":
            with ThreadPoolExecutor(1) as pool:
                for pinned in ahead(pool, self._pin, batches, PREFETCHED):
                    yield _batch(*(tensor.to(self.device, non_blocking=True) for tensor in pinned))
        else:
            for rows in batches:
                yield _batch(*(tensor.to(self.device) for tensor in self._read(rows)))

    def _stream_resident(self, batches: Sequence[np.ndarray]) -> Iterator[Batch]:
        """Copy the row numbers of all batches to the device at once, so that no batch waits for the host."""
        lengths = [len(rows) for rows in batches]
        if not sum(lengths):
            return
        order = torch.from_numpy(np.concatenate(batches)).to(self.device)
        for rows in order.split(lengths):
            yield _batch(rows, *(array[rows] for array in self.resident))

    def _read(self, rows: np.ndarray) -> list[torch.Tensor]:
        return [torch.from_numpy(array) for array in (rows, self.cache.frames[rows], self.cache.masks[rows])]

    def _pin(self, rows: np.ndarray) -> list[torch.Tensor]:
        return [tensor.pin_memory() for tensor in self._read(rows)]


def _batch(rows: torch.Tensor, frames: torch.Tensor, masks: torch.Tensor) -> Batch:
    return Batch(rows, frames.permute(0, 3, 1, 2), masks)


def _fits(cache: Cache, device: torch.device) -> bool:
    # torch keeps freed memory of an earlier run in this process: it is free too
    reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + reusable
    return cache.frames.nbytes + cache.masks.nbytes <= MEMORY_SHARE * free


def _uploaded(array: np.ndarray, device: torch.device, chunk: int = 256) -> torch.Tensor:
    """Copy in chunks, since a memory map can be larger than the host's memory."""
    whole = torch.empty(array.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(array), chunk):
        whole[start : start + chunk] = torch.from_numpy(np.array(array[start : start + chunk])).to(device)
    return whole
