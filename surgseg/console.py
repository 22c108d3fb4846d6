"""What every script uses: parser, shared options, error reporting, device, seeds, run metadata."""

from __future__ import annotations

import argparse
import contextlib
import functools
import math
import os
import platform
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable

from surgseg.files import UserError, plain
from surgseg.launch import launched
from surgseg.threads import cpu_count

PARTIAL = 3  # exit status: only a part of the requested output was written


def make_parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser whose description is the script's docstring, with its line breaks."""
    formatter = functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=32, width=100)
    return argparse.ArgumentParser(description=doc.strip(), formatter_class=formatter, allow_abbrev=False)


def read_all(readers: Iterable[Callable[[], Any]]) -> list:
    """Return what each reader returns. Raises one `UserError` with the errors of all, at most 20."""
    found, errors = [], []
    for read in readers:
        try:
            found.append(read())
        except UserError as error:
            errors.append(str(error))
    if errors:
        raise UserError("; ".join(errors[:20]) + f"; and {len(errors) - 20} more" * (len(errors) > 20))
    return found


def report_errors(work: Callable[..., int | None], *given: Any) -> int:
    """Return the exit status of `work(*given)`. A `UserError` is printed on stderr: status 2. Ctrl-C: status 130."""
    for stream in (sys.stdout, sys.stderr):  # characters that a Windows console cannot show must not end a run
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        return work(*given) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the program that reads the output has ended, for example `| head`
        sys.stdout = None
        return 141
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        return 130


def add_device_option(group) -> None:
    group.add_argument(
        "--device", default="auto", choices=["auto", "cpu", "cuda", "mps"], help="where to compute (default: auto)"
    )


def add_view_option(group) -> None:
    group.add_argument(
        "--view",
        nargs="+",
        metavar=("auto|full|HEIGHT", "WIDTH TOP LEFT"),
        help="what the model sees: the field of view found in each video, the whole frame, or a rectangle in pixels; "
        "all else is background (default: as the training frames of the weights)",
    )


def add_void_option(group) -> None:
    group.add_argument(
        "--void",
        default="ignore",
        choices=["ignore", "background"],
        help="how scores treat void pixels; the original study counted them as background (default: ignore)",
    )


def add_tolerance_option(group) -> None:
    group.add_argument(
        "--tolerance",
        type=_pixels,
        nargs="*",
        default=[2.0, 5.0],
        metavar="PX",
        help="tolerances of the normalised surface Dice (NSD) in pixels of the frame's own size; without a number: no "
        "scores of outlines (default: 2 5)",
    )


def _pixels(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (value := float(text)) < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of pixels from 0")


def add_reviewed_option(group) -> None:
    group.add_argument(
        "--masks-reviewed",
        action="store_true",
        help="a person has checked all masks: masks that a model predicted count as true (default: only if corrected)",
    )


def add_prefer_option(group) -> None:
    group.add_argument(
        "--prefer-reviewed",
        action="store_true",
        help="read the reviewed mask of each frame that has one, and leave out unusable frames (default: read the "
        "predicted masks)",
    )


def resolve_device(name: str):
    """Return the torch device. `auto` takes CUDA, else MPS, else the CPU, with a warning if a GPU cannot be used.

    Raises `UserError` for a device that is absent or that the installed torch has no code for.
    """
    import torch

    from surgseg.devices import missing_code, unused_gpu

    torch.set_num_threads(min(torch.get_num_threads(), cpu_count()))  # torch knows no quota of a container
    process = launched()  # torchrun: each process uses its own GPU
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    reason = ""
    if name in ("auto", "cuda"):
        if not available["cuda"]:
            reason = unused_gpu()
        elif process.local_rank >= torch.cuda.device_count():
            raise UserError("torchrun started more processes than GPUs; set --nproc-per-node to the number of GPUs")
        else:
            reason = missing_code(torch.device("cuda", process.local_rank))
    if reason and (name == "cuda" or process.by_torchrun):  # the processes of torchrun must not take different devices
        raise UserError(f"--device {name}: {reason}, or use --device cpu")
    if reason:
        print(f"WARNING: computing on the CPU: {reason}", file=sys.stderr)
        name = "cpu"
    if name == "auto":
        name = next(key for key in available if available[key])
    if not available[name]:
        raise UserError(f"--device {name}: no such device on this machine; use --device auto or cpu")
    if name != "cuda" or not process.by_torchrun:
        return torch.device(name)
    torch.cuda.set_device(process.local_rank)  # torch makes streams, events and pinned memory on the current device
    return torch.device(name, process.local_rank)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries draw from the global state
    torch.manual_seed(seed)


def let_waiting_threads_sleep() -> None:
    """Keep waiting torch threads from using the cores that decoding and writing need. Call it before torch loads."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def quiet() -> bool:
    """Return True if stderr is no terminal, so that progress bars must not be drawn."""
    return not sys.stderr.isatty()


def git_state() -> dict:
    """Return this repository's commit, and whether its files differ from it; None for both outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    try:
        run = [
            subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, timeout=10, check=True)
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
    return {"commit": run[0].stdout.strip(), "dirty": bool(run[1].stdout.strip())}


def run_metadata(arguments: dict[str, Any], device=None) -> dict[str, Any]:
    """Return what is needed to repeat a result: script, arguments, seed, git commit, versions, device."""
    import numpy
    import torch

    versions = {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": numpy.__version__}
    device_name = device and (torch.cuda.get_device_name(device) if device.type == "cuda" else device.type)
    return {
        "script": Path(sys.argv[0]).name,
        "arguments": {key: plain(arguments[key]) for key in sorted(arguments)},
        "seed": arguments.get("seed"),
        "git": git_state(),
        "versions": versions,
        "device": device_name,
        "cpu_count": cpu_count(),
        "processes": launched().count,
    }
