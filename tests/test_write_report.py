"""The report and the model card: every number is one of the files, and what no file tells is not answered."""

import csv
import json
import re
import shutil
from dataclasses import replace

import pytest

import analyze_model
import instrument_segmentation
import write_report
from models import ARCHITECTURES
from surgseg.data.splits import Split
from surgseg.figures import analysis, training
from surgseg.files import plain, read_json, write_json
from surgseg.study.folds import summarise_folds
from surgseg.study.run_facts import RunFacts, command, licence
from tests.comparisons import comparison_of, run_of


@pytest.fixture
def drawn(monkeypatch):
    """What would be drawn: (metrics, scheme, true masks, predictions, folder)."""
    calls = []

    def write_figures(*given):
        calls.append(given)
        return [given[-1] / "calibration.png", given[-1] / "challenging_segmentation_results.png"], ["a note"], True

    monkeypatch.setattr(analysis, "write_figures", write_figures)
    monkeypatch.setattr(training, "draw_training_loss", lambda history, path, **options: path)
    return calls


def arguments(run, *extra):
    return ["--metrics", str(run.output / "metrics.json"), "--model-path", str(run.weights), *extra]


def written(run, tmp_path, *extra):
    status = write_report.main(arguments(run, "--output-dir", str(tmp_path / "report"), *extra))
    pages = [(tmp_path / "report" / name).read_text(encoding="utf-8") for name in ("report.md", "MODEL_CARD.md")]
    return status, *pages


def leaves(value):
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


def test_every_number_is_one_of_the_files(tool_run, tmp_path, drawn):
    audit = {
        "data": "real", "licences": ["CC BY-NC-SA 4.0"], "frames": 24, "sizes": {"64x48": 24}, "codes": {"1": {}},
        "videos": {f"video0{number}": {} for number in (1, 2, 3, 4)}, "void": {"share": 0.0567},
        "classes": {"tool": {"share": 0.12345}}, "warnings": ["codes 7 and 9 have no name"],
    }  # fmt: skip
    write_json(tmp_path / "audit.json", audit)
    status, *pages = written(tool_run, tmp_path, "--data-root", str(tmp_path))
    assert "| tool, share of the pixels | 0.1235 |" in pages[0] and "- WARNING: codes 7 and 9 have no name" in pages[0]
    assert "**Non-commercial use only:**" in pages[1]
    sources = [tool_run.output / "metrics.json", tool_run.weights.with_suffix(".json"), tmp_path / "audit.json"]
    values = [leaf for path in sources for leaf in leaves(json.loads(path.read_text(encoding="utf-8")))]
    with (tool_run.output / "metrics_frames.csv").open() as stream:
        values += [float(cell) for row in csv.reader(stream) for cell in row if re.fullmatch(r"\d+\.\d+", cell)]
    known = {text for value in values for text in re.findall(r"\d+\.\d+", str(value))}
    for value in (value for value in values if isinstance(value, float)):
        known |= {f"{value:.4f}", f"{value:.3g}", f"{value:.1f}", f"{100 * value:.1f}", f"{100 * value:.2f}"}
    for page in pages:
        found = re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", page)
        assert len(found) > 60 and set(found) <= known, set(found) - known
    assert status == 0


def test_what_no_file_tells_is_not_answered(tiny_run, tmp_path, drawn):
    _, report, card = written(tiny_run, tmp_path)
    for text in (
        "| Who drew the masks, with what training and tool? | not answered |",
        "Speed: not answered",
        "- a note",
    ):
        assert text in report
    assert "Licence of the data: not answered" in card and "Not a medical device" in card
    assert (
        "![calibration](figures/calibration.png)" in report and "![training_loss](figures/training_loss.png)" in report
    )
    assert "The scores are of 1 videos: no interval" in report
    masks, predictions = drawn[0][2:4]
    assert (masks, predictions) == (tiny_run.data / "masks", tiny_run.preds)


def test_each_command_repeats_its_run(tiny_run, tmp_path, drawn):
    _, report, _ = written(tiny_run, tmp_path)
    run = read_json(tiny_run.output / "metrics.json")["run"]
    words = command(run).split()
    assert " ".join(words) in report
    again = plain(vars(instrument_segmentation.build_parser().parse_args(words[2:])))
    assert again == run["arguments"]
    given = ["--mode", "model", "--tolerance", "--view", "1", "2", "3", "4", "--choose-threshold", "--examples", "0"]
    meant = plain(vars(analyze_model.build_parser().parse_args(given)))
    again = command({"script": "analyze_model.py", "arguments": meant}).split()[2:]
    assert plain(vars(analyze_model.build_parser().parse_args(again))) == meant


