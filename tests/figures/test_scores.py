"""Figures of scores: what they show, drawn from JSON and CSV alone."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from surgseg.figures import scores as module
from surgseg.figures.scores import draw_comprehensive
from surgseg.files import write_json
from surgseg.labels import SCHEMES
from surgseg.scores.metrics import summarise
from tests.helpers import frame_scores

BINARY = SCHEMES["binary"]


@pytest.fixture
def kept(keep_figures):
    return keep_figures(module)


def texts(figure):
    found = [text.get_text() for text in figure.texts]
    for axis in figure.axes:
        found += [axis.get_title(), *(text.get_text() for text in axis.texts)]
    return found


def summary_of(scheme, void="ignore"):
    classes = scheme.num_classes
    counts = np.random.default_rng(0).integers(0, 5000, (4, classes + 1, classes))
    counts[2] = 0
    counts[2, 0, 0] = 10
    return summarise(["a", "a", "b", "c"], counts, frame_scores(counts, scheme, void), scheme, void), counts


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
        "2 of 3 frames (the others:\nno instrument, or all void)\nmedian 0.500",
        "IoU against coverage",
    ):
        assert words in titles
    assert "Per video" in titles and "SYNTHETIC" in texts(kept[0])
    bars = [patch.get_height() for patch in kept[0].axes[2].patches]
    instrument = metrics["classes"]["instrument"]
    assert len(bars) == 8 and bars[1] == instrument["iou"] and bars[3] == instrument["dice"]
    videos = kept[0].axes[3]
    assert [label.get_text() for label in videos.get_yticklabels()] == ["a", "b", "c"]
    assert sum("0." in text.get_text() for text in videos.texts) == 2, "video b has no score"
    points = kept[0].axes[-1].collections[0].get_offsets().compressed()
    assert points.tolist() == pytest.approx([10, 0.25, 30, 0.75]), "per cent of the frame, IoU"


def test_the_figure_is_written_whole_and_closed(tmp_path):
    metrics, _ = summary_of(BINARY)
    path = draw_comprehensive(metrics, ROWS, tmp_path / "figures" / "x.png", title="t")
    with Image.open(path) as image:
        assert image.size == (1440, 1760)
    assert plt.get_fignums() == [] and [item.name for item in path.parent.iterdir()] == ["x.png"]
