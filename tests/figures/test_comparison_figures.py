"""What the comparison's figures show; how they look is for people to judge."""

import pytest

from surgseg.figures import comparison as figures
from tests.comparisons import comparison_of, history_of, run_of

TWO = {
    "unet": [run_of(0.9, {"v1": 0.9, "v2": 0.8}, history=history_of(30))],
    "deeplabv3": [run_of(0.8, {"v1": 0.7, "v2": 0.75})],
}


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn, kept instead of written."""
    kept = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, path: kept.append(figure) or path)
    yield kept
    for figure in kept:
        figures_close(figure)


def figures_close(figure):
    import matplotlib.pyplot as plt

    plt.close(figure)


def texts(figure):
    own = [text.get_text() for text in figure.texts]
    axes = [text.get_text() for axis in figure.axes for text in axis.texts]
    caption = figure.get_supxlabel()
    return " ".join(" ".join([*own, *axes, caption]).split())


def histories(comparison, **options):
    return {
        model: [{"epochs": history_of(**options)} for _ in row["runs"]] for model, row in comparison["models"].items()
    }


def test_bars_carry_their_values_and_the_caption_who_is_ahead(drawn, tmp_path):
    figures.draw_final(comparison_of(TWO), tmp_path / "x.png", note="A note.")
    shown = texts(drawn[0])
    for words in ("0.9000", "0.9500", "0.8000", "17.26", "41.26", "U-Net achieves 0.1000 higher IoU", "A note.",
                  "no significance can be claimed"):  # fmt: skip
        assert words in shown
    assert len(drawn[0].axes) == 5 and drawn[0].axes[4].get_ylabel() == "IoU"
    assert [label.get_text() for label in drawn[0].axes[4].get_xticklabels()] == ["v1", "v2"]


def test_single_runs_are_dots_at_their_scores(drawn, tmp_path):
    runs = {"unet": [run_of(0.9, {"v1": 0.9}), run_of(0.6, {"v1": 0.6}, seed=1)]}
    figures.draw_final(comparison_of(runs), tmp_path / "x.png")
    bars = drawn[0].axes[0]
    assert list(bars.lines[0].get_ydata()) == [0.9, 0.6]
    assert bars.patches[0].get_height() == pytest.approx(0.75) and "0.7500" in texts(drawn[0])
    assert len(drawn[0].axes) == 4  # one video: no panel by video


def test_an_undefined_score_is_na_and_no_bar(drawn, tmp_path):
    figures.draw_final(comparison_of({"unet": [run_of(None, {}, ms_per_frame=None)]}), tmp_path / "x.png")
    assert texts(drawn[0]).count("n/a") == 3 and drawn[0].axes[0].patches[0].get_height() == 0


def test_curves_are_drawn_against_epochs_and_seconds(drawn, tmp_path):
    comparison = comparison_of(TWO)
    figures.draw_training(comparison, histories(comparison, epochs=3), tmp_path / "x.png", problems=["y is missing"])
    (loss, iou), (slow_loss, _) = [drawn[0].axes[:2], drawn[0].axes[2:]]
    assert list(loss.lines[0].get_xdata()) == [1, 2, 3] and list(slow_loss.lines[0].get_xdata()) == [2, 4, 6]
    assert list(loss.lines[0].get_ydata()) == pytest.approx([1, 1 / 2, 1 / 3]) and len(loss.lines) == 4
    assert list(iou.lines[0].get_ydata()) == pytest.approx([0.4, 0.65, 0.9 - 0.5 / 3])
    assert slow_loss.get_xlabel() == "training time (s)" and "Not shown: y is missing" in texts(drawn[0])


def test_validation_is_told_from_training_after_one_epoch_too(drawn, tmp_path):
    comparison = comparison_of(TWO)
    figures.draw_training(comparison, histories(comparison, epochs=1), tmp_path / "x.png")
    training, validation = drawn[0].axes[0].lines[:2]
    assert validation.get_markerfacecolor() == "white" != training.get_markerfacecolor()
    legend = {line.get_label(): line.get_markerfacecolor() for line in drawn[0].legends[0].get_lines()}
    assert legend["validation"] == "white" != legend["training"]


def test_several_runs_have_their_mean_as_a_thick_line(drawn, tmp_path):
    comparison = comparison_of({"unet": [run_of(0.9, {}), run_of(0.8, {}, seed=1)]})
    curves = {"unet": [{"epochs": history_of(2, False)}, {"epochs": history_of(2, False, seconds=4.0)}]}
    figures.draw_training(comparison, curves, tmp_path / "x.png")
    assert len(drawn[0].axes) == 2  # no validation part, no IoU
    thick = max(drawn[0].axes[1].lines, key=lambda line: line.get_linewidth())
    assert list(thick.get_xdata()) == [3, 6] and len(drawn[0].axes[1].lines) == 3


def test_unfinished_and_synthetic_stand_in_both_figures(drawn, tmp_path):
    missing = [{"model": "deeplabv3", "seed": 0, "fold": None}]
    comparison = comparison_of({"unet": TWO["unet"]}, missing=missing, data="synthetic")
    figures.draw_final(comparison, tmp_path / "x.png")
    figures.draw_training(comparison, histories(comparison), tmp_path / "x.png")
    for figure in drawn:
        assert "SYNTHETIC" in texts(figure) and "unfinished: DeepLabV3-ResNet50" in texts(figure)


def test_the_caption_gives_the_winner_with_its_interval_and_what_was_scored(drawn, tmp_path):
    videos = [f"the_hospital_of_long_names_operation_{number:02d}_left_camera_recording" for number in range(7)]
    runs = {
        model: [run_of(iou, {video: iou + step * number / 100 for number, video in enumerate(videos)})]
        for model, iou, step in (("unet", 0.7, 1), ("deeplabv3", 0.6, -1))
    }
    figures.draw_final(comparison_of(runs), tmp_path / "x.png")
    shown = texts(drawn[0])
    assert "95 % interval" in shown and "which does not contain 0" in shown
    assert "Scored: 20 of 20 frames, test part of split video, threshold 0.5, void ignored (5.0 %), pooled." in shown
    axis = next(axis for axis in drawn[0].axes if axis.get_ylabel() == "IoU")
    assert axis.get_ylim()[0] == 0 and 1 <= axis.get_ylim()[1] < 1.05, "a cut axis makes a difference look larger"
    names = [label.get_text() for label in axis.get_xticklabels()]
    assert len(set(names)) == 7 and max(map(len, names)) <= 20
