"""Measure one video at several sampling rates: how much depends on how often a video is looked at.

At 1/N of the video's rate there are N samples: each N-th frame, from the first, second, ... on. Every measure is given
as the mean of the samples, which uses every frame at every rate, with the lowest and the highest: what a study with one
sample may have found. Below 5 frames a second only presence and coverage are measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from surgseg.analysis.measure import Analysis, AnalysisRequest
from surgseg.analysis.neighbours import measure_pairs
from surgseg.files import UserError
from surgseg.generate.folder import FrameRow, Generated
from surgseg.scores.metrics import nanmean

RATE_MEASURES = {  # name: words, place in what `Describer` returns, in percent
    "iou": ("IoU of neighbours", ("stability", "iou", "mean"), False),
    "pairs": ("Pairs with a mask", ("stability", "iou", "n"), False),
    "flow_iou": ("Flow-compensated IoU", ("stability", "flow", "iou", "mean"), False),
    "one_frame_changes": ("One-frame gaps and detections", ("stability", "flicker", "changes"), False),
    "flicker": ("Flicker, share of triples", ("stability", "flicker", "rate"), True),
    "jitter": ("Coverage jitter, of the mean coverage", ("stability", "jitter", "relative"), True),
    "detection_rate": ("Detection rate (any pixel)", ("detection_rate",), True),
    "coverage": ("Mean coverage", ("coverage", "mean"), True),
    "present_share": ("In view, share of the time", ("presence", "present_share_of_time"), True),
    "segments": ("Presence segments", ("presence", "count"), False),
    "median_length_s": ("Median length of a segment, s", ("presence", "median_length_s"), False),
}
RATE_SOURCES = {
    "predicted": "Predicted masks",
    "predicted_same_frames": "Predicted, where there is ground truth",
    "truth": "Ground truth",
}
UNEVEN = 0.05  # of the steps between frames may differ from the usual one by more than half of it
RATE_NOTE = "mean of the samples of a rate, lowest to highest in brackets; n/a: no such pairs, as below 5 frames/s"


def check_rates(generated: Generated, rates: Sequence[float]) -> dict[int, float]:
    """Return the step in frames, and the rate that it means, for each of the `rates` in frames a second.

    Raises `UserError` for a folder without every frame of the video, for a variable frame rate, and for a rate that the
    video cannot be sampled at.
    """
    if not rates:
        return {}
    sampling, times = generated.run.get("sampling") or {}, [row.time_s for row in generated.rows]
    if sampling.get("mode") != "every" or sampling.get("step") != 1 or len(times) < 2:
        raise UserError(
            f"{generated.folder} does not hold every frame of its video, which --rates needs: "
            "generate_masks_from_model.py --frame-step 1 makes such a folder"
        )
    steps = np.diff(times) / np.diff([row.frame for row in generated.rows])  # lost frames do not shift the others
    usual = float(np.median(steps))
    uneven = float((np.abs(steps - usual) > usual / 2).mean())
    if uneven > UNEVEN:
        raise UserError(
            f"{generated.folder}: {uneven:.0%} of the steps between frames are far from {usual:.3g} s, so every N-th "
            "frame has no rate of its own; --rates needs a video of constant frame rate"
        )
    full = 1 / usual
    found = {}
    for rate in rates:
        step = round(full / rate) if rate > 0 else 0
        if step < 1 or rate > 1.02 * full or 2 * step > len(times):
            least = 2 * full / len(times)
            raise UserError(f"--rates {rate:g}: this video can be sampled at {least:.3g} to {full:.4g} frames a second")
        found[step] = full / step
    return dict(sorted(found.items()))


def measure_rates(generated: Generated, request: AnalysisRequest, analysis: Analysis, rates: Sequence[float]) -> dict:
    """Return `RATE_MEASURES` at each rate, of the predictions and, where there is one, of the ground truth; by phase.

    `frames` are the numbers of frames of each source: the predictions are measured a second time on those with ground
    truth, if these are fewer. Raises `UserError` as `check_rates`.
    """
    steps = check_rates(generated, rates)
    sources = _sources(analysis)
    phase_of = dict(zip((row.name for row in analysis.rows), analysis.phases or ()))
    found = []
    for step, rate in steps.items():
        by_source = {
            source: _at_step(generated, request, analysis, step, rate, rows, source == "truth", phase_of)
            for source, rows in sources.items()
        }
        record = {"rate": rate, "frame_step": step, "all": {key: by_source[key][""] for key in sources}}
        if phase_of:
            phases = analysis.statistics["phases"]
            record["phases"] = {phase: {key: by_source[key][phase] for key in sources} for phase in phases}
        found.append(record)
    frames = {source: len(rows) for source, rows in sources.items()}
    return {"video_rate": min(steps) * steps[min(steps)], "frames": frames, "rates": found}


def _sources(analysis: Analysis) -> dict[str, list[FrameRow]]:
    """The rows of each source, with the coverage of its masks."""
    sources = {"predicted": analysis.rows}
    if analysis.scores:
        true = {name: scores["true_coverage"] for name, scores in analysis.scores.items()}
        matched = [row for row in analysis.rows if not math.isnan(true.get(row.name, math.nan))]
        if len(matched) < len(analysis.rows):
            sources["predicted_same_frames"] = matched
        sources["truth"] = [replace(row, coverage=true[row.name]) for row in matched]
    return sources


def _at_step(generated, request, analysis, step, rate, rows, is_truth, phase_of) -> dict[str, dict]:
    """Phase ("": all) -> measure -> mean, min and max over the samples of every `step`-th frame."""
    describer = replace(analysis.describer, spacing=1 / rate)
    truth = request.ground_truth if is_truth else None
    flow_pairs = math.ceil(request.flow_pairs / step)
    values = {phase: {key: [] for key in RATE_MEASURES} for phase in ("", *analysis.statistics.get("phases", ()))}
    for offset in range(step):
        sample = [row for row in rows if row.frame % step == offset]
        pairs = analysis.pairs
        if rows is not analysis.rows or step > 1:
            pairs, _ = measure_pairs(generated, sample, describer.cuts, ground_truth=truth, flow_pairs=flow_pairs)
        for phase, measures in values.items():
            chosen = [not phase or phase_of[row.name] == phase for row in sample]
            if any(chosen):
                described = describer(sample, pairs, chosen)
                for key, (_, place, _) in RATE_MEASURES.items():
                    measures[key].append(_value_at(described, place))
    return {
        phase: {key: _over_samples(measured) for key, measured in measures.items()}
        for phase, measures in values.items()
    }


def _value_at(described: dict, place: tuple[str, ...]) -> float:
    if place[0] == "stability" and not described["stability"]["computed"]:
        return math.nan
    if place[-1] == "changes":
        flicker = described["stability"]["flicker"]
        return flicker["one_frame_gaps"] + flicker["one_frame_detections"]
    for key in place:
        described = described[key]
    return described


def _over_samples(values: list[float]) -> dict:
    known = [value for value in values if not math.isnan(value)]
    return {"mean": nanmean(values), "min": min(known, default=math.nan), "max": max(known, default=math.nan)}
