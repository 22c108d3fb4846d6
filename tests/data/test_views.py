"""The field of view of each video: cached crops, predictions that are pasted back, and copies found all the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from surgseg.data.cache import open_cache
from surgseg.data.dataset import Prepared, Sample, load_prepared
from surgseg.data.likeness import BITS, NEAR, frame_hashes, nearest
from surgseg.data.views import sample_views
from surgseg.evaluation.samples import evaluate_samples
from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.masks import read_mask, write_mask
from surgseg.preprocess import resize_frames
from surgseg.view import find_view
from tests.films import bright_checkpoint
from tests.helpers import save_image
from tests.scopes import SIZE, circle, film_of, rectangle, tissue

BINARY = SCHEMES["binary"]
INSIDE = rectangle(0, 240, 100, 328)


@pytest.fixture
def samples(tmp_path):
    """Four frames of a video with bars at its sides, two of one that fills the frame. Instruments are white squares."""
    made = []
    for video, frames in (
        ("bars", film_of(INSIDE, 4, light=0.5)),
        ("full", [tissue(seed, light=0.5) for seed in (20, 21)]),
    ):
        for number, frame in enumerate(frames):
            mask = np.zeros(SIZE, np.uint8)
            mask[60:120, 120:180] = 1
            frame[mask == 1] = 255
            name = f"{video}_{number:06d}"
            paths = tmp_path / "frames" / f"{name}.png", tmp_path / "masks" / f"{name}.png"
            save_image(paths[0], frame)
            write_mask(paths[1], mask, BINARY)
            made.append(Sample(name, *paths, video, number))
    return made


def test_the_cache_holds_crops_of_frames_and_masks_and_has_a_key_of_its_own(samples, tmp_path, capsys):
    whole = open_cache(samples, (60, 60), BINARY, tmp_path / "cache")
    cropped = open_cache(samples, (60, 60), BINARY, tmp_path / "cache", "auto")
    shown = capsys.readouterr().out
    assert shown == "Field of view: frames of 1 of 2 videos are cropped; the whole frame of full (no dark border)\n"
    assert whole.folder != cropped.folder
    assert (whole.masks[0] == 1).sum() == 15 * 8  # 60 of 428 columns of pixels
    assert (cropped.masks[0] == 1).sum() == pytest.approx(15 * 15, abs=15)  # 60 of about 236
    assert whole.frames[0, 30, :10].max() == 0 and cropped.frames[0, 30, 5:].min() > 0
    assert np.array_equal(whole.frames[4:], cropped.frames[4:]) and not np.array_equal(whole.frames, cropped.frames)


def test_every_size_of_a_video_has_a_view_of_its_own(samples, tmp_path):
    other = replace(samples[0], name="other", frame=save_image(tmp_path / "other.png", tissue(1, (100, 90))))
    views = sample_views([*samples, other], "auto")
    assert views(samples[0], np.zeros((*SIZE, 3))).width == pytest.approx(228, abs=12)
    assert views(other, np.zeros((100, 90, 3))).is_whole and views(other, np.zeros((7, 9, 3))).frame == (7, 9)


def test_a_rectangle_needs_frames_of_one_size(samples, tmp_path):
    other = replace(samples[0], name="other", frame=save_image(tmp_path / "other.png", tissue(1, (240, 500))))
    views = sample_views([*samples, other], [50, 60, 0, 0])
    assert views(samples[0], np.zeros((*SIZE, 3))).rectangle == [50, 60, 0, 0]
    with pytest.raises(UserError, match=r"other.png: is 240x500 pixels, an earlier one 240x428.*one size"):
        views(other, np.zeros((240, 500, 3)))
    with pytest.raises(UserError, match=r"bars_000000.png: --view 50 600 0 0: outside the frame"):
        sample_views(samples, [50, 600, 0, 0])(samples[0], np.zeros((*SIZE, 3)))


def evaluate(samples, folder, **options):
    metrics = evaluate_samples(
        bright_checkpoint(), samples, torch.device("cpu"), metrics_path=folder / "m.json", void="ignore", part="all",
        prepared=Prepared(folder, samples, BINARY, "real"), pred_dir=folder / "preds", **options,
    )  # fmt: skip
    return metrics, [read_mask(folder / "preds" / f"{sample.name}.png", 2) for sample in samples]


@pytest.mark.parametrize("view", ["auto", "full", [240, 200, 0, 110]])
def test_predictions_in_a_view_are_scored_at_native_size(samples, tmp_path, view):
    metrics, masks = evaluate(samples, tmp_path, view=view)
    assert metrics["view"] == view and {mask.shape for mask in masks} == {SIZE}
    assert metrics["mean_instrument"]["dice"] > 0.97


def test_outside_the_view_nothing_is_marked(samples, tmp_path):
    _, masks = evaluate(samples, tmp_path, view=[240, 50, 0, 130])
    for mask in masks:
        assert mask[60:120, 131:179].all() and not mask[:, :130].any() and not mask[:, 180:].any()


BORDERS = {
    "round": (circle(), {}),
    "gray and noisy": (circle(), {"level": 40, "noise": 6}),
    "bars": (INSIDE, {}),
    "none": (np.ones(SIZE, bool), {}),
}


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("size", [SIZE, (64, 64)])
def test_a_frame_has_nearly_the_same_hash_cropped_or_not(border, size):
    """So a copy is found, whichever of the two trained or is scored."""
    inside, style = BORDERS[border]
    frames = film_of(inside, 6, **style)
    view = find_view(frames)
    whole, cropped = (
        frame_hashes([resize_frames(torch.tensor(frame).permute(2, 0, 1)[None], size)[0].permute(1, 2, 0).numpy()
                      for frame in group])[0]
        for group in (frames, [view.crop(frame) for frame in frames])
    )  # fmt: skip
    differing, found = nearest(cropped, whole)
    assert (differing <= NEAR // 2).all() and list(found) == list(range(6)), differing
    assert (nearest(cropped[:1], whole[1:])[0] > NEAR).all() and len(whole) == 6 and BITS > 4 * NEAR - 1


def test_a_folder_without_borders_gives_the_same_frames_either_way(tiny_prepared, tmp_path):
    samples = load_prepared(Path(tiny_prepared)).samples
    arrays = [open_cache(samples, (24, 32), BINARY, tmp_path, view).frames for view in ("full", "auto")]
    assert np.array_equal(*arrays)
