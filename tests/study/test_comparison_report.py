"""The sentences of a comparison: each must follow from the numbers, whichever side wins."""

import pytest

from surgseg.study.report import comparison_block, comparison_markdown
from surgseg.study.sentences import sentences, unfinished
from tests.comparisons import comparison_of, run_of

SHORT, DONE = ([{"train_loss": 1.0, "val_iou": value} for value in values] for values in ((0.5, 0.6), (0.9, 0.9)))


def two(first, second, **options):
    return comparison_of(
        {"unet": [run_of(first, {"v1": first})], "deeplabv3": [run_of(second, {"v1": second})]}, **options
    )


def test_the_study_s_own_numbers_say_that_the_unet_is_ahead():
    text = sentences(two(0.8999, 0.8587))
    assert text[0] == "U-Net achieves 0.0412 higher IoU than DeepLabV3-ResNet50 (0.8999 against 0.8587)."


def test_the_other_side_wins_in_the_same_words():
    text = sentences(two(0.8587, 0.8999))
    assert text[0] == "DeepLabV3-ResNet50 achieves 0.0412 higher IoU than U-Net (0.8999 against 0.8587)."
    assert "U-Net minus DeepLabV3-ResNet50: v1 -0.0412; one video" in text[1]


@pytest.mark.parametrize("second", [0.85, 0.85004])
def test_equal_scores_are_called_equal(second):
    text = sentences(two(0.85, second))[0]
    assert text.startswith("U-Net and DeepLabV3-ResNet50 achieve the same IoU to four digits (0.8500 against 0.8500)")


def test_an_undefined_score_has_no_winner():
    text = sentences(two(0.85, None))
    assert "n/a" in text[0] and "higher" not in " ".join(text)


def test_a_run_without_a_score_on_one_side_is_not_counted_in_the_difference():
    runs = {
        "unet": [run_of(0.9, {"v1": 0.9}, fold=1), run_of(None, {"v2": None}, fold=2)],
        "deeplabv3": [run_of(0.8, {"v1": 0.8}, fold=1), run_of(0.0, {"v2": 0.0}, fold=2)],
    }
    assert sentences(comparison_of(runs))[0] == (
        "U-Net achieves 0.1000 higher IoU than DeepLabV3-ResNet50 (over the runs in which both have an IoU)."
    )


def test_one_split_and_one_seed_claim_no_significance():
    (text,) = [one for one in sentences(two(0.9, 0.8)) if "no significance can be claimed" in one]
    assert "p values" not in text
    runs = {"unet": [run_of(0.9, {"a": 0.9, "b": 0.8})], "deeplabv3": [run_of(0.8, {"a": 0.7, "b": 0.7})]}
    (text,) = [one for one in sentences(comparison_of(runs)) if "no significance can be claimed" in one]
    assert text.endswith("p values and ranks are valid for these trained models, not for the architectures.")


def folds(count, difference=0.1):
    values = [0.5 + 0.01 * index**2 / count for index in range(count)]
    unet = [run_of(0.9, {f"v{i}": v + difference * (1 + i)}, fold=i + 1) for i, v in enumerate(values)]
    deeplab = [run_of(0.8, {f"v{i}": v}, fold=i + 1) for i, v in enumerate(values)]
    return comparison_of({"unet": unet, "deeplabv3": deeplab})


def test_few_videos_are_listed_without_an_interval():
    text = " ".join(sentences(folds(3)))
    assert "mean IoU over 3 runs" in text and "mean +0.2000, SD 0.1000, 3 videos; no interval: 3 videos" in text
    assert "v0 +0.1000, v1 +0.2000, v2 +0.3000" in text
    assert "Wilcoxon's p = 0.25." in text and "no p value can be less than 0.25: a test needs more videos" in text
    assert "cannot be said: 3 videos; with fewer than 6" in text and "Holm" not in text
    assert "no significance can be claimed" not in text


