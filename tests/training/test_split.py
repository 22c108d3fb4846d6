"""Labels of the training part: refused where there is nothing to learn, warned of where something is missing."""

import numpy as np
import pytest

from surgseg.data.splits import Split
from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.training.split import check_labels


def labels_of(*frames, scheme="binary"):
    """The warning for a training part of masks of these ids; the last mask is a test frame with all classes."""
    masks = np.array([*frames, [0, 1, 2, 255]], np.uint8)[:, None]
    parts = {"train": np.arange(len(frames)), "val": np.arange(0), "test": np.array([len(frames)])}
    return check_labels(masks, Split("video", "video", {}, parts), SCHEMES[scheme])


def test_a_training_part_without_label_or_without_instrument_is_refused():
    with pytest.raises(UserError, match=r"every pixel of the training part \(2 frames\) is void"):
        labels_of([255] * 4, [255] * 4)
    with pytest.raises(UserError, match=r"no pixel of the training part \(1 frames\) is an instrument"):
        labels_of([0, 0, 0, 255])
    assert labels_of([255] * 4, [0, 1, 1, 0]) == ""


def test_missing_classes_and_much_void_are_warned_of():
    assert "is background." in labels_of([1, 1, 1, 1])
    assert "is l-hook." in labels_of([0, 1, 1, 0], scheme="grasper-hook")
    assert "WARNING: 75.0% of the training part (1 frames) is void" in labels_of([1, 255, 255, 255])
