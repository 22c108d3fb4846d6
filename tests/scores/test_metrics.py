"""Scores against hand-computed values, and properties that any confusion count must have."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from surgseg.files import UserError, write_json
from surgseg.labels import SCHEMES, LabelClass, Scheme
from surgseg.scores.metrics import (
    _count_pairs,
    class_frame_metrics,
    class_scores,
    confusion,
    empty_frames,
    frame_confusion,
    frame_coverage,
    frame_metrics,
    nanmean,
    pooled_scores,
    square,
    summarise,
    union_matrix,
)
from surgseg.scores.scored import scored_lines, scored_set, scored_title
from tests.helpers import frame_scores

BINARY, TOOLS = SCHEMES["binary"], SCHEMES["grasper-hook"]


def test_a_gpu_counts_pixels_as_a_cpu_does():
    """By a product of matrices, for which the host does not wait."""
    rng = np.random.default_rng(0)
    rows, columns = (torch.from_numpy(rng.integers(0, top, (3, 500))) for top in (4, 3))
    targets = rows.where(rows < 3, 255).to(torch.uint8)[:, None]
    expected = confusion(columns.to(torch.uint8)[:, None], targets, 3)
    assert torch.equal(_count_pairs(rows, columns, 3), expected) and expected.dtype == torch.int64


def count(truth, predicted, classes=2):
    """(N, K + 1, K) counts of lists of pixel rows, one list a frame."""
    as_tensor = [torch.tensor(item, dtype=torch.uint8)[:, None] for item in (predicted, truth)]
    return confusion(as_tensor[0], as_tensor[1], classes).numpy()


def row_of(ids):
    """(1, N) uint8 mask."""
    return np.array([ids], np.uint8)


def frame(tp=0, fp=0, fn=0, tn=0, void=(0, 0)):
    """One frame's binary counts."""
    return np.array([[tn, fp], [fn, tp], list(void)])


@pytest.mark.parametrize(
    ("truth", "predicted", "background", "instrument"),
    [
        ([1, 1, 0, 0], [1, 0, 0, 0], (2 / 3, 4 / 5, 2 / 3, 1), (1 / 2, 2 / 3, 1, 1 / 2)),
        ([0, 1, 1, 1], [1, 1, 0, 1], (0, 0, 0, 0), (2 / 4, 4 / 6, 2 / 3, 2 / 3)),
        ([1, 1, 0, 0], [1, 1, 0, 0], (1, 1, 1, 1), (1, 1, 1, 1)),
        ([0, 0, 0, 0], [0, 0, 0, 0], (1, 1, 1, 1), (None, None, None, None)),
        ([0, 0, 0, 0], [0, 0, 0, 1], (3 / 4, 6 / 7, 1, 3 / 4), (0, 0, 0, None)),
        ([0, 0, 0, 1], [0, 0, 0, 0], (3 / 4, 6 / 7, 3 / 4, 1), (0, 0, None, 0)),
    ],
)
def test_golden_scores_of_two_classes(truth, predicted, background, instrument):
    scores = class_scores(square(count([truth], [predicted])[0]))
    for class_id, expected in enumerate((background, instrument)):
        found = [scores[key][class_id] for key in ("iou", "dice", "precision", "recall")]
        wanted = [math.nan if value is None else value for value in expected]
        assert found == pytest.approx(wanted, nan_ok=True)
    # of two classes, what is not one is the other
    assert scores["specificity"][::-1] == pytest.approx(scores["recall"], nan_ok=True)
    assert scores["n"].tolist() == [truth.count(0), truth.count(1)]


def test_false_positives_on_background_count_in_the_union():
    """5 instrument pixels all found, 4 background pixels taken for instrument: 5 / 9, not 5 / 5."""
    scores = pooled_scores(count([[1] * 5 + [0] * 11], [[1] * 9 + [0] * 7]), BINARY)
    assert scores["classes"]["instrument"]["iou"] == pytest.approx(5 / 9)
    assert scores["mean_instrument"]["iou"] == pytest.approx(5 / 9)
    assert scores["instrument_union"]["iou"] == pytest.approx(5 / 9)
    assert scores["classes"]["background"]["iou"] == pytest.approx(7 / 11)


