"""Rows, paired differences and what tells that a training was too short, on numbers that can be checked by hand."""

import math
from dataclasses import asdict

import pytest

from surgseg.files import UserError, write_json, write_text
from surgseg.study.comparison import (
    differences,
    improvement,
    paired_difference,
    ranking,
    read_comparison,
    read_histories,
)
from surgseg.study.results import Results
from surgseg.training.config import TrainConfig
from tests.comparisons import comparison_of, history_of, run_of, write_comparison

TWO_FOLDS = {
    "unet": [
        run_of(0.9, {"v1": 0.9, "v2": 0.8}, fold=1, folder="fold_1"),
        run_of(0.7, {"v3": 0.7}, fold=2, folder="fold_2"),
    ],
    "deeplabv3": [
        run_of(0.6, {"v3": 0.6}, fold=2, folder="fold_2"),
        run_of(0.5, {"v1": 0.5, "v2": None}, fold=1, folder="fold_1"),
    ],
}


def test_a_row_is_the_mean_of_its_runs_with_their_spread():
    row = comparison_of(TWO_FOLDS)["models"]["unet"]
    assert row["iou"] == pytest.approx(0.8) and row["dice"] == pytest.approx(0.85)
    assert row["sd"]["iou"] == pytest.approx(math.sqrt(0.02)) and row["training_seconds"] == 12
    assert row["device"] == "cpu" and row["peak_memory_of"] == "process resident"


def test_one_run_has_no_spread():
    row = comparison_of({"unet": [run_of(0.9, {"v1": 0.9})]})["models"]["unet"]
    assert row["sd"] == {"iou": None, "dice": None, "accuracy": None} and row["iou"] == 0.9


def test_an_undefined_score_is_left_out_of_the_mean():
    row = comparison_of({"unet": [run_of(0.9, {"v1": 0.9}), run_of(None, {"v1": None}, seed=1)]})["models"]["unet"]
    assert row["iou"] == pytest.approx(0.9) and row["sd"]["iou"] is None


def test_runs_are_paired_by_seed_and_fold_whatever_their_order():
    (pair,) = comparison_of(TWO_FOLDS)["differences"]
    assert (pair["first"], pair["second"], pair["runs"]) == ("unet", "deeplabv3", 2)
    assert pair["iou"] == pytest.approx((0.4 + 0.1) / 2)
    assert pair["by_video"] == {"v1": pytest.approx(0.4), "v3": pytest.approx(0.1)}  # v2 is undefined for one
    assert pair["mean"] == pytest.approx(0.25) and pair["interval"] is None and pair["videos"] == 2
    assert pair["wilcoxon_p"] == pytest.approx(0.5) == pair["wilcoxon_smallest_p"]


def test_a_videos_difference_is_its_mean_over_seeds():
    runs = {
        "unet": [run_of(0.9, {"v1": 0.9}), run_of(0.7, {"v1": 0.7}, seed=1)],
        "deeplabv3": [run_of(0.6, {"v1": 0.6}), run_of(0.6, {"v1": 0.6}, seed=1)],
    }
    (pair,) = comparison_of(runs)["differences"]
    assert pair["by_video"] == {"v1": pytest.approx(0.2)} and pair["videos"] == 1


def test_a_run_that_the_other_model_lacks_counts_in_no_difference():
    rows = comparison_of({"unet": TWO_FOLDS["unet"], "deeplabv3": TWO_FOLDS["deeplabv3"][:1]})["models"]
    pair = paired_difference("unet", "deeplabv3", rows)
    assert pair["runs"] == 1 and list(pair["by_video"]) == ["v3"] and pair["iou"] == pytest.approx(0.1)


def test_three_models_make_three_differences():
    runs = {name: [run_of(0.5, {"v1": 0.5})] for name in ("deeplabv3_scratch", "deeplabv3", "unet")}
    rows = comparison_of(runs)["models"]
    assert list(rows) == ["unet", "deeplabv3", "deeplabv3_scratch"] and len(differences(rows)) == 3


def three(*steps, seeds=1):
    """Three models on 7 videos, each behind the one before it by a step that grows from video to video."""
    offsets = dict(zip(("unet", "deeplabv3", "deeplabv3_scratch"), (0, *steps)))
    return {
        model: [
            run_of(0.9, {f"v{i}": 0.9 - offset * (1 + 0.01 * i) for i in range(7)}, seed=seed) for seed in range(seeds)
        ]
        for model, offset in offsets.items()
    }


