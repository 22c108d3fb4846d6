"""The report of a comparison of architectures: a table, and sentences that follow from its numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from surgseg.files import short_names
from surgseg.scores.intervals import CAUTION
from surgseg.scores.report import heading, number
from surgseg.scores.scored import scored_title
from surgseg.study.comparison import compared_models

COLUMNS = (
    "Model",
    "Parameters",
    "Start",
    "IoU",
    "Dice",
    "Accuracy",
    "Train s",
    "Images/s",
    "Peak MB",
    "ms/frame",
)
SAME = 0.00005  # a smaller difference is 0 in four digits


def comparison_block(comparison: dict[str, Any]) -> str:
    """Return the printed block: the table, the description of its columns, and the sentences."""
    rows = [COLUMNS, *table_rows(comparison)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) if column in (0, 2) else cell.rjust(width)
                  for column, (cell, width) in enumerate(zip(row, widths)))
        for row in rows
    ]  # fmt: skip
    columns = ["", described(comparison)] if comparison["models"] else []
    return "\n".join([heading("COMPARISON"), *lines, *columns, "", *sentences(comparison)])


def comparison_markdown(comparison: dict[str, Any], note: str = "", problems: list[str] | None = None) -> str:
    """Return the content of `comparison_block` as Markdown. `problems` say what is missing from the figures."""
    rows = [COLUMNS, ("---", *["---:" if column != "Start" else "---" for column in COLUMNS[1:]])]
    table = ["| " + " | ".join(row) + " |" for row in [*rows, *table_rows(comparison)]]
    title = ["# Comparison of architectures"]
    if comparison.get("data") == "synthetic":
        title.append("**SYNTHETIC data.**")
    if missing := unfinished(comparison):
        title.append(f"**{missing.replace('unfinished', 'Unfinished', 1)}**")
    remarks = [f"- {text}" for text in sentences(comparison)]
    remarks += [f"- Not in the figures: {text}." for text in problems or []]
    parts = [*title, note, "\n".join(table), described(comparison), "\n".join(remarks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def table_rows(comparison: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the cells of a row per model; with several runs rows of the mean, the SD, and each run."""
    rows = []
    for row in comparison["models"].values():
        several = len(row["runs"]) > 1
        start = "pretrained" if row["pretrained"] else "random"
        name = f"{row['label']}, mean of {len(row['runs'])}" if several else row["label"]
        rows.append((name, f"{row['parameters']:,}", start, *_scores(row), *_costs(row)))
        if several:
            rows.append(("  SD", "", "", *_scores(row["sd"]), "", "", "", ""))
            rows += [(f"  {run_name(run)}", "", "", *_scores(run), *_costs(run)) for run in row["runs"]]
    return rows


def _scores(row: dict[str, Any]) -> list[str]:
    return [number(row[key], ".4f") for key in ("iou", "dice", "accuracy")]


def _costs(row: dict[str, Any]) -> list[str]:
    forms = {"training_seconds": ",.1f", "images_per_s": ".2f", "peak_memory_mb": ",.0f", "ms_per_frame": ".1f"}
    return ["n/a" if row[key] is None else format(row[key], form) for key, form in forms.items()]


def run_name(run: dict[str, Any]) -> str:
    return f"seed {run['seed']}" + ("" if run["fold"] is None else f", fold {run['fold']}")


def described(comparison: dict[str, Any]) -> str:
    """Return the description of the table's columns, the split and the device."""
    rows = comparison["models"].values()
    devices = ", ".join(dict.fromkeys(str(row.get("device")) for row in rows))
    peaks = ", ".join(dict.fromkeys(row["peak_memory_of"] for row in rows if row.get("peak_memory_of")))
    split, settings = comparison.get("split", {}), comparison.get("settings", {})
    return (
        f"{scored_sentence(comparison)}Split {split.get('name')} (hash {split.get('hash')}), "
        f"{settings.get('epochs')} epochs, device {devices}. "
        "IoU, Dice and accuracy: all pixels of the scored frames at their own size. Train s: all epochs with their "
        f"validation. Peak MB: {peaks or 'not measured'}. ms/frame: median of single predictions of one frame. "
        "Several runs: mean and SD (n - 1) over them. Differences are taken before rounding."
    )


