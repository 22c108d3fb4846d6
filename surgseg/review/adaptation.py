"""What a fine-tuning changed: the model before and after it, on the audit of the new procedure and on the old data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from surgseg.checkpoint import Checkpoint, load_checkpoint
from surgseg.data.dataset import Sample
from surgseg.data.views import sample_views
from surgseg.evaluation.samples import predict_and_score
from surgseg.files import write_json
from surgseg.predict import Predictor
from surgseg.review.audit import seen_by
from surgseg.review.estimate import Design, Estimate, estimate_difference, estimate_ratio
from surgseg.reviews import read_audit_sample, read_reviews, reviewed_path
from surgseg.scores.metrics import square, union_matrix
from surgseg.scores.report import heading

FORGOTTEN = 0.02  # Dice that the old test part may lose without a word


@dataclass(frozen=True)
class Change:
    """The pooled Dice of the instruments on some frames before and after, and after - before, with 95 % intervals."""

    what: str
    frames: int
    before: Estimate
    after: Estimate
    difference: Estimate


def measure_adaptation(
    start: Path,
    after: Checkpoint,
    audit: list[Sample],
    old: list[Sample],
    device: torch.device,
    *,
    void: str,
    path: Path,
    batch_size: int = 4,
) -> str:
    """Score the weights that a fine-tuning started from, and those `after` it. Write the scores to `path` as JSON, and
    return them as text with an advice.

    `audit` are reviewed frames of the audit of reviewed folders, `old` the test part of the earlier data. The audit's
    scores speak for all sampled frames of the folders; the old frames are counted as they are, without an interval.
    """
    before = load_checkpoint(start)
    changes = []
    for what, samples in (("audit frames of the new procedure", audit), ("test part of the earlier data", old)):
        if samples:
            design, places = _design(samples) if samples is audit else _all_of(samples)
            views = {view: sample_views(samples, view) for view in {before.view, after.view}}
            scores = []
            for checkpoint in (before, after):
                predictor = Predictor(checkpoint, device, None, batch_size)
                scored = predict_and_score(predictor, samples, None, void, view=views[checkpoint.view])
                union = union_matrix(square(scored.counts, void), checkpoint.scheme.instrument_ids)
                overlap, areas = np.zeros((2, len(design.stratum)))
                overlap[places], areas[places] = union[:, 1, 1], union[:, 1].sum(-1) + union[..., 1].sum(-1)
                scores.append(estimate_ratio(design, 2 * overlap, areas))
            changes.append(Change(what, len(samples), *scores, estimate_difference(design, *scores)))
    seen = seen_by(after, audit) if audit else {}
    trained = max(seen.get("by_name", 0), seen.get("near_copies") or 0)
    better, advice = advise(changes, bool(audit), trained)
    numbers = {"before", "after", "difference"}
    write_json(
        path,
        {
            "start": {"weights": start, "sha256": before.sha256},
            "trained": {"sha256": after.sha256, "audit_frames_trained": trained},
            "changes": [
                {
                    key: [item.value, item.low, item.high] if key in numbers else item
                    for key, item in vars(change).items()
                }
                for change in changes
            ],
            "recommended": {True: "trained", False: "start", None: None}[better],
            "advice": advice,
        },
    )
    return _block(changes, advice)


def _design(samples: list[Sample]) -> tuple[Design, np.ndarray]:
    """The design of the audits of the samples' folders, and the place of each sample in it.

    Unusable frames have a place and no sample. If a stratum has too few reviewed frames, all strata count as one.
    """
    strata, sizes, places = [], [], {}
    for folder in dict.fromkeys(sample.mask.parent.parent for sample in samples):
        population = read_audit_sample(folder).population
        for name, row in read_reviews(folder).items():
            if row.purpose == "audit" and row.status != "open":
                places[reviewed_path(folder, name)] = len(strata)
                strata.append(len(sizes) + list(population).index(row.stratum))
        sizes += population.values()
    found = np.array([places[sample.mask] for sample in samples])
    try:
        return Design(np.array(strata), np.array(sizes)), found
    except ValueError:
        return Design(np.zeros(len(strata), np.int64), np.array([sum(sizes)])), found


def _all_of(samples: list[Sample]) -> tuple[Design, np.ndarray]:
    count = len(samples)
    return Design(np.zeros(count, np.int64), np.array([count])), np.arange(count)


def advise(changes: list[Change], audited: bool, trained: int) -> tuple[bool | None, list[str]]:
    """Whether the trained weights are the better ones (None: not known), and sentences for the person."""
    if not audited:
        return None, ["No frame of an audit is reviewed: whether the new procedure gained is not known."]
    if trained:
        return None, [f"{trained} frames of the audit trained these weights: its scores measure memory."]
    new, *old = changes
    gain = new.difference
    if not gain.value > 0:
        return False, ["The trained weights are not better on the new procedure: keep those that they started from."]
    sure = gain.low > 0
    advice = [
        "The trained weights are better on the new procedure: take them there."
        if sure
        else "The trained weights score higher, but the interval of the difference includes 0, so that they are better "
        "is not shown: more frames of the audit would tell."
    ]
    if old and old[0].difference.value < -FORGOTTEN:
        advice.append("They have lost on the earlier data: keep the other weights for that, or use --mix-with.")
    return sure or None, advice


def _block(changes: list[Change], advice: list[str]) -> str:
    lines = [heading("ADAPTATION: POOLED DICE"), f"{'':<36}{'frames':>7}{'before':>9}{'after':>9}{'difference':>12}"]
    for change in changes:
        low, high = change.difference.low, change.difference.high
        interval = f"   95 % interval {low:+.3f} to {high:+.3f}" if high > low else ""
        values = f"{change.before.value:>9.3f}{change.after.value:>9.3f}{change.difference.value:>+12.3f}"
        lines.append(f"{change.what:<36}{change.frames:>7}{values}{interval}")
    return "\n".join(lines + advice)
