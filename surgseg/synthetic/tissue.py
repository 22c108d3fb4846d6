"""The anatomy of one video: a still painting, larger than the view, over which the camera moves.

Coordinates are in frame heights from the centre of the view: u to the right, v downward.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from surgseg.synthetic.texture import generator, octaves, ridges, smoothstep

HALF_WIDTH, HALF_HEIGHT = 1.2, 0.75  # half the size of the painting, in frame heights

WALL, LIVER, GUT, FAT, CONNECTIVE, BLOOD, DUCT, GALLBLADDER, VEIN, LIGAMENT = 11, 21, 13, 12, 23, 24, 25, 22, 33, 5

# RGB 0..1 at full light; each video draws its own colour between the two
_COLOURS = {
    WALL: ((0.66, 0.34, 0.30), (0.56, 0.36, 0.38)),
    LIVER: ((0.44, 0.16, 0.13), (0.42, 0.21, 0.19)),
    GUT: ((0.82, 0.48, 0.42), (0.78, 0.55, 0.46)),
    FAT: ((0.86, 0.58, 0.24), (0.80, 0.64, 0.40)),
    CONNECTIVE: ((0.78, 0.52, 0.44), (0.74, 0.60, 0.52)),
    GALLBLADDER: ((0.56, 0.53, 0.42), (0.74, 0.55, 0.46)),
    BLOOD: ((0.36, 0.03, 0.03), (0.30, 0.05, 0.05)),
    DUCT: ((0.68, 0.60, 0.45), (0.72, 0.55, 0.48)),
    VEIN: ((0.35, 0.20, 0.30), (0.40, 0.22, 0.26)),
    LIGAMENT: ((0.74, 0.60, 0.56), (0.66, 0.60, 0.60)),
}
# texture of each organ: cells per height, octaves, stretch, colour contrast, bump height, vessels, gloss
_SURFACE = {
    WALL: (7, 6, 3.0, 0.30, 0.006, 0.30, 0.5),
    LIVER: (12, 5, 1.0, 0.16, 0.004, 0.0, 0.9),
    GUT: (5, 6, 1.5, 0.20, 0.008, 0.8, 0.8),
    FAT: (10, 5, 1.0, 0.28, 0.026, 0.3, 0.7),
    CONNECTIVE: (10, 6, 4.0, 0.32, 0.008, 0.25, 0.8),
    GALLBLADDER: (5, 6, 1.0, 0.20, 0.005, 0.7, 1.0),
    BLOOD: (6, 3, 1.0, 0.20, 0.003, 0.0, 1.3),
    DUCT: (8, 4, 2.0, 0.18, 0.006, 0.2, 0.9),
    VEIN: (6, 4, 2.0, 0.15, 0.005, 0.0, 0.9),
    LIGAMENT: (9, 5, 4.0, 0.25, 0.006, 0.2, 0.7),
}
# how gray the fascia over an organ is; 0.25 for the other organs
_PALE = {WALL: 0.70, LIVER: 0.36, CONNECTIVE: 0.75, GALLBLADDER: 0.6, FAT: 0.35, GUT: 0.5, LIGAMENT: 0.75, BLOOD: 0.0}
_ROUND = {WALL: 0.0, BLOOD: 0.1, CONNECTIVE: 0.3, LIGAMENT: 0.3}  # how much an organ bulges
_SOFT = {BLOOD: 0.010, CONNECTIVE: 0.025, LIGAMENT: 0.02, VEIN: 0.012}  # width of the border, in frame heights
_COVER = {BLOOD: 0.85, CONNECTIVE: 0.8, VEIN: 0.6}  # how opaque


@dataclass(frozen=True)
class Anatomy:
    """The painting of a video: `colour` (H, W, 3) uint8 RGB, `slopes` (H, W, 3) float32 (slope of the surface along u
    and v, gloss), `codes` (H, W) uint8 watershed codes with 255 on some borders."""

    colour: np.ndarray
    slopes: np.ndarray
    codes: np.ndarray


def plane(height: int, half_height: float, half_width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return u, v (H, W) float32 of the pixel centres of a painting for frames `height` pixels high."""
    rows, columns = round(2 * half_height * height), round(2 * half_width * height)
    u = (np.arange(columns, dtype=np.float32) + 0.5) * (2 * half_width / columns) - half_width
    v = (np.arange(rows, dtype=np.float32) + 0.5) * (2 * half_height / rows) - half_height
    return np.broadcast_to(u, (rows, columns)), np.broadcast_to(v[:, None], (rows, columns))


