"""The numbers of a comparison of architectures (`comparison.json`): rows, paired differences, missing runs.

A run is one training of one model with one seed on one fold. A pair is two runs of two models with the same seed and
fold, and so with the same training and test frames. Scores are those of the metrics JSON: IoU and Dice of the
instrument classes over all pixels; by video, of their union. Undefined scores are None and left out of means.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models import ARCHITECTURES
from surgseg.files import UserError, natural_key, plain, read_json
from surgseg.scores.intervals import holm, mean_interval, paired_effect, rank_shares, signed_rank

SCHEMA = "surgseg.comparison/1"
SCORES = ("iou", "dice", "accuracy")
COSTS = ("training_seconds", "images_per_s", "peak_memory_mb", "ms_per_frame")
MEASURED_ON = ("device", "peak_memory_of")
IOU_GAIN, VAL_LOSS_GAIN, LOSS_GAIN = 0.005, 0.05, 0.02  # above: still improving. IoU: difference; loss: fraction
ROW_FACTS = ("arch", "label", "pretraining", "pretrained", "parameters", "plan")  # the same for all runs of a model


@dataclass(frozen=True)
class ComparedModel:
    """An architecture in the comparison. `scratch`: it starts from random weights although pretrained ones exist."""

    arch: str
    scratch: bool

    @property
    def label(self) -> str:
        return ARCHITECTURES[self.arch].label + (" from scratch" if self.scratch else "")


def compared_models() -> dict[str, ComparedModel]:
    """Return every model that can be compared, by name, in the order of tables and figures."""
    found = {}
    for arch, architecture in ARCHITECTURES.items():
        found[arch] = ComparedModel(arch, False)
        if architecture.pretraining:
            found[f"{arch}_scratch"] = ComparedModel(arch, True)
    return found


def assemble(header: dict[str, Any], rows: dict[str, dict], missing: list[dict], run: dict[str, Any]) -> dict[str, Any]:
    """Return `comparison.json` of the models' rows. `missing` lists the runs {model, seed, fold} without a result."""
    rows = {name: rows[name] for name in compared_models() if name in rows}
    return {
        "schema": SCHEMA,
        "complete": not missing,
        "missing": missing,
        **header,
        "models": rows,
        "differences": differences(rows),
        "ranking": ranking(rows),
        "run": run,
    }


