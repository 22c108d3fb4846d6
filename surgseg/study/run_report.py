"""report.md and MODEL_CARD.md of a run, from the files that it left. Every number comes from one of these files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from surgseg.files import list_some
from surgseg.scores.intervals import CAUTION, FEWEST
from surgseg.scores.report import number, score_label
from surgseg.scores.scored import scored_lines
from surgseg.scores.strata import FEW_MEANS, named_groups
from surgseg.study.questions import answers
from surgseg.study.related import comparison_section, folds_section, labels_section
from surgseg.study.run_facts import MISSING, RunFacts, command, commit_of, interval_table, licence, markdown_table

_WORST = 5  # frames in the table


def run_report(facts: RunFacts) -> str:
    """Return report.md."""
    sections = {
        "Data": _data(facts),
        "Split": _split(facts),
        "Training": _training(facts),
        "Scores": _score_tables(facts),
        "Cross-validation": folds_section(facts),
        "Comparison of models": comparison_section(facts),
        "Worst frames": _worst(facts),
        "Agreement of labels": labels_section(facts),
        "Probabilities": _probabilities(facts),
        "Speed": _speed(facts),
        "Limits": _limits(facts),
        "Licence of the weights": [licence(facts)],
        "Questions of CLAIM and Metrics Reloaded": _questions(facts),
        "Commands": _commands(facts),
    }
    return _page("Report", facts, sections)


def model_card(facts: RunFacts) -> str:
    """Return MODEL_CARD.md, with the sections of Mitchell et al. 2019 (arXiv:1810.03993)."""
    weights = facts.weights
    details = [
        ("architecture", weights["arch"]),
        ("input", f"RGB frames, resized to {_input_size(weights)} (height x width), view {weights['view']}"),
        ("output", f"a class for each pixel: {', '.join(item['name'] for item in weights['classes']['classes'])}"),
        ("threshold", _or_missing(weights["threshold"], "the most probable class")),
        ("temperature", number(weights.get("temperature", 1.0), ".4f")),
        ("weights sha256", facts.metrics["weights"]["sha256"]),
        ("started from", weights["training"].get("start")),
    ]
    sections = {
        "Model": markdown_table(("", ""), details),
        "Licence": [licence(facts)],
        "Use": [
            "Meant for research on surgical video: masks of instruments, and numbers computed from them. Not a medical "
            "device; not for decisions about a patient, during an operation or after it."
        ],
        "Data": _data(facts),
        "Scores": _score_tables(facts),
        "Probabilities": _probabilities(facts),
        "Limits": _limits(facts),
    }
    return _page("Model card", facts, sections)


def _page(title: str, facts: RunFacts, sections: dict[str, Iterable[str]]) -> str:
    lines = [f"# {title}: {facts.weights['arch']}, {facts.weights['classes']['name']}"]
    if facts.synthetic:
        lines.append("**SYNTHETIC data.** These numbers say nothing about real operations.")
    for name, section in sections.items():
        lines += [f"## {name}", *section]
    return "\n\n".join(lines) + "\n"


def _or_missing(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else number(value, ".4f")


def _input_size(weights: dict[str, Any]) -> str:
    return "x".join(map(str, weights["image_size"]))


def _data(facts: RunFacts) -> list[str]:
    audit = facts.audit
    if audit is None:
        return [f"Audit of the data: {MISSING} (no audit.json with tables; a preparation writes it)."]
    identical = audit.get("identical_frames", {})
    rows = [
        ("kind", audit["data"]),
        ("licences", ", ".join(audit.get("licences", [])) or None),
        ("videos", len(audit["videos"])),
        ("frames", audit["frames"]),
        ("frames without instrument", audit.get("instrument_free_frames")),
        ("frames of void alone", audit.get("void_frames")),
        ("sizes (width x height: frames)", ", ".join(f"{key}: {value}" for key, value in audit["sizes"].items())),
        ("void, share of the pixels", number(audit.get("void", {}).get("share"), ".4f")),
        *((f"{name}, share of the pixels", number(row["share"], ".4f")) for name, row in audit["classes"].items()),
        ("identical frames", identical.get("frames")),
        ("identical frames in several videos", len(identical.get("across_videos", []))),
    ]
    return markdown_table(("Audit", ""), rows) + [f"- WARNING: {text}" for text in audit.get("warnings", [])]


def _split(facts: RunFacts) -> list[str]:
    split = facts.weights["training"].get("split")
    if not split:
        return [f"Split: {MISSING} (the weights file stores none)."]
    parts = Counter(split["assignment"].values())
    seen = facts.metrics["scored"].get("seen", {})
    copies = seen.get("near_copies")
    rows = [
        ("name", split["name"]),
        ("hash", split["hash"]),
        ("divided by", split["by"]),
        *((f"{part}, {split['by']}s", parts.get(part, 0)) for part in ("train", "val", "test")),
        ("scored frames that trained the weights, by name", seen.get("by_name")),
        ("scored frames of videos that trained them", seen.get("same_video")),
        ("scored frames that look like a training frame", copies),
        ("frames compared by look", seen.get("compared")),
        ("earlier weights that they started from", len(facts.weights["training"].get("ancestors", []))),
    ]
    return markdown_table(("Split", ""), rows)


def _training(facts: RunFacts) -> list[str]:
    weights, training = facts.weights, facts.weights["training"]
    history = training.get("history", [])
    seconds = [row["seconds"] for row in history if row.get("seconds")]
    settings = {key: value for key, value in training.get("settings", {}).items() if value is not None}
    chosen = {key: number(value, ".4f") for key, value in weights["metrics"].items()}
    rows = [
        ("architecture", f"{weights['arch']} {weights['model_args'] or ''}".strip()),
        ("input (height x width)", f"{_input_size(weights)}, view {weights['view']}"),
        ("started from", training.get("start")),
        ("epochs", training.get("epochs")),
        ("epoch of the weights", training.get("chosen_epoch")),
        ("validation scores of that epoch", ", ".join(f"{key} {value}" for key, value in chosen.items()) or None),
        ("seconds of training", f"{sum(seconds):.0f}" if seconds else None),
        ("settings", ", ".join(f"{key} {value}" for key, value in settings.items()) or None),
        ("stopped early", training.get("stopped") or "no"),
        ("device", training.get("device")),
        ("versions", ", ".join(f"{key} {value}" for key, value in training.get("versions", {}).items()) or None),
        ("git commit", commit_of(training)),
    ]
    return [*markdown_table(("Training", ""), rows), *_pictures(facts, "training_loss")]


def _score_tables(facts: RunFacts) -> list[str]:
    metrics = facts.metrics
    head = ("Class (pooled)", "IoU", "Dice", "precision", "recall", "specificity", "pixels")
    classes = [
        (name, *(number(row[key], ".4f") for key in ("iou", "dice", "precision", "recall", "specificity")), row["n"])
        for name, row in metrics["classes"].items()
    ]
    keys = ("mean", "median", "q25", "q75", "worst_5_percent", "worst_video_mean")
    frames = [
        (score_label(name), row["n"], *(number(row[key], ".4f") for key in keys), row["worst_video"] or "")
        for name, row in metrics["frame_distribution"].items()
    ]
    videos = [
        (name, row["frames"], *(number(row[key], ".4f") for key in ("iou", "dice")))
        for name, row in metrics["per_video"].items()
    ]
    means = [(f"{key}, pooled", metrics["video_intervals"][key]) for key in ("iou", "dice")]
    means += [(f"{key}, mean of frames", metrics["video_intervals"][f"frame_mean_{key}"]) for key in ("iou", "dice")]
    groups = [
        (label, name, frames, group["videos"], *(number(group["mean"][key], ".4f") for key in ("iou", "dice")))
        for label, rows in named_groups(metrics["strata"]).items()
        for name, frames, group in rows
    ]
    empty = metrics["empty_frames"]
    return [
        "\n".join(f"- {line.strip()}" for line in scored_lines(metrics["scored"])),
        *markdown_table(head, classes),
        *markdown_table(
            ("Score of a frame", "n", "mean", "median", "q25", "q75", "worst 5 %", "worst video", ""), frames
        ),
        *markdown_table(("Video", "frames", "IoU", "Dice"), videos),
        *interval_table("Mean over videos", means),
        *markdown_table(("Frames by", "group", "frames", "videos", "IoU", "Dice"), groups),
        *[FEW_MEANS] * any("*" in row[2] for row in groups),
        f"Frames without instrument: {empty['truth_empty']}, false alarms in {empty['false_alarms']}. Frames in which "
        f"the instrument was missed altogether: {empty['missed']}.",
        *_pictures(facts, "comprehensive_analysis"),
        *_pictures(facts, "strata"),
    ]


def _worst(facts: RunFacts) -> list[str]:
    rows = sorted((row for row in facts.frames if row["iou"]), key=lambda row: float(row["iou"]))[:_WORST]
    keys = [key for key in ("iou", "dice", "hd95", "coverage", "predicted_coverage") if key in facts.frames[0]]
    cells = [(row["name"], row["video"], *(number(float(row[key] or "nan"), ".4f") for key in keys)) for row in rows]
    table = markdown_table(("Lowest IoU", "video", *(score_label(key).replace("_", " ") for key in keys)), cells)
    return [*table, *_pictures(facts, "challenging_segmentation_results"), *(f"- {note}" for note in facts.notes)]


def _probabilities(facts: RunFacts) -> list[str]:
    found = facts.metrics.get("calibration")
    if not found or not found["pixels"]:
        return [f"Calibration: {MISSING} (the scores hold no probabilities; analyze_model.py --mode model adds them)."]
    risk = found["risk"]
    rows = [
        ("expected calibration error (ECE)", number(found["ece"], ".4f")),
        ("Brier score", number(found["brier"], ".4f")),
        ("Brier score without skill", number(found["brier_of_share"], ".4f")),
        ("pixels", found["pixels"]),
        ("temperature", number(facts.weights.get("temperature", 1.0), ".4f")),
        ("threshold", _or_missing(facts.metrics["threshold"], "the most probable class")),
    ]
    record = facts.weights["training"].get("calibration", {})
    for key, value in record.items():
        if key in ("temperature", "threshold"):
            cells = ", ".join(f"{name} {number(each, '.4f')}" for name, each in value.items() if each is not None)
            rows.append((f"{key}, fitted on the validation part", cells))
    if record:
        rows.append(("frames of that part", record["frames"]))
    kept = [(f"{row['share']:.0%}", row["frames"], number(row["risk"], ".4f")) for row in risk["kept"]]
    return [
        *markdown_table(("Instrument probability", ""), rows),
        *interval_table("Mean over videos", found["video_intervals"].items()),
        *markdown_table(("Least uncertain frames", "frames", "mean of 1 - Dice"), kept),
        *(f"- WARNING: {text}." for text in record.get("warnings", {}).values()),
        *_pictures(facts, "calibration"),
    ]


def _speed(facts: RunFacts) -> list[str]:
    timing = (facts.speed or {}).get("timing", {})
    if not timing.get("total_s") or not timing.get("frames"):
        return [f"Speed: {MISSING} (give --generated-dir, a folder of generate_masks_from_model.py)."]
    backend, video = facts.speed["backend"], facts.speed["video"]
    rows = [
        ("frames/s, from the video to the masks", f"{timing['frames'] / timing['total_s']:.2f}"),
        ("frames", timing["frames"]),
        ("seconds", f"{timing['total_s']:.1f}"),
        ("video (width x height)", f"{video['width']}x{video['height']}"),
        ("backend", ", ".join(f"{key} {value}" for key, value in backend.items())),
    ]
    return markdown_table(("Speed", ""), rows)


def _limits(facts: RunFacts) -> list[str]:
    scored, training = facts.metrics["scored"], facts.weights["training"]
    lines = [f"{text}." for text in scored["warnings"].values()]
    if scored["videos"] < FEWEST:
        lines.append(
            f"The scores are of {scored['videos']} videos: no interval says how they vary from video to video."
        )
    means = [facts.metrics, facts.folds, facts.labels and facts.labels["scores"]["labels"]]
    if any(FEWEST <= row["n"] <= 10 for one in means if one for row in one["video_intervals"].values()):
        lines.append(CAUTION)
    if not scored["split"]:
        lines.append("Which frames trained the weights is not known.")
    if training.get("data") != facts.metrics["data"]:
        lines.append(f"Trained on {training.get('data')} data, scored on {facts.metrics['data']} data.")
    if facts.audit and not facts.audited_training:
        lines.append("The audit is not of all videos that trained the weights.")
    if training.get("pseudo_labels"):
        lines.append(f"{training['pseudo_labels']} training masks are predictions of a model.")
    lines.append(f"Instruments are: {list_some(scored['instruments'])}. Anything else of steel is background here.")
    lines.append("Other procedures, cameras, hospitals: not measured by these numbers.")
    return ["\n".join(f"- {line}" for line in lines)]


def _questions(facts: RunFacts) -> list[str]:
    head = "Questions in our words; the checklists are the reference. What the files cannot tell is yours to say."
    return [head, *markdown_table(("Question", "Answer"), answers(facts))]


def _commands(facts: RunFacts) -> list[str]:
    training = facts.weights["training"]
    runs = {
        "Data, split, training": training if "script" in training else None,
        "temperature, threshold": training.get("calibration", {}).get("run"),
        "scores, worst frames, probabilities": facts.metrics["run"],
        "speed": (facts.speed or {}).get("run"),
        "cross-validation": (facts.folds or {}).get("run"),
        "comparison of models": (facts.comparison or {}).get("run"),
        "agreement of labels": (facts.labels or {}).get("run"),
    }
    names: dict[str, list[str]] = {}
    for name, run in runs.items():
        if run:
            text = f"(commit {commit_of(run) or 'not known'}):\n\n```bash\n{command(run)}\n```"
            names.setdefault(text, []).append(name)
    return [f"Numbers of: {', '.join(found)} {text}" for text, found in names.items()]


def _pictures(facts: RunFacts, name: str) -> list[str]:
    return [f"![{name}]({path})" for path in facts.figures if path.endswith(f"/{name}.png")]
