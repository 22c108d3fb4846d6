"""The scores of a cross-validation, by hand."""

import re

import pytest

from surgseg.data.splits import Split
from surgseg.study.folds import folds_block, summarise_folds


def splits(*test_videos):
    """A split for each fold, whose test videos are the letters of a word; "z" trains."""
    return [Split("fold", "video", {"z": "train", **dict.fromkeys(word, "test")}, {}) for word in test_videos]


def fold(iou, dice, frames=10):
    mean = {"iou": iou, "dice": dice}
    return {"frames": frames, "accuracy": 0.9, "mean_instrument": mean, "per_frame": {"mean_dice": dice}}


def test_folds_are_summarised_by_mean_and_standard_deviation():
    summary = summarise_folds(splits("a", "bc", "d"), [fold(0.4, 0.5), fold(0.6, 0.7), fold(0.8, 0.9)])
    assert summary["iou"] == pytest.approx({"mean": 0.6, "sd": 0.2, "n": 3})
    assert summary["folds"][1]["test_videos"] == ["b", "c"]
    text = folds_block(summary)
    assert re.search(r"^2 +10 +0\.6000 +0\.7000 +b, c$", text, re.M)
    assert re.search(r"^mean +0\.6000 +0\.7000$", text, re.M) and re.search(r"^SD +0\.2000 +0\.2000$", text, re.M)


def test_a_fold_without_score_is_left_out_and_one_fold_has_no_deviation():
    summary = summarise_folds(splits("a", "b"), [fold(0.4, 0.5), fold(None, None)])
    assert summary["iou"]["n"] == 1 and summary["iou"]["mean"] == 0.4 and summary["iou"]["sd"] is None
    assert "n/a" in folds_block(summary)
