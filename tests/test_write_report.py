"""The report and the model card: every number is one of the files, and what no file tells is not answered."""

import csv
import json
import re
import shutil

import pytest

import analyze_model
import instrument_segmentation
import write_report
from surgseg.figures import analysis, training
from surgseg.files import plain, read_json, write_json
from surgseg.study.run_facts import RunFacts, command, licence


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
    others = {tool_run.output / "metrics.json": "scores of other weights", tmp_path / "m.json": "no scores of a model"}
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
    assert drawn[0][3] is None


@pytest.mark.parametrize(
    ("licences", "videos", "words"),
    [
        (["CC BY-NC-SA 4.0"], ["a"], "**Non-commercial use only:**"),
        (["non-commercial"], ["a"], "**Non-commercial use only:**"),
        (["CC BY 4.0"], ["a", "b"], "under CC BY 4.0: its terms hold"),
        (["CC BY 4.0"], ["b"], "Licence of the data: not answered"),
        ([], ["a"], "Licence of the data: not answered"),
    ],
)
def test_the_licence_is_that_of_the_videos_that_trained(licences, videos, words):
    split = {"name": "video", "by": "video", "hash": "h", "assignment": {"a": "train", "c": "test"}}
    audit = {"licences": licences, "videos": dict.fromkeys(videos)}
    weights = {"training": {"data": "real", "split": split, "start": "x"}}
    assert words in licence(RunFacts({"data": "real"}, [], weights, audit))
