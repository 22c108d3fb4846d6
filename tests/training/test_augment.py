"""Augmentation: whose parameters, what moves, what becomes void."""

import numpy as np
import pytest
import torch

from surgseg.training.augment import DRAWS, Strength, augment, draw

STILL = Strength(flip=0, rotate=0, scale=0, shift=0, brightness=0, contrast=0, saturation=0, cast=0, blur=0, border=0)
MOVED = Strength(brightness=0, contrast=0, saturation=0, cast=0, blur=0, border=0)


def noise(count=5, size=(36, 50)):
    rng = np.random.default_rng(0)
    frames = torch.from_numpy(rng.integers(0, 256, (count, 3, *size), dtype=np.uint8))
    masks = torch.from_numpy(rng.integers(0, 3, (count, *size), dtype=np.uint8))
    masks[:, -1] = 255
    return frames, masks


def still(**changes):
    return Strength(**{**STILL.__dict__, **changes})


def drawn(column=None, value=0.5, count=1):
    """Middle draws (no change of anything but a flip of probability above 0.5), one of them set."""
    uniform = np.full((count, DRAWS), 0.5, np.float32)
    if column is not None:
        uniform[:, column] = value
    return torch.from_numpy(uniform)


def rows_of(seed, epoch, indices):
    return torch.from_numpy(draw(seed, epoch, 100)[np.asarray(indices)])


def shape_of(mask):
    """(area, major and minor half-axis, direction in degrees) of a set of pixels, from its moments."""
    y, x = np.nonzero(np.asarray(mask))
    values, vectors = np.linalg.eigh(np.cov(np.stack([x, y])))
    return len(x), 2 * np.sqrt(values[1]), 2 * np.sqrt(values[0]), np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))


def test_parameters_depend_on_seed_epoch_and_sample_alone():
    rows = draw(3, 2, 8)
    assert rows.shape == (8, DRAWS) and rows.dtype == np.float32 and (rows >= 0).all() and (rows < 1).all()
    assert np.array_equal(draw(3, 2, 20)[:8], rows)
    for other in (draw(4, 2, 8)[7], draw(3, 1, 8)[7], rows[6]):
        assert not np.array_equal(other, rows[7])


def test_a_sample_looks_the_same_alone_and_in_any_batch():
    strength = Strength(blur=0.9, border=0.9)
    frames, masks = noise()
    order = np.array([3, 0, 4, 1, 2])
    batch = augment(frames[order], masks[order], rows_of(1, 6, order), strength)
    for position, index in enumerate(order):
        alone = augment(frames[index : index + 1], masks[index : index + 1], rows_of(1, 6, order[[position]]), strength)
        assert torch.equal(alone[0][0], batch[0][position]) and torch.equal(alone[1][0], batch[1][position])


def test_samples_and_epochs_differ():
    frames, masks = noise(1)
    twice = frames.repeat(2, 1, 1, 1), masks.repeat(2, 1, 1)
    first = augment(*twice, rows_of(0, 1, [0, 1]), Strength())[0]
    later = augment(*twice, rows_of(0, 2, [0, 1]), Strength())[0]
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], later[0])


@pytest.mark.parametrize("size", [(36, 50), (31, 31), (20, 65)])
def test_no_strength_changes_nothing(size):
    frames, masks = noise(size=size)
    out, moved = augment(frames, masks, rows_of(0, 1, range(5)), STILL)
    assert out.dtype == torch.float32 and moved.dtype == torch.uint8
    torch.testing.assert_close(out, frames.float() / 255, atol=1e-4, rtol=0)
    assert torch.equal(moved, masks)


def test_the_input_is_left_as_it_was():
    frames, masks = noise()
    copies = frames.clone(), masks.clone()
    augment(frames, masks, rows_of(0, 1, range(5)), Strength())
    assert torch.equal(frames, copies[0]) and torch.equal(masks, copies[1])


def test_a_flip_mirrors_left_and_right():
    frames, masks = noise()
    out, moved = augment(frames, masks, drawn(0, 0.1, 5), still(flip=0.5))
    torch.testing.assert_close(out, frames.flip(-1).float() / 255, atol=1e-4, rtol=0)
    assert torch.equal(moved, masks.flip(-1))
    assert torch.equal(augment(frames, masks, drawn(0, 0.6, 5), still(flip=0.5))[1], masks)


