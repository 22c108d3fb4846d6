"""The blocks of scores that the scripts print."""

from __future__ import annotations

import math
from typing import Any

from surgseg.files import list_some, short_names
from surgseg.scores.intervals import CAUTION, FEWEST
from surgseg.scores.metrics import FRAME_METRICS
from surgseg.scores.scored import CONVENTIONS, scored_lines
from surgseg.scores.strata import FEW_MEANS, named_groups
from surgseg.scores.surface import surface_label

RULE = "=" * 72


def number(value: float | None, form: str = "7.4f") -> str:
    """The score in the format `form`, or n/a in the same width where it is undefined."""
    if value is None or math.isnan(value):
        return format(math.nan, form.lstrip("+")).replace("nan", "n/a")
    return format(value, form)


def heading(title: str) -> str:
    return f"\n{RULE}\n{title}\n{RULE}"


def metrics_block(title: str, metrics: dict[str, Any]) -> str:
    """Frames, accuracy, instrument IoU and Dice (pooled, per frame, per video) and a row per class.

    Below it: specificity, detection of frames, the distribution over frames, and intervals over videos.
    """
    mean, per_frame, per_video = metrics["mean_instrument"], metrics["per_frame"], metrics["video_mean"]
    empty = metrics["empty_frames"]
    other_void = "background" if metrics["void_policy"] == "ignore" else "ignore"
    other_mean = metrics[f"void_{other_void}"]["mean_instrument"]
    frame_means = ", ".join(
        f"{metric.label} {number(per_frame[f'mean_{name}'])}"
        for name, metric in FRAME_METRICS.items()
        if f"mean_{name}" in per_frame
    )
    lines = [
        heading(title),
        *scored_lines(metrics["scored"]),
        "",
        f"Frames analyzed:  {metrics['frames']}",
        f"Overall accuracy: {number(metrics['accuracy'])}",
        f"Mean IoU  of the instrument classes: {number(mean['iou'])}  ({list_some(metrics['scored']['instruments'])})",
        f"Mean Dice of the instrument classes: {number(mean['dice'])}",
        f"Instrument (all classes together), mean of {per_frame['scored']} frames with an instrument in truth or "
        f"prediction: {frame_means}; of videos: IoU {number(per_video['iou'])}, Dice {number(per_video['dice'])}",
        "",
        f"{'Class':<24}{'IoU':>8}{'Dice':>8}{'Precision':>11}{'Recall':>8}{'n (pixels)':>16}",
    ]
    for name, row in zip(short_names(metrics["classes"], 23), metrics["classes"].values()):
        lines.append(
            f"{name:<24}{number(row['iou'], '8.4f')}{number(row['dice'], '8.4f')}"
            f"{number(row['precision'], '11.4f')}{number(row['recall'], '8.4f')}{row['n']:>16,}"
        )
    lines += [
        *undefined_lines(metrics),
        "",
        f"Frames without instrument: {empty['truth_empty']} (false alarms in {empty['false_alarms']}); "
        f"instrument missed altogether in {empty['missed']}",
        f"Void pixels: {metrics['void_policy']}; as {other_void}: IoU {number(other_mean['iou'])}, "
        f"Dice {number(other_mean['dice'])}",
    ]
    if len(metrics["per_video"]) > 1:
        names = short_names(metrics["per_video"], 47)
        width = max(24, *(len(name) + 1 for name in names))
        lines += ["", f"{'Video':<{width}}{'Frames':>8}{'IoU':>8}{'Dice':>8}"]
        for name, row in zip(names, metrics["per_video"].values()):
            scores = f"{number(row['iou'], '8.4f')}{number(row['dice'], '8.4f')}"
            lines.append(f"{name:<{width}}{row['frames']:>8}{scores}{'  ' * bool(why := why_undefined(row))}{why}")
    for more in (_detection_lines, _frame_lines, _strata_lines, _video_lines, _calibration_lines):
        lines += more(metrics)
    return "\n".join(lines)


def score_label(name: str) -> str:
    """Return the name of a score for the screen: "iou:grasper" becomes "IoU, grasper"."""
    score, _, of_class = name.partition(":")
    label = FRAME_METRICS[score].label if score in FRAME_METRICS else surface_label(score) or score.capitalize()
    return f"{label}, {of_class}" if of_class else label


