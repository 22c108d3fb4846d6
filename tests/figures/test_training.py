"""The loss curve."""

import math

import matplotlib.pyplot as plt
import pytest
from PIL import Image

from surgseg.figures import training as module
from surgseg.figures.training import draw_training_loss


def history(*ious):
    rows = [{"epoch": k, "train_loss": 1 / k, "val_loss": 2 / k, "val_iou": iou} for k, iou in enumerate(ious, 1)]
    return [
        row if row["val_iou"] is not None else {"epoch": row["epoch"], "train_loss": row["train_loss"]} for row in rows
    ]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw a history; returns the figure instead of writing it."""
    figures = []
    monkeypatch.setattr(module, "save_figure", lambda figure, path: figures.append(figure) or path)

    def draw(rows, **options):
        draw_training_loss(rows, tmp_path / "loss.png", **options)
        return figures[-1]

    yield draw
    plt.close("all")


def test_loss_and_validation_iou_are_drawn_and_the_chosen_epoch_marked(drawn):
    figure = drawn(history(0.1, 0.6, 0.4), chosen_epoch=2)
    loss, iou = figure.axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [[1, 1 / 2, 1 / 3], [2, 1, 2 / 3]]
    assert iou.lines[0].get_ydata().tolist() == [0.1, 0.6, 0.4]
    assert (list(iou.lines[1].get_xdata()), list(iou.lines[1].get_ydata())) == ([2], [0.6])
    assert iou.get_legend().get_texts()[0].get_text() == "chosen: 0.600"
    assert not figure.texts


def test_without_validation_there_is_one_panel(drawn):
    figure = drawn(history(None, None), chosen_epoch=2, synthetic=True)
    assert len(figure.axes) == 1 and len(figure.axes[0].lines) == 1
    assert "SYNTHETIC" in [text.get_text() for text in figure.texts]


def test_the_mark_of_synthetic_data_runs_into_no_title(drawn):
    figure = drawn(history(0.1, 0.6), synthetic=True)
    figure.canvas.draw()
    mark = next(text for text in figure.texts if text.get_text() == "SYNTHETIC").get_window_extent()
    assert not any(mark.overlaps(axis.title.get_window_extent()) for axis in figure.axes)


def test_an_undefined_iou_draws_without_a_word(drawn, recwarn):
    drawn(history(math.nan, 0.5), chosen_epoch=1)
    assert not recwarn.list


def test_one_epoch_is_a_figure_too(tmp_path):
    path = draw_training_loss(history(0.5), tmp_path / "figures" / "loss.png", chosen_epoch=1)
    with Image.open(path) as image:
        assert image.size == (1400, 600)
    assert plt.get_fignums() == []
