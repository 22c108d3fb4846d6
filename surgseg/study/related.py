"""Other results in the report of a run: a cross-validation, a comparison of models, and one of two sets of labels.

A file is refused if it is not of the weights, or the data, of the report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from surgseg.data.seen import trained_splits, trained_videos
from surgseg.evaluation.label_report import LABELS_SCHEMA, PAIRS
from surgseg.files import UserError, list_some, read_json
from surgseg.scores.report import number
from surgseg.study.comparison import read_rows
from surgseg.study.report import comparison_paragraphs, run_name
from surgseg.study.run_facts import MISSING, RunFacts, interval_table, markdown_table, own_hashes


def read_folds(path: Path, metrics: dict[str, Any], weights: dict[str, Any]) -> dict[str, Any]:
    """Read folds.json. The weights of the report are those of a fold, or others of the same architecture whose scored
    videos the folds test, on data of the same kind. Raises `UserError` if they are neither."""
    folds = read_json(path)
    rows = folds.get("folds") if isinstance(folds, dict) else None
    if not rows or not all("weights" in row for row in rows):
        raise UserError(
            f"{path} is no folds.json, or of an earlier version: instrument_segmentation.py --folds K --resume writes "
            "it, and does not train finished folds again"
        )
    if own_hashes(metrics, weights) & {row["weights"]["sha256"] for row in rows}:
        return folds
    tested = {video for row in rows for video in row["test_videos"]}
    kinds = {(row["weights"]["arch"], row["data"]) for row in rows}
    if kinds != {(weights["arch"], metrics["data"])} or not metrics["per_video"].keys() <= tested:
        raise UserError(
            f"{path} is of another architecture or other videos than the scores: {list_some(sorted(kinds)[0])} data, "
            f"videos {list_some(sorted(tested))}"
        )
    return folds


def read_model_comparison(path: Path, metrics: dict[str, Any], weights: dict[str, Any]) -> dict[str, Any]:
    """Read comparison.json. Raises `UserError` if none of its runs is of the weights of the report."""
    comparison = read_rows(path)
    if not _own_runs(comparison, own_hashes(metrics, weights)):
        raise UserError(
            f"{path} compares other weights than those of the scores: give one of the weights files beside it"
        )
    return comparison


def read_label_comparison(path: Path, metrics: dict[str, Any], weights: dict[str, Any]) -> dict[str, Any]:
    """Read label_comparison.json. Raises `UserError` if it shares no video with the scores and the training."""
    labels = read_json(path)
    if not isinstance(labels, dict) or labels.get("schema") != LABELS_SCHEMA:
        raise UserError(f"{path} is no label_comparison.json of this version: compare_labels.py writes it")
    compared = labels["scores"]["labels"]["per_video"].keys()
    if not compared & (metrics["per_video"].keys() | trained_videos(trained_splits(weights["training"]))):
        raise UserError(
            f"{path} compares labels of other videos than the scored or trained ones: {list_some(compared)}"
        )
    return labels


def folds_section(facts: RunFacts) -> list[str]:
    folds, own = facts.folds, own_hashes(facts.metrics, facts.weights)
    if not folds:
        return [f"Cross-validation: {MISSING} (give --folds, a folds.json of instrument_segmentation.py)."]
    rows = folds["folds"]
    ours = [str(row["fold"]) for row in rows if row["weights"]["sha256"] in own]
    whose = f"those of fold {ours[0]}" if ours else "of no fold: the folds are of the same architecture and videos"
    cells = [
        (
            row["fold"],
            ", ".join(row["test_videos"]),
            row["frames"],
            number(row["iou"], ".4f"),
            number(row["dice"], ".4f"),
        )
        for row in rows
    ]
    over = [
        (key, folds[key]["n"], *(number(folds[key][name], ".4f") for name in ("mean", "sd"))) for key in ("iou", "dice")
    ]
    return [
        f"The weights of this report are {whose}.",
        *markdown_table(("Fold", "test videos", "frames", "IoU", "Dice"), cells),
        *markdown_table(("Mean over folds", "folds", "mean", "SD"), over),
        *interval_table("Mean over videos, each scored by the fold that tests it", folds["video_intervals"].items()),
    ]


def comparison_section(facts: RunFacts) -> list[str]:
    if not facts.comparison:
        return [f"Comparison of models: {MISSING} (give --comparison, a comparison.json of train_comparative.py)."]
    runs = _own_runs(facts.comparison, own_hashes(facts.metrics, facts.weights))
    return [f"The weights of this report: {list_some(runs)}.", *comparison_paragraphs(facts.comparison)]


def labels_section(facts: RunFacts) -> list[str]:
    labels = facts.labels
    if not labels:
        return [f"Agreement of two sets of labels: {MISSING} (give --label-comparison, of compare_labels.py)."]
    found = labels["scores"]["labels"]
    shares = [(kind, row["pixels"], number(row["pooled"], ".4f")) for kind, row in labels["disagreement"].items()]
    scored = len(facts.metrics["per_video"].keys() & found["per_video"].keys())
    return [
        f"{labels['frames']} frames of {labels['videos']} videos, {scored} of them scored above; equal in every pixel: "
        f"{labels['equal_frames']} of {labels['frames_with_instrument']} frames that show an instrument.",
        *interval_table(f"{PAIRS['labels'].capitalize()}, mean over videos", found["video_intervals"].items()),
        *markdown_table(("Instrument in one of the sets", "pixels", "share"), shares),
        *(f"- WARNING: {note}." for note in labels["notes"]),
    ]


def _own_runs(comparison: dict[str, Any], own: set[str]) -> list[str]:
    """Return the names of the runs of these weights."""
    return [
        f"{row['label']}, {run_name(run)}"
        for row in comparison["models"].values()
        for run in row["runs"]
        if run.get("sha256") in own
    ]