def test_p_values_of_three_models_are_corrected_together():
    pairs = comparison_of(three(0.1, 0.1))["differences"]  # the last two are equal
    assert [pair["wilcoxon_p"] for pair in pairs] == [pytest.approx(2 / 128), pytest.approx(2 / 128), None]
    assert [pair["wilcoxon_p_holm"] for pair in pairs] == [pytest.approx(6 / 128), pytest.approx(6 / 128), None]
    assert pairs[0]["pairs_of_models"] == 3 and pairs[0]["rank_biserial"] == 1 and pairs[0]["d_z"] > 1


def test_the_order_is_that_of_the_means_over_videos():
    found = comparison_of(three(0.2, 0.1))["ranking"]
    assert list(found["mean_iou"]) == list(found["shares"]) == ["unet", "deeplabv3_scratch", "deeplabv3"]
    assert found["mean_iou"]["deeplabv3"] == pytest.approx(0.9 - 0.2 * 1.03)
    assert list(found["shares"].values()) == [[1, 0, 0], [0, 1, 0], [0, 0, 1]] and found["videos"] == 7


def test_the_order_takes_the_same_runs_and_videos_of_all_models():
    runs = three(0.1, 0.2, seeds=2)
    runs["unet"].append(run_of(0.0, dict.fromkeys((f"v{i}" for i in range(7)), 0.0), seed=2))  # no other has it
    runs["deeplabv3"][0]["per_video"]["v1"]["iou"] = None  # its other seed counts
    del runs["deeplabv3_scratch"][0]["per_video"]["v2"], runs["deeplabv3_scratch"][1]["per_video"]["v2"]
    found = ranking(comparison_of(runs)["models"])
    assert found["mean_iou"]["unet"] == pytest.approx(0.9) and found["left_out"] == ["v2"] and found["videos"] == 6


def test_an_undefined_iou_is_nan_or_null_in_the_file(tmp_path):
    folder = write_comparison(tmp_path, comparison_of(TWO_FOLDS))
    text = (folder / "comparison.json").read_text(encoding="utf-8")
    assert ": 0.7," in text
    write_text(folder / "comparison.json", text.replace(": 0.7,", ": NaN,"))
    found = read_comparison(folder)
    assert found["differences"][0]["by_video"] == {"v1": pytest.approx(0.4)} and found["ranking"]["left_out"] == [
        "v2",
        "v3",
    ]


def epochs(**columns):
    return [{"train_loss": 1.0, **dict(zip(columns, values))} for values in zip(*columns.values())]


@pytest.mark.parametrize(
    ("history", "improving", "measure"),
    [
        (epochs(val_iou=[0.1] * 8 + [0.2, 0.2]), True, "validation IoU"),  # last 2 against the 2 before
        (epochs(val_iou=[0.2] * 8 + [0.204, 0.204]), False, "validation IoU"),
        (epochs(val_iou=[0.3, 0.2], val_loss=[1.0, 0.9]), True, "validation loss"),
        (epochs(val_iou=[0.3, 0.2], val_loss=[1.0, 0.96]), False, "validation IoU"),
        (epochs(train_loss=[1.0, 0.97]), True, "training loss"),
        (epochs(train_loss=[1.0, 0.99]), False, "training loss"),
        (epochs(val_iou=[None, None], train_loss=[1.0, 0.9]), True, "training loss"),
        (epochs(val_iou=[0.5]), None, None),
        ([], None, None),
    ],
)
def test_still_improving_follows_a_plain_rule(history, improving, measure):
    found = improvement(history)
    assert (found["improving"], found["measure"], found["epochs"]) == (improving, measure, len(history))


def test_the_change_is_that_of_the_means_of_two_fifths():
    found = improvement(epochs(val_iou=[0, 0, 0, 0, 0, 0, 0.1, 0.2, 0.3, 0.5]))
    assert found["over"] == 2 and found["change"] == pytest.approx(0.4 - 0.15)


def test_what_was_written_is_read_with_its_histories(tmp_path):
    folder = write_comparison(tmp_path, comparison_of(TWO_FOLDS))
    comparison = read_comparison(folder)
    histories, problems = read_histories(folder, comparison)
    assert problems == [] and {name: len(runs) for name, runs in histories.items()} == {"unet": 2, "deeplabv3": 2}
    assert histories["unet"][0]["epochs"][0]["train_loss"] == 1.0