def test_void_pixels_do_not_count_or_count_as_background():
    counts = count([[1, 1, 0, 255, 255, 255]], [[1, 0, 0, 1, 1, 0]])
    ignored, background = pooled_scores(counts, BINARY), pooled_scores(counts, BINARY, "background")
    assert ignored["classes"]["instrument"]["iou"] == pytest.approx(1 / 2)
    assert ignored["accuracy"] == pytest.approx(2 / 3)
    assert ignored["classes"]["background"]["n"] == 1
    assert background["classes"]["instrument"]["iou"] == pytest.approx(1 / 4)
    assert background["accuracy"] == pytest.approx(3 / 6)
    assert background["classes"]["background"]["n"] == 4
    assert counts.sum() == 6, "counting one way must not change the counts"


def test_mean_is_over_instrument_classes_and_the_union_ignores_which():
    counts = count([[1, 1, 2, 2, 0, 0]], [[1, 2, 2, 2, 0, 1]], 3)
    scores = pooled_scores(counts, TOOLS)
    assert scores["classes"]["grasper"]["iou"] == pytest.approx(1 / 3)
    assert scores["classes"]["l-hook"]["iou"] == pytest.approx(2 / 3)
    assert scores["mean_instrument"] == pytest.approx({"iou": 1 / 2, "dice": (1 / 2 + 4 / 5) / 2})
    union = {"iou": 4 / 5, "dice": 8 / 9, "precision": 4 / 5, "recall": 1, "specificity": 1 / 2}
    assert scores["instrument_union"] == pytest.approx(union)
    assert scores["classes"]["grasper"]["specificity"] == pytest.approx(3 / 4)
    assert scores["accuracy"] == pytest.approx(4 / 6)


def test_a_class_that_nobody_shows_or_predicts_is_left_out_of_the_mean():
    scores = pooled_scores(count([[1, 1, 0]], [[1, 0, 0]], 3), TOOLS)
    assert math.isnan(scores["classes"]["l-hook"]["iou"])
    assert scores["mean_instrument"]["iou"] == pytest.approx(1 / 2)


def test_tissue_classes_are_no_instruments():
    """endovit8's instrument is class 6; the other classes are not in the mean, nor in the union."""
    scores = pooled_scores(count([[6, 6, 2, 0]], [[6, 2, 2, 3]], 8), SCHEMES["endovit8"])
    assert scores["mean_instrument"]["iou"] == scores["instrument_union"]["iou"] == pytest.approx(1 / 2)


def test_an_instrument_of_id_0_is_scored_as_such():
    black = (0, 0, 0)
    scheme = Scheme("odd", (LabelClass(0, "tool", (1,), black, True), LabelClass(1, "rest", (2,), black)))
    counts = count([[0, 0, 1, 1]], [[0, 1, 1, 1]])
    assert pooled_scores(counts, scheme)["instrument_union"]["recall"] == pytest.approx(1 / 2)


def test_frames_empty_on_both_sides_have_no_score_and_on_one_side_score_0():
    counts = count([[0, 0], [0, 0], [1, 0], [1, 0]], [[0, 0], [1, 0], [0, 0], [1, 0]])
    coverage = frame_coverage(counts, BINARY)
    assert coverage["coverage"].tolist() == [0, 0, 0.5, 0.5]
    assert coverage["predicted_coverage"].tolist() == [0, 0.5, 0, 0.5]
    for truth, predicted, expected in (([0, 0], [0, 0], math.nan), ([0, 0], [1, 0], 0), ([1, 0], [0, 0], 0)):
        scores = frame_metrics(row_of(predicted), row_of(truth), BINARY)
        assert scores == pytest.approx({"iou": expected, "dice": expected}, nan_ok=True)
    expected = {"truth_empty": 2, "both_empty": 1, "false_alarms": 1, "false_alarm_rate": 0.5, "missed": 1}
    assert empty_frames(counts, BINARY) == expected


def test_frames_of_void_alone_are_not_without_instrument():
    counts = count([[255, 255], [255, 255], [0, 255]], [[0, 0], [1, 0], [0, 0]])
    assert empty_frames(counts, BINARY)["truth_empty"] == 1
    assert empty_frames(counts, BINARY, "background")["truth_empty"] == 3


