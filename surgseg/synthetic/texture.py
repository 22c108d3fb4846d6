"""Random numbers that depend only on names: seeded generators, lattice noise over a plane, drift over time."""

from __future__ import annotations

import math
import zlib

import cv2
import numpy as np


def generator(seed: int, video: int, *names: str | int) -> np.random.Generator:
    """Return a generator for one purpose: the same (seed, video, names) always gives the same numbers."""
    words = [zlib.crc32(name.encode()) if isinstance(name, str) else int(name) for name in names]
    return np.random.default_rng(np.random.SeedSequence([seed, video, *words]))


def lattice(rng: np.random.Generator, cells: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """Smooth noise: a random grid of `cells` (rows, columns) interpolated to `shape`; float32, about -1..1.

    The grid does not depend on `shape`, so that the same pattern appears at every size.
    """
    grid = rng.uniform(-1, 1, cells).astype(np.float32)
    return cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def octaves(
    key: tuple, shape: tuple[int, int], cells: float, count: int, gain: float = 0.5, stretch: float = 1.0
) -> np.ndarray:
    """Sum of `count` lattices, each twice as fine as the last and `gain` times as strong; float32, deviation near 0.3.

    `cells` is the number of grid cells along the height of `shape`; `stretch` is their width divided by their height.
    Octaves finer than the pixels are left out. Each octave has its own generator, so this does not change the others.
    """
    height, width = shape
    total = np.zeros(shape, np.float32)
    strength = 1.0 / math.sqrt(sum(gain ** (2 * index) for index in range(count)))
    for index in range(count):
        rows = max(2, round(cells * 2**index))
        if rows > height / 1.5:
            break
        columns = max(2, round(rows * width / height / stretch))
        total += strength * gain**index * lattice(generator(*key, index), (rows, columns), shape)
    return total


def ridges(noise: np.ndarray, width: float) -> np.ndarray:
    """Thin winding lines where `noise` crosses zero (vessels, folds): float32 0..1."""
    return np.exp(-((noise / np.float32(width)) ** 2))


def drift(key: tuple, time: float, period: float) -> float:
    """Smooth function of time (seconds): the sum of three sinusoids with periods around `period`; within -1..1."""
    rng = generator(*key)
    periods = period * rng.uniform(0.6, 1.7, 3)
    phases = rng.uniform(0, 2 * math.pi, 3)
    weights = np.array([0.5, 0.3, 0.2])
    return float(np.sum(weights * np.sin(2 * math.pi * time / periods + phases)))


def smoothstep(low: float, high: float, value):
    """Return 0 below `low`, 1 above `high`, a smooth step between; floats or arrays."""
    x = np.clip((value - low) / (high - low), 0, 1)
    return x * x * (3 - 2 * x)