def test_differences_are_those_of_the_rows_whatever_the_file_says(tmp_path):
    comparison = comparison_of(TWO_FOLDS)
    earlier = {key: value for key, value in comparison.items() if key != "ranking"}
    write_comparison(tmp_path, {**earlier, "differences": [{"first": "unet", "iou": 7}]})
    assert read_comparison(tmp_path) == comparison


def test_a_history_that_is_missing_or_of_another_run_is_named(tmp_path):
    folder = write_comparison(tmp_path, comparison_of(TWO_FOLDS))
    (folder / "fold_1" / "unet_history.json").unlink()
    facts = {"model": "deeplabv3", "seed": 0, "fold": 2}
    write_json(folder / "fold_2" / "deeplabv3_history.json", {**facts, "epochs": history_of(5)})
    histories, problems = read_histories(folder, read_comparison(folder))
    assert len(problems) == 2 and "fold_1/unet_history.json is missing" in problems[0].replace("\\", "/")
    assert "another run" in problems[1] and [len(runs) for runs in histories.values()] == [1, 1]


def test_a_file_that_is_no_history_is_an_error(tmp_path):
    folder = write_comparison(tmp_path, comparison_of(TWO_FOLDS))
    wrong = [[], [{"epoch": 1}], *([{**history_of()[0], key: "x"}] for key in ("seconds",))]
    for broken in ({}, *({"epochs": epochs} for epochs in wrong)):
        write_json(folder / "fold_1" / "unet_history.json", broken)
        with pytest.raises(UserError, match="no history of a training"):
            read_histories(folder, read_comparison(folder))


@pytest.mark.parametrize(("rate", "kept"), [(0.01, True), (0.02, False)])
def test_a_comparison_of_an_earlier_version_goes_on_in_the_same_table(tmp_path, capsys, rate, kept):
    """It wrote the learning rate as lr, and neither weight decay nor warm-up."""
    comparison = comparison_of({"unet": [run_of(0.9, {"v1": 0.9})]})
    comparison = {**comparison, "seeds": [0], "folds": [None]}
    settings = {key: value for key, value in asdict(TrainConfig(learning_rate=rate)).items() if key != "seed"}
    header = {**{key: comparison[key] for key in ("data", "split", "seeds", "folds")}, "settings": settings}
    new = ("learning_rate", "weight_decay", "warmup")
    earlier = {key: value for key, value in settings.items() if key not in new}
    write_json(tmp_path / "comparison.json", {**comparison, "settings": {**earlier, "lr": 0.01}})
    results = Results(tmp_path / "comparison.json", header, comparison["models"], [], {})
    results.take_earlier()
    assert bool(results.runs["unet"]) == kept
    assert ("this changed: learning_rate (0.01, now 0.02)" in capsys.readouterr().out) != kept


CHANGED = r"comparison\.json was changed, or is incomplete .*train_comparative\.py again"


def changed(**changes):
    return {**comparison_of({"unet": [run_of(0.9, {"v1": 0.9})]}), **changes}


def with_row(**changes):
    comparison = changed()
    comparison["models"]["unet"].update(changes)
    return comparison


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no .*comparison.json: train_comparative.py"),
        ("{", "not valid JSON"),
        ([], "no comparison of this version"),
        ({"schema": "surgseg.comparison/99"}, "no comparison of this version"),
        (changed(complete=False, models={}), "without a finished run"),
        (changed(models=None), CHANGED),
        (changed(models={"resnet": {}}), CHANGED),
        (with_row(runs=[]), CHANGED),
        (with_row(parameters="many"), CHANGED),
        (with_row(runs=[{"seed": 0}]), CHANGED),
        (with_row(runs=[3]), CHANGED),
        (with_row(runs=[run_of(0.9, {}, folder=None)]), CHANGED),
        (with_row(runs=[{**run_of(0.9, {}), "iou": "high"}]), CHANGED),
        (with_row(runs=[{**run_of(0.9, {}), "per_video": []}]), CHANGED),
        (with_row(runs=[{**run_of(0.9, {}), "per_video": {"v1": {}}}]), CHANGED),
        (changed(missing=[{"model": "unet"}], complete=False), CHANGED),
    ],
)
def test_no_comparison_or_a_foreign_or_broken_one_is_an_error(tmp_path, content, words):
    if content is not None:
        path = tmp_path / "comparison.json"
        write_text(path, content) if isinstance(content, str) else write_json(path, content)
    with pytest.raises(UserError, match=words):
        read_comparison(tmp_path)