def test_void_can_make_a_frame_empty():
    """The only prediction lies on void: ignored it is no false alarm, as background it is."""
    counts = count([[255, 0, 0]], [[1, 0, 0]])
    assert empty_frames(counts, BINARY)["both_empty"] == 1
    assert empty_frames(counts, BINARY, "background")["false_alarms"] == 1
    truth, predicted = row_of([255, 0, 0]), row_of([1, 0, 0])
    assert math.isnan(frame_metrics(predicted, truth, BINARY)["iou"])
    assert frame_metrics(predicted, truth, BINARY, "background")["iou"] == 0


def test_a_frame_of_void_alone_has_neither_score_nor_coverage():
    counts = count([[255, 255]], [[1, 0]])
    assert all(math.isnan(values[0]) for values in frame_coverage(counts, BINARY).values())
    assert all(map(math.isnan, frame_metrics(row_of([1, 0]), row_of([255, 255]), BINARY).values()))
    assert math.isnan(pooled_scores(counts, BINARY)["accuracy"])


def summary_of(videos, counts, void="ignore"):
    return summarise(videos, counts, frame_scores(counts, BINARY, void), BINARY, void)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["ignore", "background"]), st.sampled_from(["binary", "full13"]))
def test_scores_of_masks_are_those_of_their_counts(seed, void, name):
    scheme, rng = SCHEMES[name], np.random.default_rng(seed)
    classes = scheme.num_classes
    predicted = rng.integers(0, classes, (5, 7)).astype(np.uint8)
    truth = rng.choice([*range(classes), 255], (5, 7)).astype(np.uint8)
    counts = confusion(torch.from_numpy(predicted)[None], torch.from_numpy(truth)[None], classes).numpy()
    expected = {key: values[0] for key, values in frame_scores(counts, scheme, void).items()}
    assert frame_metrics(predicted, truth, scheme, void) == pytest.approx(expected, nan_ok=True)


def test_an_unknown_treatment_of_void_is_refused():
    with pytest.raises(UserError, match="unknown treatment of void 'drop': use ignore or background"):
        square(count([[0, 1]], [[0, 1]]), "drop")
    with pytest.raises(UserError, match="unknown treatment of void 'drop'"):
        frame_metrics(row_of([1]), row_of([1]), BINARY, "drop")


def test_pooled_per_frame_and_per_video_are_three_things():
    counts = np.stack([frame(tp=1, fp=1, tn=8), frame(tp=4, tn=6), frame(tp=1, fn=3, tn=6)])
    summary = summary_of(["a", "a", "b"], counts)
    assert summary["mean_instrument"]["iou"] == pytest.approx(6 / 10)
    assert summary["per_frame"] == pytest.approx(
        {"mean_iou": 1.75 / 3, "mean_dice": (2 / 3 + 1 + 0.4) / 3, "scored": 3}
    )
    assert summary["per_video"]["a"]["iou"] == pytest.approx(5 / 6)
    assert summary["per_video"]["a"]["frame_mean_iou"] == pytest.approx(0.75)
    assert summary["per_video"]["b"]["iou"] == summary["per_video"]["b"]["frame_mean_iou"] == pytest.approx(0.25)
    assert [row["frames"] for row in summary["per_video"].values()] == [2, 1]
    assert summary["video_mean"]["iou"] == pytest.approx((5 / 6 + 1 / 4) / 2)
    assert (summary["frames"], summary["void_policy"]) == (3, "ignore")
    spread = summary["frame_distribution"]["iou"]  # .5, 1, .25
    assert (spread["n"], spread["median"], spread["worst_video"]) == (3, 0.5, "b")
    pooled, of_frames = (summary["video_intervals"][key] for key in ("iou", "frame_mean_iou"))
    assert (pooled["n"], of_frames["n"], pooled["interval"]) == (2, 2, None)
    assert pooled["mean"] == pytest.approx(13 / 24) and of_frames["mean"] == pytest.approx(1 / 2)


