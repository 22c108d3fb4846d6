"""Appearance of a frame: brightness, saturation, sharpness and colours of its lit pixels."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from surgseg.frames import LIT

HEIGHT = 240  # pixels; frames are resized to it, since sharpness depends on the size
BINS = (30, 32)  # of hue and saturation


class Appearance(NamedTuple):
    """Measures over the lit pixels of a frame. Without any, the numbers are NaN and the histogram is zeros.

    `brightness`: mean CIELAB L* (0-100). `saturation`: mean S of HSV (0-1). `sharpness`: variance of the Laplacian of
    the gray frame at 240 rows (gray levels squared). `histogram`: BINS float32, shares of hue and saturation.
    """

    brightness: float
    saturation: float
    sharpness: float
    histogram: np.ndarray


MEASURES = {
    "brightness": "Brightness (L*, 0-100)",
    "saturation": "Saturation (0-1)",
    "sharpness": "Sharpness (Laplacian variance)",
}


def appearance(frame: np.ndarray) -> Appearance:
    """Return the `Appearance` of a frame, (H, W, 3) uint8 RGB."""
    small, lit = _reduced(frame)
    if not lit.any():
        return Appearance(math.nan, math.nan, math.nan, np.zeros(BINS, np.float32))
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
    histogram = cv2.calcHist([hsv], [0, 1], lit.astype(np.uint8), list(BINS), [0, 180, 0, 256])
    saturation = float(hsv[..., 1][lit].mean() / 255)
    return Appearance(_brightness(small, lit), saturation, _sharpness(small, lit), histogram / histogram.sum())


def brightness_and_sharpness(frame: np.ndarray) -> tuple[float, float]:
    """Return these two measures of `Appearance` alone, in less time."""
    small, lit = _reduced(frame)
    return (_brightness(small, lit), _sharpness(small, lit)) if lit.any() else (math.nan, math.nan)


def _reduced(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frame at `HEIGHT` rows, and (h, w) bool, whether a pixel of it is lit."""
    height, width = frame.shape[:2]
    small = cv2.resize(frame, (max(1, round(width * HEIGHT / height)), HEIGHT), interpolation=cv2.INTER_AREA)
    return small, cv2.max(cv2.max(small[..., 0], small[..., 1]), small[..., 2]) > LIT  # faster than NumPy's max


def _brightness(small: np.ndarray, lit: np.ndarray) -> float:
    return float(cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 0][lit].mean())


def _sharpness(small: np.ndarray, lit: np.ndarray) -> float:
    laplacian = cv2.Laplacian(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
    inside = cv2.erode(lit.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # the rim of the field is no detail
    return float(laplacian[inside].var()) if inside.any() else math.nan


def histogram_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Hellinger distance sqrt(1 - sum sqrt(p q)) of two histograms that each sum to 1.

    0: equal, 1: disjoint, NaN: one is all zeros.
    """
    if not first.any() or not second.any():
        return math.nan
    shared = float(np.sqrt(first.astype(np.float64) * second).sum())
    return math.sqrt(max(0.0, 1 - shared))