@pytest.mark.parametrize("signed", [-1, 1])
@pytest.mark.parametrize("size", [(80, 160), (160, 80)])
def test_rotation_is_by_its_angle_in_pixels_on_frames_that_are_not_square(size, signed):
    mask = torch.zeros(1, *size, dtype=torch.uint8)
    mask[:, size[0] // 2 - 3 : size[0] // 2 + 3, size[1] // 2 - 30 : size[1] // 2 + 30] = 1
    uniform = drawn(1, 0.5 + 0.5 * signed)
    _, moved = augment(mask[:, None].repeat(1, 3, 1, 1), mask, uniform, still(rotate=20))
    area, major, minor, direction = shape_of(moved[0] == 1)
    before = shape_of(mask[0])
    assert (area, major, minor) == pytest.approx(before[:3], rel=0.05)
    assert abs((direction + 90) % 180 - 90) == pytest.approx(20, abs=1)


@pytest.mark.parametrize("size", [(80, 160), (160, 80)])
def test_a_disc_stays_a_disc(size):
    y, x = np.mgrid[: size[0], : size[1]]
    disc = torch.from_numpy(((y - size[0] / 2) ** 2 + (x - size[1] / 2) ** 2 < 20**2).astype(np.uint8))
    indices = np.arange(8)
    strength = Strength(
        flip=0.5, rotate=45, scale=0.3, shift=0.05, brightness=0, contrast=0, saturation=0, cast=0, blur=0
    )
    _, moved = augment(disc.repeat(8, 3, 1, 1), disc.repeat(8, 1, 1), rows_of(0, 0, indices), strength)
    for mask in moved:
        _, major, minor, _ = shape_of(mask == 1)
        assert major / minor == pytest.approx(1, abs=0.05)


def test_zoom_scales_both_axes_alike_and_within_its_range():
    mask = torch.zeros(1, 80, 160, dtype=torch.uint8)
    mask[:, 30:50, 70:90] = 1
    sides = []
    for value in (0.0, 1.0):
        _, moved = augment(mask[:, None].repeat(1, 3, 1, 1), mask, drawn(2, value), still(scale=0.25))
        y, x = np.nonzero(np.asarray(moved[0] == 1))
        assert abs(np.ptp(y) - np.ptp(x)) <= 1
        sides.append(np.ptp(y) + 1)
    assert sides == pytest.approx([16, 25], abs=1)


@pytest.mark.parametrize(("column", "axis"), [(3, 2), (4, 1)])
def test_what_comes_in_from_outside_is_black_and_void(column, axis):
    frames, masks = torch.full((1, 3, 40, 60), 200, dtype=torch.uint8), torch.ones(1, 40, 60, dtype=torch.uint8)
    out, moved = augment(frames, masks, drawn(column, 1.0), still(shift=0.15))
    void = moved[0] == 255
    across = void.all(2 - axis)
    assert int(across.sum()) == pytest.approx(0.15 * masks.shape[axis], abs=1)
    assert int(void.sum()) == int(across.sum()) * masks.shape[3 - axis], "void only where the motion uncovered"
    assert (out[0, :, void] < 0.5).all() and out[0, :, ~void].min() > 0.3
    assert set(moved.unique().tolist()) == {1, 255}


def test_void_moves_with_the_mask_and_no_ids_are_invented():
    frames, masks = noise()
    masks[:, 10:20, 10:20] = 255
    masks[masks == 1] = 254
    _, moved = augment(frames, masks, rows_of(0, 3, range(5)), Strength())
    assert set(moved.unique().tolist()) <= {0, 2, 254, 255}


def test_frame_and_mask_move_together():
    masks = torch.zeros(8, 60, 90, dtype=torch.uint8)
    masks[:, 10:40, 20:50] = 1
    frames = (masks * 255)[:, None].repeat(1, 3, 1, 1)
    out, moved = augment(frames, masks, rows_of(5, 1, range(8)), MOVED)
    agree = (out[:, 0] > 0.5) == (moved == 1)
    assert agree[moved != 255].float().mean() > 0.99
    assert not torch.equal(moved, masks)


def test_brightness_and_cast_scale_the_channels():
    frames, masks = torch.full((1, 3, 8, 8), 100, dtype=torch.uint8), torch.zeros(1, 8, 8, dtype=torch.uint8)
    bright = augment(frames, masks, drawn(5, 1.0), still(brightness=0.3))[0]
    torch.testing.assert_close(bright, torch.full((1, 3, 8, 8), 1.3 * 100 / 255), atol=1e-5, rtol=0)
    red = augment(frames, masks, drawn(8, 1.0), still(cast=0.1))[0]
    assert red[0, :, 0, 0].tolist() == pytest.approx([1.1 * 100 / 255, 100 / 255, 100 / 255], abs=1e-5)


def test_colours_stay_in_range_and_contrast_keeps_the_mean():
    frames, masks = noise()
    wild = augment(frames, masks, rows_of(0, 1, range(5)), Strength(brightness=0.9, contrast=0.9, saturation=0.9))[0]
    assert wild.min() >= 0 and wild.max() <= 1
    middle = frames // 4 + 90
    out = augment(middle, masks, drawn(6, 1.0, 5), still(contrast=0.3))[0]
    torch.testing.assert_close(out.mean((1, 2, 3)), middle.float().div(255).mean((1, 2, 3)), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        out.std((2, 3)).mean(), 1.3 * (middle.float() / 255).std((2, 3)).mean(), atol=0.02, rtol=0
    )


def test_blur_touches_the_chosen_samples_only():
    frames, masks = noise(2)
    uniform = drawn(11, 0.9, 2)
    uniform[0, 11] = 0.19
    out, _ = augment(frames, masks, uniform, still(blur=0.2))
    exact = frames.float() / 255
    torch.testing.assert_close(out[1], exact[1], atol=1e-4, rtol=0)
    assert out[0].std() < 0.6 * exact[0].std()
    torch.testing.assert_close(out[0].mean(), exact[0].mean(), atol=0.01, rtol=0)


def bordered(columns, size=(60, 90), strength=1.0):
    """(frame, mask) of a bright frame of class 1 with void in its middle row, with the draws `columns` set."""
    frames, masks = torch.full((1, 3, *size), 200, dtype=torch.uint8), torch.ones(1, *size, dtype=torch.uint8)
    masks[:, size[0] // 2] = 255
    uniform = drawn()
    for column, value in columns.items():
        uniform[:, column] = value
    out, labels = augment(frames, masks, uniform, still(border=strength))
    return out[0].numpy(), labels[0].numpy()


ROUND = {15: 0.0, 16: 0.0, 17: 0.0, 20: 0.0, 22: 0.0}  # a small circle, sharp, no noise
SQUARE = {**ROUND, 16: 0.6}


def test_outside_a_round_view_all_is_dark_and_background_also_void():
    out, labels = bordered({**ROUND, 14: 1.0, 21: 0.0})
    y, x = np.mgrid[:60, :90] + 0.5
    inside = np.hypot(y - 30, x - 45 - 0.08 * 90) < 0.42 * 60
    assert np.array_equal(labels != 0, inside)
    assert (labels[30][inside[30]] == 255).all(), "void stays void inside"
    assert out[:, ~inside].max() < 100 / 255 < out[:, inside].min()


def test_a_view_is_cut_stretched_or_rectangular():
    rows, columns = (np.flatnonzero((bordered({**ROUND, 18: 0.0})[1] != 0).any(axis)) for axis in (1, 0))
    assert (len(rows), len(columns)) == (44, 50), "flat top and bottom: |y| < 0.36 * 60; the radius is 25.2"
    tall = bordered({**ROUND, 17: 0.9})[1] != 0
    assert (tall.any(1).sum(), tall.any(0).sum()) == (60, 50), "stretched by exp(0.4)"
    square = bordered(SQUARE)[1] != 0
    height, width = square.any(1).sum(), square.any(0).sum()
    assert (height, width) == (46, 54), "0.76 of the height, 0.6 of the width"
    assert square.sum() > 0.97 * height * width, "the corners are hardly round"
    assert 0.8 < (bordered({**SQUARE, 16: 0.8})[1] != 0).sum() / (height * width) < 0.97, "they are now"


@pytest.mark.parametrize("shape", [ROUND, SQUARE])
def test_a_soft_rim_leaves_the_middle_as_it_was_and_is_labelled_from_its_half(shape):
    sharp, soft = bordered(shape), bordered({**shape, 20: 1.0})
    assert np.array_equal(sharp[1], soft[1])
    row = soft[0][0, 10, :45]
    assert (np.diff(row) >= 0).all() and len(np.unique(row)) > len(np.unique(sharp[0][0, 10, :45])) + 3
    np.testing.assert_allclose(soft[0][:, 30, 45], 200 / 255, atol=1e-4)


def test_borders_are_black_gray_or_noisy_and_hold_text_in_their_corner():
    corner = (slice(None), slice(0, 12), slice(0, 12))
    assert bordered({**ROUND, 21: 0.0})[0][corner].max() == 0
    gray = bordered({**ROUND, 21: 1.0})[0][corner]
    assert gray.min() > 0.1 and gray.std() < 1e-3
    assert bordered({**ROUND, 21: 1.0, 22: 1.0})[0][corner].std() > 0.02
    for number, (top, left) in enumerate([(True, True), (False, True), (True, False), (False, False)]):
        out, labels = bordered({**ROUND, 23: (number + 0.5) / 16}, (100, 200))
        y, x = np.nonzero((out[0] > 0.5) & (labels == 0))
        assert len(y) > 20 and ((y < 30) == top).all() and ((x < 60) == left).all()
    assert not (bordered(ROUND, (100, 200))[0][0, :, :50] > 0.5).any(), "most have no text"


def test_a_border_comes_as_often_as_it_should():
    frames = torch.full((100, 3, 40, 40), 200, dtype=torch.uint8)
    masks = torch.ones(100, 40, 40, dtype=torch.uint8)
    _, labels = augment(frames, masks, rows_of(0, 2, range(100)), still(border=0.3))
    assert 15 <= (labels == 0).flatten(1).any(1).sum() <= 45
