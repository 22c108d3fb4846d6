"""Dense optical flow between neighbouring frames, to tell a mask that moves with its instrument from one that jumps.

DIS flow: Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search" (OpenCV's, medium preset). The
forward-backward check is that of Sundaram, Brox and Keutzer 2010, "Dense Point Trajectories by GPU-Accelerated Large
Displacement Optical Flow", equation 5.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import cv2
import numpy as np

FLOW_PAIRS = 1000  # flow takes some 60 ms a pair: of more, as many are taken, spread evenly
FLOW_HEIGHT = 480  # pixels; larger frames are made smaller first
_SHARE, _SLACK = 0.01, 0.5  # of the check: |f + b|^2 < share (|f|^2 + |b|^2) + slack, in pixels squared
_local = threading.local()  # a DIS object keeps buffers: one for each thread


class Warp(NamedTuple):
    """Where each pixel of the later frame was in the earlier one: `x`, `y` (H, W) float32 in pixels; `trusted`
    (H, W) bool where the flow there and back agrees and stays inside the frame."""

    x: np.ndarray
    y: np.ndarray
    trusted: np.ndarray

    def carry(self, mask: np.ndarray) -> np.ndarray:
        """A mask of the earlier frame (H, W) uint8 as it should look in the later one (nearest neighbour)."""
        return cv2.remap(mask, self.x, self.y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def gray_for_flow(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (h, w) uint8 gray, at most `FLOW_HEIGHT` high."""
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    height, width = gray.shape
    if height <= FLOW_HEIGHT:
        return gray
    return cv2.resize(gray, (round(width * FLOW_HEIGHT / height), FLOW_HEIGHT), interpolation=cv2.INTER_AREA)


def warp_between(earlier: np.ndarray, later: np.ndarray) -> Warp:
    """The `Warp` from two gray frames (H, W) uint8 of one size.

    Looking back from each pixel of the later frame leaves no holes: `carry` reads the earlier mask where the pixel came
    from. A pixel is trusted where the flow from there leads back to it.
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
    """(H, W, 2) float32: for each pixel of `first` the step (x, y) to where it is in `second`."""
    if not hasattr(_local, "dis"):
        _local.dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return _local.dis.calc(np.ascontiguousarray(first), np.ascontiguousarray(second), None)