def sentences(comparison: dict[str, Any]) -> list[str]:
    """Return sentences about the numbers. Each can be understood alone."""
    rows, found = comparison["models"], []
    if comparison.get("data") == "synthetic":
        found.append("Synthetic data: these scores say nothing about real surgery.")
    if missing := unfinished(comparison):
        found.append(missing.replace("unfinished", "Unfinished", 1))
    found += warning_sentences(comparison)
    for pair in comparison["differences"]:
        if pair["runs"]:
            found += difference_sentences(pair, rows)
    if any(pair["interval"] for pair in comparison["differences"]):
        found.append(CAUTION)
    found += [text for row in rows.values() if (text := empty_frames_sentence(row))]
    more = single_run_sentence(comparison), pretraining_sentence(rows), learning_rate_sentence(rows)
    found += [text for text in more if text]
    return found + [text for row in rows.values() if (text := improvement_sentence(row))]


def scored_sentence(comparison: dict[str, Any]) -> str:
    """Return what was scored, the first set if runs were scored on several; "" if the runs do not say it."""
    sets = list(dict.fromkeys(scored_title({**scored, "warnings": {}}, width=1000) for scored in _scored(comparison)))
    return f"Scored: {sets[0]}{f' (the first of {len(sets)} sets)' * (len(sets) > 1)}. " if sets else ""


def warning_sentences(comparison: dict[str, Any]) -> list[str]:
    """Return the warnings about what was scored, each once."""
    texts = dict.fromkeys(text for scored in _scored(comparison) for text in scored["warnings"].values())
    return [f"WARNING: {text}." for text in texts]


def _scored(comparison: dict[str, Any]) -> list[dict[str, Any]]:
    return [run["scored"] for row in comparison["models"].values() for run in row["runs"] if run.get("scored")]


def difference_sentences(pair: dict[str, Any], rows: dict[str, dict]) -> list[str]:
    """Return which model is ahead and by how much, then the difference by video and its test."""
    first, second = rows[pair["first"]], rows[pair["second"]]
    runs = pair["iou_runs"]
    what = "IoU" if runs == 1 else f"mean IoU over {runs} runs"
    whole = runs == len(first["runs"]) == len(second["runs"])
    if pair["iou"] is None:
        return [f"IoU of {first['label']} against {second['label']}: n/a, since it is undefined for one of them."]
    ahead, behind = (first, second) if pair["iou"] > 0 else (second, first)
    values = (
        f" ({ahead['iou']:.4f} against {behind['iou']:.4f})" if whole else " (over the runs in which both have an IoU)"
    )
    if abs(pair["iou"]) < SAME:
        text = f"{first['label']} and {second['label']} achieve the same {what} to four digits{values}."
    else:
        text = f"{ahead['label']} achieves {abs(pair['iou']):.4f} higher {what} than {behind['label']}{values}."
    return [text, *_video_sentences(pair, first["label"], second["label"])]


def _video_sentences(pair: dict[str, Any], first: str, second: str) -> list[str]:
    count = pair["videos"]
    if not count:
        return []
    start = f"By video, {first} minus {second}: "
    names = short_names(pair["by_video"], 24)
    values = ", ".join(f"{name} {value:+.4f}" for name, value in zip(names, pair["by_video"].values()))
    if count == 1:
        return [f"{start}{values}; one video, so there is nothing to test."]
    text = f"{start}mean {pair['mean']:+.4f}, SD {pair['sd']:.4f}, {count} videos"
    if pair["interval"] is None:
        text += f"; {pair['interval_reason']}; the values: {values}."
    else:
        low, high = pair["interval"]
        sides = "contains" if low <= 0 <= high else "does not contain"
        level = f"{100 * pair['level']:.0f} % interval"
        text += f", {level} {low:+.4f} to {high:+.4f} ({pair['interval_method']}), which {sides} 0."
    return [text, _test_sentence(pair)]


def _test_sentence(pair: dict[str, Any]) -> str:
    if pair["wilcoxon_p"] is None:
        return "Wilcoxon's signed-rank test: not defined, since no video differs."
    pairs, smallest = pair["wilcoxon_pairs"], pair["wilcoxon_smallest_p"]
    return (
        f"Wilcoxon's signed-rank test over the videos, two-sided: p = {pair['wilcoxon_p']:.4g}; {pairs} "
        f"pair{'s' * (pairs != 1)} that differ{'s' * (pairs == 1)} cannot give less than {smallest:.4g}."
    )


