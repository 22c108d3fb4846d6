"""The field of view: found in drawn frames, never too small, and the whole frame where it is not certain."""

import cv2
import numpy as np
import pytest

from surgseg.files import UserError
from surgseg.view import View, border_distance, find_view, parse_view, view_of
from tests.scopes import SIZE, circle, film_of, rectangle, seen_through, tissue

WIDEST = 14  # pixels, of 240x428, by which a view may be too large on a side


def sides(view):
    return view.top, view.top + view.height, view.left, view.left + view.width


def check(view, inside, widest=WIDEST):
    """The view holds every pixel that is inside, and little more."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    true = (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
    top, bottom, left, right = (int(found) - int(edge) for found, edge in zip(sides(view), true))
    assert max(top, left) <= 0 <= min(bottom, right), (view, true)
    assert max(-top, bottom, -left, right) <= widest, (view, true)


SHAPES = {
    "round, cut above and below": circle(),
    "round, whole": circle(radius=100),
    "round, off centre": circle((110, 170), 140),
    "small": circle((120, 214), 70),
    "bars at the sides": rectangle(0, 240, 50, 380),
    "bars above and below": rectangle(40, 200, 0, 428),
    "one bar": rectangle(0, 240, 90, 428),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("border", [{}, {"level": 3, "noise": 2}, {"level": 16, "noise": 4}])
def test_a_view_of_any_shape_is_found_whole(shape, border):
    check(find_view(film_of(SHAPES[shape], **border)), SHAPES[shape])


@pytest.mark.parametrize(("level", "noise"), [(30, 0), (45, 8), (60, 3)])
def test_a_gray_border_may_be_noisy(level, noise):
    check(find_view(film_of(circle(), level=level, noise=noise)), circle())


def test_one_frame_is_enough_where_it_is_lit():
    check(find_view([seen_through(circle(), 0)]), circle())


def test_an_instrument_that_is_darker_than_a_gray_border_is_kept():
    inside = rectangle(0, 240, 60, 368)
    frame = seen_through(inside, 0, level=45)
    frame[:, 60:100] = 20  # a shaft along the edge
    check(find_view([frame]), inside)


def test_what_is_lit_in_any_frame_belongs_to_the_view():
    """Dark scenes: the rim is dim in all frames but two, and in those hardly brighter than the border."""
    rim, middle = circle(), circle(radius=100)
    frames = [seen_through(middle, seed, level=2, noise=1) for seed in range(12)]
    for frame in frames[4:6]:
        frame[rim & ~middle] = 14
    check(find_view(frames), rim)


def letters(frame):
    """A caption in the dark corner."""
    for left in range(4, 60, 8):
        frame[8:20, left : left + 4] = 255
    return frame


DISTURBED = {
    "the light is off at first": lambda number, frame: frame // 40 if number < 5 else frame,
    "smoke": lambda number, frame: np.where(circle()[..., None], 150 + frame // 8, frame) if number > 3 else frame,
    "outside the body, with glare around": lambda number, frame: np.maximum(frame, 5) if number < 4 else frame,
    "one test picture": lambda number, frame: tissue(99) if number == 3 else frame,
    "blue screens": lambda number, frame: frame * 0 + np.uint8([0, 0, 200]) if number % 3 == 0 else frame,
    "captions": lambda number, frame: letters(frame),
}


@pytest.mark.parametrize("what", DISTURBED)
def test_a_view_is_found_in_spite_of(what):
    frames = [DISTURBED[what](number, frame).astype(np.uint8) for number, frame in enumerate(film_of(circle()))]
    check(find_view(frames), circle())


def test_a_camera_that_zooms_in_is_seen_whole():
    wide, near = film_of(circle(), 9), [tissue(seed) for seed in range(3)]
    assert find_view(wide + near).is_whole


WHOLE = {
    "no frame shows a picture": [np.zeros((*SIZE, 3), np.uint8)] * 3,
    "no dark border": [tissue(seed) for seed in range(4)],
    "the view fills it": film_of(rectangle(0, 240, 12, 416)),
    "the lit part is too small": film_of(circle((120, 214), 43)),
    "nothing large is lit": film_of(circle() & (np.indices(SIZE) % 24 < 7).all(0)),
}


@pytest.mark.parametrize("reason", WHOLE)
def test_the_whole_frame_is_taken_with_its_reason(reason):
    view = find_view(WHOLE[reason])
    assert view.is_whole and view.rectangle == [*SIZE, 0, 0] and view.share == 1
    assert str(view) == f"the whole frame ({reason})"


def test_a_border_of_two_colours_is_none():
    frame = seen_through(circle(), 0, level=40)
    frame[:, :60] = 55
    assert find_view([frame] * 3).reason == "no dark border"


def test_a_crop_has_no_border_of_its_own():
    frame = seen_through(circle(), 0)
    cropped = find_view([frame]).crop(frame)
    assert find_view([cropped]).is_whole
    assert cropped.base is frame  # no copy


def test_words_of_the_option():
    assert [parse_view(None, "auto"), parse_view(["full"]), parse_view(["10", "20", "0", "5"])] == [
        "auto", "full", [10, 20, 0, 5],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("small", "--view small: use auto, full, or four numbers of pixels, HEIGHT WIDTH TOP LEFT"),
        ("10 20 5", "use auto, full, or four numbers"),
        ("auto full", "--view auto full: use auto"),
        ("10 20 0 x", "use auto, full, or four numbers"),
        ("0 20 0 0", "HEIGHT and WIDTH from 1, TOP and LEFT from 0"),
        ("10 20 -1 0", "--view 10 20 -1 0: HEIGHT"),
    ],
)
def test_other_words_are_refused(words, message):
    with pytest.raises(UserError, match=message):
        parse_view(words.split())


@pytest.mark.parametrize("asked", [[241, 20, 0, 0], [240, 20, 1, 0], [10, 20, 0, 409]])
def test_a_rectangle_outside_the_frame_is_refused(asked):
    said = " ".join(map(str, asked))
    with pytest.raises(UserError, match=f"--view {said}: outside the frame, which is 240x428 pixels"):
        view_of(asked, [np.zeros((*SIZE, 3), np.uint8)])


def test_a_view_fits_frames_of_its_own_size_only():
    view = View(10, 20, 1, 2, SIZE)
    assert view.padding == (2, 406, 1, 229) and view.share == 200 / (240 * 428)
    with pytest.raises(UserError, match="a frame is 240x320, the view belongs to frames of 240x428"):
        view.crop(np.zeros((240, 320, 3), np.uint8))


SHAPED = {**SHAPES, "fills the frame": circle((120, 214), 240), "no border": np.ones(SIZE, bool)}


@pytest.mark.parametrize("shape", SHAPED)
def test_the_distance_to_the_border_is_that_to_the_outline_also_of_a_round_view(shape):
    inside = SHAPED[shape]
    view = find_view(film_of(inside, 4))
    near = cv2.distanceTransform(np.pad(np.uint8(inside), 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    assert abs(view.height * border_distance(view) - near)[inside].max() < 6  # pixels, of 240 rows


def test_the_distance_to_a_rectangle_is_a_share_of_its_height():
    found = border_distance(View(100, 60, 10, 20, SIZE))
    assert found.max() == 0.3 and found[10, 30] == pytest.approx(0.01) and found[9, 30] == 0