def _ellipse(u, v, centre, radii, angle, pear=0.0):
    """Depth inside an ellipse (frame heights; negative outside); one end is narrower where `pear` > 0."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    a = ((u - centre[0]) * cos + (v - centre[1]) * sin) / radii[0]
    b = ((v - centre[1]) * cos - (u - centre[0]) * sin) / radii[1]
    b = b / np.maximum(1 - pear * a, 0.3)
    return (1 - np.sqrt(a * a + b * b)) * min(radii)


def _organs(key: tuple, u: np.ndarray, v: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """(code, depth inside it) of every organ of a video, from the back to the front."""
    rng = generator(*key, "layout")
    shape = u.shape
    side = 1.0 if rng.random() < 0.7 else -1.0  # the side of the liver
    warp_u, warp_v = (octaves((*key, "warp", axis), shape, 4, 4, 0.4) for axis in (0, 1))
    smooth = u * side + 0.03 * warp_u, v + 0.03 * warp_v
    ragged = (
        u * side + 0.10 * warp_v + 0.022 * octaves((*key, "torn", 0), shape, 14, 4, 0.7),
        v + 0.12 * warp_u + 0.022 * octaves((*key, "torn", 1), shape, 14, 4, 0.7),
    )
    u, v = u * side + 0.09 * warp_u, v + 0.09 * warp_v
    organs = [(WALL, np.full(shape, 1.0, np.float32))]

    def near(value, spread):
        return value + rng.uniform(-spread, spread)

    def add(code, centre, radii, angle, plane=(u, v), pear=0.0):
        organs.append((code, _ellipse(*plane, centre, radii, angle, pear)))

    neck = np.array([near(0.0, 0.12), near(0.10, 0.06)])
    angle = near(-2.0, 0.5)
    length, thick = near(0.24, 0.05), near(0.15, 0.03)
    body = neck + length * 0.9 * np.array([np.cos(angle), np.sin(angle)])
    chance = rng.random(6)
    if chance[0] < 0.2:
        add(LIGAMENT, (near(-0.4, 0.2), -0.35), (0.5, 0.07), near(0.4, 0.3))
    add(LIVER, (near(0.58, 0.12), near(-0.12, 0.12)), (near(0.62, 0.08), near(0.40, 0.08)), near(0.3, 0.4))
    if chance[1] < 0.5:  # a second lobe
        add(LIVER, (near(-0.45, 0.15), near(-0.22, 0.08)), (near(0.4, 0.1), 0.2), near(-0.4, 0.3))
    if chance[2] < 0.2:
        add(VEIN, (near(0.4, 0.1), near(0.0, 0.1)), (0.2, 0.035), near(0.8, 0.5))
    organs.append((FAT, (v - near(0.30, 0.10) - near(0.0, 0.25) * u) * 0.8))
    add(GUT, (near(-0.45, 0.25), near(0.30, 0.08)), (near(0.42, 0.1), near(0.17, 0.04)), near(-0.2, 0.3))
    add(GALLBLADDER, body, (length, thick), angle + np.pi, smooth, pear=0.35)
    if chance[3] < 0.3:
        add(DUCT, neck + [0.03, 0.06], (0.12, 0.03), near(1.3, 0.4))
    size = near(0.17, 0.05)
    add(CONNECTIVE, neck + [near(0.08, 0.08), near(0.05, 0.05)], (size, size * 0.6), near(0, 1), ragged)
    if chance[4] < 0.55:
        add(BLOOD, neck + [near(0.15, 0.2), near(0.05, 0.2)], (near(0.11, 0.03), 0.06), near(0, 1), ragged)
    return organs


def _hue(key: tuple, code: int) -> np.ndarray:
    rng = generator(*key, "hue", code)
    first, second = np.array(_COLOURS[code], np.float32)
    mixed = first + (second - first) * rng.random()
    return (mixed * rng.uniform(0.88, 1.12) * rng.uniform(0.94, 1.06, 3)).astype(np.float32)


def _skin(key: tuple, code: int, index: int, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour (H, W, 3) float32 and surface height (H, W) in frame heights of one organ, over the whole painting."""
    cells, count, stretch, contrast, bump, vessels, _ = _SURFACE[code]
    shape = depth.shape
    fine = octaves((*key, "fine", index), shape, cells, count, 0.6, stretch)
    broad = octaves((*key, "broad", index), shape, 3, 3)
    tone = 1 + contrast * (fine + 0.8 * broad)
    colour = _hue(key, code) * tone[..., None]
    # bands of pale fascia: tissue as gray as steel
    pale = smoothstep(0.05, 0.45, octaves((*key, "pale", index), shape, 5, 4, 0.55, stretch)) * _PALE.get(code, 0.25)
    gray = _hue(key, code).mean() * (1.05 + contrast * (0.65 * fine + broad))  # smoother than the tissue around it
    colour += (gray[..., None] - colour) * pale[..., None]
    if vessels:
        lines = ridges(octaves((*key, "vessel", index), shape, 7, 5, 0.6), 0.03)
        lines *= vessels * smoothstep(-0.3, 0.3, octaves((*key, "vessel-where", index), shape, 4, 2))
        colour *= 1 - lines[..., None] * np.array([0.25, 0.55, 0.5], np.float32)
    rim = np.clip(depth, 0, 0.16)
    dome = _ROUND.get(code, 0.8) * np.sqrt(rim * (0.32 - rim))
    return colour, dome + bump * (1.2 * fine + 2.0 * broad)


