"""Frame and mask in one picture."""

import numpy as np

from surgseg.labels import SCHEMES
from surgseg.overlay import Painter

BINARY = SCHEMES["binary"]


def test_instruments_and_void_are_tinted_and_nothing_else():
    frame, ids = np.full((2, 4, 3), 100, np.uint8), np.zeros((2, 4), np.uint8)
    ids[0] = (1, 1, 0, 255)
    tinted = Painter(BINARY)(frame, ids)
    colour = np.array(BINARY.classes[1].colour)
    assert np.abs(tinted[0, 0].astype(int) - (50 + colour / 2)).max() <= 1
    assert (tinted[0, 2] == 100).all() and (tinted[1] == 100).all() and (tinted[0, 3] != 100).all()
    assert (frame == 100).all(), "the frame itself is left alone"


def test_with_many_classes_every_tissue_is_tinted():
    scheme = SCHEMES["full13"]
    ids = np.arange(12, dtype=np.uint8).reshape(2, 6)
    tinted = Painter(scheme, alpha=1.0)(np.zeros((2, 6, 3), np.uint8), ids)
    for class_id, pixel in zip(ids.ravel(), tinted.reshape(-1, 3).tolist()):
        assert tuple(pixel) == (tuple(scheme.classes[class_id].colour) if class_id else (0, 0, 0))
