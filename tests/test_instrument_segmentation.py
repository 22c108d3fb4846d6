"""Training through the script: what it prints, writes, refuses."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import instrument_segmentation
from surgseg.checkpoint import load_checkpoint
from surgseg.files import write_json
from surgseg.labels import SCHEMES
from tests.helpers import folder_bytes, noise_frame, save_image


@pytest.fixture
def options(tiny_prepared, tmp_path, monkeypatch):
    """A quick training in a folder of its own, which is also the current one. Figures are drawn in `tiny_run`."""
    import surgseg.figures.examples
    import surgseg.run_training

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(surgseg.figures.examples, "draw_examples", lambda examples, scheme, path, **options: path)
    monkeypatch.setattr(surgseg.run_training, "draw_training_loss", lambda history, path, **options: path)
    return ["--data-root", str(tiny_prepared), "--arch", "unet", "--base-channels", "2", "--image-size", "32", "32",
            "--epochs", "1", "--device", "cpu"]  # fmt: skip


def refused(argv, capsys):
    """The one line on stderr of a refused run, which has written nothing."""
    before = set(Path.cwd().rglob("*"))
    assert instrument_segmentation.main(argv) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    left = {
        path
        for path in set(Path.cwd().rglob("*")) - before
        if path.relative_to(Path.cwd()).parts[:2] != ("data", "cache")
    }
    assert {path.name for path in left} <= {"data"}, "nothing half-written"
    return lines[0]


def test_the_printed_blocks_are_the_studys(tiny_run):
    assert tiny_run.status == 0
    text = tiny_run.text
    assert text.count("LAPAROSCOPIC INSTRUMENT SEGMENTATION") == 1
    for epoch in range(1, tiny_run.epochs + 1):
        assert f"Epoch {epoch}/{tiny_run.epochs} - Average Loss: " in text and f"Epoch {epoch} Validation: " in text
    block = text[text.index("EVALUATION METRICS") :]
    for words in (
        "Frames analyzed:  6",
        "Overall accuracy",
        "Mean IoU",
        "Mean Dice",
        "Precision",
        "Recall",
        "n (pixels)",
    ):
        assert words in block
    assert "\nbackground " in block and "\ninstrument " in block
    assert "test part" in block and "real data" in block
    for part, videos in (("train", "2 videos"), ("val", "1 videos"), ("test", "1 videos")):
        assert any(line.split()[:1] == [part] and videos in line for line in text.splitlines())


def test_every_file_that_is_named_exists_and_is_read_again(tiny_run):
    output = tiny_run.output
    named = tiny_run.text[tiny_run.text.index("Written:") :].split("\n")[1:]
    assert len(named) >= 6 and all(Path(line.strip()).exists() for line in named if line.strip())
    names = {"instrument_segmentation_model.pth", "instrument_segmentation_model.json", "history.csv", "metrics.json"}
    assert names <= {path.name for path in output.iterdir()}
    assert (tiny_run.output / "figures" / "segmentation_results.json").is_file()
    for name in ("training_loss.png", "segmentation_results.png"):
        with Image.open(output / "figures" / name) as image:
            assert min(image.size) > 300
    with (output / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["epoch"]) for row in rows] == list(range(1, tiny_run.epochs + 1))
    assert all(float(row["val_loss"]) > 0 for row in rows)


def test_predictions_of_the_test_part_have_native_size(tiny_run):
    paths = sorted(tiny_run.preds.glob("*.png"))
    assert [path.stem for path in paths] == [f"video04_{index:06d}" for index in range(6)]
    with Image.open(paths[0]) as image:
        assert (image.mode, image.size) == ("P", (64, 48))


def test_metrics_are_of_the_test_video_only(tiny_run):
    metrics = json.loads((tiny_run.output / "metrics.json").read_text())
    assert list(metrics["per_video"]) == ["video04"] and metrics["frames"] == 6
    assert (metrics["part"], metrics["data"], metrics["void_policy"]) == ("test", "real", "ignore")
    run = metrics["run"]
    assert run["seed"] == 0 and run["arguments"]["epochs"] == tiny_run.epochs and "torch" in run["versions"]
    assert set(run["git"]) == {"commit", "dirty"}
    assert metrics["run"]["split"]["hash"] in tiny_run.text


def test_the_weights_rebuild_their_model_and_say_where_they_come_from(tiny_run):
    checkpoint = load_checkpoint(tiny_run.weights)
    assert (checkpoint.arch, checkpoint.image_size, checkpoint.threshold) == ("unet", (32, 48), 0.5)
    training = checkpoint.training
    assert training["data"] == "real" and training["epochs"] == tiny_run.epochs and training["seed"] == 0
    assert training["split"]["assignment"] == {
        "video01": "train", "video02": "train", "video03": "val", "video04": "test",
    }  # fmt: skip
    assert checkpoint.metrics["val_iou"] >= 0 or np.isnan(checkpoint.metrics["val_iou"])


def test_several_instrument_classes_are_trained_and_scored(tool_run):
    assert tool_run.status == 0
    assert "\ngrasper " in tool_run.text and "\nl-hook " in tool_run.text
    checkpoint = load_checkpoint(tool_run.weights)
    assert checkpoint.scheme == SCHEMES["grasper-hook"] and checkpoint.threshold is None
    metrics = json.loads((tool_run.output / "metrics.json").read_text())
    assert list(metrics["classes"]) == ["background", "grasper", "l-hook"]
    assert np.array(metrics["confusion"]["counts"]).shape == (4, 3)


def test_the_same_command_gives_the_same_weights(options, capsys):
    weights = []
    for folder in ("first", "second"):
        assert instrument_segmentation.main([*options, "--output-dir", folder]) == 0
        weights.append(load_checkpoint(Path(folder) / "instrument_segmentation_model.pth").model.state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert (Path("data/preds") / "video04_000000.png").is_file() and Path("data/cache").is_dir()


def test_frame_and_mask_folders_are_trained_on_too(options, tiny_prepared, capsys):
    for name in ("frames", "masks"):
        shutil.copytree(tiny_prepared / name, Path("mine") / f"my_{name}")
    argv = [*options[2:], "--frame-dir", "mine/my_frames", "--mask-dir", "mine/my_masks", "--test-videos", "video02"]
    assert instrument_segmentation.main([*argv, "--class-weights", "sqrt", "--loss", "ce", "--augment", "none"]) == 0
    text = capsys.readouterr().out
    assert "No validation part" in text and "Validation:" not in text
    assert sorted(path.stem for path in Path("data/preds").glob("*.png"))[0] == "video02_000000"


def test_the_random_split_is_made_with_a_warning(options, capsys):
    assert instrument_segmentation.main([*options, "--split", "random"]) == 0
    text = capsys.readouterr().out
    assert "WARNING" in text and "near-copies" in text


def test_folds_run_one_after_the_other_and_are_summarised(options, capsys):
    assert instrument_segmentation.main([*options, "--folds", "2", "--output-dir", "out"]) == 0
    text = capsys.readouterr().out
    assert "FOLD 1 OF 2" in text and "FOLD 2 OF 2" in text and "CROSS-VALIDATION" in text
    summary = json.loads(Path("out/folds.json").read_text())
    videos = [video for row in summary["folds"] for video in row["test_videos"]]
    assert sorted(videos) == ["video01", "video02", "video03", "video04"]
    assert all((Path("out") / f"fold_{k}" / "instrument_segmentation_model.pth").is_file() for k in (1, 2))


def test_ctrl_c_saves_what_is_there(options, capsys, monkeypatch):
    import surgseg.training.fit as module

    def stop(row, epochs):
        if row["epoch"] == 2:
            raise KeyboardInterrupt
        return f"Epoch {row['epoch']}"

    monkeypatch.setattr(module, "epoch_block", stop)
    assert instrument_segmentation.main([*options, "--epochs", "4", "--output-dir", "out"]) == 3
    text = capsys.readouterr().out
    assert "Ctrl-C" in text and "EVALUATION METRICS" not in text and "instrument_segmentation_model.pth" in text
    assert load_checkpoint("out/instrument_segmentation_model.pth").training["epochs"] == 2
    assert not Path("data/preds").exists()


def test_without_any_data_the_demo_runs_and_says_so(options, capsys, monkeypatch, make_prepared):
    import surgseg.synthetic.demo as demo

    def draw(root):
        parts = {"video01": "train", "video02": "val", "video03": "test"}
        write_json(make_prepared(root, parts, frames=3) / "audit.json", {"data": "synthetic"})

    monkeypatch.setattr(demo, "make_demo_data", draw)
    assert instrument_segmentation.main(options[2:]) == 0
    text = capsys.readouterr().out
    assert "synthetic" in text and "No data in data/full_dataset" in text
    defaults = demo.demo_options()
    assert set(defaults) <= set(vars(instrument_segmentation.build_parser().parse_args([])))
    training = load_checkpoint(defaults["output_dir"] / "instrument_segmentation_model.pth").training
    assert training["data"] == "synthetic" and training["settings"]["learning_rate"] == defaults["learning_rate"]
    assert {path.parts[:2] for path in map(Path, folder_bytes(Path()))} <= {("data", "demo"), ("outputs", "demo")}


def test_the_usual_place_is_found_and_of_two_the_whole_data_set_is_taken(options, tiny_prepared, capsys):
    shutil.copytree(tiny_prepared, "data/full_dataset")
    assert instrument_segmentation.main(options[2:]) == 0
    assert f"Data: {Path('data/full_dataset')}" in capsys.readouterr().out
    Path("data/sample_frames").mkdir()
    shutil.rmtree("outputs")
    shutil.rmtree("data/preds")
    assert instrument_segmentation.main(options[2:]) == 0
    text = capsys.readouterr().out
    assert "Both data/full_dataset and data/sample_frames are prepared; taking data/full_dataset" in text


def test_masks_of_void_alone_are_refused_before_the_training(options, make_prepared, capsys):
    data = make_prepared(Path("void"), {"a": "train", "b": "val", "c": "test"}, frames=2)
    for path in (data / "masks").iterdir():
        save_image(path, np.full((48, 64), 255, np.uint8))
    assert instrument_segmentation.main(["--data-root", str(data), *options[2:]]) == 2
    assert "there is nothing to learn" in capsys.readouterr().err and not Path("outputs").exists()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--data-root", "nowhere"], "prepare_full_dataset.py"),
        (["--frame-dir", "frames"], "--frame-dir and --mask-dir"),
        (["--test-videos", "video09"], "video01, video02, video03, video04"),
        (["--val-videos", "video01", "--test-videos", "video01"], "validation and test"),
        (["--split", "sideways"], "--split sideways"),
        (["--split", "sp-tcn"], "needs videos"),
        (["--split", "time"], "at least 10"),
        (["--split", "nowhere.json"], "nowhere.json"),
        (["--split", "video", "--folds", "2"], "one of --split"),
        (["--fold", "1"], "--folds"),
        (["--folds", "2", "--fold", "0"], "folds 1 to 2"),
        (["--folds", "9"], "2 to 4"),
        (["--epochs", "0"], "--epochs"),
        (["--batch-size", "0"], "--batch-size"),
        (["--image-size", "8", "64"], "--image-size"),
        (["--base-channels", "0"], "--base-channels"),
        (["--lr", "-1"], "--lr"),
        (["--lr", "0"], "--lr"),
        (["--lr", "nan"], "--lr"),
        (["--seed", "-1"], "--seed"),
        (["--weights", "imagenet"], "--weights none"),
        (["--init-from", "nowhere.pth"], "nowhere.pth"),
        (["--arch", "deeplabv3", "--batch-size", "1", "--weights", "none"], "--freeze-norm"),
        (["--arch", "deeplabv3", "--weights", "nowhere.pth"], "nowhere.pth"),
    ],
)
def test_bad_input_is_one_line_and_status_2(options, capsys, extra, words):
    assert words in refused([*options, *extra], capsys)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_an_absent_device_is_one_line(options, capsys):
    assert "--device cuda" in refused([*options, "--device", "cuda"], capsys)


@pytest.mark.parametrize("extra", [["--image-size", "32", "32"], ["--image-size", "33", "47"]])
def test_a_batch_of_one_trains_a_unet(options, extra):
    assert instrument_segmentation.main([*options, "--batch-size", "1", *extra]) == 0


def test_a_folder_of_others_images_is_refused_before_the_training(options, capsys):
    save_image(Path("data/preds/mine.png"), noise_frame(0))
    assert "mine.png" in refused(options, capsys)


@pytest.mark.parametrize("option", ["--output-dir", "--figure-dir"])
def test_a_file_where_a_folder_must_be_is_refused_before_the_training(options, capsys, option):
    Path("taken").touch()
    assert "taken is a file" in refused([*options, option, "taken"], capsys)


def test_bad_frames_are_named_and_leave_nothing(options, tiny_prepared, capsys):
    copy = Path(shutil.copytree(tiny_prepared, "copy"))
    (copy / "frames" / "video02_000001.png").write_bytes(b"broken")
    text = refused([*options, "--data-root", "copy"], capsys)
    assert "video02_000001.png" in text and not list(Path("data/cache").iterdir())


def test_a_single_video_is_refused_with_advice(options, make_prepared, capsys):
    make_prepared(Path("one"), {"op1": ""})
    text = refused([*options, "--data-root", "one"], capsys)
    assert "one video" in text and "--split time" in text


def test_weights_of_other_classes_do_not_start_a_training(options, tool_run, capsys):
    text = refused([*options, "--base-channels", "4", "--init-from", str(tool_run.weights)], capsys)
    assert "head.weight" in text


def test_training_goes_on_from_our_weights(options, tiny_run, capsys):
    argv = [*options, "--base-channels", "4", "--init-from", str(tiny_run.weights)]
    assert instrument_segmentation.main(argv) == 0
    assert "(--init-from)" in capsys.readouterr().out