def test_speed_is_that_of_these_weights(tiny_run, tmp_path, drawn, capsys):
    sha256 = read_json(tiny_run.output / "metrics.json")["weights"]["sha256"]
    run = {
        "weights_sha256": sha256, "timing": {"frames": 60, "total_s": 8.0}, "video": {"width": 854, "height": 480},
        "backend": {"name": "torch"}, "run": {"script": "generate_masks_from_model.py", "arguments": {}},
    }  # fmt: skip
    write_json(tmp_path / "made" / "run.json", run)
    assert "| 7.50 |" in written(tiny_run, tmp_path, "--generated-dir", str(tmp_path / "made"))[1]
    write_json(tmp_path / "made" / "run.json", {**run, "weights_sha256": "other"})
    assert write_report.main(arguments(tiny_run, "--generated-dir", str(tmp_path / "made"))) == 2
    assert "was generated with other weights" in capsys.readouterr().err


def test_scores_of_other_weights_and_of_no_model_are_arguments(tiny_run, tool_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    metrics = read_json(tiny_run.output / "metrics.json")
    del metrics["weights"]
    write_json(tmp_path / "m.json", metrics)
    earlier = read_json(tiny_run.output / "metrics.json")
    del earlier["strata"]["coverage"][0]["videos"]
    write_json(tmp_path / "earlier.json", earlier)
    others = {tool_run.output / "metrics.json": "scores of other weights", tmp_path / "m.json": "no scores of a model"}
    others[tmp_path / "earlier.json"] = "those of an earlier version"
    write_json(tmp_path / "list.json", [1])
    others[tmp_path / "list.json"] = "no scores of a model"
    for path, words in others.items():
        assert write_report.main(arguments(tiny_run, "--metrics", str(path))) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "outputs").exists()


def test_predictions_of_other_weights_are_not_shown(tiny_run, tmp_path, drawn):
    output = shutil.copytree(tiny_run.output, tmp_path / "run")
    metrics = read_json(output / "metrics.json")
    metrics["run"]["arguments"]["save_preds"] = str(tmp_path / "preds")
    write_json(output / "metrics.json", metrics)
    write_json(tmp_path / "preds" / "predictions.json", {"weights_sha256": "other"})
    written(tiny_run, tmp_path, "--metrics", str(output / "metrics.json"))
    write_json(tmp_path / "preds_fold_2" / "predictions.json", {"weights_sha256": metrics["weights"]["sha256"]})
    written(tiny_run, tmp_path, "--metrics", str(output / "metrics.json"))
    assert [call[3] for call in drawn] == [None, tmp_path / "preds_fold_2"]


