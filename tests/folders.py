"""Generated folders made by hand, with masks whose every pixel the test knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from surgseg.generate.folder import Generated, read_generated
from surgseg.generate.writer import GeneratedWriter
from surgseg.labels import SCHEMES
from surgseg.predict import Measures
from surgseg.video.reader import Frame


def pixels(count: int, size: tuple[int, int] = (10, 10)) -> np.ndarray:
    """(H, W) uint8 mask whose first `count` pixels are instrument."""
    ids = np.zeros(size[0] * size[1], np.uint8)
    ids[:count] = 1
    return ids.reshape(size)


def columns(first: int, last: int, size: tuple[int, int] = (10, 10)) -> np.ndarray:
    """(H, W) uint8 mask whose columns from `first` up to, not including, `last` are instrument."""
    ids = np.zeros(size, np.uint8)
    ids[:, first:last] = 1
    return ids


def write_folder(
    path: Path, masks, *, step: int = 30, rate: float = 25.0, numbers=None, images=None, suspect=(), complete=True,
    parts=None, scheme="binary", name="video", confidence=None, probabilities=None, **run,
) -> Path:  # fmt: skip
    """A generated folder as generate_masks_from_model.py writes it.

    `masks` are class ids, or counts of instrument pixels of 10x10; frame i has the number `numbers[i]` (default `step`
    times i) and the time number / `rate`. `images` (H, W, 3) uint8 of each frame are kept where they are given, so are
    `probabilities` (H, W) uint8 in 255ths.
    `run` goes into run.json.
    """
    masks = [pixels(mask) if isinstance(mask, int) else mask for mask in masks]
    numbers = [step * index for index in range(len(masks))] if numbers is None else numbers
    if parts is None:
        parts = {"masks": "png"} if images is None else {"frames": "png", "masks": "png"}
        parts.update({} if probabilities is None else {"probabilities": "png"})
    writer = GeneratedWriter(path, SCHEMES[scheme], name, parts)
    writer.begin({})
    for index, (number, ids) in enumerate(zip(numbers, masks)):
        image = np.zeros((*ids.shape, 3), np.uint8) if images is None else images[index]
        known = ids != 255
        coverage = ((ids > 0) & known).sum() / max(known.sum(), 1)
        sure = 0.9 if confidence is None else confidence[index]
        frame = Frame(number, number / rate, image, index in suspect)
        probability = None if probabilities is None else probabilities[index]
        writer.commit(writer.store(frame, ids, Measures(coverage, sure, 0.0), probability))
    length = (numbers[-1] + (numbers[1] - numbers[0] if len(numbers) > 1 else 1)) / rate if len(numbers) else 1.0
    described = {
        "video_data": "unmarked",
        "weights_data": "real",
        "weights_sha256": "a" * 64,
        "threshold": 0.5,
        "sampling": {"mode": "every", "step": step, "burst": 1},
        "video": {"duration_s": length},
    }
    writer.finish({**described, **run}, None if complete else "Ctrl-C")
    return path


def read_folder(path: Path, masks, **options) -> Generated:
    """The same, read again."""
    return read_generated(write_folder(path, masks, **options))


def texture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """(H, W) uint8: smooth noise that optical flow can follow."""
    import cv2

    noise = np.random.default_rng(seed).random(size).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def write_phases(path: Path, names, step: int = 1, first: int = 0) -> Path:
    """A phase file as Cholec80's: a row for each name, `step` frames apart."""
    rows = [f"{first + step * index}\t{name}" for index, name in enumerate(names)]
    path.write_text("\n".join(["Frame\tPhase", *rows]) + "\n")
    return path


TOOLS = ("Grasper", "Bipolar", "Hook", "Scissors", "Clipper", "Irrigator", "SpecimenBag")


def write_tools(path: Path, in_view, step: int = 25, tools=TOOLS) -> Path:
    """A tool file as Cholec80's: for each row the names of the tools in view, `step` frames apart."""
    rows = [
        "\t".join([str(step * index), *(str(int(tool in shown)) for tool in tools)])
        for index, shown in enumerate(in_view)
    ]
    path.write_text("\n".join(["\t".join(["Frame", *tools]), *rows]) + "\n")
    return path