def single_run_sentence(comparison: dict[str, Any]) -> str:
    """Return the warning that one seed on one split does not show how much scores vary between trainings; or ""."""
    rows = comparison["models"].values()
    if len(rows) < 2 or max(len(row["runs"]) for row in rows) > 1:
        return ""
    text = (
        "One split and one seed: no significance can be claimed, since another seed or split may change scores by as "
        "much (--seeds and --folds measure that)"
    )
    if any(pair["videos"] > 1 for pair in comparison["differences"]):
        text += "; intervals and p values are valid for these trained models, not for the architectures"
    return f"{text}."


def pretraining_sentence(rows: dict[str, dict[str, Any]]) -> str:
    """Return the warning that a difference may come from the pretraining; "" if all models start alike."""
    trained = {name: row for name, row in rows.items() if row["pretrained"]}
    random = {name: row for name, row in rows.items() if not row["pretrained"]}
    if not trained or not random:
        return ""
    first, second = (" and ".join(row["label"] for row in group.values()) for group in (trained, random))
    starts = "starts" if len(random) == 1 else "start"
    pretraining = next(iter(trained.values()))["pretraining"]
    text = f"{first} starts from pretrained weights, {pretraining}; {second} {starts} from random ones: "
    if len({row["arch"] for row in rows.values()}) == 1:
        return f"{text}the architecture is the same, so only the start differs."
    text += "part of the difference may come from the pretraining."
    scratch = [name for name, model in compared_models().items() if model.scratch and model.arch in trained]
    present = [rows[name]["label"] for name in scratch if name in rows]
    if present:
        return f"{text} {' and '.join(present)} differs from the other random start in the architecture only."
    return (
        f"{text} To train all from scratch, add {' '.join(scratch)} to --models (what is finished is not trained "
        "again), or give --weights none."
    )


def learning_rate_sentence(rows: dict[str, dict[str, Any]]) -> str:
    """Return the peak learning rates if they differ, as the defaults of pretrained and random starts do; else ""."""
    rates = {row["label"]: row["runs"][0].get("learning_rate") for row in rows.values()}
    if None in rates.values() or len(set(rates.values())) < 2:
        return ""
    listed = ", ".join(f"{label} {rate:g}" for label, rate in rates.items())
    return f"The peak learning rates differ too: {listed}; --lr gives all the same."


def empty_frames_sentence(row: dict[str, Any]) -> str:
    """Return in how many frames without instrument a model marks one, summed over its runs; "" without such frames."""
    counts = [run["empty_frames"] for run in row["runs"] if run.get("empty_frames")]
    empty, alarms = (sum(count[key] for count in counts) for key in ("truth_empty", "false_alarms"))
    return f"{row['label']} marks an instrument in {alarms} of {empty} frames without one." if empty else ""


def improvement_sentence(row: dict[str, Any]) -> str:
    """Return that a model was still improving at its last epoch; "" if it was not."""
    found = [run["improvement"] for run in row["runs"] if run.get("improvement")]
    improving = [one for one in found if one["improving"]]
    if not improving:
        if found and all(one["improving"] is None for one in found):
            return f"{row['label']}: {found[0]['epochs']} epoch cannot show whether it was still improving."
        return ""
    one = improving[0]
    change = f"{one['change']:+.4f}" if one["measure"] == "validation IoU" else f"{100 * one['change']:+.1f} %"
    runs = f" in {len(improving)} of {len(found)} runs" if len(found) > 1 else ""
    ends = "its last epoch against the one before" if one["over"] == 1 else (
        f"its last {one['over']} epochs against the {one['over']} before")  # fmt: skip
    return (
        f"{row['label']} was still improving at the last epoch{runs}: undertrained at {one['epochs']} epochs "
        f"({one['measure']} {change}, {ends})."
    )


def unfinished(comparison: dict[str, Any]) -> str:
    """Return which runs are missing; "" if none is."""
    if comparison["complete"]:
        return ""
    missing = comparison.get("missing", [])
    several = len({(run["seed"], run["fold"]) for run in missing}) > 1 or any(
        len(row["runs"]) > 1 for row in comparison["models"].values()
    )
    counts = Counter(compared_models()[run["model"]].label for run in missing)
    texts = [f"{label} ({count} run{'s' * (count > 1)})" if several else label for label, count in counts.items()]
    return f"unfinished: {', '.join(texts) or 'runs'} still to be trained; run the same train_comparative.py again."
