"""The scores of a cross-validation, by hand."""

import re

import pytest

from surgseg.data.splits import Split
from surgseg.study.folds import folds_block, summarise_folds


def splits(*test_videos):
    """A split for each fold, whose test videos are the letters of a word; "z" trains."""
    return [Split("fold", "video", {"z": "train", **dict.fromkeys(word, "test")}, {}) for word in test_videos]


def fold(iou, dice, frames=10, videos="v"):
    mean = {"iou": iou, "dice": dice}
    scores = {"mean_instrument": mean, "per_frame": {"mean_dice": dice}, "per_video": dict.fromkeys(videos, mean)}
    return {"frames": frames, "accuracy": 0.9, "data": "real", "weights": {"sha256": "a"}, **scores}


def test_folds_are_summarised_by_mean_and_standard_deviation():
    summary = summarise_folds(splits("a", "bc", "d"), [fold(0.4, 0.5), fold(0.6, 0.7), fold(0.8, 0.9)])
    assert summary["iou"] == pytest.approx({"mean": 0.6, "sd": 0.2, "n": 3})
    assert summary["folds"][1]["test_videos"] == ["b", "c"]
    text = folds_block(summary)
    assert re.search(r"^2 +10 +0\.6000 +0\.7000 +b, c$", text, re.M)
    assert re.search(r"^mean +0\.6000 +0\.7000$", text, re.M) and re.search(r"^SD +0\.2000 +0\.2000$", text, re.M)


def test_the_videos_of_all_folds_give_one_interval():
    folds = [fold(0.4, 0.5, videos="abc"), fold(0.6, 0.7, videos="def")]
    summary = summarise_folds(splits("abc", "def"), folds)
    assert summary["video_intervals"]["iou"]["n"] == 6
    half = 2.5705818 * 0.012**0.5 / 6**0.5  # t of 5 degrees of freedom; SD of three .4 and three .6
    found = f"mean 0.5000, SD 0.1095, 95 % interval {0.5 - half:.4f} to {0.5 + half:.4f}"
    assert f"IoU of 6 videos, each scored by the fold that tests it: {found}" in folds_block(summary)
    assert "no interval: 2 videos" in folds_block(summarise_folds(splits("a", "b"), [fold(0.4, 0.5)] * 2))


def test_a_fold_without_score_is_left_out_and_one_fold_has_no_deviation():
    summary = summarise_folds(splits("a", "b"), [fold(0.4, 0.5), fold(None, None)])
    assert summary["iou"]["n"] == 1 and summary["iou"]["mean"] == 0.4 and summary["iou"]["sd"] is None
    assert "n/a" in folds_block(summary)
