"""Scoring through the script: saved predictions, a weights file, and every way to refuse."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import analyze_model
from surgseg.checkpoint import load_checkpoint
from surgseg.figures import style
from surgseg.files import read_csv, write_json
from surgseg.labels import SCHEMES
from surgseg.masks import read_mask, write_mask
from tests.helpers import noise_frame, save_image

SCORES = (
    "frames", "accuracy", "classes", "mean_instrument", "instrument_union", "per_frame", "per_video", "video_mean",
    "empty_frames", "confusion", "void_policy", "void_background", "frame_distribution", "video_intervals", "detection",
    "conventions",
)  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, request):
    """A folder of the test's own; figures are drawn where the test looks at them."""
    from surgseg.figures import analysis

    monkeypatch.chdir(tmp_path)
    if not request.node.get_closest_marker("usefixtures"):
        monkeypatch.setattr(analysis, "write_figures", lambda *given, **options: ([], [], True))


@pytest.fixture
def drawn(monkeypatch):
    """Marks a test that looks at the figures, which are coarse."""
    monkeypatch.setattr(style, "DPI", 50)


def analyzed(*argv):
    assert analyze_model.main([str(item) for item in argv]) == 0
    return json.loads(Path("outputs/analysis_metrics.json").read_text())


def dataset(run, *extra):
    return analyzed("--mask-dir", run.data / "masks", "--pred-dir", run.preds, *extra)


def model(run, *extra):
    return analyzed("--mode", "model", "--model-path", run.weights, "--data-root", run.data, "--device", "cpu", *extra)


def refused(capsys, *argv):
    assert analyze_model.main([str(item) for item in argv]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    assert not Path("outputs").exists()
    return lines[0]


@pytest.mark.parametrize("name", ["tiny_run", "tool_run"])
@pytest.mark.parametrize("mode", [dataset, model])
def test_all_three_ways_give_exactly_the_same_scores(name, mode, request, capsys):
    run = request.getfixturevalue(name)
    trained = json.loads((run.output / "metrics.json").read_text())
    found = mode(run)
    assert {key: found[key] for key in SCORES} == {key: trained[key] for key in SCORES}
    table = "analysis_metrics_frames.csv"
    assert (Path("outputs") / table).read_text() == (run.output / "metrics_frames.csv").read_text()


@pytest.mark.usefixtures("drawn")
def test_the_studys_command_prints_the_studys_block(tiny_run, capsys):
    dataset(tiny_run, "--mode", "dataset", "--num-classes", "2", "--class-names", "background,instrument")
    text = capsys.readouterr().out
    assert "REAL DATASET EVALUATION" in text and "Frames analyzed:  6" in text and "Overall accuracy" in text
    assert "\nbackground " in text and "\ninstrument " in text
    assert "Predictions cover 6 of 24 masks." in text
    with Image.open("outputs/figures/comprehensive_analysis.png") as image:
        assert min(image.size) > 250
    examples = [f"{name}_segmentation_results" for name in ("best", "challenging", "impressive")]
    assert {path.name for path in Path("outputs/figures").iterdir()} == {
        "comprehensive_analysis.png", "full_dataset_analysis.png", "strata.png",
        *(f"{name}.{suffix}" for name in examples for suffix in ("png", "json")),
    }  # fmt: skip
    assert "No full_dataset_complete_analysis.png" in text


def test_figures_that_are_not_whole_are_a_partial_result(tiny_run, monkeypatch, capsys):
    from surgseg.figures import analysis

    monkeypatch.setattr(analysis, "write_figures", lambda *given, **options: ([], ["frame x is damaged"], False))
    argv = ["--mask-dir", str(tiny_run.data / "masks"), "--pred-dir", str(tiny_run.preds)]
    assert analyze_model.main(argv) == 3 and "frame x is damaged" in capsys.readouterr().out
    assert Path("outputs/analysis_metrics.json").is_file()


def test_synthetic_data_is_called_so(tiny_run, tmp_path, capsys):
    data = shutil.copytree(tiny_run.data, tmp_path / "synthetic")
    write_json(data / "audit.json", {"data": "synthetic"})
    analyzed("--mask-dir", data / "masks", "--pred-dir", tiny_run.preds)
    assert "SYNTHETIC DATASET EVALUATION" in capsys.readouterr().out


def test_the_part_is_the_one_the_weights_were_trained_with(tiny_run, capsys):
    parts = {part: model(tiny_run, "--split-part", part) for part in ("test", "val", "all")}
    assert {part: list(found["per_video"]) for part, found in parts.items()} == {
        "test": ["video04"], "val": ["video03"], "all": ["video01", "video02", "video03", "video04"],
    }  # fmt: skip


def test_predictions_are_saved_where_that_is_asked(tool_run, capsys):
    model(tool_run, "--split-part", "val", "--save-preds", "predicted")
    paths = sorted(Path("predicted").glob("*.png"))
    assert len(paths) == 6 and read_mask(paths[0], 3).shape == (48, 64)


def test_threshold_and_void_policy_are_taken_from_the_command(tiny_run, capsys):
    strict = model(tiny_run, "--threshold", "0.999", "--void", "background")
    assert (strict["threshold"], strict["void_policy"]) == (0.999, "background")
    loose = model(tiny_run, "--threshold", "0.001")
    predicted = [sum(row[1] for row in found["confusion"]["counts"]) for found in (strict, loose)]
    assert predicted[0] <= predicted[1]


def test_the_same_masks_are_scored_under_other_conventions_and_tolerances(tiny_run, capsys):
    found = dataset(tiny_run, "--tolerance", "3", "--convention", "monai", "ours")
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("Convention "))
    assert [line.split()[0] for line in lines[at + 1 : at + 3]] == ["monai", "ours"]
    assert "NSD 3 px" in lines[at] and lines[at + 2].split()[3] == f"{found['frame_distribution']['nsd_3']['mean']:.4f}"
    assert found["conventions"]["ours"]["hd95"] == found["frame_distribution"]["hd95"]["mean"]
    table = read_csv("outputs/analysis_metrics_frames.csv")
    assert "nsd_3" in table[0] and "nsd_2" not in table[0]
    dataset(tiny_run, "--tolerance")
    assert "HD95" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        dataset(tiny_run, "--tolerance", "-1")


