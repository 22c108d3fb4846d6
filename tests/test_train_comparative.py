"""The leak meter and the comparison of architectures, through the script."""

from dataclasses import replace

import pytest

import train_comparative
from models import ARCHITECTURES
from surgseg.files import read_json


@pytest.fixture(scope="module")
def data(make_prepared, tmp_path_factory):
    """4 videos of 12 frames: enough for a split in time."""
    return make_prepared(tmp_path_factory.mktemp("data"), dict.fromkeys(("v1", "v2", "v3", "v4"), ""), frames=12)


def options_of(data, folder, *more):
    small = "--arch unet --base-channels 2 --image-size 32 48 --epochs 1 --lr 0.01 --device cpu --batch-size 4".split()
    return ["--data-root", str(data), "--output-dir", str(folder / "out"), "--cache-dir", str(folder / "cache"),
            *small, *more]  # fmt: skip


@pytest.fixture(scope="module")
def meter(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("meter")
    assert train_comparative.main(options_of(data, folder, "--splits", "random", "time")) == 0
    return folder


def test_every_split_trains_on_equally_many_frames_and_is_scored_on_its_own_part(meter):
    result = read_json(meter / "out/leak_meter.json")
    rows = {row["split"]: row for row in result["splits"]}
    assert list(rows) == ["random", "time", "video"] and len({row["train_frames"] for row in rows.values()}) == 1
    assert rows["random"]["test_frames"] == 10 and rows["random"]["shared_videos"] > 0
    assert rows["video"]["shared_videos"] == 0 and "paired" not in rows["video"]
    for name, row in rows.items():
        own = read_json(meter / f"out/split_{name}_metrics.json")
        assert row["iou"] == own["mean_instrument"]["iou"] and row["test_frames"] == own["frames"]
    assert result["run"]["seed"] == 0 and result["data"] == "real"


def test_paired_numbers_come_from_the_same_frames(meter):
    rows = read_json(meter / "out/leak_meter.json")["splits"]
    for row in rows[:2]:
        pair = row["paired"]
        files = [f"split_{row['split']}_on_common{end}_metrics.json" for end in ("", "_video")]
        both = [read_json(meter / "out" / name) for name in files]
        assert both[0]["frames"] == both[1]["frames"] == pair["frames"] > 0
        assert pair["iou"] == [one["mean_instrument"]["iou"] for one in both]
        assert both[0]["weights"]["sha256"] != both[1]["weights"]["sha256"]


def test_finished_trainings_are_not_repeated(meter, data, capsys):
    weights = {path.name: path.read_bytes() for path in (meter / "out").glob("*.pth")}
    before = read_json(meter / "out/leak_meter.json")["splits"]
    assert train_comparative.main(options_of(data, meter, "--splits", "random", "time")) == 0
    printed = capsys.readouterr().out
    assert printed.count("finished: it is not trained again") == 3 and "Epoch 1" not in printed
    assert {path.name: path.read_bytes() for path in (meter / "out").glob("*.pth")} == weights
    assert read_json(meter / "out/leak_meter.json")["splits"] == before
    for words in ("Shared videos", "random against video, each on its own test part", "in both test parts"):
        assert words in printed


def test_an_interrupted_comparison_goes_on(data, tmp_path, monkeypatch, capsys):
    from surgseg.training.loop import Trainer

    run_epoch, calls = Trainer.run_epoch, []

    def stop(self, epoch, train):
        calls.append(epoch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run_epoch(self, epoch, train)

    argv = options_of(data, tmp_path, "--splits", "random", "--epochs", "2")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_epoch", stop)
        assert train_comparative.main(argv) == 3
    assert train_comparative.main(argv) == 0
    printed = capsys.readouterr().out
    assert "Stopped early" in printed and printed.count("finished: it is not trained again") == 1
    assert (tmp_path / "out/leak_meter.json").is_file() and not list(tmp_path.rglob("*.resume.pth"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--splits", "clever"], "--splits clever: use"),
        (["--splits", "sp-tcn"], "needs videos"),
        (["--splits", "video", "--lr", "-1"], "--lr"),
        (["--splits", "video", "--folds", "2"], "--folds is for the comparison of models"),
        ([], "--arch unet needs --splits"),
    ],
)
def test_mistakes_are_one_line(data, tmp_path, capsys, more, words):
    assert train_comparative.main(options_of(data, tmp_path, *more)) == 2
    line = capsys.readouterr().err.strip()
    assert words in line and "\n" not in line


# ------------------------------------------------------------------------------------------ architectures


@pytest.fixture
def small_deeplab(monkeypatch):
    """A U-Net of another width in the DeepLabV3's place: what is compared does not matter here."""
    small = replace(ARCHITECTURES["deeplabv3"], module="tests.networks:SmallDeepLab")
    monkeypatch.setitem(ARCHITECTURES, "deeplabv3", small)


def compare(data, folder, *more):
    """The exit status of a comparison of both models, from random weights."""
    small = (
        "--base-channels 2 --image-size 32 48 --epochs 2 --lr 0.01 --device cpu --batch-size 6 --weights none".split()
    )
    where = ["--data-root", str(data), "--output-dir", str(folder / "out"), "--cache-dir", str(folder / "cache")]
    return train_comparative.main([*where, *small, *more])


def comparison_in(folder):
    return read_json(folder / "out/comparison.json")


def stop_in_epoch(patch, number, error=KeyboardInterrupt):
    """An error, or Ctrl-C, in the epoch that is trained as the `number`-th."""
    from surgseg.training.loop import Trainer

    run_epoch, calls = Trainer.run_epoch, []

    def stop(self, epoch, train):
        calls.append(epoch)
        if len(calls) == number:
            raise error
        return run_epoch(self, epoch, train)

    patch.setattr(Trainer, "run_epoch", stop)


def test_both_models_are_trained_scored_and_compared(tiny_prepared, tmp_path, small_deeplab, capsys):
    assert compare(tiny_prepared, tmp_path) == 0
    found, out = comparison_in(tmp_path), tmp_path / "out"
    assert found["schema"] == "surgseg.comparison/1" and found["complete"] and found["missing"] == []
    assert found["split"]["test"] == {"frames": 6, "videos": ["video04"]} and found["seeds"] == [0]
    assert found["settings"]["epochs"] == 2 and found["run"]["script"]
    for model, row in found["models"].items():
        metrics, history = (read_json(out / f"{model}_{name}.json") for name in ("metrics", "history"))
        (run,) = row["runs"]
        assert {key: run[key] for key in ("iou", "dice")} == metrics["mean_instrument"] and row["iou"] == run["iou"]
        assert run["accuracy"] == metrics["accuracy"] and row["label"] and not row["pretrained"]
        assert run["empty_frames"]["truth_empty"] == metrics["empty_frames"]["truth_empty"]
        assert run["per_video"]["video04"]["frames"] == 6 and metrics["efficiency"]["ms_per_frame"] > 0
        assert history["model"] == model and [row["epoch"] for row in history["epochs"]] == [1, 2]
        assert {"train_loss", "val_loss", "val_iou", "val_dice", "val_accuracy", "seconds"} <= set(history["epochs"][0])
        assert row["training_seconds"] == pytest.approx(sum(epoch["seconds"] for epoch in history["epochs"]))
        assert history["chosen_epoch"] == run["chosen_epoch"] and run["sha256"] == metrics["weights"]["sha256"]
    rows = found["models"]
    assert rows["unet"]["parameters"] < rows["deeplabv3"]["parameters"] and rows["unet"]["ms_per_frame"] > 0
    (pair,) = found["differences"]
    assert pair["iou"] == pytest.approx(rows["unet"]["iou"] - rows["deeplabv3"]["iou"])
    printed = capsys.readouterr().out
    assert "no significance can be claimed" in printed and "Parameters" in printed and "pretraining" not in printed


def test_what_is_finished_is_neither_trained_nor_scored_again(
    tiny_prepared, tmp_path, small_deeplab, capsys, monkeypatch
):
    assert compare(tiny_prepared, tmp_path, "--models", "unet") == 0
    unet = comparison_in(tmp_path)["models"]["unet"]
    (tmp_path / "out/unet_history.json").unlink()
    capsys.readouterr()
    assert compare(tiny_prepared, tmp_path, "--models", "deeplabv3") == 0  # the other's row stays
    assert comparison_in(tmp_path)["models"]["unet"] == unet
    before = comparison_in(tmp_path)
    monkeypatch.setattr("surgseg.study.scoring.evaluate_samples", None)
    assert compare(tiny_prepared, tmp_path) == 0
    assert capsys.readouterr().out.count("finished: it is not trained again") == 2
    assert {**comparison_in(tmp_path), "run": 0} == {**before, "run": 0}
    assert len(read_json(tmp_path / "out/unet_history.json")["epochs"]) == 2  # written again from the weights file


def test_other_settings_do_not_share_a_table(tiny_prepared, tmp_path, small_deeplab, capsys):
    assert compare(tiny_prepared, tmp_path) == 0
    earlier = comparison_in(tmp_path)
    capsys.readouterr()
    assert compare(tiny_prepared, tmp_path, "--models", "unet", "--epochs", "1") == 0
    assert list(comparison_in(tmp_path)["models"]) == ["unet"]
    assert "epochs (2, now 1)" in capsys.readouterr().out
    assert (
        read_json(tmp_path / "out/comparison.prev.json") == earlier and (tmp_path / "out/deeplabv3_model.pth").is_file()
    )


def test_another_width_replaces_its_own_row_only(tiny_prepared, tmp_path, small_deeplab):
    assert compare(tiny_prepared, tmp_path) == 0
    before = comparison_in(tmp_path)["models"]
    assert compare(tiny_prepared, tmp_path, "--models", "unet", "--base-channels", "4") == 0
    after = comparison_in(tmp_path)["models"]
    assert after["deeplabv3"] == before["deeplabv3"] and after["unet"]["parameters"] > before["unet"]["parameters"]


def test_an_interrupted_comparison_of_models_goes_on(tiny_prepared, tmp_path, small_deeplab, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, 4)  # the second epoch of the second model
        assert compare(tiny_prepared, tmp_path) == 3
    found = comparison_in(tmp_path)
    assert not found["complete"] and list(found["models"]) == ["unet"]
    assert found["missing"] == [{"model": "deeplabv3", "seed": 0, "fold": None}]
    assert "run the same train_comparative.py again" in capsys.readouterr().out
    assert compare(tiny_prepared, tmp_path) == 0
    printed = capsys.readouterr().out
    assert "Resumed after epoch 1 of 2" in printed and printed.count("finished: it is not trained again") == 1
    found = comparison_in(tmp_path)
    assert found["complete"] and list(found["models"]) == ["unet", "deeplabv3"]
    assert not list(tmp_path.rglob("*.resume.pth"))


def test_a_loss_that_breaks_in_one_model_leaves_the_other_its_results(
    tiny_prepared, tmp_path, small_deeplab, monkeypatch, capsys
):
    from surgseg.training.loop import Diverged

    stop_in_epoch(monkeypatch, 2, Diverged("the loss is no longer a number"))
    assert compare(tiny_prepared, tmp_path, "--models", "deeplabv3", "unet") == 3
    found = comparison_in(tmp_path)
    assert list(found["models"]) == ["unet"] and found["missing"][0]["model"] == "deeplabv3"
    assert "DeepLabV3-ResNet50 stopped early: the loss is no longer a number" in capsys.readouterr().out


def test_folds_have_folders_means_and_differences_by_video(tiny_prepared, tmp_path, small_deeplab, capsys):
    assert compare(tiny_prepared, tmp_path, "--folds", "2", "--epochs", "1") == 0
    found = comparison_in(tmp_path)
    runs = found["models"]["unet"]["runs"]
    assert [(run["seed"], run["fold"], run["folder"]) for run in runs] == [(0, 1, "fold_1"), (0, 2, "fold_2")]
    assert (tmp_path / "out/fold_2/deeplabv3_model.pth").is_file() and found["folds"] == [1, 2]
    assert found["models"]["unet"]["iou"] == pytest.approx((runs[0]["iou"] + runs[1]["iou"]) / 2)
    (pair,) = found["differences"]
    assert set(pair["by_video"]) == {"video01", "video02", "video03", "video04"} and pair["interval"] is None
    printed = capsys.readouterr().out
    assert "no interval: 4 videos" in printed and "seed 0, fold 2" in printed


def test_seeds_train_other_weights_on_the_same_split(tiny_prepared, tmp_path, capsys):
    assert compare(tiny_prepared, tmp_path, "--models", "unet", "--seeds", "0", "1", "--epochs", "1") == 0
    first, second = comparison_in(tmp_path)["models"]["unet"]["runs"]
    assert (first["folder"], second["folder"]) == ("seed_0", "seed_1") and first["sha256"] != second["sha256"]
    assert first["test_videos"] == second["test_videos"] == ["video04"]
    assert read_json(tmp_path / "out/seed_1/unet_history.json")["seed"] == 1


def test_a_validation_part_is_scored_where_there_is_no_test_part(tiny_prepared, tmp_path, small_deeplab, capsys):
    assert compare(tiny_prepared, tmp_path, "--models", "unet", "--val-videos", "video03") == 0
    assert comparison_in(tmp_path)["models"]["unet"]["runs"][0]["test_videos"] == ["video03"]
    assert "optimistic" in capsys.readouterr().out


def test_a_foreign_comparison_is_not_written_over(tiny_prepared, tmp_path, capsys):
    path = tmp_path / "out/comparison.json"
    path.parent.mkdir()
    path.write_text("{}")
    assert compare(tiny_prepared, tmp_path, "--models", "unet") == 2
    assert "no comparison of this version" in capsys.readouterr().err and path.read_text() == "{}"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--models", "deeplabv3", "deeplabv3_scratch"], "the same run"),
        (["--init-from", "x.pth"], "--init-from fits one architecture only"),
        (["--seeds", "0", "-1"], "--seed -1"),
        (["--folds", "9"], "4 videos allow 2 to 4 folds"),
        (["--batch-size", "1"], "--batch-size 1"),
        (["--models", "unet", "deeplabv3_scratch", "--weights", "coco"], "--weights coco: none of --models"),
    ],
)
def test_mistakes_in_a_comparison_are_one_line_before_anything_is_written(tiny_prepared, tmp_path, capsys, more, words):
    assert compare(tiny_prepared, tmp_path, *more) == 2
    line = capsys.readouterr().err.strip()
    assert words in line and "\n" not in line and not (tmp_path / "out").exists()
