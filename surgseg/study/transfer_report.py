"""The transfer matrix as Markdown, from its JSON."""

from __future__ import annotations

from typing import Any

from surgseg.data.likeness import BLIND
from surgseg.files import list_some
from surgseg.scores.intervals import CAUTION, FEWEST
from surgseg.scores.report import number
from surgseg.study.transfer import ALL

MARK = "†"
KEYS = {"dice": "Dice", "iou": "IoU"}


def transfer_markdown(result: dict[str, Any]) -> str:
    """Return tables of pooled scores, of each cell and of common frames, and sentences on what they were measured on.

    `result` is the content of transfer.json.
    """
    models, cells = result["models"], result["cells"]
    data = [row["data"] for row in (*result["sets"].values(), *models.values())]
    parts = ["# Transfer matrix"]
    if "synthetic" in data:
        parts.append("**SYNTHETIC data among these: such scores say nothing about real surgery.**")
    parts.append(
        "Rows: models. Columns: data sets. Bold: the set that trained the model (in-domain). "
        f"{MARK}: scored frames, or frames of the same video, may have trained the model; see the warnings. "
        "Instrument: all instrument classes together, in masks and predictions. n/a: no instrument in truth or "
        "prediction."
    )
    for key, label in KEYS.items():
        parts += [f"## {label}, pooled over all pixels", _matrix(result, key)]
    parts += ["## Each cell", _table(*_cell_rows(result)), *_interval_sentences(cells)]
    common = result["common"]
    if any(cell["frames"] > common[name]["frames"] for row in cells.values() for name, cell in row.items()):
        parts.append("## Dice on the frames of a set that all models were scored on")
        head = ["", *(f"{name} ({row['frames']} frames)" for name, row in common.items())]
        rows = [[model, *(number(row["dice"][model], ".3f") for row in common.values())] for model in models]
        parts.append(_table(head, rows))
    parts += ["## What is compared", "\n".join(f"- {text}" for text in [*_definitions(result), *_leaks(result)])]
    return "\n\n".join(parts) + "\n"


def cell_score(cell: dict[str, Any], key: str) -> str:
    """Return the pooled score, with the mark if frames or videos of the cell may have trained the model."""
    return f"{number(cell['instrument_union'][key], '.3f')}{MARK * cell['marked']}"


def video_score(cell: dict[str, Any], key: str) -> str:
    """Return the mean over videos with its interval; the values of the videos where there is none."""
    found = cell["video_intervals"][key]
    if found["interval"]:
        low, high = found["interval"]
        return f"{found['mean']:.3f} ({low:.3f} to {high:.3f}), {found['n']} videos"
    values = [f"{video} {row[key]:.3f}" for video, row in cell["per_video"].items() if row[key] is not None]
    return f"{found['mean']:.3f}: {', '.join(values)}" if values else "n/a"


def _matrix(result: dict[str, Any], key: str) -> str:
    rows = []
    for model, row in result["cells"].items():
        texts = {name: cell_score(cell, key) for name, cell in row.items()}
        own = result["models"][model]["own"]
        rows.append([model, *(f"**{text}**" if name == own else text for name, text in texts.items())])
    return _table(["", *result["sets"]], rows)


def _cell_rows(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    head = ["model", "set", "frames", "videos", "part", *(f"{label}, mean over videos" for label in KEYS.values())]
    rows = [
        [model, name, str(cell["frames"]), str(len(cell["per_video"])), cell["rule"],
         *(video_score(cell, key) for key in KEYS)]
        for model, row in result["cells"].items()
        for name, cell in row.items()
    ]  # fmt: skip
    return head, rows


def _interval_sentences(cells: dict[str, dict]) -> list[str]:
    counts = [cell["video_intervals"]["dice"] for row in cells.values() for cell in row.values()]
    found = ["In brackets: 95 % interval of the mean, Student's t over the videos."] * any(
        c["interval"] for c in counts
    )
    if any(c["n"] < FEWEST for c in counts):
        found.append(f"With fewer than {FEWEST} videos an interval is not reliable: the videos are listed.")
    return found + [CAUTION] * any(FEWEST <= c["n"] <= 10 for c in counts)


def _definitions(result: dict[str, Any]) -> list[str]:
    """Return what counts as an instrument, and who defines it so, if the schemes differ."""
    kinds: dict[str, list[str]] = {}
    for name, row in (*result["sets"].items(), *((f"model {name}", row) for name, row in result["models"].items())):
        listed = (f"{label} (codes {list_some(codes)})" for label, codes in row["instrument"].items())
        kinds.setdefault(list_some(listed, 40), []).append(name)
    if len(kinds) == 1:
        return [f"All sets and models have the same instrument classes: {next(iter(kinds))}."]
    told = "; ".join(f"{', '.join(names)}: {text}" for text, names in kinds.items())
    return [
        f"The instrument classes, or their source codes, differ: {told}. Part of a difference between scores may be "
        "this; for public sets docs/public_datasets.md says what counts as an instrument."
    ]


def _leaks(result: dict[str, Any]) -> list[str]:
    found = [
        f"WARNING: {row['frames']} of {row['of']} frames of {row['set']}, video {row['video']}, look like frames of "
        f"{row['other_set']}, video {row['other_video']}: the same operation is in both sets."
        for row in result["shared_videos"]
    ]
    if not found and len(result["sets"]) > 1:
        found = [f"No frame of one set looks like a frame of another. {BLIND}; nor are frames a second or more apart."]
    for model, row in result["cells"].items():
        if not result["models"][model]["own"]:
            found.append(f"{model}: no set holds the frames that trained it, as far as it records them.")
        for name, cell in row.items():
            found += [f"WARNING: {model} on {name}: {text}." for text in cell["scored"]["warnings"].values()]
    found += [
        f"{name} has no test part: models that it did not train are scored on all its frames."
        for name in result["sets"]
        if any(row[name]["rule"] == ALL for row in result["cells"].values())
    ]
    return found


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
