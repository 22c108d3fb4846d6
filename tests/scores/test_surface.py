"""NSD, HD95 and boundary IoU: values by hand, void, missed instruments, and SciPy's distance transform."""

import math

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt

from surgseg.labels import SCHEMES
from surgseg.scores.surface import fill_void, frame_surfaces, surface_scores

BINARY, TOOLS = SCHEMES["binary"], SCHEMES["grasper-hook"]
WORST = {"nsd_2": 0, "nsd_5": 0, "hd95": 50, "boundary_iou": 0}


def drawn(rows: slice, columns: slice, shape=(30, 40)):
    """(H, W) bool, True in a rectangle."""
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return mask


def test_a_square_beside_itself():
    """Of 3x3, all but the centre are surface: 4 of 8 pixels lie on the other surface, the others 1 away."""
    found = surface_scores(drawn(slice(5, 8), slice(5, 8)), drawn(slice(5, 8), slice(6, 9)), (0, 1))
    assert (found["nsd_0"], found["nsd_1"], found["hd95"]) == (0.5, 1, 1)


def test_a_thin_line_is_all_surface_and_the_quantile_is_linear():
    found = surface_scores(drawn(slice(9, 10), slice(2, 6)), drawn(slice(9, 10), slice(3, 7)), (0,))
    assert found["nsd_0"] == 6 / 8
    assert found["hd95"] == pytest.approx(0.85)  # of 0, 0, 0, 1


def test_the_border_of_the_image_is_surface():
    """True: the whole image of 4x4, its rim is 12 pixels. Predicted: its left half, 8 pixels, all surface."""
    found = surface_scores(drawn(slice(4), slice(2), (4, 4)), np.ones((4, 4), bool), (0, 1))
    assert (found["nsd_0"], found["nsd_1"]) == ((6 + 6) / 20, (8 + 8) / 20)
    assert found["hd95"] == 2  # back: 0 six times, 1 twice, 2 four times


@pytest.mark.parametrize(("shape", "expected"), [((30, 40), 8 / 24), ((60, 80), 18 / 30)])
def test_the_bands_of_the_boundary_iou_are_2_percent_of_the_diagonal_wide(shape, expected):
    """5x5 squares, one column apart: bands of 16 pixels (1 wide) or 24 (2 wide)."""
    one, other = (drawn(slice(9, 14), slice(left, left + 5), shape) for left in (9, 10))
    assert surface_scores(one, other)["boundary_iou"] == pytest.approx(expected)


def test_a_missed_instrument_and_a_false_alarm_have_the_worst_score_and_two_empty_masks_none():
    tool, empty = drawn(slice(1), slice(1)), np.zeros((30, 40), bool)
    assert surface_scores(empty, tool) == surface_scores(tool, empty) == WORST
    assert surface_scores(tool, tool) == {"nsd_2": 1, "nsd_5": 1, "hd95": 0, "boundary_iou": 1}
    assert all(map(math.isnan, surface_scores(empty, empty).values()))


def test_distances_are_those_of_the_distance_transform():
    rng = np.random.default_rng(0)
    for share in (0.02, 0.3, 0.7):
        masks = [rng.random((40, 60)) < share for _ in range(2)]
        one, other = (mask & ~binary_erosion(mask) for mask in masks)
        there, back = distance_transform_edt(~other)[one], distance_transform_edt(~one)[other]
        found = surface_scores(*masks, (1, 2.5))
        expected = [np.mean(np.concatenate([there, back]) <= limit) for limit in (1, 2.5)]
        assert [found["nsd_1"], found["nsd_2.5"]] == expected
        assert found["hd95"] == pytest.approx(max(np.quantile(there, 0.95), np.quantile(back, 0.95)))


def test_void_takes_the_nearest_label_in_both_masks():
    truth = np.array([[1, 255, 255, 0, 2, 255]], np.uint8)
    predicted, filled = fill_void(np.array([[0, 1, 1, 2, 1, 0]], np.uint8), truth)
    assert filled.tolist() == [[1, 1, 0, 0, 2, 2]] and predicted.tolist() == [[0, 0, 2, 2, 1, 1]]
    assert truth[0, 1] == 255, "the mask that was given is not changed"


def test_the_nearest_label_is_that_of_the_distance_transform():
    rng = np.random.default_rng(2)
    truth = np.where(rng.random((30, 40)) < 0.9, 255, 7).astype(np.uint8)
    place = np.arange(truth.size, dtype=np.int32).reshape(truth.shape)  # a label of its own for each pixel
    rows, columns = np.divmod(fill_void(place, truth)[0], 40)
    there = np.hypot(rows - np.arange(30)[:, None], columns - np.arange(40))
    np.testing.assert_allclose(there, distance_transform_edt(truth == 255))


def test_what_is_predicted_on_void_does_not_count():
    rng = np.random.default_rng(1)
    truth = drawn(slice(8, 20), slice(25)).astype(np.uint8)
    predicted = truth.copy()
    void = drawn(slice(6, 11), slice(30)) | drawn(slice(25, 30), slice(40))
    truth[void], predicted[void] = 255, rng.integers(0, 2, void.sum())
    perfect = {"nsd_2": 1, "hd95": 0, "boundary_iou": 1}
    assert frame_surfaces(predicted, truth, BINARY, "ignore", (2,)) == perfect
    background = frame_surfaces(predicted, truth, BINARY, "background", (2,))
    assert background == surface_scores(predicted == 1, truth == 1, (2,)) != perfect


def test_a_frame_of_void_alone_has_no_score():
    void = np.full((4, 4), 255, np.uint8)
    assert all(map(math.isnan, frame_surfaces(void * 0 + 1, void, BINARY, "ignore", (2,)).values()))


def test_each_class_has_its_own_outline():
    """The hook is taken for a grasper: all of the outline of the union is right, none of the classes."""
    tool = drawn(slice(8, 20), slice(5)).astype(np.uint8)
    found = frame_surfaces(tool, tool * 2, TOOLS, "ignore", (2, 5))
    assert (found["nsd_2"], found["hd95"]) == (1, 0)
    for name in ("grasper", "l-hook"):
        assert {key: found[f"{key}:{name}"] for key in WORST} == WORST
    assert found.keys() == {*WORST, *(f"{key}:{name}" for key in WORST for name in ("grasper", "l-hook"))}
