"""Poses of camera and instruments over time: smooth paths, and episodes in which a tool is in view or not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from surgseg.synthetic.texture import drift, generator, smoothstep

GRASPER, HOOK = 31, 32
FRAME_SECONDS = 1 / 25
_FADE = 0.7  # seconds a tool takes to enter or to leave


@dataclass(frozen=True)
class Pose:
    """One tool at one time. Lengths in frame heights, angles in radians; `tip` is its foremost point.

    `style` seeds what does not change over time: material, stains, the shape of the jaws.
    """

    code: int
    tip: np.ndarray
    angle: float
    half_width: float
    opening: float
    style: tuple


def camera(key: tuple, time: float) -> tuple[float, float, float, float]:
    """Return (pan u, pan v, zoom, roll in radians) of the camera over the painting."""
    pan_u = 0.10 * drift((*key, "pan-u"), time, 9) + 0.012 * drift((*key, "hand-u"), time, 1.3)
    pan_v = 0.07 * drift((*key, "pan-v"), time, 11) + 0.012 * drift((*key, "breath"), time, 3.5)
    return pan_u, pan_v, 1.12 + 0.12 * drift((*key, "zoom"), time, 13), 0.10 * drift((*key, "roll"), time, 12)


def instruments(key: tuple, time: float, visibility: float) -> list[Pose]:
    """Poses of the tools in view at `time` (seconds), back to front; `visibility` is the share of time in view."""
    poses = [_pose_in_slot(key, slot, time, visibility) for slot in (0, 1)]
    return [pose for pose in poses if pose is not None]


def _pose_in_slot(key: tuple, slot: int, time: float, visibility: float) -> Pose | None:
    """The pose of the first (0) or second (1) tool; None while it is out of view."""
    rng = generator(*key, "slot", slot)
    length = rng.uniform(4.0, 6.5)  # seconds of an episode
    position = time / length + rng.random()
    episode = math.floor(position)
    style = (*key, "tool", slot, episode)
    rng = generator(*style)
    if rng.random() > visibility:
        return None
    inside = (position - episode) * length
    reach = float(smoothstep(0, _FADE, inside) * smoothstep(0, _FADE, length - inside))
    grasper = rng.random() < (0.85, 0.4)[slot]
    side = rng.uniform(-0.75, 0.65)
    angle = math.pi + side if slot == 0 else -side
    entry = np.array([1.5 * math.cos(angle), 1.1 * math.sin(angle)])
    aim = np.array([rng.uniform(-0.22, 0.22), rng.uniform(-0.18, 0.18)])
    path = [drift((*style, axis), time, rng.uniform(1.6, 4)) for axis in "uv"]
    toward = aim + np.array([0.16, 0.12]) * path - entry
    tip = entry + toward * reach
    opening = 0.16 + 0.16 * drift((*style, "open"), time, 2.0)
    heading = math.atan2(toward[1], toward[0]) + 0.05 * drift((*style, "tilt"), time, 3)
    return Pose(GRASPER if grasper else HOOK, tip, heading, rng.uniform(0.040, 0.060), opening, style)
