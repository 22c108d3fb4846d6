"""The comparison of videos as text and Markdown. Every sentence follows from the numbers of `compare_videos`."""

from __future__ import annotations

import math
from typing import Any

from surgseg.analysis.report import decimal, percent
from surgseg.appearance import MEASURES
from surgseg.reviews import reviewed_words

TITLES = {"content": "COMPARISON OF CONTENT", "shift": "COMPARISON WITH LABELS: SHIFT"}
CONTENT = (
    "Without labels this is a comparison of content: detection and coverage differ with what the videos show (phase, "
    "zoom, tools in view) as much as with how the model does on them. It proves no domain shift; --tool-files or "
    "--mask-dirs give labels."
)
LABELLED = (
    "Detection rate and coverage still differ with what the videos show; how the model does on them is measured by "
    "{scores} alone, over the frames that have labels."
)
INTERVALS = (
    "Intervals: 95 %, Student's t with the standard error of a circular block bootstrap over frames, since "
    "neighbouring frames are alike; they are valid for other frames of these videos, not of other operations."
)


def video_table_rows(result: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return the rows of the table: (name, the value of each video)."""
    videos = result["videos"]
    area = 100 * videos[0]["min_area"]
    stability = [video["stability"] for video in videos]
    rows = [
        ("Frames evaluated", [str(video["frames"]) for video in videos]),
        ("Detection rate (any pixel)", [percent(video["detection_rate"]) for video in videos]),
        (f"Detection rate (from {area:g} %)", [percent(video["detection_rate_min_area"]) for video in videos]),
        ("Mean coverage", [percent(video["coverage"]["mean"], 2) for video in videos]),
        ("Median coverage", [percent(video["coverage"]["median"], 2) for video in videos]),
        ("Frames without detection", [str(video["frames_without_detection"]) for video in videos]),
        ("Mean confidence", [decimal(video["mean_confidence"]) for video in videos]),
        ("Stability: IoU of neighbours", [_iou_cell(found) for found in stability]),
        ("Stability: along the flow", [_iou_cell(found.get("flow", found)) for found in stability]),
        (
            "Stability: flicker",
            [percent(found["flicker"]["rate"]) if found["computed"] else "not computed" for found in stability],
        ),
    ]
    if all("presence" in video for video in videos):
        for key in ("sensitivity", "specificity"):
            rows.append((f"Presence: {key}", [percent(video["presence"]["min_area"][key]) for video in videos]))
    if all("dice" in video for video in videos):
        rows.append(("Dice, mean of frames", [decimal(video["dice"]["mean"]) for video in videos]))
    appearance = [video["appearance"] for video in videos]
    if all(appearance):
        rows += [(name, [decimal(values[key], 2) for values in appearance]) for key, name in MEASURES.items()]
        rows.append(
            ("Colour distance from the first", [decimal(values["histogram_distance"], 2) for values in appearance])
        )
    return rows


def _iou_cell(found: dict) -> str:
    return f"{decimal(found['iou']['mean'])} ({found['iou']['n']} pairs)" if found["computed"] else "not computed"


def video_comparison_block(result: dict[str, Any], mark: str = "") -> str:
    """Return the comparison as compare_videos.py prints it; `mark` (SYNTHETIC) is added to the title."""
    title = TITLES[result["kind"]] + (f" ({mark})" if mark else "")
    names = [video["name"] for video in result["videos"]]
    width = max(18, *(len(name) + 2 for name in names))
    lines = [title, "=" * len(title), f"{'':<36}" + "".join(f"{name:>{width}}" for name in names)]
    for what, values in video_table_rows(result):
        lines.append(f"{what[:35]:<36}" + "".join(f"{value:>{width}}" for value in values))
    return "\n".join([*lines, "", *video_sentences(result)])


def video_comparison_markdown(result: dict[str, Any], mark: str = "") -> str:
    """Return the comparison as a Markdown document; `mark` (SYNTHETIC) is added to the title."""
    names = [video["name"].replace("|", "\\|") for video in result["videos"]]
    lines = [
        f"# {TITLES[result['kind']].capitalize()}" + (f" ({mark})" if mark else ""),
        "",
        "| | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
        *(f"| {what} | " + " | ".join(values) + " |" for what, values in video_table_rows(result)),
        "",
        *(f"- {sentence}" for sentence in video_sentences(result)),
    ]
    return "\n".join(lines) + "\n"


def video_sentences(result: dict[str, Any]) -> list[str]:
    """Return warnings, counts of reviewed masks, differences with their intervals, and how far these can be read."""
    said = [f"Warning: {warning}." for warning in result["warnings"]]
    for video in result["videos"]:
        if video.get("reviewed_masks"):
            said.append(f"{video['name']}: {reviewed_words(video['reviewed_masks'])}.")
    for found in result["differences"]:
        said += _difference_sentences(found)
    for video in result["videos"]:
        if not video["stability"]["computed"]:
            said.append(f"{video['name']}: stability not computed: {video['stability']['reason']}.")
    said += [text for video in result["videos"] if (text := _appearance_sentence(video))]
    if any("95 % interval" in sentence for sentence in said):
        said.append(INTERVALS)
    if result["kind"] == "content":
        return [*said, CONTENT]
    scores = dict.fromkeys(key for found in result["differences"] for key in found["shift"])
    return [*said, LABELLED.format(scores=", ".join(scores))]


def _difference_sentences(found: dict) -> list[str]:
    both = f"{found['second']} against {found['first']}"
    said = [
        f"{both}: detection rate {_points(found['detection_rate'])}.",
        f"{both}: mean coverage {_points(found['mean_coverage'])}.",
    ]
    for key, difference in found["shift"].items():
        change = _difference_in_words(difference) if key == "dice" else _points(difference)
        said.append(f"Shift of {key}, {both}: {change}.")
    appearance = found["appearance"]
    if appearance:
        changes = ", ".join(f"{key} {signed(appearance[key]['difference'])}" for key in MEASURES)
        distance = decimal(appearance["histogram_distance"], 2)
        said.append(f"Appearance, {both}: {changes}, colour histogram distance {distance}.")
    return said


def signed(value: float | None) -> str:
    """Return two decimals with the sign; n/a where the value is undefined."""
    return "n/a" if value is None or math.isnan(value) else f"{value:+.2f}"


def _points(found: dict) -> str:
    """A difference of fractions, in percentage points."""
    return _difference_in_words(found, 100, 2, " points")


def _difference_in_words(found: dict, factor: int = 1, digits: int = 4, unit: str = "") -> str:
    """A difference with its interval, or the reason why there is none."""
    if found["difference"] is None or math.isnan(found["difference"]):
        return f"undefined ({found['reason']})"
    text = f"{factor * found['difference']:+.{digits}f}{unit}"
    if found["interval"] is None:
        return f"{text} (no interval: {found['reason']})"
    low, high = (f"{factor * end:+.{digits}f}" for end in found["interval"])
    certain = "; one video does not vary, and its value is treated as exact" if found.get("constant") else ""
    return f"{text} (95 % interval {low} to {high}{certain})"


def _appearance_sentence(video: dict) -> str:
    """How the model's confidence varies with the appearance of the frames; "" where that is undefined."""
    name, appearance = video["name"], video["appearance"]
    if appearance is None:
        return f"{name}: appearance not measured: the run kept no frames (--frame-format jpg keeps them)."
    defined = {key: value for key, value in appearance["confidence_rank_correlation"].items() if not math.isnan(value)}
    if not defined:
        return ""
    shown = ", ".join(f"{key.replace('_', ' ')} {value:+.2f}" for key, value in defined.items())
    return f"{name}: rank correlation of confidence over {appearance['frames']} frames with {shown}."
