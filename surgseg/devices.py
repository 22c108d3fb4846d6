"""What a device computes in, and how it says that its memory is full."""

from __future__ import annotations

import contextlib

import torch

from surgseg.files import find_named


def best_precision(device: torch.device) -> str:
    """bf16 where a GPU computes in it (NVIDIA from Ampere on, AMD); float32 everywhere else."""
    if device.type != "cuda":
        return "float32"
    native = torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
    return "bf16" if native else "float32"


def autocast(device: torch.device, precision: str):
    """A context in which convolutions compute in `precision`, "float32" or "bf16". Raises `UserError` for another."""
    dtype = find_named("precision", precision, {"float32": None, "bf16": torch.bfloat16})
    return torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext()


def out_of_memory(error: Exception) -> bool:
    """True for the errors by which torch says so, on a GPU or on the host."""
    words = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)
