"""What was found in a video, as text: the block that analyze_mask_statistics.py prints."""

from __future__ import annotations

import itertools
import math
from typing import Any

from surgseg.analysis.rates import RATE_MEASURES, RATE_NOTE, RATE_SOURCES
from surgseg.reviews import reviewed_words
from surgseg.scores.metrics import FRAME_METRICS
from surgseg.scores.scored import scored_lines

_MODELS = "Coverage, components and presence are those of these masks; confidence and uncertainty are the model's"
SHOWN = 12  # segments and frames listed on the screen; the JSON has all


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in percent, n/a where it is undefined."""
    return "n/a" if value is None or math.isnan(value) else f"{100 * value:.{digits}f} %"


def decimal(value: float | None, digits: int = 3) -> str:
    return "n/a" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def statistics_block(result: dict[str, Any], mark: str = "", stopped: str = "") -> str:
    """Return the statistics of a generated folder as text; `mark` (SYNTHETIC) is added to the title."""
    title = "MASK STATISTICS" + (f" ({mark})" if mark else "")
    lines = [title, "=" * len(title), *_detection(result), "", *_presence(result)]
    lines += ["", "Temporal stability (frames at most 0.2 s apart, never across a cut)"]
    lines.append(_row("  Cuts", cuts_words(result["cuts"])))
    lines += stability_lines(result["stability"])
    if "rates" in result:
        lines += ["", *_rates(result["rates"])]
    if "ground_truth" in result:
        lines += ["", *_truth(result)]
    if "phases" in result:
        lines += ["", *_phases(result)]
    if "tools" in result:
        lines += ["", *_tools(result)]
    if result.get("image_rate"):
        lines += ["", f"Note: images hold no times; all seconds follow from {result['image_rate']:g} images a second"]
    if not result["complete"]:
        lines += ["", f"Note: the run that wrote this folder is unfinished ({stopped or 'killed, or still running'})"]
    return "\n".join(lines)


def _row(name: str, value) -> str:
    return f"{name:<44}{value}"


def _detection(result: dict) -> list[str]:
    coverage = {key: percent(value, 2) for key, value in result["coverage"].items() if key != "n"}
    absent = result["without_detection"]
    lines = [reviewed_words(result["reviewed_masks"]), _MODELS] if result.get("reviewed_masks") else []
    lines += [
        _row("Frames", result["frames"]),
        _row("Suspect frames left out", result["frames_suspect_left_out"]),
        _row("Detection rate (any pixel)", percent(result["detection_rate"])),
        _row(
            f"Detection rate (from {100 * result['min_area']:g} % of the frame)",
            percent(result["detection_rate_min_area"]),
        ),
        _row("Frames without detection", result["frames_without_detection"]),
    ]
    if absent:
        shown = ", ".join(f"{row['frame']} ({row['time_s']:.2f} s)" for row in absent[:SHOWN])
        lines.append(f"  frame (time): {shown}" + (f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else ""))
    return [
        *lines,
        _row("Coverage, mean", coverage["mean"]),
        _row("Coverage, median", coverage["median"]),
        _row("Coverage, SD", coverage["sd"] if result["frames"] > 1 else "not defined for one frame"),
        _row("Coverage, 5th to 95th percentile", f"{coverage['p5']} to {coverage['p95']}"),
        _row("Coverage, 25th to 75th percentile", f"{coverage['p25']} to {coverage['p75']}"),
        _row("Confidence, mean", f"{result['mean_confidence']:.3f}"),
        _row("Uncertainty, mean", f"{result['mean_uncertainty']:.3f}"),
        _row("Instrument components, mean", f"{result['mean_components']:.2f}"),
    ]


def _presence(result: dict) -> list[str]:
    presence = result["presence"]
    lines = [f"Presence segments (from {100 * result['min_area']:g} % of the frame)"]
    if math.isnan(presence["resolution_s"]):
        return [*lines, "  lengths are not defined for one frame"]
    lines += [
        _row("  Segments", presence["count"]),
        _row("  In view, share of the sampled time", percent(presence["present_share_of_time"])),
        _row(
            "  Length, median and longest",
            f"{decimal(presence['median_length_s'], 2)} s, {decimal(presence['longest_s'], 2)} s"
            if presence["count"]
            else "n/a",
        ),
        f"  start and end are known to within {presence['resolution_s']:.2f} s, the spacing of the frames",
    ]
    if presence["count"]:
        lines.append(f"  {'start s':>10}{'end s':>10}{'length s':>10}{'frames':>8}")
    for segment in presence["segments"][:SHOWN]:
        times = "".join(f"{segment[key]:>10.2f}" for key in ("start_s", "end_s", "length_s"))
        lines.append(f"  {times}{segment['frames']:>8}")
    more = presence["count"] - SHOWN
    return [*lines, f"  and {more} more in the JSON"] if more > 0 else lines


def cuts_words(found: dict) -> str:
    """How many cuts there are, and where."""
    how = {"detected": "found in the frames", "file": "of the list"}.get(found["source"], "between joined parts")
    frames = found["frames"]
    where = ": " + ", ".join(f"frame {frame}" for frame in frames[:5]) + " ..." * (len(frames) > 5)
    said = f"{len(frames)} {how}" + where * bool(frames)
    said += f"; {found['after_the_end']} more lie after the last frame" * bool(found["after_the_end"])
    return f"{said}; others not looked for: {found['reason']}" if found["reason"] else said


def stability_lines(found: dict) -> list[str]:
    """Stability, always with the detection rate of the same frames: an empty mask is perfectly stable."""
    if not found["computed"]:
        return [f"  not computed: {found['reason']}"]
    flow, flicker, jitter = found["flow"], found["flicker"], found["jitter"]
    lines = [
        _row(
            "  Pairs of frames",
            f"{found['pairs']} ({found['pairs_both_empty']} with two empty masks, left out"
            + f"; {found['pairs_across_cuts']} more across cuts" * bool(found["pairs_across_cuts"])
            + ")",
        ),
        _row("  Detection rate of these frames", percent(found["detection_rate"])),
        _row(
            "  IoU of neighbours, mean (median)", f"{decimal(found['iou']['mean'])} ({decimal(found['iou']['median'])})"
        ),
    ]
    if flow["computed"]:
        lines += [
            _row(
                "  Flow-compensated IoU, mean (median)",
                f"{decimal(flow['iou']['mean'])} ({decimal(flow['iou']['median'])}), {flow['pairs']} pairs; "
                f"without flow, same pairs {decimal(flow['iou_without_flow']['mean'])}",
            ),
            _row(
                "  Pixels without trusted flow, left out",
                f"{percent(flow['untrusted'])} of all pixels, {percent(flow['untrusted_instrument'])} of the masks",
            ),
        ]
    else:
        lines.append(_row("  Flow-compensated IoU", f"not computed: {flow['reason']}"))
    return [
        *lines,
        _row(
            "  Flicker",
            f"{flicker['one_frame_gaps']} one-frame gaps, {flicker['one_frame_detections']} one-frame detections in "
            f"{flicker['triples']} triples of frames ({percent(flicker['rate'])})",
        ),
        _row(
            "  Coverage jitter, mean |change|",
            f"{percent(jitter['mean'], 3)} of the frame, {percent(jitter['relative'])} of the mean coverage",
        ),
    ]


def _rates(found: dict) -> list[str]:
    """A column for each rate: the mean of its samples, and lowest and highest if there are several."""
    rates = found["rates"]
    lines = [
        f"Sampling rate (the same video, {found['video_rate']:.4g} frames/s, seen less often)",
        _row("  Frames a second (whole parts of that)", "".join(f"{one['rate']:<21.4g}" for one in rates)),
        _row("  Samples (each N-th frame, from N places)", "".join(f"{one['frame_step']:<21}" for one in rates)),
    ]
    for source in rates[0]["all"]:
        lines.append(f"  {RATE_SOURCES[source]}, {found['frames'][source]} frames")
        for key, (label, _, in_percent) in RATE_MEASURES.items():
            cells = [_of_samples(one["all"][source][key], in_percent) for one in rates]
            lines.append(_row(f"    {label}", "".join(f"{cell:<21}" for cell in cells)).rstrip())
    if "phases" in rates[0]:
        for key in ("iou", "pairs"):
            lines.append(f"  {RATE_MEASURES[key][0]}, by phase")
            for phase, source in itertools.product(rates[0]["phases"], rates[0]["all"]):
                cells = [_of_samples(one["phases"][phase][source][key], False) for one in rates]
                name = f"{phase[:25]}, {RATE_SOURCES[source].lower()}"
                lines.append(_row(f"    {name}", "".join(f"{cell:<21}" for cell in cells)).rstrip())
    return [*lines, f"  ({RATE_NOTE})"]


def _of_samples(found: dict, in_percent: bool) -> str:
    if math.isnan(found["mean"]):
        return "n/a"
    mean, low, high = (
        f"{100 * found[key]:.1f}" if in_percent else f"{found[key]:.3g}" for key in ("mean", "min", "max")
    )
    return (mean if low == high else f"{mean} ({low}-{high})") + " %" * in_percent


def _truth(result: dict) -> list[str]:
    found = result["ground_truth"]
    lines = [
        f"Against ground truth ({found['frames']} frames have a mask, the first {found['first_mask']}; "
        f"{found['both_empty']} where both are empty)",
        *scored_lines(found["scored"]),
        *(
            _row(f"  {metric.label}, mean (median)", f"{decimal(found[key]['mean'])} ({decimal(found[key]['median'])})")
            for key, metric in FRAME_METRICS.items()
        ),
        _row("  True coverage, mean", percent(found["true_coverage"]["mean"], 2)),
        _row("  True detection rate", percent(found["true_detection_rate"])),
        "  Stability of the ground truth",
        *(f"  {line}" for line in stability_lines(found["stability"])),
    ]
    if found["frames"] < result["frames"]:  # else the stability of the predictions is printed above
        own = stability_lines(found["predicted_stability_same_frames"])
        lines += ["  Stability of the predictions on the same frames", *(f"  {line}" for line in own)]
    if "phases" in found:
        lines.append("  IoU of neighbours by phase, mean: ground truth, and predictions on the same frames")
    for phase, of_phase in found.get("phases", {}).items():
        true, own = (_iou_words(of_phase[key]) for key in ("stability", "predicted_stability_same_frames"))
        lines.append(_row(f"    {phase[:38]}", f"{true:<21}{own}"))
    return lines


def _iou_words(found: dict) -> str:
    return f"{decimal(found['iou']['mean'])} of {found['iou']['n']} pairs" if found["computed"] else "no pairs"


def _phases(result: dict) -> list[str]:
    with_tools = "tools" in result
    head = f"{'Phase':<26}{'Frames':>8}{'Detected':>10}{'Coverage':>10}{'Segments':>10}"
    head += f"{'Pairs':>8}{'IoU':>8}{'Flow IoU':>10}"
    lines = ["By surgical phase", head + (f"{'Sens.':>9}{'Spec.':>9}" if with_tools else "")]
    for name, row in result["phases"].items():
        found = row["stability"]
        iou = decimal(found["iou"]["mean"]) if found["computed"] else "n/a"
        flow = decimal(found["flow"]["iou"]["mean"]) if found["computed"] else "n/a"
        line = (
            f"{name[:25]:<26}{row['frames']:>8}{percent(row['detection_rate']):>10}"
            f"{percent(row['coverage']['mean'], 2):>10}{row['presence']['count']:>10}"
            f"{_pairs(found):>8}{iou:>8}{flow:>10}"
        )
        if with_tools:
            line += f"{percent(row['tools']['sensitivity']):>9}{percent(row['tools']['specificity']):>9}"
        lines.append(line)
    area = f"from {100 * result['min_area']:g} % of the frame"
    counted = f"segments{', sens. and spec.' * with_tools}: {area}"
    lines.append(f"(Detected: any pixel; {counted}; coverage and IoU: means; pairs: with a mask)")
    pairs, flow = (sum(count(row["stability"]) for row in result["phases"].values()) for count in (_pairs, _flow_pairs))
    if 0 < flow < pairs:
        lines.append(f"(Flow IoU is over {flow} pairs, IoU over {pairs}: do not compare them with each other)")
    if result["frames_without_phase"]:
        lines.append(f"Frames without a row in the phase file: {result['frames_without_phase']}")
    return lines


def _pairs(found: dict) -> int:
    return found["iou"]["n"] if found["computed"] else 0


def _flow_pairs(found: dict) -> int:
    return found["flow"]["iou"]["n"] if found["computed"] else 0


def _tools(result: dict) -> list[str]:
    found = result["tools"]
    lines = [
        f"Presence against the tool annotation ({', '.join(found['tools'])})",
        _row(
            "  Frames with a row (without: not counted)",
            f"{found['frames_annotated']} ({found['frames_not_annotated']})",
        ),
    ]
    rules = {"any_pixel": "any pixel", "min_area": f"from {100 * result['min_area']:g} %"}
    for key, name in rules.items():
        one = found[key]
        seen, unseen = one["true_positive"] + one["false_negative"], one["true_negative"] + one["false_positive"]
        lines.append(
            _row(
                f"  Sensitivity, specificity ({name})",
                f"{percent(one['sensitivity'])} of {seen}, {percent(one['specificity'])} of {unseen}",
            )
        )
    lines += [
        "  (only frames with a row of their own count: between two rows a tool may come or go. --frame-step with",
        "  the step of the rows meets all. n/a: no such frame. A tool counts as in view if half of its tip is seen)",
    ]
    for tool, row in found["by_tool"].items():
        lines.append(
            _row(f"  {tool}: frames in view, share detected", f"{row['frames']}, {percent(row['sensitivity'])}")
        )
    return lines
