"""Drawn endoscope frames for tests: a view in a dark border, with what can stand or happen around it."""

from __future__ import annotations

import cv2
import numpy as np

from tests.helpers import noise_frame

SIZE = (240, 428)


def circle(centre=(120, 214), radius=150, size=SIZE) -> np.ndarray:
    """(H, W) bool: a round view, cut by the frame above and below."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    return (rows + 0.5 - centre[0]) ** 2 + (columns + 0.5 - centre[1]) ** 2 <= radius**2


def rectangle(top, bottom, left, right, size=SIZE) -> np.ndarray:
    inside = np.zeros(size, bool)
    inside[top:bottom, left:right] = True
    return inside


def tissue(seed: int, size=SIZE, light: float = 1.0) -> np.ndarray:
    """(H, W, 3) uint8: coloured patches, another pattern for each seed."""
    patches = cv2.resize(noise_frame(seed, (6, 10)), size[::-1], interpolation=cv2.INTER_CUBIC)
    return ((70 + patches * 0.5) * light).clip(0, 255).astype(np.uint8)


def seen_through(inside: np.ndarray, seed: int, level: int = 0, noise: float = 0, light: float = 1.0) -> np.ndarray:
    """`tissue` inside a view, outside it a border of a gray level with noise of this standard deviation."""
    size = inside.shape
    border = np.random.default_rng(seed).normal(level, noise, (*size, 3)).clip(0, 255).astype(np.uint8)
    return np.where(inside[..., None], tissue(seed, size, light), border)


def film_of(inside: np.ndarray, count: int = 12, **border) -> list[np.ndarray]:
    return [seen_through(inside, seed, **border) for seed in range(count)]
