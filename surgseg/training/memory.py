"""The most memory that a training took: of the GPU where it runs on one, otherwise of the process."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path
from typing import Any

import torch

CUDA, PROCESS = "cuda allocated", "process resident"


def reset_peak(device: torch.device) -> bool:
    """Begin to watch for a peak; False where this machine keeps none that can be begun anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    with contextlib.suppress(OSError, AttributeError):  # what an earlier training freed counts until it is given back
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak resident size, VmHWM
        return device.type == "cpu" and _resident_peak() is not None
    except OSError:
        return False


def peak_memory(device: torch.device) -> dict[str, Any]:
    """{"mb": 10^6 bytes, "of": "cuda allocated" or "process resident"} since `reset_peak` returned True.

    A process's resident memory holds Python and its libraries too, so it is no smaller than a few hundred MB.
    """
    if device.type == "cuda":
        return {"mb": torch.cuda.max_memory_allocated(device) / 1e6, "of": CUDA}
    return {"mb": _resident_peak(), "of": PROCESS}


def _resident_peak() -> float | None:
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    values = [line.split()[1] for line in text.splitlines() if line.startswith("VmHWM:")]
    return int(values[0]) * 1024 / 1e6 if values else None
