"""What the training options mean."""

import argparse
from dataclasses import fields, replace
from pathlib import Path

import pytest

from surgseg.data.dataset import Sample
from surgseg.files import UserError
from surgseg.places import find_data, find_weights
from surgseg.training import options
from surgseg.training.config import ModelConfig, TrainConfig
from surgseg.training.split import SplitConfig, choose_split, describe_split


def parse(*argv):
    parser = argparse.ArgumentParser()
    for add in (
        options.add_data_options,
        options.add_split_options,
        options.add_model_options,
        options.add_adaptation_options,
    ):
        add(parser)
    options.add_training_options(parser)
    return parser.parse_args(argv)


SAMPLES = [Sample(f"{v}_{i}", Path("f"), Path("m"), v, i) for v in ("a", "b", "c") for i in range(10)]


def test_the_defaults_are_those_of_the_study_and_the_design():
    model, train = options.config_of(ModelConfig, parse()), options.config_of(TrainConfig, parse())
    assert (model, train) == (ModelConfig(), TrainConfig())
    assert (model.arch, model.image_size, model.weights) == ("deeplabv3", None, None)
    assert (train.epochs, train.batch_size, train.accumulate, train.seed) == (15, None, 1, 0)
    assert (train.loss, train.augment, train.class_weights) == ("ce+dice", "medium+border", "none")


def test_a_batch_is_a_number_or_auto(capsys):
    sizes = [options.config_of(TrainConfig, parse("--batch-size", text)).batch_size for text in ("auto", "6")]
    assert sizes == [None, 6]
    with pytest.raises(SystemExit):
        parse("--batch-size", "many")
    assert "'many' is neither a whole number nor auto" in capsys.readouterr().err


OTHER_VALUES = {  # of each field that an option sets: what is typed, and what the config then holds
    ModelConfig: {
        "arch": ("unet", "unet"),
        "base_channels": ("8", 8),
        "image_size": ("64 96", (64, 96)),
        "view": ("full", "full"),
        "weights": ("coco", "coco"),
        "init_from": ("w.pth", Path("w.pth")),
    },
    TrainConfig: {
        "epochs": ("2", 2),
        "batch_size": ("3", 3),
        "accumulate": ("4", 4),
        "learning_rate": ("0.1", 0.1),
        "backbone_rate": ("0.5", 0.5),
        "freeze_backbone": ("1", 1),
        "freeze_norm": ("", True),
        "ema_decay": ("0.5", 0.5),
        "schedule": ("constant", "constant"),
        "loss": ("ce", "ce"),
        "class_weights": ("sqrt", "sqrt"),
        "augment": ("light", "light"),
        "mix_share": ("0.3", 0.3),
        "pseudo_labels": ("0.2 0.8", (0.2, 0.8)),
        "precision": ("bf16", "bf16"),
        "seed": ("9", 9),
    },
    SplitConfig: {
        "split": ("video", "video"),
        "val_videos": ("a b", ["a", "b"]),
        "test_videos": ("c", ["c"]),
        "folds": ("videos", "videos"),
        "fold": ("2", 2),
        "allow_shared_videos": ("", True),
        "seed": ("9", 9),
    },
}
NOT_OPTIONS = {"weight_decay", "warmup"}


@pytest.mark.parametrize("kind", OTHER_VALUES, ids=lambda kind: kind.__name__)
def test_every_field_of_a_config_is_set_by_its_option_and_by_no_other(kind):
    values = OTHER_VALUES[kind]
    assert {field.name for field in fields(kind)} - NOT_OPTIONS == set(values)
    default = options.config_of(kind, parse())
    for name, (typed, expected) in values.items():
        option = {"learning_rate": "--lr"}.get(name, f"--{name.replace('_', '-')}")
        assert getattr(default, name) != expected
        assert options.config_of(kind, parse(option, *typed.split())) == replace(default, **{name: expected})


def test_an_unknown_architecture_is_refused_and_never_another():
    with pytest.raises(UserError, match="unknown architecture 'vgg': use unet, deeplabv3"):
        _ = ModelConfig(arch="vgg").architecture


def make_split(args):
    return choose_split(options.config_of(SplitConfig, args), SAMPLES)


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
        make_split(parse(*argv))


def test_an_unknown_split_lists_the_known_ones():
    with pytest.raises(UserError, match=r"--split nearly: .*sp-tcn.*\.json"):
        make_split(parse("--split", "nearly"))


def test_folds_are_counted_from_1():
    split = make_split(parse("--folds", "videos", "--fold", "3"))
    assert split.assignment == {"a": "train", "b": "train", "c": "test"}
    with pytest.raises(UserError, match="folds 1 to 3"):
        make_split(parse("--folds", "videos", "--fold", "0"))


def test_the_description_names_parts_and_warns_of_leaks():
    split = make_split(parse("--val-videos", "b", "--test-videos", "c"))
    text = describe_split(split, SAMPLES)
    assert split.hash in text and "WARNING" not in text
    rows = [line.split() for line in text.splitlines()[1:]]
    assert rows == [
        ["train", "10", "frames,", "1", "videos", "a"],
        ["val", "10", "frames,", "1", "videos", "b"],
        ["test", "10", "frames,", "1", "videos", "c"],
    ]
    assert "WARNING" in describe_split(make_split(parse("--split", "random")), SAMPLES)


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
    assert find_data() == found


def test_of_two_usual_places_the_whole_data_set_is_taken_and_that_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("data/full_dataset/frames", "data/sample_frames"):
        Path(name).mkdir(parents=True)
    assert find_data() == Path("data/full_dataset")
    assert "taking data/full_dataset" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "present", "found"),
    [
        ("w.pth", ["outputs/w.pth"], "outputs/w.pth"),
        ("w.pth", ["outputs/w.pth", "w.pth"], "w.pth"),
        ("w.pth", [], "w.pth"),
        ("mine/w.pth", ["outputs/w.pth"], "mine/w.pth"),  # a folder is named, so no other file is meant
    ],
)
def test_only_a_bare_name_is_looked_for_in_outputs_and_that_is_said(
    tmp_path, monkeypatch, capsys, given, present, found
):
    monkeypatch.chdir(tmp_path)
    for path in map(Path, present):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert find_weights(Path(given)) == Path(found)
    assert ("taking" in capsys.readouterr().out) == (given != found)


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
