"""Dense optical flow between neighbouring frames: it tells a mask that moves with its instrument from one that jumps.

DIS flow: Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search" (OpenCV's, medium preset). The
forward-backward check is that of Sundaram, Brox and Keutzer 2010, "Dense Point Trajectories by GPU-Accelerated Large
Displacement Optical Flow", equation 5.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import cv2
import numpy as np

FLOW_PAIRS = 1000  # at most, evenly spaced: flow takes some 60 ms a pair
FLOW_HEIGHT = 480  # pixels; larger frames are resized to it
_SHARE, _SLACK = 0.01, 0.5  # of the check: |f + b|^2 < share (|f|^2 + |b|^2) + slack, in pixels squared
_local = threading.local()  # one DIS object a thread, since it keeps buffers


class Warp(NamedTuple):
    """Position of each pixel of the later frame in the earlier one: `x`, `y` (H, W) float32, in pixels.

    `trusted` (H, W) bool: the flow there and back agrees, and the position lies inside the frame.
    """

    x: np.ndarray
    y: np.ndarray
    trusted: np.ndarray

    def carry(self, mask: np.ndarray) -> np.ndarray:
        """Move a mask of the earlier frame, (H, W) uint8, to the later one by the flow (nearest neighbour)."""
        return cv2.remap(mask, self.x, self.y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def gray_for_flow(frame: np.ndarray) -> np.ndarray:
    """Return a frame, (H, W, 3) uint8 RGB, as (h, w) uint8 gray with at most `FLOW_HEIGHT` rows."""
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    height, width = gray.shape
    if height <= FLOW_HEIGHT:
        return gray
    return cv2.resize(gray, (round(width * FLOW_HEIGHT / height), FLOW_HEIGHT), interpolation=cv2.INTER_AREA)


def warp_between(earlier: np.ndarray, later: np.ndarray) -> Warp:
    """Return the `Warp` from one gray frame to another, both (H, W) uint8.

    The flow goes from the later frame to the earlier one, so that every pixel of a carried mask has a value. A pixel is
    trusted where the flow from its earlier position leads back to it.
    """
    back, forth = _flow(later, earlier), _flow(earlier, later)
    height, width = earlier.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = columns + back[..., 0], rows + back[..., 1]
    returned = cv2.remap(forth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    miss = ((back + returned) ** 2).sum(2)
    size = (back**2).sum(2) + (returned**2).sum(2)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return Warp(x, y, inside & (miss < _SHARE * size + _SLACK))


def _flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(H, W, 2) float32: the step (x, y) from each pixel of `first` to its position in `second`."""
    if not hasattr(_local, "dis"):
        _local.dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return _local.dis.calc(np.ascontiguousarray(first), np.ascontiguousarray(second), None)