def test_more_videos_have_an_interval_and_are_not_listed():
    text = " ".join(sentences(folds(7, difference=0.01)))
    # differences 0.01 to 0.07: mean 0.04, SD 0.0216, t(0.975, 6) = 2.4469
    assert "95 % interval +0.0200 to +0.0600 (Student's t, 7 videos), which does not contain 0" in text
    assert "v3" not in text and text.count("where single videos fail") == 1
    assert "a test needs more videos" not in text
    assert "where single videos fail" not in " ".join(sentences(folds(5)))


def test_no_video_differs_and_the_test_is_undefined():
    assert "not defined, since no video differs" in " ".join(sentences(folds(3, difference=0.0)))


def test_three_models_have_corrected_p_values_effect_sizes_and_ranks():
    runs = {
        model: [run_of(0.9, {f"v{i}": 0.9 - step * (1 + i) / 100 for i in range(6)})]
        for model, step in (("unet", 1), ("deeplabv3", 0), ("deeplabv3_scratch", 3))
    }
    comparison = comparison_of(runs)
    text = " ".join(sentences(comparison))
    assert "Wilcoxon's p = 0.03125, 0.09375 after Holm's correction for 3 pairs of models." in text
    assert "no p value can be less than 0.09375 after Holm's correction for 3 pairs of models" in text
    assert "DeepLabV3-ResNet50 (mean IoU 0.9000) rank 1 in 100.0 %; U-Net (mean IoU 0.8650) rank 2 in 100.0 %" in text
    # differences -.01 to -.06: mean -.035, SD sqrt(3.5) / 100, t(0.975, 5) = 2.5706
    cells = "-0.0350 | 0.0187 | -0.0546 to -0.0154 | -1.87 | -1.00 | 0.03125 | 0.09375 | 0.03125 |"
    assert f"| U-Net minus DeepLabV3-ResNet50 | 6 | {cells}" in comparison_markdown(comparison)
    assert "-1.87  -1.00  0.03125   0.09375" in comparison_block(comparison)


def test_three_models_on_one_video_have_no_test_and_no_ranks():
    comparison = comparison_of(
        {name: [run_of(0.9, {"v1": 0.9})] for name in ("unet", "deeplabv3", "deeplabv3_scratch")}
    )
    comparison["differences"][0] |= {"wilcoxon_p": 1.0, "wilcoxon_smallest_p": 1.0}  # as of a video that differs
    text = comparison_block(comparison)
    assert "cannot be said: 1 video; with" in text and "no p value" not in text and "p (Holm)" not in text


def test_no_p_value_is_above_1():
    values = {"unet": (0.9, 0.8), "deeplabv3": (0.8, 0.6), "deeplabv3_scratch": (0.5, 0.4)}
    runs = {name: [run_of(0.9, dict(zip(("v1", "v2"), own)))] for name, own in values.items()}
    assert "no p value can be less than 1 after Holm's" in " ".join(sentences(comparison_of(runs)))


def test_pretraining_is_named_with_the_way_to_the_row_without_it():
    (text,) = [one for one in sentences(two(0.9, 0.8, pretrained=["deeplabv3"])) if "pretraining" in one]
    assert "DeepLabV3-ResNet50 starts from pretrained weights, ImageNet; U-Net starts from random ones: part of" in text
    assert "deeplabv3_scratch" in text and "--weights none" in text
    assert not any("pretrain" in one for one in sentences(two(0.9, 0.8)))


def test_with_the_row_from_scratch_nothing_need_be_added():
    runs = {name: [run_of(0.5, {"v1": 0.5})] for name in ("unet", "deeplabv3", "deeplabv3_scratch")}
    text = " ".join(sentences(comparison_of(runs, pretrained=["deeplabv3"])))
    assert (
        "DeepLabV3-ResNet50 from scratch differs from the other random start in the architecture only" in text
        and "--models" not in text
    )


def test_one_architecture_twice_differs_in_its_start_only():
    comparison = comparison_of({name: [run_of(0.5, {})] for name in ("deeplabv3", "deeplabv3_scratch")})
    rows = comparison["models"]
    rows["deeplabv3"]["pretrained"], rows["deeplabv3_scratch"]["arch"] = True, "deeplabv3"
    text = " ".join(sentences(comparison))
    assert "the architecture is the same, so only the start differs" in text and "U-Net" not in text


