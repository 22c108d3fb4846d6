"""Pseudo-labels: instrument, background, or void where the model is not sure."""

import numpy as np
import pytest

from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.training.options import parse_band
from surgseg.training.pseudo import label


def both(*channels):
    """(K, 1, W) probabilities."""
    return np.array(channels, np.float32)[:, None]


def test_what_two_views_are_sure_of_is_labelled():
    instrument = np.array([0.95, 0.95, 0.5, 0.05, 0.05])
    mirrored = np.array([0.92, 0.60, 0.5, 0.08, 0.30])
    found = label(both(1 - instrument, instrument), both(1 - mirrored, mirrored), SCHEMES["binary"], (0.1, 0.9))
    assert found.tolist() == [[1, 255, 255, 0, 255]]


def test_classes_that_differ_are_void():
    scheme = SCHEMES["grasper-hook"]
    first = both([0.02, 0.02, 0.95], [0.9, 0.9, 0.03], [0.08, 0.08, 0.02])
    second = both([0.02, 0.02, 0.95], [0.9, 0.1, 0.03], [0.08, 0.88, 0.02])
    assert label(first, second, scheme, (0.1, 0.9)).tolist() == [[1, 255, 0]]


@pytest.mark.parametrize("given", [["0.9", "0.1"], ["0.5"], ["low", "high"], ["-0.1", "0.9"], ["0.1", "0.9", "1"]])
def test_a_band_that_is_none_is_refused(given):
    with pytest.raises(UserError, match="--pseudo-labels"):
        parse_band(given)


def test_none_switches_them_off():
    assert parse_band(["none"]) is None and parse_band(["0.2", "0.8"]) == (0.2, 0.8)
