"""Paint a mask over its frame."""

from __future__ import annotations

import cv2
import numpy as np

from surgseg.labels import VOID, Scheme


class Painter:
    """Tint void and the instrument classes with their colours; of more than three classes all but class 0."""

    def __init__(self, scheme: Scheme, alpha: float = 0.5):
        tinted = [item.id for item in scheme.classes if item.instrument or (scheme.num_classes > 3 and item.id > 0)]
        self.colours, self.alpha = np.array(scheme.palette(), np.uint8).reshape(256, 1, 3), alpha
        self.tinted = np.zeros(256, np.uint8)
        self.tinted[[*tinted, VOID]] = 255

    def __call__(self, frame: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Return a new (H, W, 3) uint8 RGB picture of a (H, W, 3) uint8 RGB frame and (H, W) uint8 class ids."""
        where = cv2.LUT(ids, self.tinted)
        if not where.any():
            return frame.copy()
        colour = cv2.LUT(cv2.merge([ids] * 3), self.colours)
        blend = cv2.addWeighted(frame, 1 - self.alpha, colour, self.alpha, 0)
        picture = frame.copy()
        cv2.copyTo(blend, where, picture)
        return picture
