"""The result of an audit: the scores of each model with their intervals, as a dict for JSON and as text."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from surgseg.checkpoint import Checkpoint
from surgseg.review.audit import Audit, Measured, measure_model
from surgseg.review.estimate import (
    Auxiliary,
    Design,
    Estimate,
    estimate_difference,
    estimate_ratio,
    estimate_share,
    frames_to_halve,
    to_iou,
)

SCHEMA = "surgseg.audit/1"
FEW = 20  # reviewed frames below which intervals can be too narrow
MEANING = (  # the first one with few frames only
    "WARNING: with fewer than 20 reviewed frames the intervals are too narrow where a model fails in single frames "
    "(docs/results/audit_coverage.md).",
    "The numbers estimate what a review of all {population} frames would give, one of each sampled position of this "
    "folder; had other frames been drawn, about 95 in 100 such intervals would hold it.",
    "The truth is the mask that a person accepted, who saw the prediction of this folder's model first, unless "
    "review_masks.py ran with --blank-audit: small errors that nobody corrects count as right.",
    "One video says nothing of other operations, other cameras or other surgeons.",
)
ROWS = {
    "dice": "Dice",
    "iou": "IoU",
    "sample_dice": "Dice, from the reviewed frames alone",
    "sample_iou": "IoU, from the reviewed frames alone",
    "sensitivity": "Sensitivity (frames that show an instrument)",
    "specificity": "Specificity (frames that show none)",
}


def estimate_scores(design: Design, measured: Measured, reviewed: np.ndarray) -> dict[str, Estimate]:
    """Return the estimates of one model; `reviewed` (n,) int are the places of the reviewed frames in the population.

    `dice` and `iou` use the expected overlap of all frames, `sample_dice` and `sample_iou` the reviewed frames alone.
    """
    auxiliary = Auxiliary(
        measured.expected_above[reviewed],
        measured.expected_below[reviewed],
        (measured.expected_above.sum(), measured.expected_below.sum()),
    )
    dice = estimate_ratio(design, measured.above, measured.below, auxiliary)
    alone = estimate_ratio(design, measured.above, measured.below)
    return {
        "dice": dice,
        "iou": to_iou(dice),
        "sample_dice": alone,
        "sample_iou": to_iou(alone),
        "sensitivity": estimate_share(design, measured.predicted, measured.true),
        "specificity": estimate_share(design, ~measured.predicted, ~measured.true & measured.known),
    }


def audit_models(audit: Audit, models: list[tuple[Path, Checkpoint]], device) -> dict[str, Any]:
    """Return the result of the audit for `--json`: counts, `models`, and `differences` of each model from the first."""
    design = audit.design
    places = {row.name: place for place, row in enumerate(audit.rows)}
    reviewed = np.array([places[name] for name in audit.reviews])
    entries, dices = [], []
    for path, checkpoint in models:
        measured = measure_model(audit, checkpoint, path, device)
        scores = estimate_scores(design, measured, reviewed)
        dices.append(scores["sample_dice"])  # its differences are covered better: docs/results/audit_coverage.md
        entries.append(
            {
                "weights": str(path),
                "sha256": checkpoint.sha256,
                **{name: _entry(score) for name, score in scores.items()},
                "frames_to_halve": frames_to_halve(design, scores["dice"]),
                "notes": measured.notes,
            }
        )
    differences = [
        {"first": str(models[0][0]), "second": str(path), "dice": _entry(estimate_difference(design, dices[0], dice))}
        for (path, _), dice in zip(models[1:], dices[1:])
    ]
    status = Counter(review.status for review in audit.reviews.values())
    return {
        "schema": SCHEMA,
        "folder": str(audit.generated.folder),
        "population": len(audit.rows),
        "strata": {name: len(names) for name, names in audit.strata.items()},
        "reviewed": len(audit.reviews),
        "open": audit.left,
        "reserve": audit.reserve,
        "unusable": status["unusable"],
        "models": entries,
        "differences": differences,
    }


def _entry(score: Estimate) -> dict[str, Any]:
    return {"value": score.value, "interval": [score.low, score.high]}


def audit_block(result: dict[str, Any]) -> str:
    """Return the result of `audit_models` as text."""
    population, reviewed = result["population"], result["reviewed"]
    unusable = f"; {result['unusable']} of them unusable, so they do not count" if result["unusable"] else ""
    lines = [
        "AUDIT",
        "=====",
        f"{result['folder']}: {reviewed} of {population} frames reviewed, in {len(result['strata'])} strata{unusable}",
    ]
    for model in result["models"]:
        lines += ["", model["weights"], f"  {'':<46}{'estimate':>10}   95 % interval"]
        lines += [_score_line(words, model[name]) for name, words in ROWS.items()]
        if more := model["frames_to_halve"]:
            has = f"select_frames.py --audit {reviewed + more}"
            if more - result["open"] > result["reserve"]:
                has = f"the folder has {result['reserve']} left for it: sample more frames of the video"
            lines.append(f"  An interval of Dice half as wide needs {more} more frames ({has})")
        lines += [f"  Note: {note}" for note in model["notes"]]
    if result["differences"]:
        lines += ["", f"Dice less that of {result['models'][0]['weights']}, from the reviewed frames alone"]
        for item in result["differences"]:
            lines += [f"  {item['second']}", _score_line("", item["dice"], "+")]
    told = [sentence.format(population=population) for sentence in MEANING[reviewed >= FEW :]]
    return "\n".join([*lines, "", *(textwrap.fill(sentence, 100) for sentence in told)])


def _score_line(words: str, score: dict[str, Any], sign: str = "") -> str:
    value, (low, high) = score["value"], score["interval"]
    if np.isnan(value):
        return f"  {words:<46}{'n/a':>10}   no such frame among those reviewed"
    return f"  {words:<46}{value:>{sign}10.3f}   {low:{sign}.3f} to {high:{sign}.3f}"
