"""One finished run of a comparison: its scores on held-out frames, and what it cost."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from surgseg.data.dataset import Prepared, Sample
from surgseg.evaluation import evaluate_samples
from surgseg.files import UserError, read_json
from surgseg.frames import read_frame
from surgseg.predict import Predictor
from surgseg.scores.report import number
from surgseg.study.comparison import improvement
from surgseg.study.results import Job
from surgseg.training.fit import TrainedRun
from surgseg.training.history import images_per_s, training_seconds
from surgseg.training.machine import Machine

WARM_UP, TIMED = 5, 15  # predictions of one frame; the first ones are slow


def score_run(
    job: Job, run: TrainedRun, prepared: Prepared, machine: Machine, record, *, void: str, batch_size: int
) -> dict[str, Any]:
    """The run's entry in `comparison.json`, scored on the test part, or where there is none on the validation part.

    The metrics JSON beside the weights is taken as it is where it is of these weights, frames and void policy.
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
            data=prepared.data,
            part=part,
            **job.facts,
            efficiency=efficiency(run, samples[0], machine, record),
        )
    mean = metrics["mean_instrument"]
    print(f"Scored on the {part} part: IoU {number(mean['iou'], '.4f')}, Dice {number(mean['dice'], '.4f')}")
    return run_entry(job, run, metrics)


def earlier_metrics(path: Path, wanted: dict[str, Any], sha256: str) -> dict[str, Any] | None:
    """The metrics JSON that was written for these weights and holds what is `wanted`; None where there is none."""
    try:
        metrics = read_json(path)
        same = metrics["weights"]["sha256"] == sha256 and all(metrics.get(key) == wanted[key] for key in wanted)
        whole = "efficiency" in metrics and path.with_name(f"{path.stem}_frames.csv").is_file()
    except (UserError, KeyError, TypeError, AttributeError):  # none, or no metrics of a comparison
        return None
    return metrics if same and whole else None


def efficiency(run: TrainedRun, sample: Sample, machine: Machine, record: dict[str, Any]) -> dict[str, Any]:
    """What training cost, and milliseconds per frame predicted alone (median), on the device named."""
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
    """Median milliseconds from a decoded frame to its mask at its own size, one frame at a time, after warm-ups."""
    predictor = Predictor(run.checkpoint, machine.device, batch_size=1)
    frame = read_frame(sample.frame)[None]
    seconds = []
    for _ in range(WARM_UP + TIMED):
        started = time.perf_counter()
        predictor.predict(frame)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds[WARM_UP:])


def run_entry(job: Job, run: TrainedRun, metrics: dict[str, Any]) -> dict[str, Any]:
    """What `comparison.json` keeps of one run."""
    videos = metrics["per_video"]
    return {
        "seed": job.seed,
        "fold": job.fold,
        "folder": job.folder,
        "part": metrics["part"],
        "iou": _none_for_nan(metrics["mean_instrument"]["iou"]),
        "dice": _none_for_nan(metrics["mean_instrument"]["dice"]),
        "accuracy": _none_for_nan(metrics["accuracy"]),
        "frames": metrics["frames"],
        **metrics["efficiency"],
        "epochs": len(run.history),
        "chosen_epoch": run.chosen_epoch,
        "learning_rate": run.checkpoint.training["settings"]["learning_rate"],
        "improvement": improvement(run.history),
        "per_video": {
            video: {"iou": _none_for_nan(row["iou"]), "dice": _none_for_nan(row["dice"]), "frames": row["frames"]}
            for video, row in videos.items()
        },
        "test_videos": list(videos),
        "sha256": run.checkpoint.sha256,
    }


def _none_for_nan(value: float | None) -> float | None:
    return None if value is None or value != value else value