def test_a_bare_state_dict_is_scored_where_its_architecture_is_named(tiny_run, capsys):
    torch.save(load_checkpoint(tiny_run.weights).model.state_dict(), "bare.pth")
    arguments = ("--mode", "model", "--model-path", "bare.pth", "--data-root", tiny_run.data, "--device", "cpu")
    assert "--arch" in refused(capsys, *arguments)
    assert "--split-part all" in refused(capsys, *arguments, "--arch", "unet")
    assert analyzed(*arguments, "--arch", "unet", "--split-part", "all")["frames"] == 24


@pytest.mark.usefixtures("drawn")
def test_thirteen_classes_are_scored_and_drawn(capsys):
    scheme = SCHEMES["full13"]
    for index in range(3):
        ids = np.random.default_rng(index).integers(0, scheme.num_classes, (20, 30)).astype(np.uint8)
        write_mask(Path(f"preds/a_{index}.png"), ids, scheme)
        ids[:5] = 255
        write_mask(Path(f"masks/a_{index}.png"), ids, scheme)
    write_json("classes.json", scheme.to_json())
    found = analyzed("--mask-dir", "masks", "--pred-dir", "preds")
    assert list(found["classes"]) == scheme.names and found["accuracy"] == 1
    with Image.open("outputs/figures/comprehensive_analysis.png") as image:
        image.load()


FOLDERS = ("--mask-dir", "masks", "--pred-dir", "preds")


def test_classes_without_a_scheme_need_a_name_for_the_instruments(capsys):
    ids = np.array([[0, 1, 2, 2]], np.uint8).repeat(4, 0)
    for folder in ("masks", "preds"):
        save_image(Path(folder, "a_1.png"), ids)
    for options in (["--num-classes", "3"], ["--class-names", "rest, shaft ,tip"], ["--class-names", "a,liver,fat"]):
        assert "--instrument-classes" in refused(capsys, *FOLDERS, *options)
    assert "the classes are rest, tip, liver" in refused(
        capsys, *FOLDERS, "--class-names", "rest,tip,liver", "--instrument-classes", "tips"
    )
    found = analyzed(*FOLDERS, "--num-classes", "3", "--instrument-classes", "class 2")
    assert list(found["classes"]) == ["background", "class 1", "class 2"]
    assert found["scored"]["instruments"] == ["class 2"]
    found = analyzed(*FOLDERS, "--class-names", "rest, Shaft ,MANIPULATOR")
    assert found["scored"]["instruments"] == ["Shaft", "MANIPULATOR"]


