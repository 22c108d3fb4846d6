"""Levelled splits and paired differences, on numbers that can be checked by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from surgseg.data.splits import Split
from surgseg.files import UserError
from surgseg.study.leak_meter import difference_of_metrics, held_out_by_both, level_splits, shared_videos

SAMPLES = [SimpleNamespace(name=f"{video}_{i}", video=video) for video in "abcd" for i in range(5)]


def split_of(name, train, val, test):
    parts = {"train": np.array(train), "val": np.array(val, np.int64), "test": np.array(test)}
    return Split(name, "frame", {}, parts)


RANDOM = split_of(
    "random", list(range(0, 20, 5)) + list(range(1, 20, 5)) + list(range(2, 20, 5)), [], [3, 8, 13, 18, 19]
)
VIDEO = split_of("video", range(10), range(10, 13), range(15, 20))


def metrics(iou, by_video):
    score = {"iou": iou, "dice": iou + 0.1}
    return {"frames": 7, "mean_instrument": score, "per_video": {name: {"iou": v} for name, v in by_video.items()}}


def test_levelled_splits_train_on_equally_many_frames_and_validate_on_none():
    levelled = level_splits([RANDOM, VIDEO], SAMPLES, seed=0)
    for before, after in zip((RANDOM, VIDEO), levelled):
        pool = {*before.parts["train"].tolist(), *before.parts["val"].tolist()}
        assert len(after.parts["train"]) == 12 and len(after.parts["val"]) == 0
        assert set(after.parts["train"].tolist()) <= pool
        assert after.parts["test"].tolist() == before.parts["test"].tolist()
        stored = {SAMPLES[i].name: part for part in ("train", "test") for i in after.parts[part]}
        assert after.assignment == stored and after.name == before.name


def test_what_a_levelled_split_leaves_out_shows_in_its_hash():
    alone = level_splits([VIDEO], SAMPLES, seed=0)[0]
    beside = level_splits([RANDOM, VIDEO], SAMPLES, seed=0)[1]
    again = level_splits([RANDOM, VIDEO], SAMPLES, seed=0)[1]
    other = level_splits([RANDOM, VIDEO], SAMPLES, seed=1)[1]
    assert beside.hash == again.hash and len({alone.hash, beside.hash, other.hash}) == 3


def test_a_split_without_a_test_part_cannot_be_compared():
    with pytest.raises(UserError, match="'random' has no test part"):
        level_splits([split_of("random", range(10), [], []), VIDEO], SAMPLES, 0)


def test_shared_videos_are_those_on_both_sides():
    assert shared_videos(RANDOM, SAMPLES) == 4 and shared_videos(VIDEO, SAMPLES) == 0


def test_paired_frames_are_held_out_by_both():
    common = held_out_by_both(RANDOM, VIDEO)
    assert common.tolist() == [18, 19]
    assert not set(common) & {*RANDOM.parts["train"], *VIDEO.parts["train"], *VIDEO.parts["val"]}


def test_difference_of_metricss_by_hand():
    found = difference_of_metrics(metrics(0.9, {"a": 0.8, "b": 0.6}), metrics(0.7, {"a": 0.5, "b": 0.5}))
    assert found["iou_difference"] == pytest.approx(0.2) and found["iou"] == [0.9, 0.7] and found["frames"] == 7
    assert found["by_video"] == {"a": pytest.approx(0.3), "b": pytest.approx(0.1)}
    assert found["video_mean"] == pytest.approx(0.2) and found["video_sd"] == pytest.approx(math.sqrt(0.02))


def test_a_video_without_instrument_has_no_difference():
    found = difference_of_metrics(metrics(0.9, {"a": 0.8, "b": math.nan}), metrics(0.7, {"a": 0.5, "b": math.nan}))
    assert found["by_video"] == {"a": pytest.approx(0.3)} and found["video_sd"] is None
