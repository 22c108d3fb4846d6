"""Synthetic laparoscopic frames with CholecSeg8k watershed codes.

`draw_frame` is a pure function: the same arguments give the same bytes, in any order of calls and in any process.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from surgseg.files import UserError
from surgseg.synthetic.instruments import draw_tool
from surgseg.synthetic.motion import FRAME_SECONDS, camera, instruments
from surgseg.synthetic.texture import drift, generator, lattice, smoothstep
from surgseg.synthetic.tissue import HALF_HEIGHT, HALF_WIDTH, Anatomy, paint_anatomy

DOMAINS = ("aligned", "shifted")
OUTSIDE, VOID = 50, 255
MINIMUM_SIZE = (48, 64)


@dataclass(frozen=True)
class _Video:
    """The constants of a video: painting, view, light, lens and sensor."""

    anatomy: Anatomy
    u: np.ndarray  # (1, W)
    v: np.ndarray  # (H, 1)
    aperture: np.ndarray | None  # (H, W) 0 outside the round view, 1 inside; None: the view fills the frame
    cast: np.ndarray  # (3,)
    gain: float
    falloff: float
    smoke: float
    visibility: float
    grain: np.ndarray  # (H + 64, W + 64) gray levels
    outline: np.ndarray  # (H, W) bool: where instrument outlines are void


def draw_frame(
    seed: int, video: int, frame: int, size: tuple[int, int], domain: str = "aligned"
) -> tuple[np.ndarray, np.ndarray]:
    """Draw frame `frame` (25 per second) of video `video`.

    `size` is (height, width) in pixels. Returns (RGB (H, W, 3) uint8, watershed codes (H, W) uint8 with 255 void).
    Raises `UserError` for a size below 48x64, an unknown domain or a negative seed, video or frame.
    """
    size = tuple(int(length) for length in size)
    check_scene(size, domain)
    if min(seed, video, frame) < 0:
        raise UserError(f"seed, video and frame must not be negative: {seed}, {video}, {frame}")
    scene = scene_of(seed, video, size, domain)
    key, time = (seed, video), frame * FRAME_SECONDS
    colour, slopes, codes = _camera_view(scene, key, time)
    light = _light(scene, key, time)
    colour *= light[..., None]
    _add_highlights(colour, slopes, scene, key, time, light)
    tools = instruments(key, time, scene.visibility)
    if tools:
        mirror = _blurred(colour)
        for pose in tools:
            _add_tool(colour, codes, pose, light, mirror)
    _add_smoke(colour, scene, key, time)
    colour = _defocus(colour, key, time, size[0])
    return _expose(colour, scene, key, time, frame), _finish_codes(codes, scene)


def check_scene(size: tuple[int, int], domain: str) -> None:
    """Raise `UserError` for a size (height, width) below 48x64 pixels or an unknown domain."""
    if len(size) != 2 or size[0] < MINIMUM_SIZE[0] or size[1] < MINIMUM_SIZE[1]:
        raise UserError(f"frame size {size} is too small: at least {MINIMUM_SIZE[0]} {MINIMUM_SIZE[1]} (height width)")
    if domain not in DOMAINS:
        raise UserError(f"unknown domain {domain!r}: use {' or '.join(DOMAINS)}")


@functools.lru_cache(maxsize=2)
def _painting(seed: int, video: int, height: int) -> Anatomy:
    return paint_anatomy((seed, video), height)


@functools.lru_cache(maxsize=2)
def scene_of(seed: int, video: int, size: tuple[int, int], domain: str) -> _Video:
    """Return what all frames of a video share. `aperture` (H, W) is the round view, 0-1; None without one."""
    height, width = size
    rng = generator(seed, video, "optics")
    u = ((np.arange(width, dtype=np.float32) + 0.5 - width / 2) / height)[None]
    v = ((np.arange(height, dtype=np.float32) + 0.5 - height / 2) / height)[:, None]
    centre, radius, round_view = rng.uniform(-0.05, 0.05, 2), rng.uniform(0.60, 0.78), rng.random() < 0.75
    distance = np.sqrt((u - centre[0]) ** 2 + (v - centre[1]) ** 2)
    aperture = np.clip((radius - distance) * height / 1.5 + 0.5, 0, 1).astype(np.float32) if round_view else None
    cast, gain = rng.uniform(0.95, 1.05, 3), rng.uniform(0.95, 1.15)
    falloff, smoke, visibility = rng.uniform(0.5, 0.95), rng.uniform(0.1, 0.35), 0.68
    if domain == "shifted":
        cast, gain, smoke, visibility = cast * (0.86, 1.03, 1.18), gain * 0.78, smoke + 0.3, 0.97
    grain = generator(seed, video, "grain").normal(0, 1, (height + 64, width + 64)).astype(np.float32)
    grain = cv2.GaussianBlur(grain, (3, 3), 0.7) * np.float32(rng.uniform(2.0, 4.0))
    outline = lattice(generator(seed, video, "outline"), (5, 8), size) > (0.25 if rng.random() < 0.35 else 2.0)
    anatomy = _painting(seed, video, height)
    return _Video(anatomy, u, v, aperture, cast.astype(np.float32), gain, falloff, smoke, visibility, grain, outline)


def _camera_view(scene: _Video, key: tuple, time: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The painting as the moving camera sees it, moved by breathing: colour float32 0..255, slopes float32, codes."""
    pan_u, pan_v, zoom, roll = camera(key, time)
    height, width = scene.v.shape[0], scene.u.shape[1]
    cos, sin = np.float32(np.cos(roll) / zoom), np.float32(np.sin(roll) / zoom)
    rows, columns = scene.anatomy.codes.shape
    scale_x, scale_y = columns / (2 * HALF_WIDTH), rows / (2 * HALF_HEIGHT)

    def swell(axis: int, index: int, period: float) -> np.ndarray:
        pattern = lattice(generator(*key, "swell", axis, index + 1), (4, 6), (height, width))
        return drift((*key, "swell", axis, index), time, period) * pattern

    swell_u, swell_v = (0.02 * (swell(axis, 0, 3) + swell(axis, 2, 4)) for axis in (0, 1))
    x = (scene.u * cos - scene.v * sin + (pan_u + HALF_WIDTH) + swell_u) * np.float32(scale_x) - np.float32(0.5)
    y = (scene.u * sin + scene.v * cos + (pan_v + HALF_HEIGHT) + swell_v) * np.float32(scale_y) - np.float32(0.5)
    colour = cv2.remap(scene.anatomy.colour, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    slopes = cv2.remap(scene.anatomy.slopes, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    codes = cv2.remap(scene.anatomy.codes, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101)
    return colour.astype(np.float32), slopes, codes


def _light(scene: _Video, key: tuple, time: float) -> np.ndarray:
    """Brightness (H, W) float32: the lamp is beside the lens, and its spot moves a little."""
    at_u, at_v = 0.12 * drift((*key, "lamp-u"), time, 10), 0.10 * drift((*key, "lamp-v"), time, 12)
    distance = (scene.u - at_u) ** 2 + (scene.v - at_v) ** 2
    return np.float32(scene.gain * 1.2) / (1 + np.float32(2.2 * scene.falloff) * distance)


def _add_highlights(colour, slopes, scene: _Video, key: tuple, time: float, light) -> None:
    """Add reflections of the lamp where wet tissue faces it."""
    lean_u = slopes[..., 0] + 0.8 * scene.u + np.float32(0.25 * drift((*key, "shine-u"), time, 6) + 0.15)
    lean_v = slopes[..., 1] + 0.8 * scene.v + np.float32(0.25 * drift((*key, "shine-v"), time, 6) + 0.15)
    lean_u *= lean_u
    lean_v *= lean_v
    lean_u += lean_v
    sharp = cv2.exp(lean_u * np.float32(-1 / 0.02))
    soft = cv2.exp(lean_u * np.float32(-1 / 0.16))
    shine = slopes[..., 2] * light * (150 * sharp + 34 * soft)
    colour += shine[..., None]


def _blurred(colour: np.ndarray) -> np.ndarray:
    height, width = colour.shape[:2]
    small = cv2.resize(colour, (max(8, round(width / height * 30)), 30), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), 2.0), (width, height), interpolation=cv2.INTER_LINEAR)


