"""Questions that reviewers ask, answered from the files of a run where these can.

In our words, after the checklist CLAIM (Mongan et al. 2020, updated by Tejani et al. 2024) and Metrics Reloaded
(Maier-Hein, Reinke et al. 2024). A question that the files cannot answer has the answer None.
"""

from __future__ import annotations

from typing import Any

from surgseg.scores.report import number, score_label
from surgseg.study.run_facts import RunFacts

_OPEN = (
    "Which patients and operations were included, which left out?",
    "What are the patients' age, sex and disease?",
    "How were frames chosen from the videos?",
    "How was the data made anonymous?",
    "Did an ethics committee agree?",
    "Who drew the masks, with what training and tool?",
    "Why is the number of videos enough?",
    "Why these tolerances of the surface distance?",
    "Was the study registered, who paid for it?",
    "Was the model scored on data of another hospital?",
    "What does the model base its decision on?",
)


def answers(facts: RunFacts) -> list[tuple[str, str | None]]:
    """Return (question, answer or None) of a run."""
    metrics, weights, audit = facts.metrics, facts.weights, facts.audit
    scored, training = metrics["scored"], weights["training"]
    split, seen, empty = training.get("split"), scored.get("seen"), metrics["empty_frames"]
    classes = {name: row["n"] for name, row in metrics["classes"].items()}
    settings, calibration = training.get("settings"), metrics.get("calibration")
    interval = metrics["video_intervals"]["dice"]
    found = [
        ("What data, how many?", audit and f"{audit['data']}, {audit['frames']} frames"),
        (
            "What is an instrument?",
            "; ".join(
                f"{item['name']} (codes {item['codes']})"
                for item in weights["classes"]["classes"]
                if item["instrument"]
            ),
        ),
        (
            "How are frames changed before the model?",
            f"view {weights['view']}, resized to {weights['image_size']} (height, width)",
        ),
        ("On what level is the split disjoint?", split and f"{split['by']} ({split['name']}, hash {split['hash']})"),
        (
            "Does anything of the test set train?",
            seen and f"{seen['by_name']} frames by name, {_or_unknown(seen['near_copies'])} by look",
        ),
        ("What did the training start from?", training.get("start")),
        (
            "How was it trained?",
            settings and f"loss {settings['loss']}, augmentation {settings['augment']}, {training['epochs']} epochs",
        ),
        (
            "How was the final model chosen?",
            training.get("chosen_epoch") and f"epoch {training['chosen_epoch']} of {training['epochs']}",
        ),
        ("On what were threshold and temperature chosen?", _fitted(training)),
        ("Which software?", _pairs_in_words(training.get("versions"))),
        ("Which code?", (training.get("git") or {}).get("commit")),
        (
            "Which scores of overlap, boundary and detection?",
            ", ".join(map(score_label, metrics["frame_distribution"])),
        ),
        ("How rare are the classes (pixels)?", _pairs_in_words(classes)),
        (
            "How do small instruments fare?",
            _sizes_in_words(metrics["strata"]["coverage"]),
        ),
        (
            "What of empty masks?",
            f"{empty['both_empty']} frames empty in both are left out; {empty['false_alarms']} false alarms and "
            f"{empty['missed']} missed ones score worst",
        ),
        ("What of missing predictions?", f"{scored['frames']} of {scored['expected']} frames scored"),
        ("What of pixels without label?", f"void {scored['void_policy']}"),
        ("What is the unit of the interval?", interval["method"] or interval["reason"]),
        ("Are the probabilities calibrated?", calibration and f"ECE {number(calibration['ece'], '.4f')}"),
        ("Where does it fail?", "see Worst frames"),
        ("How do the scores vary with the videos of training and test?", facts.folds and _folds_in_words(facts.folds)),
        ("Was it compared with other models?", facts.comparison and _models_in_words(facts.comparison)),
        (
            "How well do two sets of labels, as of two annotators, agree?",
            facts.labels and _labels_in_words(facts.labels),
        ),
    ]
    return found + [(question, None) for question in _OPEN]


def _sizes_in_words(groups: list[dict[str, Any]]) -> str | None:
    means = ", ".join(number(group["mean"]["iou"], ".4f") for group in groups)
    return means and f"mean IoU {means} (thirds of the frames, from small to large instruments)"


def _folds_in_words(folds: dict[str, Any]) -> str:
    return f"SD {number(folds['dice']['sd'], '.4f')} of the Dice of {folds['dice']['n']} folds"


def _models_in_words(comparison: dict[str, Any]) -> str:
    return ", ".join(f"{row['label']} IoU {number(row['iou'], '.4f')}" for row in comparison["models"].values())


def _labels_in_words(labels: dict[str, Any]) -> str:
    dice = number(labels["scores"]["labels"]["instrument_union"]["dice"], ".4f")
    return f"Dice {dice}, all pixels of {labels['frames']} frames of {labels['videos']} videos together"


def _pairs_in_words(values: dict[str, Any] | None) -> str | None:
    return values and ", ".join(f"{key} {value}" for key, value in values.items())


def _or_unknown(value: int | None) -> str:
    return "not known" if value is None else str(value)


def _fitted(training: dict[str, Any]) -> str | None:
    record = training.get("calibration")
    return record and f"{record['part']} part, {record['frames']} frames of {len(record['videos'])} videos"
