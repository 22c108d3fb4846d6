"""Brightness, saturation, sharpness and colours of frames whose values are known."""

import math

import numpy as np
import pytest

from surgseg.appearance import BINS, appearance, histogram_distance
from tests.folders import texture


def plain(colour, size=(60, 80)):
    return np.tile(np.array(colour, np.uint8), (*size, 1))


def test_white_gray_and_pure_red():
    white, gray, red = (appearance(plain(colour)) for colour in ((255, 255, 255), (119, 119, 119), (255, 0, 0)))
    assert white.brightness == pytest.approx(100, abs=0.1) and white.saturation == 0 and white.sharpness == 0
    assert gray.brightness == pytest.approx(50, abs=0.3), "sRGB 119 is the middle of CIELAB's L*"
    assert red.brightness == pytest.approx(53.2, abs=0.3) and red.saturation == 1
    assert appearance(plain((0, 0, 255))).brightness == pytest.approx(32.3, abs=0.3), "RGB: blue is darker than red"


def test_saturation_is_one_less_the_share_of_white():
    assert appearance(plain((200, 100, 100))).saturation == pytest.approx(0.5, abs=0.005)


def test_the_dark_border_around_the_field_of_view_counts_for_nothing():
    frame = np.zeros((240, 320, 3), np.uint8)
    frame[:, 80:240] = (200, 100, 100)
    bordered, bare = appearance(frame), appearance(plain((200, 100, 100), (240, 160)))
    assert bordered.brightness == pytest.approx(bare.brightness) and bordered.saturation == bare.saturation
    assert bordered.sharpness == 0, "nor does its rim count as sharpness"
    assert histogram_distance(bordered.histogram, bare.histogram) == 0


def test_a_blurred_frame_is_less_sharp():
    import cv2

    sharp = np.repeat(texture((240, 320))[..., None] // 2 + 100, 3, 2)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 4)
    assert appearance(blurred).sharpness < 0.2 * appearance(sharp).sharpness


def test_sharpness_does_not_depend_on_the_size_of_the_frame():
    import cv2

    large = np.repeat(cv2.resize(texture((120, 160)), (1280, 960))[..., None] // 2 + 100, 3, 2)
    small = cv2.resize(large, (640, 480), interpolation=cv2.INTER_AREA)
    assert appearance(small).sharpness == pytest.approx(appearance(large).sharpness, rel=0.05)


def test_a_black_frame_has_no_appearance():
    found = appearance(plain((10, 5, 3)))
    assert all(math.isnan(value) for value in found[:3]) and not found.histogram.any()
    assert math.isnan(histogram_distance(found.histogram, appearance(plain((200, 0, 0))).histogram))


def test_a_frame_of_a_single_lit_line_has_colours_but_no_sharpness():
    frame = np.zeros((240, 320, 3), np.uint8)
    frame[100] = (200, 100, 100)
    found = appearance(frame)
    assert found.saturation == pytest.approx(0.5, abs=0.005) and math.isnan(found.sharpness)


def test_the_histogram_holds_shares():
    frame = plain((200, 20, 20))
    frame[:, :20] = (20, 200, 20)
    histogram = appearance(frame).histogram
    assert histogram.shape == BINS and histogram.sum() == pytest.approx(1)
    assert sorted(histogram[histogram > 0.1].tolist()) == pytest.approx([0.25, 0.75], abs=0.02)


def test_the_histogram_s_first_hue_is_red_and_not_blue():
    red, blue = (appearance(plain(colour)).histogram for colour in ((200, 0, 0), (0, 0, 200)))
    assert red[0].sum() == pytest.approx(1) and blue[20].sum() == pytest.approx(1), "bins of 12 degrees; blue is 240"


def test_distance_of_colours_is_hellinger_s():
    red, green = np.zeros(BINS), np.zeros(BINS)
    red[0, 0], green[10, 0] = 1, 1
    assert histogram_distance(red, red) == 0 and histogram_distance(red, green) == 1
    assert histogram_distance(red, (red + green) / 2) == pytest.approx(math.sqrt(1 - math.sqrt(0.5)))
    assert math.isnan(histogram_distance(red, np.zeros(BINS)))


def test_a_tiny_frame_is_measured_too():
    assert appearance(plain((255, 255, 255), (1, 1))).brightness == pytest.approx(100, abs=0.1)
