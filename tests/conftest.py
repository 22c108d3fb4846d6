"""Shared fixtures: quiet libraries, a small prepared folder, and one small training run on it."""

import contextlib
import gc
import io
import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.hookimpl(hookwrapper=True)
def pytest_collection():
    """What is imported here stays to the end: to look through it for garbage takes seconds, again and again."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small tensors are computed faster by one thread than by several that wait for each other."""
    import torch

    torch.set_num_threads(1)


def bar_mask(size, seed: int, classes: int = 1) -> np.ndarray:
    """(H, W) uint8: an upright bar per instrument class on background, the last row and column void."""
    rng = np.random.default_rng([seed, 1])
    mask = np.zeros(size, np.uint8)
    for class_id in range(1, classes + 1):
        left = int(rng.integers(4, size[1] // 2)) + (class_id - 1) * size[1] // 3
        top = int(rng.integers(2, size[0] // 3))
        mask[top:, left : left + size[1] // 6] = class_id
    mask[-1], mask[:, -1] = 255, 255
    return mask


def bar_frame(mask: np.ndarray, seed: int) -> np.ndarray:
    """(H, W, 3) uint8: dark noise, bright where the mask shows an instrument, of a colour for each class."""
    frame = np.random.default_rng([seed, 2]).integers(0, 90, (*mask.shape, 3))
    colours = np.array([[0, 0, 0], [160, 150, 160], [160, 150, 0]])
    return (frame + colours[np.where(mask == 255, 0, mask)]).astype(np.uint8)


def write_prepared(root: Path, parts: dict, frames: int = 6, size=(48, 64), scheme=None) -> Path:
    """A prepared folder: `parts` maps videos to their part; the last frame of each video shows no instrument."""
    from surgseg.data.dataset import MANIFEST_FIELDS
    from surgseg.files import write_bytes, write_csv, write_json
    from surgseg.frames import encode_frame
    from surgseg.labels import SCHEMES, write_scheme
    from surgseg.masks import write_mask

    scheme = scheme or SCHEMES["binary"]
    rows = []
    for number, (video, part) in enumerate(parts.items()):
        for index in range(frames):
            name, seed = f"{video}_{index:06d}", 100 * number + index
            mask = bar_mask(size, seed, len(scheme.instrument_ids))
            if index == frames - 1:
                mask[mask != 255] = 0
            write_bytes(root / "frames" / f"{name}.png", encode_frame(bar_frame(mask, seed), ".png"))
            write_mask(root / "masks" / f"{name}.png", mask, scheme)
            valid = mask != 255
            fraction = f"{((mask > 0) & valid).sum() / valid.sum():.6f}"
            values = (name, video, f"{video}_0", index, size[1], size[0], fraction, f"{1 - valid.mean():.6f}", part)
            rows.append(dict(zip(MANIFEST_FIELDS, values)))
    write_scheme(root / "classes.json", scheme)
    write_csv(root / "manifest.csv", MANIFEST_FIELDS, rows)
    write_json(root / "audit.json", {"data": "real"})
    return root


FOUR_VIDEOS = {"video01": "train", "video02": "train", "video03": "val", "video04": "test"}


@pytest.fixture(scope="session")
def make_prepared():
    """`write_prepared`, for tests that need a folder of their own (to change it, or of another scheme)."""
    return write_prepared


@pytest.fixture(scope="session")
def tiny_prepared(tmp_path_factory):
    """4 videos of 6 frames of 48x64 (train, train, val, test). Not to be changed: all tests share it."""
    return write_prepared(tmp_path_factory.mktemp("tiny") / "prepared", FOUR_VIDEOS)


class TinyRun:
    """What one small training through the script left: its folders, exit status and printed text."""

    epochs = 6  # enough for predictions that are neither empty nor perfect

    def __init__(self, root: Path, data: Path, scheme: str = ""):
        import instrument_segmentation

        self.data, self.output, self.preds = data, root / "outputs", root / "preds"
        self.weights = self.output / "instrument_segmentation_model.pth"
        self.options = ["--arch", "unet", "--base-channels", "4", "--image-size", "32", "48", "--device", "cpu"]
        self.options += ["--data-root", str(data), "--output-dir", str(self.output), "--save-preds", str(self.preds)]
        self.options += ["--cache-dir", str(root / "cache"), "--batch-size", "2", "--lr", "0.01"]
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            self.status = instrument_segmentation.main([*self.options, "--epochs", str(self.epochs)])
        self.text = text.getvalue()


@pytest.fixture(scope="session")
def tiny_run(tiny_prepared, tmp_path_factory):
    """Some epochs of a small U-Net on `tiny_prepared`. Not to be changed."""
    return TinyRun(tmp_path_factory.mktemp("run"), tiny_prepared)


@pytest.fixture(scope="session")
def tool_run(make_prepared, tmp_path_factory):
    """The same with two instrument classes."""
    from surgseg.labels import SCHEMES

    root = tmp_path_factory.mktemp("tools")
    return TinyRun(root, make_prepared(root / "prepared", FOUR_VIDEOS, scheme=SCHEMES["grasper-hook"]))