@pytest.mark.parametrize(
    ("licences", "videos", "words"),
    [
        (["CC BY-NC-SA 4.0"], ["a"], "**Non-commercial use only:**"),
        (["non-commercial"], ["a"], "**Non-commercial use only:**"),
        (["CC BY 4.0"], ["a", "b"], "under CC BY 4.0: its terms hold"),
        (["none stated", "CC BY 4.0"], ["a"], "state no licence (others: CC BY 4.0)"),
        (["CC BY 4.0"], ["b"], "Licence of the data: not answered"),
        ([], ["a"], "Licence of the data: not answered"),
    ],
)
def test_the_licence_is_that_of_the_videos_that_trained(licences, videos, words):
    split = {"name": "video", "by": "video", "hash": "h", "assignment": {"a": "train", "c": "test"}}
    audit = {"licences": licences, "videos": dict.fromkeys(videos)}
    weights = {"training": {"data": "real", "split": split, "start": "x"}}
    assert words in licence(RunFacts({"data": "real"}, [], weights, audit))


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("none (random start)", "Start of the training: none (random start)."),
        ("lite0-1.pth (encoder)", 'of the package some-weights 0.1, whose licence file begins "Some Licence 2.0".'),
        (
            "other-2.pth (encoder)",
            "of the package other-weights, which is not installed here; its terms are not checked.",
        ),
        ("net-3.pth (backbone)", "of https://somewhere/net-3.pth; its terms are not checked here."),
        ("mine.pth (--init-from)", "mine.pth (--init-from); its terms are not checked here."),
    ],
)
def test_the_licence_of_starting_weights_is_what_their_package_holds(tmp_path, monkeypatch, start, words):
    package = tmp_path / "some_weights-0.1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: some-weights\nVersion: 0.1\nLicense: UNKNOWN\n")
    (package / "LICENSE").write_text("\nSome Licence 2.0\n\nCopyright\n")
    (package / "RECORD").write_text(f"{package.name}/METADATA,,\n{package.name}/LICENSE,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    published = "some_weights/models/lite0-1.pth", "other_weights/other-2.pth", "https://somewhere/net-3.pth"
    small = replace(ARCHITECTURES["unet"], pretraining=dict(zip("abc", published)))
    monkeypatch.setitem(ARCHITECTURES, "unet", small)
    facts = RunFacts({"data": "real"}, [], {"training": {"data": "real", "start": start}})
    assert licence(facts).endswith(words)


def related(tmp_path, run, *, own=True, video="video04", arch="unet"):
    """The options of a cross-validation, a comparison of models and one of labels, of this run's weights if `own`."""
    metrics = read_json(run.output / "metrics.json")
    sha256 = metrics["weights"]["sha256"] if own else "other"
    scores = {"iou": 0.6123, "dice": 0.7345}
    folds = [
        {**metrics, "weights": {"sha256": sha, "arch": arch}, "mean_instrument": scores, "per_video": {name: scores}}
        for sha, name in (("first", "video01"), (sha256, video))
    ]
    splits = [Split("fold", "video", {name: "test"}, {}) for name in ("video01", video)]
    record = {"script": "some.py", "arguments": {"folds": "2"}, "git": {"commit": "c0ffee"}}
    write_json(tmp_path / "folds.json", {**summarise_folds(splits, folds), "run": record})
    runs = [run_of(0.5123, {"video04": 0.5123}, sha256=sha256), run_of(0.4, {"video04": 0.4}, seed=1)]
    write_json(tmp_path / "comparison.json", {**comparison_of({"unet": runs}), "run": record})
    row = {"dice": 0.9123, "iou": 0.8321, "frames": 6}
    interval = {"n": 7, "mean": 0.9123, "sd": None, "interval": None, "reason": "no interval"}
    labels = {
        "schema": "surgseg.label_comparison/1", "frames": 6, "videos": 1, "equal_frames": 2, "run": record,
        "frames_with_instrument": 5, "notes": ["an instrument in the first set only: clip"],
        "scores": {
            "labels": {"instrument_union": row, "per_video": {video: row}, "video_intervals": {"dice": interval}}
        },
        "disagreement": {"border": {"pixels": 77, "pooled": 0.1543}},
    }  # fmt: skip
    write_json(tmp_path / "label_comparison.json", labels)
    names = {"--folds": "folds", "--comparison": "comparison", "--label-comparison": "label_comparison"}
    return {option: str(tmp_path / f"{name}.json") for option, name in names.items()}


def test_folds_comparison_and_agreement_of_labels_stand_in_the_report(tiny_run, tmp_path, drawn):
    without = written(tiny_run, tmp_path)[1]
    for option in related(tmp_path, tiny_run):
        assert f"not answered (give {option}, " in without
    given = [word for pair in related(tmp_path, tiny_run).items() for word in pair]
    _, report, _ = written(tiny_run, tmp_path, *given)
    for words in (
        "The weights of this report are those of fold 2.", "| 2 | video04 | 6 | 0.6123 | 0.7345 |",
        "| dice | 2 | 0.7345 | 0.0000 | no interval: 2 videos",
        "The weights of this report: U-Net, seed 0.", "|   seed 0 |  |  | 0.5123 |",
        "6 frames of 1 videos, 1 of them scored above; equal in every pixel: 2 of 5", "| border | 77 | 0.1543 |",
        "- WARNING: an instrument in the first set only: clip.", "- Student's t intervals over 6 to 10 videos are",
        "| How well do two sets of labels, as of two annotators, agree? | Dice 0.9123, all pixels of 6 frames",
        "Numbers of: cross-validation, comparison of models, agreement of labels (commit c0ffee):",
    ):  # fmt: skip
        assert words in report
    assert "- Student's t" not in without


@pytest.mark.parametrize(
    ("option", "change", "words"),
    [
        ("--folds", {"own": False, "video": "video09"}, "another architecture or other videos than the scores"),
        ("--folds", {"own": False, "arch": "deeplabv3"}, "another architecture or other videos than the scores"),
        ("--comparison", {"own": False}, "compares other weights than those of the scores"),
        ("--label-comparison", {"video": "video09"}, "labels of other videos than the scored or trained ones: video09"),
    ],
)
def test_results_of_other_weights_or_data_are_refused_by_name(tiny_run, tmp_path, capsys, option, change, words):
    path = related(tmp_path, tiny_run, **change)[option]
    assert write_report.main(arguments(tiny_run, option, path, "--output-dir", str(tmp_path / "out"))) == 2
    line = capsys.readouterr().err
    assert path in line and words in line and line.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--folds", "--comparison", "--label-comparison"])
def test_another_file_is_no_result_to_report(tiny_run, tmp_path, capsys, option):
    path = tiny_run.output / "metrics.json"
    assert write_report.main(arguments(tiny_run, option, str(path), "--output-dir", str(tmp_path / "out"))) == 2
    assert f"{path} is no " in capsys.readouterr().err


def test_folds_of_other_weights_count_if_they_test_the_scored_videos(tiny_run, tmp_path, drawn):
    path = related(tmp_path, tiny_run, own=False)["--folds"]
    report = written(tiny_run, tmp_path, "--folds", path)[1]
    assert "are of no fold: the folds are of the same architecture and videos" in report
