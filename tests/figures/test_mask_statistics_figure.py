"""The figure of one generated folder: what is drawn, from one frame to many."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

from surgseg.analysis.measure import Analysis
from surgseg.analysis.presence import presence_segments, segment_summary, typical_spacing
from surgseg.analysis.stability import MaskPair, close_pairs, stability
from surgseg.analysis.statistics import detection_statistics
from surgseg.figures import mask_statistics as module
from surgseg.figures.mask_statistics import NOT_ANNOTATED, broken_line, draw_mask_statistics
from surgseg.figures.style import GREEN, ORANGE, PALETTE, RED, SKY
from surgseg.generate.folder import FrameRow, Generated
from surgseg.labels import SCHEMES
from surgseg.masks import is_present


def generated(coverage, times=None, suspect=(), video_data="unmarked", **run):
    times = [index / 25 for index in range(len(coverage))] if times is None else times
    rows = [
        FrameRow(f"v_{index:06d}", index, float(time), float(value), 0.9, 0.1, 1, index in suspect)
        for index, (time, value) in enumerate(zip(times, coverage))
    ]
    run = {"video_data": video_data, "weights_data": "real", "parts": {}, "complete": True, **run}
    return Generated(Path(), SCHEMES["binary"], rows, run)


def analysis_of(folder, include_suspect=False, *, iou=0.5, flow=math.nan, phases=None, in_view=None, no_masks=""):
    """An `Analysis` as `analyse` makes it, with the same overlap for every pair of neighbours."""
    rows = [row for row in folder.rows if include_suspect or not row.suspect]
    times, coverage = [row.time_s for row in rows], [row.coverage for row in rows]
    untrusted = math.nan if math.isnan(flow) else 0.1
    pairs = [MaskPair(first, iou, flow, untrusted) for first in close_pairs(times)] if not no_masks else []
    spacing = typical_spacing(times)
    segments = presence_segments(times, is_present(coverage, 0.001))
    statistics = {
        **detection_statistics(rows, 0.001),
        "presence": segment_summary(segments, times, spacing),
        "stability": stability(times, coverage, pairs, 0.001, "no frames", no_masks),
    }
    if phases is not None:
        statistics["phases"] = dict.fromkeys(phase for phase in phases if phase)
    annotated = None if in_view is None else np.array([shown is not None for shown in in_view])
    seen = None if in_view is None else np.array([bool(shown) for shown in in_view])
    return Analysis(rows, pairs, phases, seen, annotated, annotated, None, statistics)


@pytest.fixture
def draw(monkeypatch):
    """Draw and return the figure instead of writing it."""
    figures = []
    monkeypatch.setattr(module, "save_figure", lambda figure, path: figures.append(figure) or path)

    def work(folder, include_suspect=False, **options):
        draw_mask_statistics(Path("x.png"), folder, analysis_of(folder, include_suspect, **options), include_suspect)
        return figures[-1]

    yield work
    plt.close("all")


def axis_of(figure, label):
    return next(axis for axis in figure.axes if axis.get_ylabel() == label)


def words(figure):
    return " ".join(" ".join(text.get_text() for text in axis.texts) for axis in figure.axes).replace("\n", " ")


def stretches(axis):
    """(colour, start, end) of each coloured stretch of a band."""
    found = []
    for collection in axis.collections:
        for path, colour in zip(collection.get_paths(), np.tile(collection.get_facecolor(), (99, 1))):
            found.append((tuple(colour), path.vertices[:, 0].min(), path.vertices[:, 0].max()))
    return sorted(found, key=lambda one: one[1])


def test_many_frames_are_written_whole(tmp_path):
    folder = generated(np.linspace(0, 1, 400))
    path = draw_mask_statistics(tmp_path / "f.png", folder, analysis_of(folder), False)
    with Image.open(path) as image:
        assert image.info["dpi"][0] == pytest.approx(200, abs=1) and image.width == 1440
    assert not plt.get_fignums() and [item.name for item in tmp_path.iterdir()] == ["f.png"]


def test_the_timeline_shows_coverage_and_marks_frames_without_instrument(draw):
    figure = draw(generated([0.1, 0.0, 0.3, 0.2], times=[0, 1, 2, 3]))
    axis = axis_of(figure, "Coverage (%)")
    curve, absent = axis.lines[:2]
    assert curve.get_xdata().tolist() == [0, 1, 2, 3] and curve.get_ydata().tolist() == pytest.approx([10, 0, 30, 20])
    assert absent.get_xdata().tolist() == [1] and absent.get_color() == RED and absent.get_ydata()[0] < 0
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["no instrument"]
    assert figure.get_suptitle() == "Instrument found in 75.0 % of 4 frames"
    assert draw(generated([0.1])).get_suptitle() == "Instrument found in 100.0 % of 1 frame"


def test_no_line_crosses_what_nobody_saw(draw):
    axis = axis_of(draw(generated([0.1, 0.2, 0.3, 0.4], times=[0, 1, 10, 11])), "Coverage (%)")
    assert axis.lines[0].get_ydata().tolist() == pytest.approx([10, 20, math.nan, 30, 40], nan_ok=True)


def test_a_line_is_broken_where_a_step_is_longer_than_two_spacings():
    times, values = broken_line(np.array([0.0, 1, 2, 6]), np.array([1, 2, 3, 4]), 1.0)
    assert values.tolist() == pytest.approx([1, 2, 3, math.nan, 4], nan_ok=True) and len(times) == 5
    assert broken_line(np.array([5.0]), np.array([1]), math.nan)[1].tolist() == [1]


def test_suspect_frames_are_marked_where_they_are_left_out(draw):
    folder = generated([0.1, 0.5, 0.1], times=[0, 1, 2], suspect={1})
    axis = axis_of(draw(folder), "Coverage (%)")
    assert [line.get_xdata().tolist() for line in axis.lines if line.get_color() == ORANGE] == [[1]]
    assert "suspect, left out" in [text.get_text() for text in axis.get_legend().get_texts()]
    counted = axis_of(draw(folder, include_suspect=True), "Coverage (%)")
    assert not [line for line in counted.lines if line.get_color() == ORANGE]


def test_what_nobody_annotated_looks_unlike_what_was_annotated_as_empty(draw):
    folder = generated([0.1, 0.1, 0.1], times=[0, 1, 2])
    bands = stretches(axis_of(draw(folder, in_view=[True, None, False]), "annotated"))
    assert [band[1:] for band in bands] == [(0, 1), (1, 2)]
    assert bands[0][0] == to_rgba(GREEN) and bands[1][0] == to_rgba(NOT_ANNOTATED)


def test_bands_show_when_an_instrument_was_found_and_annotated_and_the_phases(draw):
    folder = generated([0.1, 0.0, 0.1, 0.1], times=[0, 1, 2, 3])
    figure = draw(folder, in_view=[False, True, True, False], phases=["A", "A", "B", ""])
    spans = {name: [one[1:] for one in stretches(axis_of(figure, name))] for name in ("found", "annotated", "phase")}
    assert spans == {
        "found": [(0, 1), (2, 3), (3, 4)],
        "annotated": [(1, 2), (2, 3)],
        "phase": [(0, 1), (1, 2), (2, 3)],
    }
    colours = [one[0] for one in stretches(axis_of(figure, "phase"))]
    assert colours == [to_rgba(PALETTE[0])] * 2 + [to_rgba(PALETTE[1])]
    legends = [legend for part in figure.subfigs for legend in part.legends]
    assert [text.get_text() for legend in legends for text in legend.get_texts()] == ["A", "B"]


def test_an_unfinished_run_is_said_in_the_title_and_no_band_runs_on_behind_the_video(draw):
    figure = draw(generated([0.1, 0.1], times=[0, 10], complete=False, video={"duration_s": 12.5}))
    assert figure.get_suptitle() == "Instrument found in 100.0 % of 2 frames (unfinished run)"
    assert max(end for _, _, end in stretches(axis_of(figure, "found"))) == 12.5


def test_without_annotation_there_is_one_band(draw):
    labels = [axis.get_ylabel() for axis in draw(generated([0.1, 0.2])).axes]
    assert "found" in labels and "annotated" not in labels and "phase" not in labels


def test_stability_is_drawn_with_and_without_flow(draw):
    folder = generated([0.1, 0.2, 0.3])
    axis = axis_of(draw(folder, iou=0.5, flow=0.75), "IoU of neighbours")
    assert [line.get_ydata().tolist() for line in axis.lines] == [[0.5, 0.5], [0.75, 0.75]]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["without flow", "along the flow"]
    assert [line.get_color() for line in axis.lines] == [SKY, RED]
    assert len(axis_of(draw(folder, iou=0.5), "IoU of neighbours").lines) == 1


@pytest.mark.parametrize(
    "times, options, reason",
    [
        ([0, 1, 2], {}, "--burst"),
        ([0], {}, "there is only one frame"),
        ([0, 0.04], {"no_masks": "the run kept no masks"}, "the run kept no masks"),
        ([0, 0.04], {"iou": math.nan}, "both masks of every pair are empty"),
    ],
)
def test_in_place_of_an_empty_panel_stands_why_it_is_empty(draw, times, options, reason):
    figure = draw(generated([0.1] * len(times), times=times), **options)
    assert reason in words(figure)
    assert not axis_of(figure, "IoU of neighbours").lines
    assert "Pairs of frames" not in [axis.get_ylabel() for axis in figure.axes], "nor is there a histogram of nothing"


def test_histograms_count_every_frame_and_every_pair(draw):
    figure = draw(generated([0.1, 0.2, 0.3, 0.0]), flow=0.9)
    frames = axis_of(figure, "Frames")
    assert sum(patch.get_height() for patch in frames.patches) == 4
    assert [text.get_text() for text in frames.get_legend().get_texts()] == ["mean 15.00 %", "median 15.00 %"]
    assert len(axis_of(figure, "Pairs of frames").patches) == 2, "an outline each with and without flow"


@pytest.mark.parametrize("video_data, marks", [("synthetic", ["SYNTHETIC"]), ("unmarked", [])])
def test_synthetic_video_carries_its_mark(draw, video_data, marks):
    figure = draw(generated([0.1, 0.2], video_data=video_data))
    assert [text.get_text() for text in figure.texts if "SYNTH" in text.get_text()] == marks


def test_texts_do_not_overlap(draw):
    phases = ["CalotTriangleDissection", "GallbladderDissection", "CleaningCoagulation", "GallbladderRetraction"] * 2
    folder = generated([0.1, 0.0] * 4, times=range(8), suspect=())
    figure = draw(folder, phases=phases, in_view=[True, False] * 4)
    figure.canvas.draw()
    boxes = [axis.get_legend().get_window_extent() for axis in figure.axes if axis.get_legend()]
    boxes += [legend.get_window_extent() for part in figure.subfigs for legend in part.legends]
    boxes += [axis.xaxis.label.get_window_extent() for axis in figure.axes if axis.get_xlabel()]
    boxes += [axis.yaxis.label.get_window_extent() for axis in figure.axes if axis.get_ylabel()]
    width, height = figure.canvas.get_width_height()
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)
    assert not [1 for i, one in enumerate(boxes) for other in boxes[i + 1 :] if one.overlaps(other)]
