"""Sentences about the numbers of a comparison of architectures. Each follows from them and can be understood alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

from surgseg.files import list_some, short_names
from surgseg.scores.intervals import CAUTION, RANK_CAUTION
from surgseg.scores.scored import scored_title
from surgseg.study.comparison import compared_models

SAME = 0.00005  # a smaller difference is 0 in four digits


def sentences(comparison: dict[str, Any]) -> list[str]:
    """Return all sentences about a comparison."""
    rows, found = comparison["models"], []
    if comparison.get("data") == "synthetic":
        found.append("Synthetic data: these scores say nothing about real surgery.")
    if missing := unfinished(comparison):
        found.append(missing.replace("unfinished", "Unfinished", 1))
    found += warning_sentences(comparison)
    for pair in comparison["differences"]:
        if pair["runs"]:
            found += difference_sentences(pair, rows)
    found += [text for text in (power_sentence(comparison), ranking_sentence(comparison)) if text]
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
    return [text, *_video_sentence(pair, first["label"], second["label"])]


def _video_sentence(pair: dict[str, Any], first: str, second: str) -> list[str]:
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
        text += f"; {pair['interval_reason']}; the values: {values}"
    else:
        low, high = pair["interval"]
        sides = "contains" if low <= 0 <= high else "does not contain"
        level = f"{100 * pair['level']:.0f} % interval"
        text += f", {level} {low:+.4f} to {high:+.4f} ({pair['interval_method']}), which {sides} 0"
    if pair["wilcoxon_p"] is None:
        return [f"{text}; Wilcoxon's signed-rank test is not defined, since no video differs."]
    several = f", {pair['wilcoxon_p_holm']:.4g} after Holm's correction for {pair['pairs_of_models']} pairs of models"
    return [f"{text}; Wilcoxon's p = {pair['wilcoxon_p']:.4g}{several * (pair['pairs_of_models'] > 1)}."]


def power_sentence(comparison: dict[str, Any]) -> str:
    """Return that no p value can be small with so few videos, whatever the models do; "" if one can."""
    pairs = comparison["differences"]
    smallest = [pair["wilcoxon_smallest_p"] for pair in pairs if pair["videos"] > 1 and pair["wilcoxon_p"] is not None]
    least = min(1.0, min(smallest, default=0) * len(pairs))
    if least <= 0.05:
        return ""
    after = f" after Holm's correction for {len(pairs)} pairs of models" * (len(pairs) > 1)
    return f"So few videos differ that no p value can be less than {least:.4g}{after}: a test needs more videos."


def ranking_sentence(comparison: dict[str, Any]) -> str:
    """Return how often each model has each rank if the videos are drawn anew; "" for one model."""
    found, rows = comparison["ranking"], comparison["models"]
    if len(rows) < 2:
        return ""
    if not found["shares"]:
        return f"Whether the order of the models is stable cannot be said: {found['reason']}."
    texts = []
    for name, shares in found["shares"].items():
        ranks = ", ".join(
            f"rank {rank} in {100 * share:.1f} %" for rank, share in enumerate(shares, 1) if share >= 0.0005
        )
        texts.append(f"{rows[name]['label']} (mean IoU {found['mean_iou'][name]:.4f}) {ranks}")
    left = f" Left out, since a model has no IoU on it: {list_some(found['left_out'])}." * bool(found["left_out"])
    return (
        f"Ranks by mean IoU over {found['videos']} videos, in {found['resamples']:,} samples of the videos with "
        f"replacement, the same for all models: {'; '.join(texts)}. {RANK_CAUTION}{left}"
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
        text += "; intervals, p values and ranks are valid for these trained models, not for the architectures"
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
