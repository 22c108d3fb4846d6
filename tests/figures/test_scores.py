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


def boxes(figure, labels):
    renderer = figure.canvas.get_renderer()
    return [label.get_window_extent(renderer) for label in labels if label.get_text()]


def test_many_classes_and_long_names_neither_overlap_nor_leave_the_page(kept, tmp_path):
    scheme = SCHEMES["full13"]
    videos = [f"the_hospital_of_long_names_operation_{number:02d}_left_camera_recording" for number in range(30)]
    counts = np.random.default_rng(0).integers(1, 5000, (30, 14, 13))
    counts[:, 4] = 0  # no frame shows fat
    metrics = summarise(videos, counts, frame_scores(counts, scheme), scheme)
    rows = [{"name": f"{video}_1", "video": video, "iou": "0.5", "coverage": "0.1"} for video in videos]
    draw_comprehensive(metrics, rows, tmp_path / "x.png", title="t")
    figure = kept[0]
    figure.canvas.draw()
    left, right, bars, per_video = figure.axes[:4]
    page = figure.bbox
    for axis in (left, right, bars, per_video):
        for labels in (axis.get_xticklabels(), axis.get_yticklabels()):
            found = boxes(figure, labels)
            assert all(page.x0 <= box.x0 and box.x1 <= page.x1 for box in found)
            assert not any(one.overlaps(other) for one, other in zip(found, found[1:]))
    names = [label.get_text() for label in per_video.get_yticklabels()]
    assert len(set(names)) == 30 and all(f"{number:02d}" in name for number, name in enumerate(names))
    assert len(right.texts) == 12 * 13, "the row of a class without a true pixel is 0 of 0, and blank"
    assert len(left.texts) == 13 * 13
    cells = boxes(figure, right.texts)
    assert not any(one.overlaps(other) for one, other in zip(cells, cells[1:]))
