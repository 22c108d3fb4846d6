"""How a frame looks, whatever is in it: brightness, saturation, sharpness and colours of what the endoscope lights."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from surgseg.frames import LIT

HEIGHT = 240  # pixels; sharpness depends on the size, so it is measured at one
BINS = (30, 32)  # of hue and saturation


class Appearance(NamedTuple):
    """`brightness` mean CIELAB L* (0-100); `saturation` mean of HSV's S (0-1); `sharpness` variance of the Laplacian of
    the gray frame at 240 rows (gray levels squared); `histogram` BINS float32, shares of hue and saturation. All over
    lit pixels; NaN and zeros for a frame without any."""

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
    """(H, W, 3) uint8 RGB -> `Appearance`."""
    height, width = frame.shape[:2]
    small = cv2.resize(frame, (max(1, round(width * HEIGHT / height)), HEIGHT), interpolation=cv2.INTER_AREA)
    lit = small.max(2) > LIT
    if not lit.any():
        return Appearance(math.nan, math.nan, math.nan, np.zeros(BINS, np.float32))
    lightness = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 0]
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
    laplacian = cv2.Laplacian(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
    inside = cv2.erode(lit.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # the rim of the field is no sharpness
    histogram = cv2.calcHist([hsv], [0, 1], lit.astype(np.uint8), list(BINS), [0, 180, 0, 256])
    return Appearance(
        float(lightness[lit].mean()),
        float(hsv[..., 1][lit].mean() / 255),
        float(laplacian[inside].var()) if inside.any() else math.nan,
        histogram / histogram.sum(),
    )


def histogram_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Hellinger distance of two histograms that each sum to 1: sqrt(1 - sum sqrt(p q)), 0 equal, 1 disjoint; NaN where
    one is empty."""
    if not first.any() or not second.any():
        return math.nan
    shared = float(np.sqrt(first.astype(np.float64) * second).sum())
    return math.sqrt(max(0.0, 1 - shared))
