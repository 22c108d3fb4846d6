"""Optical flow on images moved by a known step."""

import numpy as np
import pytest

from surgseg.analysis.stability import compare_masks, overlap
from surgseg.flow import FLOW_HEIGHT, gray_for_flow, warp_between
from tests.folders import texture

SIZE = (96, 128)
STEPS = [(0, 6), (0, -6), (5, 0), (-5, 0), (4, -7)]  # rows down, columns to the right


def moved(down: int, right: int):
    """(earlier, later): two windows on one texture, so that everything moves by the step and new parts come in."""
    large = texture((SIZE[0] + 40, SIZE[1] + 40), seed=3)
    cut = [large[20 - y : 20 - y + SIZE[0], 20 - x : 20 - x + SIZE[1]] for y, x in ((0, 0), (down, right))]
    return cut[0], cut[1]


def masks(down: int, right: int):
    """A square in the earlier frame, and the same square in the later one."""
    earlier, later = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    earlier[35:60, 50:80] = True
    later[35 + down : 60 + down, 50 + right : 80 + right] = True
    return earlier, later


@pytest.mark.parametrize("step", STEPS)
def test_each_pixel_is_looked_up_where_it_was_before(step):
    warp = warp_between(*moved(*step))
    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    inner = (slice(20, -20), slice(20, -20))
    assert np.median((warp.y - rows)[inner]) == pytest.approx(-step[0], abs=0.3)
    assert np.median((warp.x - columns)[inner]) == pytest.approx(-step[1], abs=0.3)
    assert warp.trusted[inner].mean() > 0.95


@pytest.mark.parametrize("step", STEPS)
def test_a_mask_carried_along_falls_on_the_later_one_and_backwards_it_does_not(step):
    (earlier, later), (before, after) = masks(*step), moved(*step)
    still = overlap(earlier, later)
    right_way = overlap(warp_between(before, after).carry(earlier.astype(np.uint8)) > 0, later)
    wrong_way = overlap(warp_between(after, before).carry(earlier.astype(np.uint8)) > 0, later)
    assert right_way > 0.95 and right_way > still > wrong_way
    everywhere = np.ones(SIZE, bool)
    pair = compare_masks(0, earlier, later, everywhere, warp_between(before, after))
    assert pair.flow_iou > 0.95 and pair.iou == still


@pytest.mark.parametrize(
    "step, entered",
    [
        ((0, 8), np.s_[:, :7]),
        ((0, -8), np.s_[:, -7:]),
        ((8, 0), np.s_[:7]),
        ((-8, 0), np.s_[-7:]),
    ],
)
def test_pixels_that_enter_from_outside_are_not_trusted(step, entered):
    trusted = warp_between(*moved(*step)).trusted
    assert trusted[entered].mean() < 0.05
    assert trusted[12:-12, 12:-12].mean() > 0.95


def test_a_mask_on_pixels_that_entered_is_left_out_of_the_overlap_and_its_share_told():
    before, after = moved(0, 8)
    earlier, later = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    later[:, :7] = True  # an instrument that comes in at the left edge
    pair = compare_masks(4, earlier, later, np.ones(SIZE, bool), warp_between(before, after))
    assert pair.first == 4 and pair.iou == 0
    assert pair.untrusted_instrument > 0.95 and 0.04 < pair.untrusted < 0.2


def test_an_unchanged_frame_is_trusted_everywhere_and_moves_nothing():
    frame = texture(SIZE)
    warp = warp_between(frame, frame)
    mask = masks(0, 0)[0].astype(np.uint8)
    assert warp.trusted.all() and np.array_equal(warp.carry(mask), mask)


def test_frames_that_have_nothing_in_common_are_mostly_not_trusted():
    other = warp_between(texture(SIZE, 1), texture(SIZE, 2))
    assert other.trusted.mean() < 0.5


def test_only_frames_higher_than_480_rows_are_made_smaller():
    small = np.random.default_rng(0).integers(0, 256, (FLOW_HEIGHT, 40, 3), np.uint8)
    assert gray_for_flow(small).shape == (480, 40)
    assert gray_for_flow(np.zeros((1080, 1920, 3), np.uint8)).shape == (480, 853)
    assert gray_for_flow(np.zeros((481, 482, 3), np.uint8)).shape == (480, 481)
    assert gray_for_flow(np.zeros((100, 60, 3), np.uint8)).shape == (100, 60)


def test_gray_weighs_red_as_red():
    """RGB in, not OpenCV's BGR: ITU-R BT.601 gives red 0.299, blue 0.114."""
    red, blue = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    assert gray_for_flow(red)[0, 0] == 76 and gray_for_flow(blue)[0, 0] == 29
