"""What the training options mean."""

import argparse
from pathlib import Path

import pytest

from surgseg.data.dataset import Sample
from surgseg.files import UserError
from surgseg.training import options


def parse(*argv):
    parser = argparse.ArgumentParser()
    for add in (options.add_data_options, options.add_split_options, options.add_model_options):
        add(parser)
    options.add_training_options(parser)
    return parser.parse_args(argv)


SAMPLES = [Sample(f"{v}_{i}", Path("f"), Path("m"), v, i) for v in ("a", "b", "c") for i in range(10)]


def test_the_defaults_are_those_of_the_study_and_the_design():
    plan, settings = options.plan_and_settings(parse())
    assert (plan.arch, plan.image_size, plan.weights, plan.class_weights) == ("deeplabv3", None, None, "none")
    assert (settings.epochs, settings.batch_size, settings.accumulate, settings.seed) == (15, 4, 1, 0)
    assert settings.loss == "ce+dice" and settings.augment == "medium"


def test_every_option_reaches_the_plan():
    argv = ["--arch", "unet", "--base-channels", "8", "--image-size", "64", "96", "--weights", "none", "--lr", "0.1"]
    argv += ["--epochs", "2", "--batch-size", "3", "--accumulate", "4", "--loss", "ce", "--class-weights", "sqrt"]
    plan, settings = options.plan_and_settings(parse(*argv, "--augment", "none", "--seed", "9", "--init-from", "w.pth"))
    assert plan.model_args == {"base_channels": 8} and plan.image_size == (64, 96) and plan.weights == "none"
    assert (plan.learning_rate, plan.class_weights, plan.init_from) == (0.1, "sqrt", Path("w.pth"))
    assert (settings.epochs, settings.batch_size, settings.accumulate, settings.loss) == (2, 3, 4, "ce")
    assert settings.augment == "none" and settings.seed == 9


@pytest.mark.parametrize(
    "argv",
    [
        ["--split", "video", "--test-videos", "a"],
        ["--split", "video", "--folds", "2"],
        ["--folds", "2", "--val-videos", "a"],
        ["--fold", "1"],
        ["--fold", "0"],
    ],
)
def test_only_one_kind_of_split_is_taken(argv):
    with pytest.raises(UserError, match=r"give one of|--fold chooses"):
        options.make_split(parse(*argv), SAMPLES)


def test_an_unknown_split_lists_the_known_ones():
    with pytest.raises(UserError, match=r"--split nearly: .*sp-tcn.*\.json"):
        options.make_split(parse("--split", "nearly"), SAMPLES)


def test_folds_are_counted_from_1():
    split = options.make_split(parse("--folds", "videos", "--fold", "3"), SAMPLES)
    assert split.assignment == {"a": "train", "b": "train", "c": "test"}
    with pytest.raises(UserError, match="folds 1 to 3"):
        options.make_split(parse("--folds", "videos", "--fold", "0"), SAMPLES)


def test_the_description_names_parts_and_warns_of_leaks():
    split = options.make_split(parse("--val-videos", "b", "--test-videos", "c"), SAMPLES)
    text = options.describe_split(split, SAMPLES)
    assert split.hash in text and "WARNING" not in text
    rows = [line.split() for line in text.splitlines()[1:]]
    assert rows == [
        ["train", "10", "frames,", "1", "videos", "a"],
        ["val", "10", "frames,", "1", "videos", "b"],
        ["test", "10", "frames,", "1", "videos", "c"],
    ]
    assert "WARNING" in options.describe_split(options.make_split(parse("--split", "random"), SAMPLES), SAMPLES)


@pytest.mark.parametrize(
    ("present", "found"),
    [
        ([], None),
        (["data/full_dataset/frames"], Path("data/full_dataset")),
        (["data/sample_frames"], Path("data")),
        (["data/full_dataset"], None),
    ],
)
def test_data_is_found_in_its_usual_place(tmp_path, monkeypatch, present, found):
    monkeypatch.chdir(tmp_path)
    for name in present:
        Path(name).mkdir(parents=True)
    assert options.find_data() == found


def test_two_usual_places_are_asked_about(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("data/full_dataset/frames", "data/sample_frames"):
        Path(name).mkdir(parents=True)
    with pytest.raises(UserError, match="--data-root"):
        options.find_data()


@pytest.mark.parametrize(
    "argv",
    [["--frame-dir", "f"], ["--mask-dir", "m"], ["--data-root", "d", "--frame-dir", "f", "--mask-dir", "m"]],
)
def test_half_given_folders_are_refused(argv):
    with pytest.raises(UserError, match="--frame-dir and --mask-dir"):
        options.load_data(parse(*argv))


def test_named_data_are_loaded(tiny_prepared):
    assert len(options.load_data(parse("--data-root", str(tiny_prepared))).samples) == 24
    folders = ["--frame-dir", str(tiny_prepared / "frames"), "--mask-dir", str(tiny_prepared / "masks")]
    assert len(options.load_data(parse(*folders)).samples) == 24
