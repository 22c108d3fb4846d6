"""The precision of a device, and the errors that mean that its memory is full."""

from __future__ import annotations

import contextlib

import torch

from surgseg.files import find_named


def best_precision(device: torch.device) -> str:
    """Return "bf16" for a GPU that computes in it (NVIDIA from Ampere on, AMD), else "float32"."""
    if device.type != "cuda":
        return "float32"
    native = torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
    return "bf16" if native else "float32"


def autocast(device: torch.device, precision: str):
    """Return a context in which convolutions compute in "float32" or "bf16". Raises `UserError` for other names."""
    dtype = find_named("precision", precision, {"float32": None, "bf16": torch.bfloat16})
    return torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext()


def out_of_memory(error: Exception) -> bool:
    """Return True if `error` means that the memory of the GPU or of the host is full."""
    words = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)
