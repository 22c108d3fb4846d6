"""The view of a live source: found in the first frame that shows a picture, and again for frames of another size."""

import numpy as np
import pytest

from surgseg.files import UserError
from surgseg.live.run import predict_with
from surgseg.predict import Measures
from surgseg.view import View


class Predictor:
    """Remembers the views of the frames that it gets."""

    def __init__(self):
        self.views = []

    def submit(self, frames, view):
        self.views.append(view and view.rectangle)
        return self

    def result(self):
        return self

    ids = np.zeros((1, 2, 2), np.uint8)
    measures = Measures(*np.zeros((3, 1)))


def lit(size, columns):
    """A frame that is dark but for a textured block over its whole height."""
    frame = np.zeros((*size, 3), np.uint8)
    frame[:, columns] = np.random.default_rng(0).integers(90, 250, (size[0], columns.stop - columns.start, 3))
    return frame


def test_the_view_is_found_when_the_light_is_on_and_again_at_another_size():
    predictor = Predictor()
    predict = predict_with(predictor, "auto")
    dark, first, second = (
        np.zeros((120, 240, 3), np.uint8), lit((120, 240), slice(60, 180)), lit((240, 480), slice(120, 300)),
    )  # fmt: skip
    for frame in (dark, first, dark, second):
        predict(frame, 0.5)
    whole, found, kept, other = predictor.views
    assert whole == [120, 240, 0, 0]
    assert found == kept and found[0] == 120 and 54 <= found[3] <= 60
    assert other[0] == 240 and 110 <= other[3] <= 120


def test_a_view_that_is_known_is_not_searched_again_and_full_needs_none():
    predictor, view = Predictor(), View(100, 200, 10, 20, (120, 240))
    predict_with(predictor, "auto", view)(lit((120, 240), slice(60, 180)), 0.5)
    predict_with(predictor, "full")(lit((120, 240), slice(60, 180)), 0.5)
    assert predictor.views == [[100, 200, 10, 20], None]


def test_a_rectangle_outside_a_frame_of_another_size_is_refused():
    with pytest.raises(UserError, match="outside the frame"):
        predict_with(Predictor(), [200, 200, 0, 0])(np.zeros((120, 240, 3), np.uint8), 0.5)
