"""What every script needs at its front: shared options, error reporting, device, seeds, run metadata."""

from __future__ import annotations

import argparse
import os
import platform
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

from surgseg.files import UserError, plain
from surgseg.launch import launched

PARTIAL = 3  # exit status: something was written, but not everything that was asked for


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keep the description's line breaks; every help string states its own default."""

    def __init__(self, prog):
        super().__init__(prog, max_help_position=32, width=110)


def make_parser(doc: str) -> argparse.ArgumentParser:
    """A parser whose description is the script's docstring."""
    return argparse.ArgumentParser(description=doc.strip(), formatter_class=HelpFormatter, allow_abbrev=False)


def report_errors(work: Callable[..., int | None], *given: Any) -> int:
    """Run `work(*given)`, a script's work; a `UserError` becomes one line on stderr and exit status 2, Ctrl-C 130."""
    for stream in (sys.stdout, sys.stderr):  # a Windows console's code page must not end a run
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        return work(*given) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        sys.stdout = None
        return 141
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        return 130


def add_device_option(group) -> None:
    group.add_argument(
        "--device",
        default="auto",
        choices=["auto", "cpu", "cuda", "mps"],
        help="where to compute (default: auto)",
    )


def add_void_option(group) -> None:
    group.add_argument(
        "--void",
        default="ignore",
        choices=["ignore", "background"],
        help="void pixels in the scores; background is what the original study did (default: ignore)",
    )


def resolve_device(name: str):
    """`auto` takes CUDA, then MPS, then the CPU; a named device that is absent is a `UserError`."""
    import torch

    mps = getattr(torch.backends, "mps", None)
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": mps is not None and mps.is_available(),
    }
    if name == "auto":
        name = next(key for key in ("cuda", "mps", "cpu") if available[key])
    if not available[name]:
        raise UserError(f"--device {name}: no such device on this machine; use --device auto or cpu")
    process = launched()  # torchrun gives each process a GPU of its own
    if name != "cuda" or not process.by_torchrun:
        return torch.device(name)
    if process.local_rank >= torch.cuda.device_count():
        raise UserError("torchrun: a process without a device of its own; --nproc-per-node takes the number of GPUs")
    torch.cuda.set_device(process.local_rank)  # streams, events and pinned memory belong to the current device
    return torch.device(name, process.local_rank)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries draw from the global state
    torch.manual_seed(seed)


def let_waiting_threads_sleep() -> None:
    """Keep torch's threads from spinning while they wait: decoding and writing need the cores. Before torch loads."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def quiet() -> bool:
    """True where progress bars must not draw: stderr is no terminal."""
    return not sys.stderr.isatty()


def git_state() -> dict:
    """Commit of this repository and whether its files differ from it; empty outside a checkout."""
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
    """What makes a result repeatable: script, arguments, seed, git commit, versions, device."""
    import numpy
    import torch

    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__}
    device_name = None
    if device is not None:
        device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "script": Path(sys.argv[0]).name,
        "arguments": {key: plain(arguments[key]) for key in sorted(arguments)},
        "seed": arguments.get("seed"),
        "git": git_state(),
        "versions": {key: str(value) for key, value in versions.items()},
        "device": device_name,
        "cpu_count": os.cpu_count(),
        "processes": launched().count,
    }