def _detection_lines(metrics: dict[str, Any]) -> list[str]:
    pooled = number(metrics["instrument_union"]["specificity"]).strip()
    lines = ["", f"Specificity of pixels (pooled, all instruments together): {pooled}"]
    for name, row in metrics["detection"].items():
        positives, negatives = row["positive_frames"], row["negative_frames"]
        found = {key: number(row[key]).strip() for key in ("sensitivity", "specificity", "auroc", "auprc")}
        text = f"Detection of frames, {name}: sensitivity {found['sensitivity']} ({positives} frames with), "
        text += f"specificity {found['specificity']} ({negatives} without)"
        if positives and negatives:
            chance = positives / (positives + negatives)
            text += f"; by predicted coverage: AUROC {found['auroc']} (by chance 0.5), "
            text += f"AUPRC {found['auprc']} (by chance {chance:.4f})"
        lines.append(text)
    return lines


def _form(name: str, width: int) -> str:
    return f"{width}.{2 if 'hd95' in name else 4}f"  # pixels; others are 0 to 1


def _frame_lines(metrics: dict[str, Any]) -> list[str]:
    classes = ["", *metrics["scored"]["instruments"]]
    rows = metrics["frame_distribution"]
    rows = {name: rows[name] for name in sorted(rows, key=lambda name: classes.index(name.partition(":")[2]))}
    head = f"{'Score of a frame':<28}{'n':>6}{'Mean':>9}{'Median':>9}{'IQR (25 % to 75 %)':>21}{'Worst 5 %':>11}"
    lines = ["", f"{head}  Worst video"]
    for label, (name, row) in zip(short_names(map(score_label, rows), 27), rows.items()):
        mean, median = (number(row[key], _form(name, 9)) for key in ("mean", "median"))
        low, high, video = (number(row[key], _form(name, 1)) for key in ("q25", "q75", "worst_video_mean"))
        lines.append(
            f"{label:<28}{row['n']:>6}{mean}{median}{f'{low} to {high}':>21}"
            f"{number(row['worst_5_percent'], _form(name, 11))}  {row['worst_video'] or ''} ({video})"
        )
    lines.append("Worst 5 %: 5 % of the frames are at this value or worse. Worst video: by the mean of its frames.")
    if "hd95" in rows:
        lines.append("Missed instrument, or false alarm in an empty frame: NSD, boundary IoU 0; HD95 = image diagonal.")
    return lines


def _strata_lines(metrics: dict[str, Any]) -> list[str]:
    strata = named_groups(metrics["strata"])
    scores = [name for name in metrics["frame_distribution"] if ":" not in name]
    head = "".join(f"{score_label(name):>13}" for name in scores)
    lines = ["", f"{'Means of groups of frames':<30}{'Frames':>7}{'Videos':>8}{head}"] if strata else []
    for label, groups in strata.items():
        lines.append(label)
        for short, (_, frames, group) in zip(short_names((name for name, _, _ in groups), 27), groups):
            means = "".join(number(group["mean"][score], _form(score, 13)) for score in scores)
            frames = frames if "*" in frames else f"{frames} "
            lines.append(f"  {short:<28}{frames:>8}{group['videos']:>7}{means}")
    if any("*" in frames for groups in strata.values() for _, frames, _ in groups):
        lines.append(FEW_MEANS)
    return lines + [f"Not grouped by {what}: {why}." for what, why in metrics.get("strata_unknown", {}).items()]


def _video_lines(metrics: dict[str, Any]) -> list[str]:
    rows = {
        key: row
        for key, row in metrics["video_intervals"].items()
        if row["n"] and (key.startswith(("iou", "dice")) or (key.startswith("frame_mean_") and ":" not in key))
    }
    if len(metrics["per_video"]) < 2:
        return ["", "One video: neither SD nor interval over videos."]
    if not rows:
        return []
    means = [
        f"{score_label(key.replace('frame_mean_', ''))}, {'frames' if key.startswith('frame') else 'pooled'}"
        for key in rows
    ]
    lines = ["", f"{'Mean over videos':<36}{'Videos':>7}{'Mean':>9}{'SD':>9}   95 % interval"]
    for label, (key, row) in zip(short_names(means, 35), rows.items()):
        interval = " to ".join(format(end, _form(key, 1)) for end in row["interval"]) if row["interval"] else "n/a"
        mean, sd = (number(row[name], _form(key, 9)) for name in ("mean", "sd"))
        lines.append(f"{label:<36}{row['n']:>7}{mean}{sd}   {interval}")
    lines.append("pooled: all pixels of a video; frames: mean of its frames. Interval: Student's t over the videos.")
    fewest = min(row["n"] for row in rows.values())
    if fewest < FEWEST:
        lines.append(f"n/a: with fewer than {FEWEST} videos an interval is not reliable.")
    return lines + ([CAUTION] if FEWEST <= max(row["n"] for row in rows.values()) <= 10 else [])