def test_tissue_is_no_instrument_whatever_its_id(capsys):
    """13 classes by name, and every tool missed: the mean of the instrument classes is 0, not that of all classes."""
    scheme, truth = SCHEMES["full13"], np.arange(13, dtype=np.uint8)[:, None].repeat(6, 1)
    write_mask(Path("masks/a_1.png"), truth, scheme)
    write_mask(Path("preds/a_1.png"), np.where(np.isin(truth, (5, 9)), 2, truth).astype(np.uint8), scheme)
    names = ",".join(scheme.names).replace("l-hook electrocautery", "L-Hook_Electrocautery").replace("liver", "Liver")
    found = analyzed(*FOLDERS, "--num-classes", "13", "--class-names", names)
    assert found["mean_instrument"]["iou"] == 0 and found["classes"]["Liver"]["iou"] == pytest.approx(1 / 3)
    assert "(grasper, L-Hook_Electrocautery)" in capsys.readouterr().out
    write_json("classes.json", scheme.to_json())
    swapped = ",".join([*scheme.names[1:], scheme.names[0]])
    assert "another order" in refused_again(capsys, *FOLDERS, "--class-names", swapped)


def refused_again(capsys, *argv):
    shutil.rmtree("outputs")
    return refused(capsys, *argv)


def test_a_part_of_the_predictions_is_a_partial_result_that_nobody_overlooks(capsys):
    for index in range(20):
        save_image(Path(f"masks/a_{index}.png"), np.eye(4, dtype=np.uint8))
        if index < 5:
            save_image(Path(f"preds/a_{index}.png"), np.ones((4, 4), np.uint8))
    assert analyze_model.main([*FOLDERS]) == 3
    lines = capsys.readouterr().out.strip().splitlines()
    assert "Scored: 5 of 20 frames, part not known, 1 video, real data" in lines
    assert any(line.startswith("WARNING: only 5 of 20 frames (25%) have a prediction") for line in lines)
    assert lines[-1].startswith("WARNING: only 5 of 20 frames")
    scored = json.loads(Path("outputs/analysis_metrics.json").read_text())["scored"]
    assert (scored["frames"], scored["expected"]) == (5, 20) and "5 of 20 frames predicted" in scored["warnings"]


def test_saved_predictions_know_their_part_and_miss_the_ones_that_are_gone(tool_run, tmp_path, capsys):
    made = json.loads((tool_run.output / "metrics.json").read_text())["scored"]
    assert dataset(tool_run)["scored"] == made and made["part"] == "test" and made["split"]["name"] == "manifest"
    preds = Path(shutil.copytree(tool_run.preds, tmp_path / "preds"))
    next(preds.glob("*.png")).unlink()
    assert analyze_model.main(["--mask-dir", str(tool_run.data / "masks"), "--pred-dir", str(preds)]) == 3
    shown = capsys.readouterr().out
    count = made["frames"]
    assert f"Scored: {count - 1} of {count} frames, test part, 1 video, real data; split manifest (hash" in shown
    (preds / "predictions.json").unlink()
    assert analyze_model.main(["--mask-dir", str(tool_run.data / "masks"), "--pred-dir", str(preds)]) == 3
    assert "part not known" in capsys.readouterr().out


