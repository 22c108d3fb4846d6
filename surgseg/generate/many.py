"""Generate the folders of several videos, one after the other. Several processes may share the videos."""

from __future__ import annotations

import datetime
import sys
import traceback
from pathlib import Path

import torch.distributed as dist

from surgseg.console import PARTIAL
from surgseg.files import UserError
from surgseg.generate.folder import read_run
from surgseg.generate.run import VideoRequest, VideoResult, clock, detection_rate, generate, report_video
from surgseg.launch import launched
from surgseg.predict import Predictor
from surgseg.video.inputs import VideoSource

VideoJob = tuple[VideoSource, Path, str]  # a video, its folder, its name
_JOIN_TIMEOUT = datetime.timedelta(minutes=5)
_GATHER_TIMEOUT = datetime.timedelta(days=14)  # a process that is done waits for the videos of the others


def generate_all(jobs: list[VideoJob], mine: list[VideoJob], request: VideoRequest, predictor: Predictor) -> int:
    """Do this process's share `mine` of `jobs` and print a table of all. Return the exit status of the whole run."""
    _join()
    results: dict[str, VideoResult] = {}
    for number, (source, folder, name) in enumerate(mine, 1):
        print(f"\n[{number}/{len(mine)}] {name}: {source.path.name}", flush=True)
        results[name] = _generate_one(source, folder, name, request, predictor)
        if results[name].state == "stopped":
            break
    everyone, names = _gather(results, [name for _, _, name in mine])
    if launched().rank == 0:
        print_summary(jobs, everyone)
    states = [everyone[name].state if name in everyone else "not begun" for name in names]
    if states and all(state == "failed" for state in states):
        return 2
    return 0 if all(name in everyone and everyone[name].whole for name in names) else PARTIAL


def _generate_one(
    source: VideoSource, folder: Path, name: str, request: VideoRequest, predictor: Predictor
) -> VideoResult:
    try:
        result = generate(source, folder, name, request, predictor)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return VideoResult(name, folder, "failed", {}, str(error))
    except KeyboardInterrupt:  # before its first frame
        return VideoResult(name, folder, "stopped", {}, "by Ctrl-C")
    except Exception as error:  # a bug of this program: print all of it, and continue with the other videos
        traceback.print_exc()
        return VideoResult(name, folder, "failed", {}, f"{type(error).__name__}: {error}")
    report_video(result)
    return result


def _join() -> None:
    """Join the process group of torchrun. Raises `UserError` if the other processes do not join within minutes."""
    if launched().count == 1:
        return
    try:
        store, rank, world = next(dist.rendezvous("env://", timeout=_JOIN_TIMEOUT))
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=_GATHER_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"the processes that torchrun started do not find each other ({error})") from error


def _gather(results: dict[str, VideoResult], names: list[str]) -> tuple[dict[str, VideoResult], list[str]]:
    """Wait for all processes that torchrun started; return their results and the names in their shares.

    torchrun ends all processes when one ends with an error, so no process may end while another still works.
    """
    if launched().count == 1:
        return results, names
    gathered: list = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, (results, names))
    dist.destroy_process_group()
    everyone = {name: result for part, _ in gathered for name, result in part.items()}
    return everyone, [name for _, share in gathered for name in share]


def print_summary(jobs: list[VideoJob], results: dict[str, VideoResult]) -> None:
    """Print a table of all `jobs`. A video without an entry in `results` is shown in the state of its folder."""
    print(f"\n{'video':<14}{'frames':>8}{'detected':>10}{'lost':>7}{'suspect':>9}{'covered':>10}  state")
    for source, folder, name in jobs:
        result = results.get(name) or _state_of_folder(folder, name)
        run, state = result.run, f"{result.state}, see above" if result.state == "failed" else result.state
        cells = ["-"] * 5
        if run.get("frames_written"):
            rate = detection_rate(run)
            covered = clock(run["covered_s"]) if "covered_s" in run else "-"
            cells = [run["frames_written"], rate, run["frames_lost"], run["frames_suspect"], covered]
        numbers = "".join(f"{cell:>{width}}" for cell, width in zip(cells, (8, 10, 7, 9, 10)))
        print(f"{name:<14}{numbers}  {state} ({source.path.parent.name}/{source.path.name})")


def _state_of_folder(folder: Path, name: str) -> VideoResult:
    run = read_run(folder)
    if run is None:
        return VideoResult(name, folder, "not begun", {})
    return VideoResult(name, folder, "finished before" if run.get("complete") else "unfinished", run)