def model_row(facts: dict[str, Any], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one model's row: `facts`, means of scores and costs over the runs, SD (n - 1) of scores, and the runs."""
    means = {key: _mean(run[key] for run in runs) for key in (*SCORES, *COSTS)}
    sd = {key: mean_interval(run[key] for run in runs)["sd"] for key in SCORES}
    runs = sorted(runs, key=run_key)
    measured = {
        key: ", ".join(dict.fromkeys(str(run[key]) for run in runs if run.get(key))) or None for key in MEASURED_ON
    }
    return {**facts, **means, **measured, "sd": sd, "runs": runs}


def run_key(run: dict[str, Any]) -> tuple[int, int]:
    """Return (seed, fold), by which runs are paired and sorted."""
    return run["seed"], run["fold"] or 0


def differences(rows: dict[str, dict]) -> list[dict[str, Any]]:
    """Return the paired difference of every two models, in the order of the rows.

    `wilcoxon_p_holm` is the p value after Holm's correction for all `pairs_of_models`.
    """
    pairs = [paired_difference(first, second, rows) for first, second in itertools.combinations(rows, 2)]
    adjusted = holm([pair["wilcoxon_p"] for pair in pairs])
    return [{**pair, "wilcoxon_p_holm": p, "pairs_of_models": len(pairs)} for pair, p in zip(pairs, adjusted)]


def paired_difference(first: str, second: str, rows: dict[str, dict]) -> dict[str, Any]:
    """Return first minus second over their paired runs: mean scores, and IoU by video (mean over seeds).

    `mean`, `sd`, `interval`, ... are those of `intervals.mean_interval` of the values in `by_video`. The p value is
    Wilcoxon's signed-rank test of these values, `d_z` and `rank_biserial` are those of `intervals.paired_effect`.
    `iou_runs` counts the pairs in which both runs have an IoU.
    """
    others = {run_key(run): run for run in rows[second]["runs"]}
    pairs = [(run, others[run_key(run)]) for run in rows[first]["runs"] if run_key(run) in others]
    by_video = defaultdict(list)
    for one, other in pairs:
        for video, scores in one["per_video"].items():
            difference = _minus(scores["iou"], other["per_video"].get(video, {}).get("iou"))
            if difference is not None:
                by_video[video].append(difference)
    means = {video: _mean(by_video[video]) for video in sorted(by_video, key=natural_key)}
    interval, test = mean_interval(means.values()), signed_rank(means.values())
    return {
        "first": first,
        "second": second,
        "runs": len(pairs),
        "iou_runs": sum(_minus(one["iou"], other["iou"]) is not None for one, other in pairs),
        **{key: _mean(_minus(one[key], other[key]) for one, other in pairs) for key in SCORES},
        "by_video": means,
        "videos": interval["n"],
        **{key: interval[key] for key in ("mean", "sd", "interval", "level")},
        "interval_method": interval["method"],
        "interval_reason": interval["reason"],
        **paired_effect(means.values()),
        "wilcoxon_p": test["p"],
        "wilcoxon_smallest_p": test["smallest"],
        "wilcoxon_pairs": test["n"],
    }


def ranking(rows: dict[str, dict]) -> dict[str, Any]:
    """Return the models in the order of their mean IoU over the videos, and how stable this order is.

    Only runs count that all models have, and of a run the videos on which all models have an IoU; the IoU of a video is
    its mean over the seeds. `mean_iou` holds that of each model, the best first, `left_out` the videos that do not
    count; `shares` the share of each rank, as `intervals.rank_shares` (whose `reason` says why there are none).
    """
    runs = [{run_key(run): run for run in row["runs"]} for row in rows.values()]
    names = {video: None for own in runs for run in own.values() for video in run["per_video"]}
    scores = defaultdict(list)
    for key in sorted(set.intersection(*map(set, runs))) if runs else ():
        for video in names:
            of_models = [own[key]["per_video"].get(video, {}).get("iou") for own in runs]
            if None not in of_models:
                scores[video].append(of_models)
    by_video = np.array([np.mean(scores[video], axis=0) for video in names if video in scores]).reshape(
        len(scores), len(rows)
    )
    found = rank_shares(by_video)
    means = dict(zip(rows, by_video.mean(0).tolist())) if len(by_video) else {}
    order = sorted(means, key=means.get, reverse=True)
    shares = found["shares"] and dict(zip(rows, found["shares"]))
    return {
        "videos": found["n"],
        "left_out": sorted(names.keys() - scores.keys(), key=natural_key),
        "mean_iou": {name: means[name] for name in order},
        "shares": shares and {name: shares[name] for name in order},
        "resamples": found["resamples"],
        "reason": found["reason"],
    }


def improvement(history: list[dict[str, Any]]) -> dict[str, Any]:
    """Return whether a model was still improving when its training ended, from the rows of its epochs.

    Compares the mean of the last fifth of the epochs with that of the fifth before. The model was improving if the
    validation IoU rose by more than 0.005 or the validation loss fell by more than 5 %; without a validation part, if
    the training loss fell by more than 2 %. Returns improving (None with one epoch or without values), the measure that
    decides, its change (IoU: difference; loss: fraction), epochs, and over (the number of epochs in a fifth).
    """
    epochs = len(history)
    over = max(1, epochs // 5)
    found = {"improving": None, "measure": None, "change": None, "epochs": epochs, "over": over}
    if epochs < 2:
        return found
    parts = history[-over:], history[-2 * over : -over]
    iou, loss = _change(parts, "val_iou"), _change(parts, "val_loss", relative=True)
    measures = [("validation IoU", iou, IOU_GAIN), ("validation loss", loss, -VAL_LOSS_GAIN)]
    if loss is None:
        measures.append(("training loss", _change(parts, "train_loss", relative=True), -LOSS_GAIN))
    known = [
        {"measure": measure, "change": change, "improving": change > least if least > 0 else change < least}
        for measure, change, least in measures
        if change is not None
    ]
    return {**found, **next((one for one in known if one["improving"]), known[0] if known else {})}


def _change(parts: tuple[list[dict], list[dict]], key: str, *, relative: bool = False) -> float | None:
    last, before = (_mean(row.get(key) for row in rows) for rows in parts)
    difference = _minus(last, before)
    if difference is None or not relative:
        return difference
    return difference / before if before else None


def read_comparison(folder: Path) -> dict[str, Any]:
    """Return `comparison.json` of a folder, with means and differences computed again from its runs.

    Raises `UserError` for a file that is missing, broken, of another program, or without a finished run.
    """
    path = Path(folder) / "comparison.json"
    if not path.is_file():
        raise UserError(f"no {path}: train_comparative.py --output-dir {folder} writes it")
    value = read_rows(path)
    if not value["models"]:
        raise UserError(f"{path}: an unfinished comparison without a finished run; run train_comparative.py again")
    return value


def read_rows(path: Path) -> dict[str, Any]:
    """Read a `comparison.json` and compute its means and differences again. Raises `UserError` if it is not valid."""
    again = "move it away and run train_comparative.py again (what is finished is not trained again)"
    try:
        value = plain(read_json(path))  # NaN, which Python reads, becomes None
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise UserError(f"{path} is no comparison of this version ({SCHEMA})")
        rows = {name: _recompute(name, row) for name, row in value["models"].items()}
        missing = [(run["model"], run["seed"], run["fold"]) for run in value["missing"]]
        whole = {"complete": bool(value["complete"]) and not missing, "split": value["split"]}
        return {**value, **whole, "models": rows, "differences": differences(rows), "ranking": ranking(rows)}
    except UserError as error:
        raise UserError(f"{error}: {again}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path} was changed, or is incomplete ({error!r}): {again}") from error


def _recompute(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return a model's row with means computed from its runs. Raises if an entry is missing or of another type."""
    compared_models()[name]  # KeyError for an unknown model
    if not row["runs"]:
        raise ValueError("no runs")
    for run in row["runs"]:
        Path(run["folder"])
        [scores["iou"] for scores in run["per_video"].values()]
    facts = {key: row[key] for key in ROW_FACTS}
    return model_row({**facts, "parameters": int(row["parameters"])}, row["runs"])


def read_histories(folder: Path, comparison: dict[str, Any]) -> tuple[dict[str, list[dict]], list[str]]:
    """Return the history JSON of every run, by model, and a sentence for each file that is missing or of another run.

    Raises `UserError` for a file that is not a history.
    """
    found, problems = defaultdict(list), []
    for name, row in comparison["models"].items():
        for run in row["runs"]:
            path = Path(folder) / run["folder"] / f"{name}_history.json"
            if not path.is_file():
                problems.append(f"{path} is missing")
                continue
            history = read_json(path)
            try:
                same = [history[key] for key in ("model", "seed", "fold")] == [name, run["seed"], run["fold"]]
                seconds = sum(row["seconds"] for row in history["epochs"])  # no two trainings take the same time
            except (KeyError, TypeError) as error:
                raise UserError(f"{path} is no history of a training ({error!r})") from error
            if same and math.isclose(seconds, run["training_seconds"] or 0.0, rel_tol=1e-6):
                found[name].append(history)
            else:
                problems.append(f"{path} is of another run than comparison.json")
    return dict(found), problems


def _mean(values) -> float | None:
    return mean_interval(values)["mean"]


def _minus(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second