def _add_tool(colour, codes, pose, light, mirror) -> None:
    """Draw a tool, and its soft shadow on the scene behind it."""
    height, width = codes.shape
    drawn, mask = colour.copy(), np.zeros_like(codes)
    draw_tool(drawn, mask, pose, light, mirror)
    if not mask.any():
        return
    small = cv2.resize((mask > 0).astype(np.float32), (max(16, width // 8), max(16, height // 8)))
    move = np.float32([[1, 0, 0.02 * small.shape[0]], [0, 1, 0.035 * small.shape[0]]])
    small = cv2.warpAffine(small, move, small.shape[::-1])
    shadow = cv2.resize(cv2.GaussianBlur(small, (0, 0), 0.02 * small.shape[0]), (width, height))
    colour *= (1 - 0.5 * shadow)[..., None]
    colour[:] = np.where((mask > 0)[..., None], drawn, colour)
    codes[mask > 0] = pose.code


def _add_smoke(colour, scene: _Video, key: tuple, time: float) -> None:
    """Add a moving gray veil whose strength changes over time."""
    amount = scene.smoke * float(smoothstep(-0.2, 0.7, drift((*key, "smoke"), time, 12)))
    if amount < 0.02:
        return
    height, width = colour.shape[:2]
    puffs = [
        (1 + drift((*key, "puff", index), time, 2.5))
        * lattice(generator(*key, "puff-at", index), (4, 7), (height, width))
        for index in range(3)
    ]
    veil = np.clip(0.5 + 0.5 * sum(puffs), 0, 1) * np.float32(amount)
    colour += (np.array([150, 147, 150], np.float32) - colour) * veil[..., None]


def _defocus(colour, key: tuple, time: float, height: int) -> np.ndarray:
    """Blur the frame: always a little, and more at times, as a camera that refocuses."""
    sigma = height * (0.0008 + 0.0035 * float(smoothstep(0.35, 0.9, drift((*key, "focus"), time, 7))))
    return cv2.GaussianBlur(colour, (0, 0), sigma) if sigma > 0.25 else colour


def _expose(colour, scene: _Video, key: tuple, time: float, frame: int) -> np.ndarray:
    """Apply exposure drift, colour cast, aperture and grain: float32 to uint8."""
    colour *= scene.cast * np.float32(1 + 0.12 * drift((*key, "exposure"), time, 6))
    if scene.aperture is not None:
        colour *= scene.aperture[..., None]
    height, width = colour.shape[:2]
    top, left = generator(*key, "grain-at", frame).integers(0, 64, 2)
    colour += scene.grain[top : top + height, left : left + width, None]
    return np.clip(colour, 0, 255).astype(np.uint8)


def _finish_codes(codes: np.ndarray, scene: _Video) -> np.ndarray:
    """Set the code of the black surround, and void: some instrument outlines, the last row and the last column."""
    if scene.outline.any():
        tool = ((codes == 31) | (codes == 32)).astype(np.uint8)
        ring = cv2.morphologyEx(tool, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        codes[ring & scene.outline] = VOID
    if scene.aperture is not None:
        codes[scene.aperture < 0.5] = OUTSIDE
    codes[-1], codes[:, -1] = VOID, VOID
    return codes
