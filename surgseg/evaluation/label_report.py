"""A comparison of two sets of labels as JSON, table of frames and text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from surgseg.evaluation.label_sets import KINDS, LabelComparison
from surgseg.evaluation.results import metrics_of
from surgseg.files import list_some, short_names, write_csv, write_json
from surgseg.scores.intervals import CAUTION, FEWEST, mean_interval
from surgseg.scores.report import heading, number, score_label

LABELS_SCHEMA = "surgseg.label_comparison/1"
PAIRS = {
    "labels": "second labels against first",
    "model_first": "model against first",
    "model_second": "model against second",
    "model_agreed": "model where both agree",
}
_KEPT = ("instrument_union", "classes", "per_frame", "frame_distribution", "per_video", "video_intervals")


def write_labels(found: LabelComparison, folder: Path, run: dict | None = None) -> tuple[dict[str, Any], list[Path]]:
    """Write label_comparison.json and the table of its frames. Returns (content of the JSON, both paths)."""
    path, table = folder / "label_comparison.json", folder / "label_comparison_frames.csv"
    columns = {"name": found.names, "video": found.videos}
    for pair, scored in found.scored.items():
        for key, values in scored.frames.items():
            columns[f"{pair}_{key}"] = ["" if np.isnan(value) else f"{value:.6f}" for value in values]
    columns |= {f"{key}_pixels": values.tolist() for key, values in found.pixels.items()}
    write_csv(table, columns, (dict(zip(columns, row)) for row in zip(*columns.values())))
    summary = {**summarise_labels(found), "run": run}
    write_json(path, summary)
    return summary, [path, table]


def summarise_labels(found: LabelComparison) -> dict[str, Any]:
    """Return the content of the JSON: scores of each pair, and where the sets differ.

    `disagreement` holds for each kind of pixel its share of the pixels that are instrument in either set: pooled, by
    video, and `mean_interval` over the videos.
    """
    videos, either = np.array(found.videos), sum(found.pixels[kind] for kind in KINDS[1:])
    shares, errors = {}, {}
    for kind in KINDS[1:]:
        own = found.pixels[kind]
        chosen = {video: videos == video for video in dict.fromkeys(found.videos)}
        per_video = {video: _part_of(own[at].sum(), either[at].sum()) for video, at in chosen.items()}
        shares[kind] = {
            "pixels": int(own.sum()),
            "frames": int((own > 0).sum()),
            "pooled": _part_of(own.sum(), either.sum()),
            "per_video": per_video,
            "video_interval": mean_interval(per_video.values()),
        }
    for name in ("first", "second") if "model_first" in found.scored else ():
        wrong, disputed = (int(found.pixels[f"{key}_{name}"].sum()) for key in ("wrong", "disputed"))
        errors[name] = {"wrong": wrong, "disputed": disputed, "share": _part_of(disputed, wrong)}
    ids = found.scheme.instrument_ids
    both = found.scored["labels"].counts.sum(0)[np.ix_(ids, ids)]
    metrics = {pair: metrics_of(scored, found.scheme) for pair, scored in found.scored.items()}
    return {
        "schema": LABELS_SCHEMA,
        "sets": [{"folder": one.folder, "classes": one.scheme.names} for one in found.sets],
        "compared_classes": [found.scheme.names[index] for index in ids],
        "notes": found.notes,
        "frames": len(found.names),
        "videos": len(set(found.videos)),
        "left_out": found.left_out,
        "frames_with_instrument": int((either > 0).sum()),
        "equal_frames": int((found.equal & (either > 0)).sum()),
        "scores": {pair: {key: one[key] for key in _KEPT} for pair, one in metrics.items()},
        "border_pixels": found.border,
        "disagreement": shares,
        "other_class_pixels": int(both.sum() - both.trace()),
        "model_errors": errors,
    }


def _part_of(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def labels_block(summary: dict[str, Any]) -> str:
    """Return the result of `summarise_labels` as text: scores, where the sets differ, the model's errors, videos."""
    lines = [heading("TWO SETS OF LABELS")]
    for which, one in zip(("First: ", "Second:"), summary["sets"]):
        lines.append(f"{which} {one['folder']} (classes {list_some(one['classes'], 20)})")
    classes, equal = summary["compared_classes"], summary["equal_frames"]
    lines.append(f"Compared: {summary['frames']} frames, {summary['videos']} videos; {', '.join(classes)}")
    for place, names in summary["left_out"].items():
        if names:
            lines.append(f"WARNING: not compared: {len(names)} frames of the {place} ({list_some(names, 3)})")
    lines += [f"WARNING: {note}" for note in summary["notes"]]
    lines.append(f"Equal in every pixel: {equal} of {summary['frames_with_instrument']} frames that show an instrument")
    parts = (_score_lines, _disagreement_lines, _labels_by_video, _interval_lines)
    return "\n".join([*lines, *(line for part in parts for line in ("", *part(summary)))])


