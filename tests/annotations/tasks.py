"""Small prepared folders for the tests of annotation formats, and the script run on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import convert_annotations
from surgseg.labels import SCHEMES, write_scheme
from surgseg.masks import write_mask
from tests.helpers import noise_frame, save_image

SCHEME = SCHEMES["grasper-hook"]  # background, grasper, l-hook


def make_task(root: Path, masks: dict[str, np.ndarray], scheme=SCHEME) -> Path:
    """A folder of frames, masks and classes.json, without a manifest."""
    for number, (name, ids) in enumerate(masks.items()):
        save_image(root / "frames" / f"{name}.png", noise_frame(number, ids.shape))
        write_mask(root / "masks" / f"{name}.png", ids, scheme)
    write_scheme(root / "classes.json", scheme)
    return root


def random_masks(count: int, seed: int = 0, values=(0, 1, 2, 255)) -> dict[str, np.ndarray]:
    """Masks of noise in blocks of 1 to 4 pixels, of odd sizes; the first is empty, the second all void."""
    random = np.random.default_rng(seed)
    masks = {"op_000000": np.zeros((7, 11), np.uint8), "op_000001": np.full((5, 3), 255, np.uint8)}
    for number in range(2, count):
        block, height, width = random.integers(1, 5), *random.integers(1, 30, 2)
        coarse = random.choice(np.array(values, np.uint8), (height, width))
        masks[f"op_{number:06d}"] = np.kron(coarse, np.ones((block, block), np.uint8))[:height, :width].copy()
    return masks


def convert(*options) -> int:
    return convert_annotations.main([str(option) for option in options])


def written(folder: Path) -> dict[str, np.ndarray]:
    """The masks of a folder by name, as stored."""
    masks = folder / "masks"
    return {
        path.relative_to(masks).with_suffix("").as_posix(): np.asarray(Image.open(path))
        for path in masks.rglob("*.png")
    }


def same_masks(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)
