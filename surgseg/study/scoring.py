"""Score a finished run of a comparison on held-out frames, and measure its cost."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from surgseg.data.dataset import Prepared, Sample
from surgseg.evaluation.samples import evaluate_samples
from surgseg.files import UserError, plain, read_json
from surgseg.frames import read_frame
from surgseg.predict import Predictor
from surgseg.scores.report import number
from surgseg.study.comparison import improvement
from surgseg.study.results import Job
from surgseg.training.fit import TrainedRun
from surgseg.training.history import images_per_s, training_seconds
from surgseg.training.machine import Machine

WARM_UP, TIMED = 5, 15  # predictions of one frame; the first ones are slow and not timed


def score_run(
    job: Job, run: TrainedRun, prepared: Prepared, machine: Machine, record, *, void: str, batch_size: int
) -> dict[str, Any]:
    """Return the run's entry in `comparison.json`, scored on the test part, or on the validation part without one.

    Reuses the metrics JSON beside the weights if it is of the same weights, number of frames, part and void policy.
    """
    part = job.split.scored_part
    samples = [prepared.samples[index] for index in job.split.parts[part]]
    path = run.weights_path.with_name(f"{job.model}_metrics.json")
    wanted = {"frames": len(samples), "void_policy": void, "part": part, "data": prepared.data}
    metrics = earlier_metrics(path, wanted, run.checkpoint.sha256)
    if metrics is None:
        metrics = evaluate_samples(
            run.checkpoint,
            samples,
            machine.device,
            batch_size=max(1, batch_size // machine.processes.count),
            metrics_path=path,
            void=void,
            run=record,
            prepared=prepared,
            part=part,
            **job.facts,
            efficiency=efficiency(run, samples[0], machine, record),
        )
    mean = metrics["mean_instrument"]
    print(f"Scored on the {part} part: IoU {number(mean['iou'], '.4f')}, Dice {number(mean['dice'], '.4f')}")
    return run_entry(job, run, metrics)


def earlier_metrics(path: Path, wanted: dict[str, Any], sha256: str) -> dict[str, Any] | None:
    """Return the metrics JSON at `path` if it is of these weights and has the `wanted` entries; None otherwise."""
    try:
        metrics = read_json(path)
        same = metrics["weights"]["sha256"] == sha256 and all(metrics.get(key) == wanted[key] for key in wanted)
        whole = metrics.keys() >= {"efficiency", "scored"} and path.with_name(f"{path.stem}_frames.csv").is_file()
    except (UserError, KeyError, TypeError, AttributeError):  # no file, or not the metrics of a comparison
        return None
    return metrics if same and whole else None


def efficiency(run: TrainedRun, sample: Sample, machine: Machine, record: dict[str, Any]) -> dict[str, Any]:
    """Return the cost of training, the median milliseconds to predict one frame, and the device."""
    peak = run.checkpoint.training.get("peak_memory") or {"mb": None, "of": None}
    return {
        "training_seconds": training_seconds(run.history),
        "images_per_s": images_per_s(run.history),
        "peak_memory_mb": peak["mb"],
        "peak_memory_of": peak["of"],
        "ms_per_frame": ms_per_frame(run, sample, machine),
        "device": record.get("device"),
        "processes": machine.processes.count,
    }


def ms_per_frame(run: TrainedRun, sample: Sample, machine: Machine) -> float:
    """Return the median milliseconds from a decoded frame to its mask at full size, one frame at a time."""
    predictor = Predictor(run.checkpoint, machine.device, batch_size=1)
    frame = read_frame(sample.frame)[None]
    seconds = []
    for _ in range(WARM_UP + TIMED):
        started = time.perf_counter()
        predictor.predict(frame)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds[WARM_UP:])


def run_entry(job: Job, run: TrainedRun, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of one run in `comparison.json`. Undefined scores are None."""
    videos = metrics["per_video"]
    entry = {
        "seed": job.seed,
        "fold": job.fold,
        "folder": job.folder,
        "part": metrics["part"],
        "scored": metrics["scored"],
        "iou": metrics["mean_instrument"]["iou"],
        "dice": metrics["mean_instrument"]["dice"],
        "accuracy": metrics["accuracy"],
        "frames": metrics["frames"],
        "empty_frames": metrics["empty_frames"],
        **metrics["efficiency"],
        "epochs": len(run.history),
        "chosen_epoch": run.chosen_epoch,
        "learning_rate": run.checkpoint.training["settings"]["learning_rate"],
        "improvement": improvement(run.history),
        "per_video": {video: {key: row[key] for key in ("iou", "dice", "frames")} for video, row in videos.items()},
        "test_videos": list(videos),
        "sha256": run.checkpoint.sha256,
    }
    return plain(entry)
