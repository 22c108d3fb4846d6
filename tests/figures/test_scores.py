"""Figures of scores: what they show, drawn from JSON and CSV alone."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from surgseg.data.dataset import load_prepared
from surgseg.figures import scores as module
from surgseg.figures.scores import ERRORS, Example, draw_comprehensive, draw_examples, error_map, read_examples
from surgseg.files import read_csv, write_json
from surgseg.labels import SCHEMES
from surgseg.scores.metrics import summarise

BINARY = SCHEMES["binary"]


def example(iou=0.5):
    truth, predicted = np.zeros((2, 4), np.uint8), np.zeros((2, 4), np.uint8)
    truth[0], predicted[0] = (1, 1, 0, 255), (1, 0, 1, 1)
    return Example("a_1", np.full((2, 4, 3), 100, np.uint8), truth, predicted, iou)


def test_the_error_map_tells_hit_miss_false_positive_and_void():
    image = error_map(example(), BINARY)
    expected = [ERRORS[name] for name in ("correct", "missed", "false positive", "void")]
    assert [tuple(pixel) for pixel in image[0].tolist()] == expected
    assert (image[1] == 185).all(), "the rest is the frame, dimmed"


def test_confused_instruments_are_no_error_of_the_union():
    one = example()
    swapped = Example("a", one.frame, np.full((2, 4), 1, np.uint8), np.full((2, 4), 2, np.uint8), 1.0)
    assert (error_map(swapped, SCHEMES["grasper-hook"]) == ERRORS["correct"]).all()


def test_examples_range_from_the_lowest_to_the_highest_iou(tiny_run):
    samples = [sample for sample in load_prepared(tiny_run.data).samples if sample.part == "test"]
    metrics = tiny_run.output / "metrics.json"
    examples = read_examples(samples, tiny_run.preds, metrics, BINARY, count=3)
    rows = {row["name"]: float(row["iou"]) for row in read_csv(tiny_run.output / "metrics_frames.csv") if row["iou"]}
    ious = [item.iou for item in examples]
    assert len(ious) == 3 and ious == sorted(ious)
    assert (ious[0], ious[-1]) == (min(rows.values()), max(rows.values()))
    assert all(item.iou == rows[item.name] for item in examples)
    assert len(read_examples(samples[:2], tiny_run.preds, metrics, BINARY)) == 2


def test_frames_without_any_instrument_can_be_examples(tiny_run, tmp_path):
    samples = [sample for sample in load_prepared(tiny_run.data).samples if sample.part == "test"][-1:]
    (tmp_path / "m_frames.csv").write_text(f"name,iou\n{samples[0].name},\n")
    examples = read_examples(samples, tiny_run.preds, tmp_path / "m.json", BINARY)
    assert np.isnan(examples[0].iou)
    draw_examples(examples, BINARY, tmp_path / "one.png", title="t")


@pytest.fixture
def kept(monkeypatch):
    """The figures that would be written, instead of writing them."""
    figures = []
    monkeypatch.setattr(module, "save_figure", lambda figure, path: figures.append(figure) or path)
    yield figures
    plt.close("all")


def texts(figure):
    found = [text.get_text() for text in figure.texts]
    for axis in figure.axes:
        found += [axis.get_title(), *(text.get_text() for text in axis.texts)]
    return found


def test_panels_are_frame_truth_prediction_and_errors(kept, tmp_path):
    draw_examples([example(), example(float("nan"))], BINARY, tmp_path / "x.png", title="t", synthetic=True)
    titles = [axis.get_title() for axis in kept[0].axes]
    assert titles[:4] == ["a_1", "ground truth", "prediction, IoU 0.500", "errors"]
    assert titles[6] == "prediction, no instrument" and "SYNTHETIC" in texts(kept[0])
    assert [text.get_text() for text in kept[0].legends[0].get_texts()] == list(ERRORS)


def summary_of(scheme, void="ignore"):
    classes = scheme.num_classes
    counts = np.random.default_rng(0).integers(0, 5000, (4, classes + 1, classes))
    counts[2] = 0
    counts[2, 0, 0] = 10
    return summarise(["a", "a", "b", "c"], counts, scheme, void), counts


ROWS = [
    {"name": "a_1", "video": "a", "iou": "0.25", "coverage": "0.1"},
    {"name": "a_2", "video": "a", "iou": "0.75", "coverage": "0.3"},
    {"name": "b_1", "video": "b", "iou": "", "coverage": ""},
]


@pytest.mark.parametrize("void", ["ignore", "background"])
def test_the_confusion_panels_hold_counts_and_shares(kept, tmp_path, void):
    metrics, counts = summary_of(BINARY, void)
    write_json(tmp_path / "m.json", metrics)
    draw_comprehensive(json.loads((tmp_path / "m.json").read_text()), ROWS, tmp_path / "x.png", title="t")
    total = counts.sum(0)
    matrix = total[:2].astype(float)
    matrix[0] += total[2] if void == "background" else 0
    left, right = ([text.get_text() for text in axis.texts] for axis in kept[0].axes[:2])
    assert right == [f"{value:.3f}" for value in (matrix / matrix.sum(1, keepdims=True)).flatten()]
    assert left == [f"{value / 1000:.3g}k" for value in matrix.flatten()]
    assert "SYNTHETIC" not in texts(kept[0])


def test_all_panels_are_drawn_and_undefined_scores_left_out(kept, tmp_path):
    metrics, _ = summary_of(BINARY)
    draw_comprehensive({**metrics, "data": "synthetic"}, ROWS, tmp_path / "x.png", title="t")
    titles = [axis.get_title() for axis in kept[0].axes]
    for words in (
        "Confusion (pixels)",
        "Confusion (share of true class)",
        "Per frame (2 scored)",
        "IoU against coverage",
    ):
        assert words in titles
    assert "Per video" in titles and "SYNTHETIC" in texts(kept[0])
    bars = [patch.get_height() for patch in kept[0].axes[2].patches]
    instrument = metrics["classes"]["instrument"]
    assert len(bars) == 8 and bars[1] == instrument["iou"] and bars[3] == instrument["dice"]
    videos = kept[0].axes[5]
    assert [label.get_text() for label in videos.get_yticklabels()] == ["a", "b", "c"]
    assert sum("0." in text.get_text() for text in videos.texts) == 2, "video b has no score"


def test_the_figure_is_written_whole_and_closed(tmp_path):
    metrics, _ = summary_of(BINARY)
    path = draw_comprehensive(metrics, ROWS, tmp_path / "figures" / "x.png", title="t")
    with Image.open(path) as image:
        assert image.size == (2200, 1320)
    assert plt.get_fignums() == [] and [item.name for item in path.parent.iterdir()] == ["x.png"]
