"""Generate the folders of several videos. Any number of processes may work on the same list of videos at once.

Each process walks all videos and takes the next one that is neither finished nor locked by another process. So it does
not matter how the processes are started, or when; a video whose process was killed is taken by another one.
"""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path

from surgseg.console import PARTIAL
from surgseg.files import LockedError, UserError
from surgseg.generate.folder import read_run
from surgseg.generate.run import VideoRequest, VideoResult, clock, detection_rate, generate, report_video
from surgseg.launch import launched
from surgseg.predict import Predictor
from surgseg.video.inputs import VideoSource

VideoJob = tuple[VideoSource, Path, str]  # a video, its folder, its name
_POLL = 5.0  # seconds between two looks at the videos of other processes


def generate_all(jobs: list[VideoJob], mine: list[VideoJob], request: VideoRequest, predictor: Predictor) -> int:
    """Generate the videos `mine` of `jobs`, the largest first, and print a table of all. Return the exit status.

    A process ends when the videos left are in progress in other processes. Under torchrun it waits for them, because
    torchrun ends all processes when one ends with an error.
    """
    results: dict[str, VideoResult] = {}
    left = sorted(mine, key=lambda job: -job[0].size)
    while left and not any(result.state == "stopped" for result in results.values()):
        in_progress = _walk(left, results, request, predictor)
        if len(in_progress) == len(left):
            if not launched().by_torchrun:
                break
            time.sleep(_POLL)
        left = in_progress
    if launched().rank == 0:
        print_summary(jobs, results)
    states = [results[name].state if name in results else "not begun" for _, _, name in mine]
    if states and all(state == "failed" for state in states):
        return 2
    done = (results[name].whole or results[name].state == "in progress" for _, _, name in mine if name in results)
    return 0 if len(results) == len(mine) and all(done) else PARTIAL


def _walk(
    jobs: list[VideoJob], results: dict[str, VideoResult], request: VideoRequest, predictor: Predictor
) -> list[VideoJob]:
    """Generate each video that no other process holds; put its result into `results`. Return the others."""
    in_progress = []
    for source, folder, name in jobs:
        if name not in results:
            print(f"\n{name}: {source.path.name}", flush=True)
        result = _generate_one(source, folder, name, request, predictor)
        if result.state == "in progress":
            in_progress.append((source, folder, name))
            if name not in results:
                print("In progress in another process")
        results[name] = result
        if result.state == "stopped":
            break
    return in_progress


def _generate_one(
    source: VideoSource, folder: Path, name: str, request: VideoRequest, predictor: Predictor
) -> VideoResult:
    try:
        result = generate(source, folder, name, request, predictor)
    except LockedError:
        return VideoResult(name, folder, "in progress", read_run(folder) or {})
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
