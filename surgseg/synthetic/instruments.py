"""Draw a grasper or an L-hook into a frame: parts as signed distances, shaded as metal or ceramic cylinders.

A part is defined in the tool's own coordinates, in half shaft widths: a along the axis (0 at the end of the shaft,
positive towards the tip), b across.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable

import numpy as np

from surgseg.synthetic.motion import GRASPER, Pose
from surgseg.synthetic.texture import generator

_JAW_PIVOT = 1.3


@dataclass(frozen=True)
class Part:
    """One part of a tool: `shape(a, b)` -> (signed distance in half widths, position across the part -1..1).

    `box` (a0, a1, b1) bounds it: a0 <= a <= a1, -b1 <= b <= b1.
    """

    box: tuple[float, float, float]
    shape: Callable
    material: str


def draw_tool(colour: np.ndarray, codes: np.ndarray, pose: Pose, light: np.ndarray, mirror: np.ndarray) -> None:
    """Draw one tool into `colour` (H, W, 3) float32 0..255 and `codes` (H, W) uint8, in place.

    `light` (H, W) float32 is the brightness, `mirror` (H, W, 3) float32 0..255 the blurred scene that metal reflects.
    """
    rng = generator(*pose.style, "look")
    parts, reach = (_grasper if pose.code == GRASPER else _hook)(rng, pose)
    look = _Look(rng)
    direction = np.array([math.cos(pose.angle), math.sin(pose.angle)])
    joint = pose.tip - direction * reach * pose.half_width
    for part in parts:
        _paint(colour, codes, part, joint, direction, pose, look, light, mirror)


def _shaft(end: float = 0.0) -> Part:
    def shape(a, b):
        width = 1 - 0.010 * a  # wider near the camera
        return np.maximum(np.abs(b) - width, a - end), b / width

    return Part((-45, end, 1.5), shape, "shaft")


def _grasper(rng: np.random.Generator, pose: Pose) -> tuple[list[Part], float]:
    length, window, bend = rng.uniform(3.6, 5.0), rng.random() < 0.6, rng.uniform(0.0, 0.25)

    def sleeve(a, b):
        width = 0.92 - 0.10 * np.maximum(a, 0)
        return np.maximum(np.abs(b) - width, np.maximum(-0.3 - a, a - 1.9)), b / width

    def jaw(sign):
        cos, sin = math.cos(pose.opening), sign * math.sin(pose.opening)

        def shape(a, b):
            x = (a - _JAW_PIVOT) * cos + b * sin
            y = b * cos - (a - _JAW_PIVOT) * sin
            along = np.clip(x, 0, length)
            width = 0.52 - 0.05 * along
            across = y - sign * (0.36 + bend * np.sin(along * (math.pi / length)))
            distance = np.sqrt((x - along) ** 2 + across**2) - width
            if window and sign > 0:
                hole = np.sqrt((x - np.clip(x, 0.3 * length, 0.75 * length)) ** 2 + across**2) - 0.17
                distance = np.maximum(distance, -hole)
            return distance, across / width

        return Part((0.8, length + 2.0, 3.2), shape, "steel")

    return [_shaft(), jaw(-1), Part((-0.3, 1.9, 1.0), sleeve, "steel"), jaw(1)], length + _JAW_PIVOT


def _hook(rng: np.random.Generator, pose: Pose) -> tuple[list[Part], float]:
    turn, rod_end = rng.choice([-1, 1]) * rng.uniform(0.6, 1.0), rng.uniform(4.2, 5.2)

    def collar(a, b):
        width = 0.86 - 0.17 * np.maximum(a, 0)
        return np.maximum(np.abs(b) - width, np.maximum(-0.1 - a, a - 2.6)), b / width

    def rod(a, b):
        straight = np.sqrt((a - np.clip(a, 2.4, rod_end)) ** 2 + b * b)
        low, high = sorted((0.0, 1.5 * turn))
        bent = np.sqrt((a - rod_end) ** 2 + (b - np.clip(b, low, high)) ** 2)
        distance = np.minimum(straight, bent) - 0.24
        return distance, np.clip(np.where(straight < bent, b, a - rod_end) / 0.24, -1, 1)

    return [Part((2.0, rod_end + 0.5, 2.0), rod, "steel"), _shaft(), Part((-0.1, 2.6, 1.0), collar, "ceramic")], rod_end


class _Look:
    """The surface of one tool, drawn from `rng`: tone, tint, reflection, position of the lamp's streak, stains."""

    def __init__(self, rng: np.random.Generator):
        self.dark = rng.random() < 0.5
        self.tone = rng.uniform(0.13, 0.24) if self.dark else rng.uniform(0.40, 0.58)
        self.tint = (1 + rng.uniform(-0.045, 0.05), 1.0, 1 + rng.uniform(-0.05, 0.04))
        self.reflect = rng.uniform(0.25, 0.45)
        self.streak = rng.uniform(-0.45, 0.45)
        self.waves = rng.uniform(0.15, 1.3, 3), rng.uniform(0, 2 * math.pi, 3)
        self.stain = rng.uniform(0.0, 0.5)
        self.steel = rng.uniform(0.42, 0.60)


