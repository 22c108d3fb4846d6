"""The statistics figure, and the style all figures share."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from surgseg.figures.style import RED, mark_synthetic, new_figure, save_figure
from surgseg.figures.videos import draw_mask_statistics
from surgseg.labels import SCHEMES
from surgseg.scores.statistics import detection_statistics
from surgseg.video.generated import FrameRow, Generated


def generated(coverage, suspect=(), video_data="unmarked"):
    rows = [
        FrameRow(f"v_{index:06d}", index, index / 25, value, 0.9, 0.1, 1, index in suspect)
        for index, value in enumerate(coverage)
    ]
    return Generated(Path(), SCHEMES["binary"], rows, {"video_data": video_data, "weights_data": "real"})


def has_colour(path, colour):
    wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return bool((np.abs(pixels - wanted).max(axis=2) < 12).any())


@pytest.mark.parametrize("coverage", [[0.1], [0.0], [0.0, 0.0, 0.0], list(np.linspace(0, 1, 400))])
def test_any_number_of_frames_can_be_drawn(tmp_path, coverage):
    folder = generated(coverage)
    path = draw_mask_statistics(tmp_path / "f.png", folder, detection_statistics(folder.rows, 0.001), False)
    with Image.open(path) as image:
        assert image.info["dpi"][0] == pytest.approx(200, abs=1)
    assert not plt.get_fignums()


def test_synthetic_video_is_marked_inside_the_figure():
    assert generated([0.1]).synthetic == ""
    assert generated([0.1], video_data="synthetic").synthetic == "SYNTHETIC"
    trained = generated([0.1])
    trained.run["weights_data"] = "synthetic"
    assert trained.synthetic == "SYNTHETIC WEIGHTS"


def test_the_mark_is_drawn(tmp_path):
    for marked in (False, True):
        figure, axes = new_figure()
        axes[0, 0].plot([0, 1], [0, 1])
        if marked:
            mark_synthetic(figure)
        assert has_colour(save_figure(figure, tmp_path / "a" / "f.png"), RED) == marked