def test_before_any_run_is_finished_only_that_is_said():
    missing = [{"model": "unet", "seed": 0, "fold": None}]
    assert sentences(comparison_of({}, missing=missing)) == [
        "Unfinished: U-Net still to be trained; run the same train_comparative.py again."
    ]


def test_differing_learning_rates_are_said():
    runs = {"unet": [run_of(0.9, {})], "deeplabv3": [run_of(0.8, {}, learning_rate=3e-4)]}
    assert "U-Net 0.001, DeepLabV3-ResNet50 0.0003" in " ".join(sentences(comparison_of(runs)))


def test_false_alarms_on_frames_without_instrument_are_summed_over_the_runs():
    runs = [
        run_of(0.8, {"a": 0.8}, seed=seed, empty_frames={"truth_empty": 4, "false_alarms": alarms})
        for seed, alarms in enumerate((3, 0))
    ]
    text = " ".join(sentences(comparison_of({"unet": runs, "deeplabv3": [run_of(0.7, {"a": 0.7})]})))
    assert "U-Net marks an instrument in 3 of 8 frames without one." in text
    assert text.count("frames without one") == 1, "the other row does not say how many it has"


def test_a_model_that_was_still_improving_is_called_undertrained():
    comparison = comparison_of({"unet": [run_of(0.9, {}, history=DONE)], "deeplabv3": [run_of(0.8, {}, history=SHORT)]})
    (text,) = [one for one in sentences(comparison) if "improving" in one]
    assert text == (
        "DeepLabV3-ResNet50 was still improving at the last epoch: undertrained at 2 epochs (validation IoU +0.1000, "
        "its last epoch against the one before)."
    )


def test_scores_of_the_validation_part_are_called_optimistic():
    assert "optimistic" in " ".join(sentences(comparison_of({"unet": [run_of(0.9, {}, part="val")]})))


def test_an_unfinished_comparison_says_what_is_to_come():
    missing = [{"model": "deeplabv3", "seed": 0, "fold": None}]
    comparison = comparison_of({"unet": [run_of(0.9, {})]}, missing=missing)
    assert unfinished(comparison).startswith("unfinished: DeepLabV3-ResNet50 still to be trained")
    assert unfinished(two(0.9, 0.8)) == ""
    assert "**Unfinished: DeepLabV3-ResNet50" in comparison_markdown(comparison)


def test_the_table_has_a_row_per_model_and_per_run():
    text = comparison_markdown(folds(2))
    rows = [line for line in text.split("\n\n")[1].splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 2 * (1 + 1 + 2)
    assert rows[2].startswith(
        "| U-Net, mean of 2 | 17,263,042 | random | 0.9000 | 0.9500 | 0.9800 | 12.0 | 3.00 | 812 | 41.3"
    )
    assert "seed 0, fold 2" in text


def test_what_was_not_measured_is_na():
    text = comparison_block(comparison_of({"unet": [run_of(None, {}, peak_memory_mb=None, peak_memory_of=None)]}))
    row = next(line for line in text.splitlines() if line.startswith("U-Net "))
    assert row.split() == ["U-Net", "17,263,042", "random", "n/a", "n/a", "0.9800", "12.0", "3.00", "n/a", "41.3"]


def test_synthetic_data_and_what_the_figures_lack_stand_in_the_document():
    text = comparison_markdown(two(0.9, 0.8, data="synthetic"), "A note.", ["x_history.json is missing"])
    assert "**SYNTHETIC data.**" in text and "A note." in text and "x_history.json is missing" in text


def test_the_console_says_what_the_numbers_are_over():
    block = comparison_block(two(0.9, 0.8))
    assert "all pixels of the scored frames at their own size" in block and "Split video (hash 0123), 6 epochs" in block
    assert "Train s: all epochs with their validation" in block
    assert "Train s: all epochs" not in comparison_block(comparison_of({}))
