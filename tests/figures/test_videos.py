"""The figure of several videos, and the style all figures share."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba
from PIL import Image

from surgseg.analysis.compare_videos import Video
from surgseg.analysis.measure import Analysis
from surgseg.analysis.presence import typical_spacing
from surgseg.analysis.statistics import detection_statistics
from surgseg.appearance import BINS, Appearance
from surgseg.figures import videos as module
from surgseg.figures.style import PALETTE, RED, mark_synthetic, new_figure, save_figure
from surgseg.figures.videos import draw_video_comparison
from surgseg.generate.folder import FrameRow, Generated
from surgseg.labels import SCHEMES

CONTENT = {"kind": "content", "warnings": []}
PANELS = ("Brightness", "Saturation", "Sharpness", "Colour distance")


def video(name, coverage, *, times=None, appearances=0, video_data="unmarked", brightness=50.0, colour=0):
    times = range(len(coverage)) if times is None else times
    rows = [
        FrameRow(f"v_{index:06d}", index, float(time), float(value), 0.5 + index / 1000, 0.1, 1, False)
        for index, (time, value) in enumerate(zip(times, coverage))
    ]
    run = {"video_data": video_data, "weights_data": "real", "parts": {}}
    statistics = {
        **detection_statistics(rows, 0.001),
        "presence": {"resolution_s": typical_spacing([row.time_s for row in rows])},
    }
    histogram = np.zeros(BINS)
    histogram[colour, 0] = 1
    seen = [(row, Appearance(brightness + row.frame, 0.5, 30.0 + row.frame, histogram)) for row in rows[:appearances]]
    analysis = Analysis(rows, [], None, None, None, None, None, statistics)
    return Video(name, Generated(Path(), SCHEMES["binary"], rows, run), analysis, seen)


@pytest.fixture
def draw(monkeypatch):
    """Draw and return the figure instead of writing it."""
    figures = []
    monkeypatch.setattr(module, "save_figure", lambda figure, path: figures.append(figure) or path)

    def work(*videos, result=CONTENT):
        draw_video_comparison(Path("x.png"), videos, result)
        return figures[-1]

    yield work
    plt.close("all")


def timelines(figure):
    return [axis for axis in figure.axes if axis.get_ylabel() == "Cov. (%)"]


def panels(figure):
    return [axis for axis in figure.axes if axis.get_xlabel().startswith(PANELS)]


def legend_of(figure):
    parts = [legend for part in figure.subfigs for legend in part.legends]
    return [text.get_text() for legend in parts for text in legend.get_texts()]


def test_many_frames_are_written_whole(tmp_path):
    videos = [video(name, np.linspace(0, 0.5, 300), appearances=300) for name in "ab"]
    path = draw_video_comparison(tmp_path / "f.png", videos, CONTENT)
    with Image.open(path) as image:
        assert image.info["dpi"][0] == pytest.approx(200, abs=1) and image.width == 1440
    assert not plt.get_fignums()


def test_each_video_has_a_box_a_timeline_and_a_colour(draw):
    figure = draw(video("first", [0.1, 0.0, 0.3]), video("second", [0.2, 0.2, 0.2, 0.2]))
    boxes = next(axis for axis in figure.axes if axis.get_ylabel() == "Coverage (% of frame)")
    assert [label.get_text() for label in boxes.get_xticklabels()] == ["first", "second"]
    assert [to_hex(patch.get_facecolor()).upper() for patch in boxes.patches] == list(PALETTE[:2])
    first, second = timelines(figure)
    assert first.lines[0].get_ydata().tolist() == pytest.approx([10, 0, 30])
    assert second.lines[0].get_color() == PALETTE[1]
    assert first.get_title("left") == "first: instrument in 66.7 % of 3 frames (gray: none)"
    assert second.get_title("left") == "second: instrument in 100.0 % of 4 frames"
    assert first.get_ylim() == second.get_ylim(), "one scale, or the eye compares what is not comparable"


def test_frames_without_instrument_are_ticks_of_no_video_s_colour(draw):
    axis = timelines(draw(video("a", [0.1, 0.0, 0.0]), video("b", [0.1])))[0]
    assert axis.lines[1].get_xdata().tolist() == [1, 2]
    assert to_rgba(axis.lines[1].get_color()) not in [to_rgba(colour) for colour in PALETTE]


def test_the_title_says_content_or_shift(draw):
    videos = video("a", [0.1]), video("b", [0.1])
    assert draw(*videos).get_suptitle() == "Comparison of content"
    shifted = draw(*videos, result={"kind": "shift", "warnings": ["they differ in length"]}).get_suptitle().lower()
    assert "shift" in shifted and "(1 warning: see the table)" in shifted


def test_a_point_for_each_frame_looked_at_in_four_panels(draw):
    figure = draw(video("a", [0.1] * 5, appearances=5), video("b", [0.1] * 5, appearances=3, brightness=80.0, colour=9))
    found = panels(figure)
    assert [axis.get_xlabel().split("\n")[0] for axis in found] == list(PANELS)
    points = [collection.get_offsets() for collection in found[0].collections]
    assert points[0][:, 0].tolist() == [50, 51, 52, 53, 54] and points[1][:, 0].tolist() == [80, 81, 82]
    assert points[0][:, 1].tolist() == pytest.approx([0.5, 0.501, 0.502, 0.503, 0.504])
    distances = [collection.get_offsets()[:, 0].tolist() for collection in found[3].collections]
    assert distances == [[0] * 5, [1] * 3], "from the first video's colours"
    assert legend_of(figure) == ["a", "b"]


def test_without_frames_there_are_no_panels_of_looks(draw):
    assert panels(draw(video("a", [0.1]), video("b", [0.2]))) == []


def test_a_measure_that_is_undefined_has_no_empty_panel(draw):
    figure = draw(video("a", [0.1] * 3), video("b", [0.2] * 3, appearances=3))
    assert [axis.get_xlabel().split("\n")[0] for axis in panels(figure)] == list(PANELS[:3])
    assert legend_of(figure) == ["b"]


@pytest.mark.parametrize("count", [2, 3])
def test_names_under_the_boxes_of_few_videos_stay_apart(draw, count):
    figure = draw(*(video(f"operation_{index}_left", [0.1, 0.2]) for index in range(count)))
    figure.canvas.draw()
    axis = next(axis for axis in figure.axes if axis.get_ylabel() == "Coverage (% of frame)")
    boxes = [label.get_window_extent() for label in axis.get_xticklabels()]
    assert len(boxes) == count and all(one.x1 < other.x0 for one, other in zip(boxes, boxes[1:]))


def test_looks_that_hardly_differ_are_ticks_without_an_offset(draw):
    figure = draw(video("a", [0.1] * 2, appearances=2, brightness=2e5), video("b", [0.1]))
    figure.canvas.draw()
    assert [axis.xaxis.get_offset_text().get_text() for axis in panels(figure)] == [""] * 4


def test_long_names_of_many_videos_stay_inside_and_apart(draw):
    names = [f"hospital-A_operation_{index:03d}_left-camera" for index in range(6)]
    figure = draw(*(video(name, [0.1, 0.0, 0.2], appearances=3) for name in names))
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    boxes = [axis._left_title.get_window_extent() for axis in timelines(figure)]
    boxes += [axis.xaxis.label.get_window_extent() for axis in timelines(figure) + panels(figure)]
    boxes += [legend.get_window_extent() for part in figure.subfigs for legend in part.legends]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)
    assert not [1 for i, one in enumerate(boxes) for other in boxes[i + 1 :] if one.overlaps(other)]
    shown = legend_of(figure)
    assert len(set(shown)) == 6 and all("…" in name for name in shown), "shortened, and still told apart"


@pytest.mark.parametrize("video_data, marks", [("synthetic", ["SYNTHETIC"]), ("unmarked", [])])
def test_synthetic_videos_carry_the_mark(draw, video_data, marks):
    figure = draw(video("a", [0.1]), video("b", [0.1], video_data=video_data))
    assert [text.get_text() for text in figure.texts if "SYNTH" in text.get_text()] == marks


# the style


def has_colour(path, colour):
    wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return bool((np.abs(pixels - wanted).max(axis=2) < 12).any())


def test_synthetic_video_is_told_from_synthetic_weights():
    assert video("a", [0.1]).generated.synthetic == ""
    assert video("a", [0.1], video_data="synthetic").generated.synthetic == "SYNTHETIC"
    trained = video("a", [0.1]).generated
    trained.run["weights_data"] = "synthetic"
    assert trained.synthetic == "SYNTHETIC WEIGHTS"


def test_the_mark_is_drawn(tmp_path):
    for marked in (False, True):
        figure, axes = new_figure()
        axes[0, 0].plot([0, 1], [0, 1])
        if marked:
            mark_synthetic(figure)
        assert has_colour(save_figure(figure, tmp_path / "a" / "f.png"), RED) == marked