def test_scores_of_several_classes_are_there_by_frame_and_by_video():
    """Frame 1: grasper 1 of 2 pixels, hook 1 of 1. Frame 2, another video: grasper missed, no hook."""
    truth, predicted = [[1, 1, 2, 0], [1, 0, 0, 0]], [[1, 0, 2, 0], [0, 0, 0, 0]]
    counts = count(truth, predicted, 3)
    scores = [class_frame_metrics(one, TOOLS) for one in counts]
    assert scores[0] == pytest.approx({"iou:grasper": 1 / 2, "dice:grasper": 2 / 3, "iou:l-hook": 1, "dice:l-hook": 1})
    assert class_frame_metrics(count([[1, 0]], [[1, 0]])[0], BINARY) == {}, "one class is the union"
    frames = {key: np.array([one[key] for one in scores]) for key in scores[0]}
    summary = summarise(["a", "b"], counts, {**frame_scores(counts, TOOLS), **frames}, TOOLS)
    assert summary["frame_distribution"]["iou:grasper"]["mean"] == pytest.approx(1 / 4)
    assert summary["frame_distribution"]["iou:l-hook"]["n"] == 1
    assert summary["per_video"]["a"]["recall:grasper"] == 1 / 2 and summary["per_video"]["b"]["iou:grasper"] == 0
    assert summary["video_intervals"]["iou:l-hook"]["n"] == 1
    assert summary["detection"]["grasper"]["sensitivity"] == 1 / 2
    assert (summary["detection"]["l-hook"]["auroc"], summary["detection"]["instruments"]["negative_frames"]) == (1, 0)


def test_the_summary_holds_the_other_treatment_of_void_too():
    counts = np.stack([frame(tp=2, tn=2, void=(1, 2))])
    one, other = summary_of(["a"], counts), summary_of(["a"], counts, "background")
    assert one["mean_instrument"]["iou"] == 1 and one["void_background"]["mean_instrument"]["iou"] == 0.5
    assert other["mean_instrument"]["iou"] == 0.5 and other["void_ignore"]["mean_instrument"]["iou"] == 1
    assert one["confusion"]["counts"].tolist() == [[2, 0], [0, 2], [1, 2]]


def test_undefined_scores_become_null_in_json(tmp_path):
    summary = summary_of(["a"], count([[0, 0]], [[0, 0]]))
    write_json(tmp_path / "metrics.json", summary)
    read = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    undefined = dict.fromkeys(("iou", "dice", "precision", "recall"))
    assert read["classes"]["instrument"] == {**undefined, "specificity": 1, "n": 0}
    assert read["mean_instrument"]["iou"] is read["per_frame"]["mean_iou"] is read["video_mean"]["iou"] is None
    assert read["classes"]["background"]["n"] == 2 and read["confusion"]["counts"] == [[2, 0], [0, 0], [0, 0]]


def test_nanmean_of_nothing_is_undefined():
    assert math.isnan(nanmean([])) and math.isnan(nanmean([math.nan]))
    assert nanmean([1, math.nan, 0]) == 0.5


@st.composite
def masks(draw):
    """(truth, predicted, K): (N, H, W) uint8 ids, the truth with void."""
    classes = draw(st.integers(2, 5))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    truth = rng.integers(0, draw(st.integers(1, classes)), shape).astype(np.uint8)
    truth[rng.random(shape) < draw(st.sampled_from([0, 0.2, 1]))] = 255
    return truth, rng.integers(0, draw(st.integers(1, classes)), shape).astype(np.uint8), classes


def counted(truth, predicted, classes):
    return confusion(torch.from_numpy(predicted), torch.from_numpy(truth), classes).numpy()


@settings(deadline=None, max_examples=60)
@given(masks(), st.sampled_from(["ignore", "background"]))
def test_scores_agree_with_sets_of_pixels(sample, void):
    truth, predicted, classes = sample
    scores = class_scores(square(counted(*sample).sum(0), void))
    valid = truth != 255 if void == "ignore" else np.ones(truth.shape, bool)
    truth = np.where(truth == 255, 0, truth)
    for class_id in range(classes):
        a = set(np.flatnonzero((truth == class_id) & valid))
        b = set(np.flatnonzero((predicted == class_id) & valid))
        both, either = len(a & b), len(a | b)
        expected = {
            "iou": both / either if either else math.nan,
            "dice": 2 * both / (len(a) + len(b)) if a or b else math.nan,
            "precision": both / len(b) if b else math.nan,
            "recall": both / len(a) if a else math.nan,
        }
        for key, value in expected.items():
            assert scores[key][class_id] == pytest.approx(value, nan_ok=True), (key, class_id)
        assert scores["n"][class_id] == len(a)


