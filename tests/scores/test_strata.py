"""Scores of groups of frames, by hand."""

import math

import numpy as np
import pytest

from surgseg.labels import SCHEMES
from surgseg.scores.metrics import summarise
from surgseg.scores.report import metrics_block
from surgseg.scores.strata import name_classes, named_groups, scores_by_stratum
from tests.helpers import frame_scores

NAN = math.nan


def test_thirds_have_their_own_means_and_frames_without_score_or_trait_none():
    coverage = np.array([0.3, NAN, 0.1, 0.2, 0.1, 0.4, 0.5, 0.9])
    iou = np.array([0.6, 0, 0.2, 0.5, 0.4, 0.7, 0.9, NAN])
    groups = scores_by_stratum({"coverage": coverage}, {"iou": iou, "hd95": iou * NAN}, np.array(list("aabbbccc")))
    found = groups["coverage"]
    assert [(one["from"], one["to"], one["frames"]) for one in found] == [(0.1, 0.1, 2), (0.2, 0.3, 2), (0.4, 0.5, 2)]
    assert [one["mean"]["iou"] for one in found] == pytest.approx([0.3, 0.55, 0.8])
    assert [one["videos"] for one in found] == [1, 2, 1] and math.isnan(found[0]["mean"]["hd95"])
    names = [name for name, _, _ in named_groups(groups)["Size of the instrument (% of the frame)"]]
    assert names == ["10.00", "20.00 to 30.00", "40.00 to 50.00"]
    equal = scores_by_stratum({"brightness": np.full(3, 7.0)}, {"iou": np.ones(3)}, np.array(list("abc")))
    assert [(one["frames"], one["videos"]) for one in equal["brightness"]] == [(3, 3)]
    assert scores_by_stratum({"coverage": np.full(1, NAN)}, {"iou": np.ones(1)}, np.array(["a"])) == {"coverage": []}


def test_classes_are_named_and_frames_with_more_than_one_come_last():
    two = name_classes([["hook"], [], ["grasper", "hook"], ["grasper"]])
    assert two.tolist() == ["hook only", "", "both", "grasper only"]
    assert name_classes([["a", "b"], ["c"]]).tolist() == ["several", "c only"]
    found = scores_by_stratum({"source_class": two}, {"iou": np.array([0.1, NAN, 0.3, 0.2])}, np.array(list("abcd")))
    assert [one["name"] for one in found["source_class"]] == ["grasper only", "hook only", "both"]
    assert [one["mean"]["iou"] for one in found["source_class"]] == [0.2, 0.1, 0.3]


def test_masks_of_several_classes_tell_the_class_and_few_frames_are_marked():
    counts = np.zeros((12, 4, 3), np.int64)
    counts[:, 0, 0], counts[:, 1, 1], counts[11, 2, 2] = 90, 10, 5
    scheme = SCHEMES["grasper-hook"]
    traits = {"phase": np.array(["x"] * 11 + ["y"], object)}
    metrics = summarise(["a"] * 12, counts, frame_scores(counts, scheme), scheme, traits=traits)
    lines = metrics_block("X", {**metrics, "strata_unknown": {"brightness": "no frames"}}).splitlines()
    rows = {line.split("  ")[1]: line.split() for line in lines if line.startswith("  ")}
    assert rows["grasper only"][2:4] == ["11", "1"] and rows["both"][1:3] == ["1*", "1"]
    assert rows["x"][1] == "11" and rows["y"][1] == "1*"
    assert "*: fewer than 10 frames, which say little." in lines and "Not grouped by brightness: no frames." in lines
