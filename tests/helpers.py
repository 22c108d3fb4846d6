"""Small source trees for tests, and where the real samples are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


def shared_data(name: str) -> Path:
    """A folder of real samples beside the repository; the test is skipped where it is absent."""
    folder = Path(os.environ.get("SURGSEG_SHARED_DATA", ROOT.parent / "shared" / "data")) / name
    if not folder.is_dir():
        pytest.skip(f"needs the real samples in {folder} (SURGSEG_SHARED_DATA names another place)")
    return folder


def noise_frame(seed: int, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    """(H, W, 3) uint8, different for every seed."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def code_mask(size: tuple[int, int] = (24, 32), instrument: int = 6) -> np.ndarray:
    """(H, W) uint8 watershed codes: liver, `instrument` columns of grasper, 255 in the last row and column."""
    codes = np.full(size, 21, np.uint8)
    codes[:, :instrument] = 31
    codes[-1], codes[:, -1] = 255, 255
    return codes


def save_image(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def save_rgb_mask(path: Path, codes: np.ndarray, alpha: bool = False) -> Path:
    """Codes in three equal colour channels, as the release stores them."""
    channels = [codes] * 3 + ([np.full_like(codes, 255)] if alpha else [])
    return save_image(path, np.stack(channels, 2))


def make_release(
    root: Path, videos: dict[str, int], size: tuple[int, int] = (24, 32), extra_masks: bool = False
) -> Path:
    """A CholecSeg8k tree of `videos` (name to frames), two frames a clip; the last frame of a video is empty."""
    for video_index, (video, frames) in enumerate(videos.items()):
        for number in range(frames):
            clip = root / video / f"{video}_{number // 2 * 2:05d}"
            stem = f"frame_{number}_endo"
            save_image(clip / f"{stem}.png", noise_frame(1000 * video_index + number, size))
            codes = code_mask(size, instrument=0 if number == frames - 1 else 2 + number)
            save_rgb_mask(clip / f"{stem}_watershed_mask.png", codes)
            if extra_masks:
                save_rgb_mask(clip / f"{stem}_mask.png", codes)
                save_image(clip / f"{stem}_color_mask.png", noise_frame(number, size))
    return root


def release_frame(root: Path, video: str, number: int) -> Path:
    return root / video / f"{video}_{number // 2 * 2:05d}" / f"frame_{number}_endo.png"


def release_mask(root: Path, video: str, number: int) -> Path:
    frame = release_frame(root, video, number)
    return frame.with_name(f"{frame.stem}_watershed_mask.png")


def folder_bytes(root: Path) -> dict[str, bytes]:
    """Every file below a folder by its relative path."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def frame_scores(counts: np.ndarray, scheme, void: str = "ignore") -> dict[str, np.ndarray]:
    """IoU and Dice of the instrument union of each frame, from its counts (N, K + 1, K) instead of its masks."""
    from surgseg.scores.metrics import class_scores, square, union_matrix

    scores = class_scores(union_matrix(square(counts, void), scheme.instrument_ids))
    return {name: scores[name][:, 1] for name in ("iou", "dice")}
