"""What a device can do: run the installed torch, compute in a precision, hold a batch in memory."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess

import torch

from surgseg.files import UserError, find_named

_OLD_GPUS = "PyTorch's build for CUDA 12.6"  # it has code for capabilities from 5.0 on


def missing_code(device: torch.device) -> str:
    """Return why the installed torch has no code for this NVIDIA GPU, and what to install; "" if it has.

    Code for sm_XY runs on GPUs of compute capability X.Y and later ones X.*; PTX for compute_XY on every later GPU.
    """
    own, built = torch.cuda.get_device_capability(device), torch.cuda.get_arch_list()
    if torch.version.hip is not None or not built:  # names of AMD's, or a build that does not tell
        return ""
    for kind, digits, special in re.findall(r"\b(sm|compute)_(\d+)([af]?)\b", " ".join(built)):
        code = divmod(int(digits), 10)
        if own == code or (
            special != "a" and own > code and (own[0] == code[0] or (kind == "compute" and not special))
        ):
            return ""
    advice = _OLD_GPUS if own < (7, 5) else "a newer PyTorch"
    return (
        f"{torch.cuda.get_device_name(device)} (compute capability {own[0]}.{own[1]}) cannot run the installed PyTorch "
        f"{torch.__version__}, which has code for {', '.join(built)}; install {advice} (pytorch.org)"
    )


def unused_gpu() -> str:
    """Return why torch cannot use the GPU that `nvidia-smi` lists, and what to install; "" if it lists none."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):  # the user has hidden it
        return ""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
        name, driver = listed.splitlines()[0].rsplit(", ", 1)
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return ""
    if torch.version.cuda is None:
        return f"the installed PyTorch {torch.__version__} cannot use {name}; install its build for CUDA (pytorch.org)"
    return (
        f"PyTorch {torch.__version__} finds no CUDA device, but nvidia-smi lists {name} with driver {driver}; install "
        f"a driver for CUDA {torch.version.cuda}, or a PyTorch build for an older CUDA (pytorch.org)"
    )


def best_precision(device: torch.device) -> str:
    """Return the fast precision of a GPU: "bf16" (NVIDIA from Ampere on, AMD), else "fp16"; "float32" elsewhere."""
    if device.type != "cuda":
        return "float32"
    native = torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
    return "bf16" if native else "fp16"


def check_precision(device: torch.device, precision: str) -> None:
    """Raise `UserError` if the device does not compute in this precision, or would only emulate it."""
    if precision == "bf16" and best_precision(device) == "fp16":
        raise UserError("--precision bf16: this GPU does not compute in bf16; use auto or fp16")
    if precision == "fp16" and device.type != "cuda":
        raise UserError("--precision fp16 needs an NVIDIA or AMD GPU; use auto or float32")


def usable_precision(device: torch.device, precision: str) -> str:
    """Return the precision, or the device's best one if `check_precision` refuses it: a run begun on another device."""
    try:
        check_precision(device, precision)
    except UserError as error:
        print(f"The run began in {precision}, and goes on in {best_precision(device)} ({error}).")
        return best_precision(device)
    return precision


def autocast(device: torch.device, precision: str):
    """Return a context in which convolutions compute in this precision. Raises `UserError` for an unknown name."""
    dtypes = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    dtype = find_named("precision", precision, dtypes)
    return torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext()


def out_of_memory(error: Exception) -> bool:
    """Return True if `error` means that the memory of the GPU or of the host is full.

    cuDNN says that it finds no engine when none fits into the free memory.
    """
    words = ("out of memory", "can't allocate memory", "ALLOC_FAILED", "unable to find an engine")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)