@settings(deadline=None, max_examples=60)
@given(masks())
def test_counts_keep_every_pixel_and_scores_stay_in_order(sample):
    truth, _, classes = sample
    counts = counted(*sample)
    assert counts.shape == (len(truth), classes + 1, classes)
    for one, of_frame in zip(counts, zip(sample[1], truth)):
        assert np.array_equal(frame_confusion(*of_frame, classes), one)
    assert (counts.sum((1, 2)) == truth[0].size).all()
    assert (counts[:, -1].sum(1) == (truth == 255).sum((1, 2))).all()
    scores = class_scores(square(counts))
    iou, dice = scores["iou"], scores["dice"]
    assert np.array_equal(np.isnan(iou), np.isnan(dice))
    defined = ~np.isnan(iou)
    assert (iou[defined] >= 0).all() and (iou <= dice)[defined].all() and (dice[defined] <= 1).all()
    np.testing.assert_allclose(dice[defined], 2 * iou[defined] / (1 + iou[defined]))


@settings(deadline=None, max_examples=30)
@given(masks(), st.randoms(use_true_random=False))
def test_the_order_of_pixels_and_frames_does_not_matter(sample, random):
    truth, predicted, classes = sample
    order = list(range(truth[0].size))
    random.shuffle(order)
    shuffled = [item.reshape(len(item), 1, -1)[::-1, :, order].copy() for item in (truth, predicted)]
    assert np.array_equal(counted(*shuffled, classes)[::-1], counted(*sample))


@settings(deadline=None, max_examples=30)
@given(masks())
def test_renaming_the_classes_renames_the_scores(sample):
    truth, predicted, classes = sample
    renamed = [np.where(item == 255, 255, classes - 1 - item).astype(np.uint8) for item in (truth, predicted)]
    first, second = (class_scores(square(counted(*item, classes).sum(0))) for item in ((truth, predicted), renamed))
    np.testing.assert_array_equal(first["iou"][::-1], second["iou"])


@settings(deadline=None, max_examples=30)
@given(masks())
def test_the_union_of_instruments_is_two_classes_of_all_pixels(sample):
    matrix = square(counted(*sample))
    tools = [sample[2] - 1]
    union = union_matrix(matrix, tools)
    assert (union.sum((1, 2)) == matrix.sum((1, 2))).all()
    np.testing.assert_array_equal(class_scores(union)["iou"][:, 1], class_scores(matrix)["iou"][:, tools[0]])


def test_a_frame_of_void_alone_is_not_one_without_instrument():
    counts = np.stack([frame(tn=4), frame(void=(3, 1)), frame(tp=2, void=(1, 1))])
    assert empty_frames(counts, BINARY) == pytest.approx(
        {"truth_empty": 1, "both_empty": 1, "false_alarms": 0, "false_alarm_rate": 0, "missed": 0}
    )
    scored = summary_of(["a", "b", "b"], counts)["scored"]
    assert (scored["frames"], scored["expected"], scored["videos"], scored["frames_all_void"]) == (3, 3, 2, 1)
    assert scored["void_share"] == pytest.approx(6 / 12) and scored["instruments"] == ["instrument"]


def test_the_set_of_scores_says_what_limits_it():
    counts = np.stack([frame(tp=1, tn=3), frame(tn=3, void=(1, 0))])
    whole = scored_set(counts, ["a", "b"], "ignore", part="test", threshold=0.5)
    assert scored_lines(whole) == [
        "Scored: 2 of 2 frames, test part, 2 videos",
        "  threshold 0.5; void pixels ignored: 12.50 % of all",
        "  all pixels of these frames together (pooled), where a line does not name frames or videos",
    ]
    title = "2 of 2 frames, test part, threshold 0.5, void ignored (12.5 %), per frame"
    assert scored_title(whole, "per frame") == title
    split = {"name": "time", "hash": "ab", "by": "frame"}
    part = scored_set(counts, ["a", "b"], "background", expected=8, part="val", split=split, warnings={"x": "sentence"})
    *facts, first, second, third = scored_lines(part)
    assert facts[0] == "Scored: 2 of 8 frames, val part, 2 videos; split time (hash ab, by frame)"
    assert first == "WARNING: sentence." and "2 of 8 frames (25%)" in second and "chose the epoch" in third
    assert scored_title(part, width=200).splitlines() == [
        "2 of 8 frames, val part of split time, threshold not known, void background (12.5 %), pooled",
        "WARNING: x, 2 of 8 frames predicted, validation part",
    ]
