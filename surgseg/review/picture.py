"""Small pictures of frames, and masks carried to another frame."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np

from surgseg.flow import Warp, gray_for_flow, warp_between
from surgseg.frames import open_image

THUMBNAIL_WIDTH = 160  # pixels


def thumbnail(path: Path) -> bytes:
    """Return a JPEG of a frame, `THUMBNAIL_WIDTH` wide."""
    stream = io.BytesIO()
    with open_image(path, str(path)) as image:
        image.thumbnail((THUMBNAIL_WIDTH, 10 * THUMBNAIL_WIDTH))  # a JPEG is decoded at a fraction of its size
        image.convert("RGB").save(stream, "JPEG", quality=80)
    return stream.getvalue()


def carry_mask(mask: np.ndarray, frame: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Carry a mask of `frame` along the optical flow to `target`.

    `mask` (H, W) uint8, frames (H, W, 3) uint8 RGB. Returns the carried mask, (H, W) uint8, and where the flow is
    trusted, (H, W) bool. The flow of large frames is computed at the size of `gray_for_flow`.
    """
    warp = warp_between(gray_for_flow(frame), gray_for_flow(target))
    if warp.x.shape != mask.shape:
        warp = _enlarged(warp, mask.shape)
    return warp.carry(mask), warp.trusted


def _enlarged(warp: Warp, shape: tuple[int, int]) -> Warp:
    size = shape[::-1]
    x, y = (
        (cv2.resize(position, size) + 0.5) * (large / small) - 0.5  # pixel i covers i to i + 1
        for position, large, small in zip((warp.x, warp.y), size, warp.x.shape[::-1])
    )
    trusted = cv2.resize(warp.trusted.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return Warp(x, y, trusted)
