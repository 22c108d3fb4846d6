"""The figures of a whole data set: what they show, drawn from metrics, frame table and audit alone."""

from __future__ import annotations

import pytest

from surgseg.figures import dataset as module
from surgseg.figures.dataset import draw_complete, draw_full_dataset, has_tables

METRICS = {
    "data": "real",
    "per_video": {
        "v10": {"frames": 2, "accuracy": 1.0, "iou": 0.5, "dice": 0.75},
        "v2": {"frames": 1, "accuracy": 1.0, "iou": 0.25, "dice": 0.4},
        "v3": {"frames": 1, "accuracy": None, "iou": None, "dice": None},
    },
    "video_mean": {"iou": 0.375, "dice": 0.575},
}
ROWS = [
    {"video": "v10", "iou": "0.2"}, {"video": "v10", "iou": "0.6"}, {"video": "v2", "iou": "0.25"},
    {"video": "v3", "iou": ""},
]  # fmt: skip


def audited(video, split):
    return {
        "frames": 10,
        "with_instrument": 7,
        "without_instrument": 3,
        "mean_instrument_fraction": 0.05,
        "split": split,
    }


AUDIT = {
    "videos": {"v10": audited("v10", "train"), "v2": audited("v2", "test"), "v4": audited("v4", "")},
    "codes": {
        "31": {"name": "grasper", "class": "instrument", "share": 0.06},
        "21": {"name": "liver", "class": "background", "share": 0.9},
        "255": {"name": "void", "class": "void", "share": 0.04},
    },
    "classes": {
        "background": {"instrument": False, "share": 0.9375},
        "instrument": {"instrument": True, "share": 0.0625},
    },
    "void": {"share": 0.04},
}


@pytest.fixture
def kept(keep_figures):
    return keep_figures(module)


def labels(axis):
    return [label.get_text() for label in axis.get_yticklabels()]


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_videos_stand_in_natural_order_with_frames_scores_and_distribution(kept, tmp_path):
    draw_full_dataset(METRICS, ROWS, tmp_path / "x.png", title="t")
    scores, frames = kept[0].axes
    assert labels(scores) == ["v2 (1)", "v3 (0 of 1)", "v10 (2)"]
    iou, dice = (line for line in scores.lines if line.get_marker() in ("o", "s"))
    assert list(iou.get_xdata()) == pytest.approx([0.25, float("nan"), 0.5], nan_ok=True)
    assert list(dice.get_xdata()) == pytest.approx([0.4, float("nan"), 0.75], nan_ok=True)
    assert texts(scores) == ["n/a: all void"]
    assert [text.get_text() for text in scores.get_legend().get_texts()] == ["IoU (mean 0.375)", "Dice (mean 0.575)"]
    points = [list(line.get_xdata()) for line in frames.lines if line.get_marker() == "."]
    assert points == [[0.25], [0.2, 0.6]]
    assert [text.get_text() for text in kept[0].texts] == ["t"]


def test_the_audit_stands_beside_the_scores(kept, tmp_path):
    draw_complete({**METRICS, "weights_data": "synthetic"}, AUDIT, tmp_path / "x.png", title="t")
    frames, share, iou, codes, classes = kept[0].axes
    assert labels(frames) == ["v2", "v4", "v10"] and texts(frames) == ["test", "", "train"]
    assert [bar.get_width() for bar in frames.patches] == [7, 7, 7, 3, 3, 3]
    assert texts(share) == ["5.0"] * 3 and texts(iou) == ["0.250", "not scored", "0.500"]
    assert labels(codes) == ["21  liver", "31  grasper", "255  void"] and texts(codes) == ["90.00", "6.00", "4.00"]
    assert labels(classes) == ["instrument", "void"] and texts(classes) == ["6.25", "4.00"]
    assert [text.get_text() for text in kept[0].texts] == ["t", "SYNTHETIC WEIGHTS"]


def test_a_long_code_table_ends_in_one_row(kept, tmp_path):
    row = {"name": "tissue", "class": "background", "share": 0.05}
    draw_complete(METRICS, {**AUDIT, "codes": {str(code): row for code in range(20)}}, tmp_path / "x.png", title="t")
    codes = kept[0].axes[3]
    assert len(labels(codes)) == 17 and labels(codes)[-1] == "4 more codes" and texts(codes)[-1] == "20.00"


def test_an_audit_without_tables_is_not_drawn():
    assert has_tables(AUDIT) and not has_tables({"data": "real"}) and not has_tables(None)
