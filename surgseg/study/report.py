"""The report of a comparison of architectures: tables of models and of pairs of models, and sentences about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from surgseg.scores.report import heading, number
from surgseg.study.sentences import scored_sentence, sentences, unfinished

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
PAIR_COLUMNS = (
    "First minus second, IoU by video",
    "Videos",
    "Mean",
    "SD",
    "95 % interval",
    "d_z",
    "r",
    "p",
    "p (Holm)",
    "Least p",
)
LEFT = ("Model", "Start", PAIR_COLUMNS[0])  # columns of text; the others are numbers
_PAIRS_DESCRIBED = (
    " Of pairs: the value of a video is its mean over the seeds; intervals are not corrected for the number of pairs. "
    "d_z: mean / SD. r: rank-biserial correlation of matched pairs, -1 to 1. p: Wilcoxon's signed-rank test, "
    "two-sided; Holm: corrected for all pairs of models. Least p: the smallest p, before the correction, with so many "
    "videos that differ."
)


def comparison_block(comparison: dict[str, Any]) -> str:
    """Return the printed block: the table, the description of its columns, and the sentences."""
    columns = ["", described(comparison)] if comparison["models"] else []
    tables = [line for rows in _tables(comparison) for line in ("", *_aligned(rows))]
    return "\n".join([heading("COMPARISON"), *tables[1:], *columns, "", *sentences(comparison)])


def _tables(comparison: dict[str, Any]) -> list[list[tuple[str, ...]]]:
    """Return the table of the models and, where there are pairs with a common video, that of the pairs."""
    pairs = pair_rows(comparison)
    return [[COLUMNS, *table_rows(comparison)], *([[PAIR_COLUMNS, *pairs]] if pairs else [])]


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join(cell.ljust(width) if name in LEFT else cell.rjust(width)
                  for name, cell, width in zip(rows[0], row, widths))
        for row in rows
    ]  # fmt: skip


def comparison_markdown(comparison: dict[str, Any], note: str = "", problems: Sequence[str] = ()) -> str:
    """Return the content of `comparison_block` as Markdown. `problems` say what is missing from the figures."""
    title = ["# Comparison of architectures"]
    if comparison.get("data") == "synthetic":
        title.append("**SYNTHETIC data.**")
    if missing := unfinished(comparison):
        title.append(f"**{missing.replace('unfinished', 'Unfinished', 1)}**")
    parts = [*title, note, *comparison_paragraphs(comparison, problems)]
    return "\n\n".join(part for part in parts if part) + "\n"


def comparison_paragraphs(comparison: dict[str, Any], problems: Sequence[str] = ()) -> list[str]:
    """Return tables, description and sentences as paragraphs of Markdown."""
    tables = [
        [rows[0], tuple("---" if name in LEFT else "---:" for name in rows[0]), *rows[1:]]
        for rows in _tables(comparison)
    ]
    remarks = [f"- {text}" for text in sentences(comparison)]
    remarks += [f"- Not in the figures: {text}." for text in problems]
    tables = ["\n".join("| " + " | ".join(row) + " |" for row in rows) for rows in tables]
    return [*tables, described(comparison), "\n".join(remarks)]


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


def pair_rows(comparison: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the cells of a row per pair of models: the differences by video, effect sizes and p values."""
    rows, found = comparison["models"], []
    for pair in comparison["differences"]:
        if pair["videos"] > 1:
            name = f"{rows[pair['first']]['label']} minus {rows[pair['second']]['label']}"
            interval = "{:+.4f} to {:+.4f}".format(*pair["interval"]) if pair["interval"] else "n/a"
            values = number(pair["mean"], "+.4f"), number(pair["sd"], ".4f")
            effects = [number(pair[key], "+.2f") for key in ("d_z", "rank_biserial")]
            tests = [number(pair[key], ".4g") for key in ("wilcoxon_p", "wilcoxon_p_holm", "wilcoxon_smallest_p")]
            found.append((name, str(pair["videos"]), *values, interval, *effects, *tests))
    return found


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
        f"{_PAIRS_DESCRIBED * bool(pair_rows(comparison))}"
    )