class TestRefusals:
    @pytest.fixture
    def folders(self, tiny_run, tmp_path):
        masks = Path(shutil.copytree(tiny_run.data / "masks", tmp_path / "masks"))
        return masks, Path(shutil.copytree(tiny_run.preds, tmp_path / "preds"))

    @pytest.fixture
    def argv(self, folders):
        return ["--mask-dir", folders[0], "--pred-dir", folders[1]]

    def test_predictions_of_another_size_are_named(self, folders, argv, capsys):
        for path in sorted(folders[1].glob("*.png"))[:2]:
            write_mask(path, np.zeros((24, 32), np.uint8), SCHEMES["binary"])
        text = refused(capsys, *argv)
        assert "video04_000000.png" in text and "video04_000001.png" in text and "32x24" in text

    def test_ids_beyond_the_classes_are_named(self, folders, argv, capsys):
        write_mask(folders[1] / "video04_000003.png", np.full((48, 64), 2, np.uint8), SCHEMES["parts"])
        text = refused(capsys, *argv, "--num-classes", "2")
        assert "video04_000003.png" in text and "2 (3072 pixels)" in text

    def test_unprepared_masks_are_named(self, folders, argv, capsys):
        codes = np.full((48, 64), 50, np.uint8)
        codes[:9] = 31
        for path in folders[0].glob("video04*.png"):
            save_image(path, codes)
        text = refused(capsys, *argv)
        assert "6 of 6" in text and "video04_000000.png" in text and "50" in text

    def test_no_common_names(self, folders, argv, capsys):
        for path in folders[1].glob("*.png"):
            path.rename(path.with_name(f"{path.stem}_pred.png"))
        text = refused(capsys, *argv)
        assert str(folders[0]) in text and str(folders[1]) in text

    def test_gaps_where_all_are_required(self, argv, capsys):
        assert "18 masks without a prediction" in refused(capsys, *argv, "--require-all")

    @pytest.mark.parametrize(
        ("extra", "words"),
        [
            (["--num-classes", "3", "--class-names", "a,b"], "--class-names names 2"),
            (["--num-classes", "1"], "2 to 255"),
            (["--num-classes", "0"], "--num-classes"),
            (["--num-classes", "300"], "2 to 255"),
            (["--class-names", "a,a"], "same name"),
            (["--examples", "-1"], "--examples -1"),
            (["--pred-dir", "nowhere"], "nowhere"),
            (["--mask-dir", "nowhere"], "nowhere"),
        ],
    )
    def test_bad_options(self, argv, capsys, extra, words):
        assert words in refused(capsys, *argv, *extra)

    @pytest.mark.parametrize(
        ("extra", "words"),
        [
            (["--model-path", "nowhere.pth"], "instrument_segmentation.py"),
            (["--data-root", "nowhere"], "prepare_full_dataset.py"),
            (["--threshold", "1.5"], "--threshold"),
            (["--batch-size", "0"], "--batch-size"),
        ],
    )
    def test_bad_options_of_the_model_mode(self, tiny_run, capsys, extra, words):
        argv = ["--mode", "model", "--model-path", tiny_run.weights, "--data-root", tiny_run.data, "--device", "cpu"]
        assert words in refused(capsys, *argv, *extra)

    @pytest.mark.parametrize("option", ["--output-dir", "--figure-dir"])
    def test_a_file_where_a_folder_must_be_is_refused_before_anything_is_written(self, argv, capsys, option):
        Path("taken").touch()
        assert "taken is a file" in refused(capsys, *argv, option, "taken")

    def test_no_data_is_refused_not_invented(self, tiny_run, capsys):
        assert "--data-root" in refused(capsys, "--mode", "model", "--model-path", tiny_run.weights, "--device", "cpu")

    def test_data_of_other_classes(self, tiny_run, tool_run, capsys):
        argv = ["--mode", "model", "--model-path", tiny_run.weights, "--data-root", tool_run.data, "--device", "cpu"]
        text = refused(capsys, *argv)
        assert "l-hook" in text and "--class-scheme" in text

    def test_data_without_the_weights_videos(self, tiny_run, make_prepared, capsys):
        make_prepared(Path("other"), {"op1": "train", "op2": "test"}, frames=2)
        text = refused(
            capsys, "--mode", "model", "--model-path", tiny_run.weights, "--data-root", "other", "--device", "cpu"
        )
        assert "test part" in text and "--split-part all" in text

    def test_predictions_do_not_replace_somebodys_images(self, tiny_run, capsys):
        mine = save_image(Path("mine/video04_000000.png"), noise_frame(0))
        argv = ["--mode", "model", "--model-path", tiny_run.weights, "--data-root", tiny_run.data, "--device", "cpu"]
        before = mine.read_bytes()
        assert "--save-preds" in refused(capsys, *argv, "--save-preds", "mine")
        assert mine.read_bytes() == before