def _shade(part: Part, look: _Look, a, across, mirror):
    """The colour (h, w, 3) float32 0..1 of a lit cylinder; `mirror` is the blurred scene, 0..1."""
    across = np.clip(across, -1, 1)
    bulge = np.sqrt(np.maximum(1 - across * across, 0))
    wave = sum(np.sin(a * rate + phase) for rate, phase in zip(*look.waves)) / 3
    lambert = 0.25 + 0.75 * np.clip(bulge * 0.92 + across * look.streak * 0.5, 0, 1)
    shiny = part.material == "steel" or not look.dark
    streak = np.exp(-(((across - look.streak) / (0.16 if shiny else 0.28)) ** 2)) * (0.7 + 0.3 * wave)
    if part.material == "ceramic":
        base = np.array([0.80, 0.74, 0.62], np.float32) * (lambert + 0.2 * streak)[..., None]
    else:
        tone = look.steel if part.material == "steel" else look.tone
        gray = tone * lambert * (1 + 0.18 * wave) + (0.42 if shiny else 0.16) * streak
        base = gray[..., None] * np.array(look.tint, np.float32)
    around = look.reflect * (1.15 - 0.75 * bulge)[..., None] * mirror
    stains = look.stain * np.clip(0.4 + 0.8 * wave + 0.12 * (a - 2), 0, 1)[..., None]
    shade = base + around * (1.0 if shiny else 0.5)
    return shade * (1 - stains * np.array([0.15, 0.55, 0.6], np.float32))


def _paint(colour, codes, part, joint, direction, pose, look, light, mirror) -> None:
    height, width = codes.shape
    box = _pixel_box(part.box, joint, direction, pose.half_width, (height, width))
    if box is None:
        return
    rows, columns = box
    u = (np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5 - width / 2) / height - np.float32(joint[0])
    v = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5 - height / 2) / height - np.float32(joint[1])
    along, across = (direction / pose.half_width).astype(np.float32)
    a = u * along + v[:, None] * across
    b = v[:, None] * along - u * across
    distance, position = part.shape(a, b)
    cover = np.clip(0.5 - distance * np.float32(pose.half_width * height), 0, 1)
    place = colour[rows, columns]
    paint = _shade(part, look, a, position, mirror[rows, columns] * np.float32(1 / 255))
    paint = np.clip(paint * light[rows, columns, None], 0, 1.0) * np.float32(255)
    place += (paint.astype(np.float32) - place) * cover[..., None].astype(np.float32)
    codes[rows, columns][cover >= 0.5] = pose.code


def _pixel_box(box, joint, direction, half_width, size) -> tuple[slice, slice] | None:
    """Rows and columns of the frame that a part can cover; None where it lies outside."""
    height, width = size
    a0, a1, b1 = box
    corners = np.array([(a, b) for a in (a0, a1) for b in (-b1, b1)]) * half_width
    across = np.array([-direction[1], direction[0]])
    points = joint + corners[:, :1] * direction + corners[:, 1:] * across
    x, y = points[:, 0] * height + width / 2, points[:, 1] * height + height / 2
    left, right = max(0, math.floor(x.min()) - 1), min(width, math.ceil(x.max()) + 1)
    top, bottom = max(0, math.floor(y.min()) - 1), min(height, math.ceil(y.max()) + 1)
    return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None