def _score_lines(summary: dict[str, Any]) -> list[str]:
    """A row for each pair, and below it for each class: Dice and IoU pooled and per frame, NSD per frame."""
    classes, scores = summary["compared_classes"], summary["scores"]
    keys = ["dice", "iou", *(key for key in scores["labels"]["frame_distribution"] if _is_nsd(key))]
    head = "".join(
        f"{score_label(key) + ' *' * pooled:>11}" for pooled in (True, False) for key in keys[: 2 if pooled else None]
    )
    lines = [f"{'':<29}{head}"]
    for pair, found in scores.items():
        for name in ("", *(classes if len(classes) > 1 else ())):
            pooled = found["classes"][name] if name else found["instrument_union"]
            means = [found["per_frame"].get(f"mean_{key}" + f":{name}" * bool(name)) for key in keys]
            label = f"  {short_names([name], 26)[0]}" if name else PAIRS[pair]
            cells = "".join(number(value, "11.4f") for value in (pooled["dice"], pooled["iou"], *means))
            lines.append(f"{label:<29}{cells}")
    return [
        *lines,
        "*: all pixels together (pooled); the others: mean of frames with an instrument in one of both masks",
    ]


def _is_nsd(key: str) -> bool:
    return key.startswith("nsd") and ":" not in key


def _disagreement_lines(summary: dict[str, Any]) -> list[str]:
    words = dict(zip(KINDS[1:], ("instrument in both", "border", "missing in the second", "extra in the second")))
    lines = [f"{'Instrument in one of the sets':<32}{'Pixels':>14}{'Share':>10}{'Frames':>8}"]
    for kind, row in summary["disagreement"].items():
        share = "n/a" if row["pooled"] is None else f"{row['pooled']:.2%}"
        lines.append(f"{words[kind]:<32}{row['pixels']:>14,}{share:>10}{row['frames']:>8}")
    lines.append(
        f"border: at most {summary['border_pixels']:g} pixels from the other set's instrument; others: farther"
    )
    for (name, row), other in zip(summary["model_errors"].items(), ("second", "first")):
        share = (
            "" if row["share"] is None else f"; in {row['share']:.1%} of them the {other} set says what the model says"
        )
        lines.append(f"Wrong pixels of the model against the {name} set: {row['wrong']:,}{share}")
    return lines


def _labels_by_video(summary: dict[str, Any]) -> list[str]:
    scores, shares = summary["scores"]["labels"]["per_video"], summary["disagreement"]
    lines = [
        f"{'Second against first':<32}{'Frames':>8}{'Dice':>8}{'IoU':>8}{'Border':>10}{'Missing':>10}{'Extra':>10}"
    ]
    for label, (video, row) in zip(short_names(scores, 31), scores.items()):
        cells = "".join(number(shares[kind]["per_video"][video], "10.2%") for kind in KINDS[2:])
        lines.append(f"{label:<32}{row['frames']:>8}{number(row['dice'], '8.4f')}{number(row['iou'], '8.4f')}{cells}")
    return lines


def _interval_lines(summary: dict[str, Any]) -> list[str]:
    """Mean over videos of each pair: pooled Dice and IoU of a video, mean NSD of its frames."""
    lines = [f"{'Mean over videos':<42}{'Videos':>7}{'Mean':>9}{'SD':>9}   95 % interval"]
    counts = []
    for pair, found in summary["scores"].items():
        for key, row in found["video_intervals"].items():
            if key in ("dice", "iou") or _is_nsd(key.replace("frame_mean_", "")):
                counts.append(row["n"])
                interval = " to ".join(f"{end:.4f}" for end in row["interval"]) if row["interval"] else "n/a"
                label = f"{PAIRS[pair]}, {score_label(key.replace('frame_mean_', ''))}"
                lines.append(
                    f"{label:<42}{row['n']:>7}{number(row['mean'], '9.4f')}{number(row['sd'], '9.4f')}   {interval}"
                )
    lines.append("Dice, IoU: all pixels of a video; NSD: mean of its frames. Interval: Student's t over the videos.")
    if min(counts) < FEWEST:
        lines.append(f"n/a: with fewer than {FEWEST} videos an interval is not reliable.")
    return lines + [CAUTION] * (FEWEST <= max(counts) <= 10)