def paint_anatomy(key: tuple, height: int) -> Anatomy:
    """Paint the anatomy of a video for frames `height` pixels high; `key` is (seed, video)."""
    u, v = plane(height, HALF_HEIGHT, HALF_WIDTH)
    colour = np.zeros((*u.shape, 3), np.float32)
    slopes = np.zeros((*u.shape, 3), np.float32)
    codes = np.full(u.shape, WALL, np.uint8)
    edges = np.zeros(u.shape, bool)
    for index, (code, depth) in enumerate(_organs(key, u, v)):
        soft = max(0.6 / height, _SOFT.get(code, 0))
        inside = (_COVER.get(code, 1.0) * smoothstep(-soft, soft, depth)).astype(np.float32)
        skin, surface = _skin(key, code, index, depth)
        colour *= (1 - 0.55 * np.exp(-np.maximum(-depth, 0) / 0.035))[..., None]  # contact shadow on the organs behind
        colour += (skin - colour) * inside[..., None]
        slopes[..., 2] *= 1 - np.exp(-np.maximum(-depth, 0) / 0.012)
        gloss = _SURFACE[code][6] * smoothstep(0, 0.03, depth)  # none on the rim: it would sparkle as a line
        own_slopes = np.dstack([_slope(surface, height, 1, 0), _slope(surface, height, 0, 1), gloss])
        slopes += (own_slopes.astype(np.float32) - slopes) * inside[..., None]
        codes[depth > 0] = code
        edges[depth > 0] = False  # this organ hides the borders behind it
        if generator(*key, "void", index).random() < 0.5:
            edges |= np.abs(depth) < 0.8 / height
    edges &= octaves((*key, "void"), u.shape, 3, 2) > -0.1
    codes[edges] = 255
    facing = 1 / np.sqrt(1 + slopes[..., 0] ** 2 + slopes[..., 1] ** 2)
    side_light = np.clip(1 - 0.25 * slopes[..., 1] - 0.15 * slopes[..., 0], 0.4, 1.3)
    colour *= (0.25 + 0.75 * facing * side_light)[..., None]
    slopes[..., :2] += 0.45 * np.dstack([octaves((*key, "wet", axis), u.shape, 22, 4, 0.8) for axis in (0, 1)])
    slopes[..., 2] *= 0.15 + smoothstep(-0.1, 0.5, octaves((*key, "wet-where"), u.shape, 5, 3))
    return Anatomy(np.clip(colour * 255, 0, 255).astype(np.uint8), slopes, codes)


def _slope(surface: np.ndarray, height: int, dx: int, dy: int) -> np.ndarray:
    return cv2.Sobel(surface.astype(np.float32), cv2.CV_32F, dx, dy, ksize=3, scale=height / 8)