def _calibration_lines(metrics: dict[str, Any]) -> list[str]:
    found = metrics.get("calibration")
    if not found or not found["pixels"]:
        return []
    rows, risk = found["video_intervals"], found["risk"]
    lines = ["", "Instrument probability, all pixels without void (0 is perfect):"]
    for key, label in (("ece", "calibration error (ECE)"), ("brier", "Brier score")):
        row, many = rows[key], f"; of {rows[key]['n']} videos: mean" if rows[key]["n"] > 1 else ""
        if many:
            interval = " to ".join(f"{end:.4f}" for end in row["interval"]) if row["interval"] else "n/a"
            many += f" {row['mean']:.4f}, SD {row['sd']:.4f}, 95 % interval {interval}"
        lines.append(f"  {label}: {found[key]:.4f}{many}")
    lines.append(f"  Brier score of a model without skill: {found['brier_of_share']:.4f}")
    if risk["frames"]:
        text = ", ".join(f"{row['risk']:.4f} with {row['share']:.0%}" for row in risk["kept"][::3])
        lines.append(f"Mean of 1 - Dice of the least uncertain frames: {text} of {risk['frames']} frames")
    return lines


def conventions_block(metrics: dict[str, Any], names: list[str]) -> str:
    """Return the table of the scores by these conventions."""
    scores = list(metrics["conventions"]["ours"])
    head = "".join(f"{score_label(score):>13}" for score in scores)
    lines = ["", f"{'Convention':<14}{head}   (mean of frames; instrument classes)"]
    for name in dict.fromkeys(names):
        row = metrics["conventions"][name]
        lines.append(f"{name:<14}" + "".join(number(row[score], _form(score, 13)) for score in scores))
    return "\n".join([*lines, *(f"{name}: {CONVENTIONS[name]}" for name in dict.fromkeys(names))])


def why_undefined(row: dict[str, Any]) -> str:
    """Return why the instrument IoU of a video is undefined; "" if it is not."""
    if row["iou"] is not None and not math.isnan(row["iou"]):
        return ""
    all_void = row["accuracy"] is None or math.isnan(row["accuracy"])
    return "all void" if all_void else "no instrument in truth or prediction"


def undefined_lines(metrics: dict[str, Any]) -> list[str]:
    """Return a line that says why scores of classes are n/a; none if all are defined."""
    if number(metrics["accuracy"]).strip() == "n/a":
        return ["n/a: every pixel is void"]
    reasons: dict[str, list[str]] = {}
    for name, row in metrics["classes"].items():
        missing = {key for key in ("iou", "precision", "recall") if number(row[key]).strip() == "n/a"}
        if missing:
            where = "in truth or prediction" if "iou" in missing else "in truth" if "recall" in missing else "predicted"
            reasons.setdefault(f"no pixel {where}", []).append(name)
    return ["n/a: " + "; ".join(f"{why}: {', '.join(names)}" for why, names in reasons.items())] if reasons else []


def epoch_block(row: dict[str, Any], epochs: int) -> str:
    """The lines that the study prints at the end of an epoch."""
    text = f"Epoch {row['epoch']}/{epochs} - Average Loss: {row['train_loss']:.4f}"
    if "val_loss" not in row:
        return text
    return (
        f"{text}\nEpoch {row['epoch']} Validation: Loss {row['val_loss']:.4f}, "
        f"IoU {number(row['val_iou'], '.4f')}, Dice {number(row['val_dice'], '.4f')}, "
        f"Accuracy {number(row['val_accuracy'], '.4f')}"
    )
