"""One run from data to weights file: how it starts, what it stores, what it refuses."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import ARCHITECTURES
from surgseg.checkpoint import load_checkpoint
from surgseg.data.dataset import load_prepared
from surgseg.data.splits import make_split
from surgseg.files import UserError, read_csv
from surgseg.training import start
from surgseg.training.ancestors import read_ancestors
from surgseg.training.config import DEFAULT_VIEW, ModelConfig, TrainConfig
from surgseg.training.feed import Feed
from surgseg.training.fit import check_run, fit
from surgseg.training.loop import HISTORY_FIELDS
from surgseg.training.machine import Machine
from surgseg.training.start import resolve_init_from, start_model

UNET = ModelConfig(arch="unet", base_channels=2, image_size=(32, 48), weights="none")
HERE = Machine(torch.device("cpu"), Path("cache"))
QUICK = TrainConfig(epochs=1, batch_size=4)


def run(data, folder, model=UNET, settings=QUICK, options=(), **split):
    prepared = load_prepared(data)
    return fit(
        prepared,
        make_split(prepared.samples, **split),
        model,
        settings,
        Machine(torch.device("cpu"), folder / "cache"),
        weights_path=folder / "w.pth",
        history_path=folder / "history.csv",
        record={"script": "test", "seed": settings.seed},
        **dict(options),
    )


def test_what_is_saved_is_what_is_returned(tiny_prepared, tmp_path, capsys):
    fitted = run(tiny_prepared, tmp_path, replace(UNET, view="auto"), replace(QUICK, epochs=2))
    loaded = load_checkpoint(tmp_path / "w.pth")
    assert loaded.view == fitted.checkpoint.view == "auto" and "view auto" in capsys.readouterr().out
    state = fitted.checkpoint.model.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in loaded.model.state_dict().items())
    assert loaded.sha256 == fitted.checkpoint.sha256 and fitted.stopped is None
    training = loaded.training
    assert training["script"] == "test" and training["data"] == "real" and training["start"].startswith("none")
    assert training["epochs"] == 2 and training["chosen_epoch"] == fitted.chosen_epoch
    assert training["split"]["assignment"]["video04"] == "test"
    assert training["settings"]["learning_rate"] == 1e-3 and training["settings"]["batch_size"] == 4
    row = fitted.history[fitted.chosen_epoch - 1]
    assert loaded.metrics == {key: row[key] for key in ("val_loss", "val_iou", "val_dice", "val_accuracy")}
    assert len(read_csv(tmp_path / "history.csv", HISTORY_FIELDS)) == 2


def test_a_chain_of_fine_tuning_keeps_what_trained_its_ancestors_and_warns(tiny_prepared, tmp_path, capsys):
    first = run(tiny_prepared, tmp_path / "1", name="random")
    assert first.checkpoint.training["ancestors"] == []
    start = replace(UNET, init_from=first.weights_path)
    second = run(tiny_prepared, tmp_path / "2", start, test_videos=["video01"])
    capsys.readouterr()
    third = run(tiny_prepared, tmp_path / "3", replace(UNET, init_from=second.weights_path), test_videos=["video04"])
    training = load_checkpoint(third.weights_path).training
    assert [split["name"] for split in training["ancestors"]] == ["videos", "random"]
    assert set(training["ancestors"][1]["assignment"].values()) == {"train"}
    assert "trained the weights that this training starts from (by their names)" in capsys.readouterr().out


def test_a_weights_file_of_ours_as_a_backbone_is_an_ancestor_too(tiny_run):
    as_start = read_ancestors(ModelConfig(init_from=tiny_run.weights))
    as_backbone = read_ancestors(ModelConfig(weights=str(tiny_run.weights)))
    assert as_start[0] == as_backbone[0] != [] and torch.equal(as_start[1], as_backbone[1])
    assert read_ancestors(ModelConfig(weights="imagenet")) == ([], None)


def test_pseudo_labels_are_counted_in_the_weights_file(tiny_prepared, tmp_path, monkeypatch, capsys):
    prepared = load_prepared(tiny_prepared)
    train = make_split(prepared.samples).parts["train"]
    samples = [replace(sample, predicted=index in train[:2]) for index, sample in enumerate(prepared.samples)]
    monkeypatch.setitem(globals(), "load_prepared", lambda root: replace(prepared, samples=samples))
    run(tiny_prepared, tmp_path)
    assert load_checkpoint(tmp_path / "w.pth").training["pseudo_labels"] == 2


def test_the_test_part_is_never_looked_at(tiny_prepared, tmp_path, monkeypatch, capsys):
    seen = set()
    read = Feed._read

    def watched(self, rows):
        seen.update(rows.tolist())
        return read(self, rows)

    monkeypatch.setattr(Feed, "_read", watched)
    run(tiny_prepared, tmp_path)
    assert seen == set(range(18)), "12 training and 6 validation frames, none of the 6 test frames"


def test_class_weights_are_measured_on_the_training_part_and_stored(tiny_prepared, tmp_path, capsys):
    fitted = run(tiny_prepared, tmp_path, settings=replace(QUICK, class_weights="inverse"))
    prepared = load_prepared(tiny_prepared)
    weights = fitted.checkpoint.training["settings"]["class_weights"]
    fraction = np.mean([s.instrument_fraction for s in prepared.samples if s.part == "train"])
    assert weights[1] / weights[0] == pytest.approx((1 - fraction) / fraction, rel=0.15)


def test_without_a_validation_part_the_schedule_is_fixed(tiny_prepared, tmp_path, capsys):
    fitted = run(tiny_prepared, tmp_path, settings=replace(QUICK, epochs=2), test_videos=["video01"])
    assert fitted.chosen_epoch == 2 and fitted.checkpoint.metrics == {}
    assert "No validation part" in capsys.readouterr().out


@pytest.mark.parametrize(("rate", "expected"), [(None, 3e-4), (0.02, 0.02)])
def test_a_pretrained_start_takes_the_smaller_rate(tiny_prepared, tmp_path, tiny_run, rate, expected, capsys):
    model = replace(UNET, base_channels=4, init_from=tiny_run.weights)
    fitted = run(tiny_prepared, tmp_path, model, replace(QUICK, learning_rate=rate))
    settings = fitted.checkpoint.training["settings"]
    assert (settings["learning_rate"], settings["backbone_rate"]) == (expected, 0.1)
    assert tiny_run.weights.name in fitted.checkpoint.training["start"]


def test_of_a_model_without_backbone_it_is_said_that_all_of_it_learns(tiny_prepared, tmp_path, monkeypatch, capsys):
    record = replace(ARCHITECTURES["unet"], module="tests.networks:Dot", options=())
    monkeypatch.setitem(ARCHITECTURES, "unet", record)
    run(tiny_prepared, tmp_path, settings=replace(QUICK, epochs=2, freeze_backbone=1))
    text = capsys.readouterr().out
    assert "U-Net has no backbone_parts(): all of it learns, at one rate." in text and "frozen" not in text


@pytest.mark.parametrize(
    ("arch", "data", "weights"),
    [("deeplabv3", "real", "imagenet"), ("deeplabv3", "synthetic", "none"), ("unet", "real", "none")],
)
def test_only_a_deeplab_on_real_data_starts_from_imagenet(tiny_prepared, monkeypatch, arch, data, weights):
    monkeypatch.setattr(start, "build_model", lambda *args, **options: torch.nn.Identity())
    monkeypatch.setattr(start, "load_pretraining", lambda model, arch, weights: weights)
    prepared = replace(load_prepared(tiny_prepared), data=data)
    assert start_model(replace(UNET, arch=arch, weights=None), prepared)[1] == weights
    assert start_model(replace(UNET, arch=arch, weights="coco"), prepared)[1] == "coco"


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        ({}, {"epochs": 0}, "--epochs"),
        ({}, {"batch_size": 0}, "--batch-size"),
        ({}, {"accumulate": 0}, "--accumulate"),
        ({"arch": "deeplabv3"}, {"batch_size": 1}, "--freeze-norm"),
        ({"image_size": (15, 64)}, {}, "--image-size 15 64"),
        ({"base_channels": 0}, {}, "--base-channels"),
        ({}, {"learning_rate": 0.0}, "--lr"),
        ({}, {"learning_rate": float("nan")}, "--lr"),
        ({}, {"seed": -1}, "--seed"),
    ],
)
def test_configs_that_would_fail_later_are_refused_first(model, settings, words):
    with pytest.raises(UserError) as caught:
        check_run(replace(UNET, **model), replace(QUICK, **settings), HERE)
    assert words in str(caught.value)


def test_a_refused_start_builds_no_cache(tiny_prepared, tmp_path, capsys):
    with pytest.raises(UserError, match=r"nowhere\.pth"):
        run(tiny_prepared, tmp_path, replace(UNET, init_from=tmp_path / "nowhere.pth"))
    assert list(tmp_path.iterdir()) == []


def test_two_starts_are_refused():
    model = ModelConfig(arch="deeplabv3", weights="imagenet", init_from=Path("mine.pth"), image_size=(64, 64))
    with pytest.raises(UserError, match="--init-from and --weights"):
        check_run(model, TrainConfig(), HERE)


def test_the_start_brings_its_own_architecture(tiny_run):
    followed = resolve_init_from(ModelConfig(arch="deeplabv3", init_from=tiny_run.weights))
    assert (followed.arch, followed.base_channels, followed.image_size) == ("unet", 4, (32, 48))
    assert resolve_init_from(ModelConfig(init_from=tiny_run.weights, image_size=(64, 64))).image_size == (64, 64)
    assert resolve_init_from(ModelConfig()).image_size == (256, 256)


def test_frames_are_cropped_as_for_the_start_unless_said_otherwise(tmp_path):
    start = {"arch": "unet", "model_args": {}, "image_size": [32, 48]}
    for name, view in (("old", {}), ("cropped", {"view": "auto"})):
        torch.save({**start, **view}, tmp_path / f"{name}.pth")
    views = [resolve_init_from(ModelConfig(init_from=tmp_path / f"{name}.pth")).view for name in ("old", "cropped")]
    assert views == ["full", "auto"] and resolve_init_from(ModelConfig()).view == DEFAULT_VIEW
    assert resolve_init_from(ModelConfig(init_from=tmp_path / "old.pth", view="auto")).view == "auto"


def test_the_start_brings_every_argument_of_its_model(tmp_path, monkeypatch):
    """Also one that a new architecture adds."""

    @dataclass(frozen=True)
    class Deeper(ModelConfig):
        depth: int = 3

    record = replace(ARCHITECTURES["unet"], options=("base_channels", "depth"))
    monkeypatch.setitem(ARCHITECTURES, "unet", record)
    start = {"arch": "unet", "model_args": {"base_channels": 2, "depth": 5}, "image_size": [32, 48]}
    torch.save(start, tmp_path / "start.pth")
    followed = resolve_init_from(Deeper(init_from=tmp_path / "start.pth"))
    assert followed.model_args == {"base_channels": 2, "depth": 5}
