"""Write a synthetic stream the way CholecSeg8k is distributed, and its videos as mp4.

    ROOT/synthetic.json                                     what was drawn; marks the folder as synthetic
    ROOT/video01/video01_00240/frame_240_endo.png           frames, and beside them
    ROOT/video01/video01_00240/frame_240_endo_watershed_mask.png
    ROOT/videos/video01.mp4                                 the clips one after the other, H.264, 25 frames per second

Frame numbers count 25 per second of the scene. Clips begin `clip_stride` frames apart, so that they show different
moments; frame i of the mp4 is frame `clip_stride * (i // frames) + i % frames` of its video.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from surgseg.data.sources import MARKER
from surgseg.files import UserError, make_folder, read_json, write_bytes, write_json
from surgseg.frames import encode_frame, read_frame
from surgseg.synthetic.scenes import DOMAINS, MINIMUM_SIZE, draw_frame

VIDEO_COMMENT = "synthetic laparoscopic scene"
DEMO_STREAM = {"videos": 20, "clips": 4, "frames": 4, "size": (240, 428), "seed": 3}
FRAMES_PER_SECOND = 25
_STRIDE = 240  # frames between the beginnings of two clips, where a clip is shorter
_DRAWING = 1  # raise it when the pictures change: a folder drawn by another version is not continued
_BATCH = 8  # frames of a clip that one process draws at a time


def write_release(
    output_root: Path | str,
    videos: int,
    clips: int,
    frames: int,
    size: tuple[int, int],
    seed: int,
    domain: str = "aligned",
    *,
    workers: int | None = None,
) -> dict:
    """Draw `videos` videos of `clips` clips of `frames` frames, `size` (height, width) pixels, on all cores.

    Files that exist are kept: the same call again finishes what is missing. Returns a dict with `frames` (drawn or
    found), `drawn`, `videos` (paths of the mp4 files) and `root`. Raises `UserError` for bad numbers, a folder that
    cannot be written, or one that holds anything else than this very stream.
    """
    root, size = Path(output_root), tuple(int(length) for length in size)
    _check_stream(videos, clips, frames, size, seed, domain)
    _claim(root, _description(videos, clips, frames, size, seed, domain))
    jobs = [
        (root, seed, video, start, range(first, min(first + _BATCH, start + frames)), size, domain)
        for video in range(1, videos + 1)
        for start in clip_starts(clips, frames)
        for first in range(start, start + frames, _BATCH)
    ]
    films = [(root, seed, video, clips, frames) for video in range(1, videos + 1)]
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    with _pool(workers) as pool:
        counts = list(_progress(pool(_draw_batch, jobs), len(jobs), "drawing", "batch"))
        paths = list(_progress(pool(_write_film, films), len(films), "encoding", "video"))
    return {"root": root, "frames": videos * clips * frames, "drawn": sum(counts), "videos": paths}


def clip_starts(clips: int, frames: int) -> list[int]:
    """Number of the first frame of every clip."""
    return [clip_stride(frames) * index for index in range(clips)]


def clip_stride(frames: int) -> int:
    """Frames between the beginnings of two clips: 240, or the next multiple of 80 that holds a clip of `frames`."""
    return max(_STRIDE, -(-frames // 80) * 80)


def frame_paths(root: Path | str, video: int, start: int, frame: int) -> tuple[Path, Path]:
    """Paths of a frame and of its watershed mask; `start` is the first frame of its clip."""
    name = f"video{video:02d}"
    folder = Path(root) / name / f"{name}_{start:05d}"
    return folder / f"frame_{frame}_endo.png", folder / f"frame_{frame}_endo_watershed_mask.png"


def video_path(root: Path | str, video: int) -> Path:
    return Path(root) / "videos" / f"video{video:02d}.mp4"


def _check_stream(videos: int, clips: int, frames: int, size: tuple, seed: int, domain: str) -> None:
    for name, value in (("videos", videos), ("clips", clips), ("frames", frames)):
        if value < 1:
            raise UserError(f"number of {name} must be at least 1, not {value}")
    if seed < 0:
        raise UserError(f"seed must not be negative: {seed}")
    if len(size) != 2 or size[0] < MINIMUM_SIZE[0] or size[1] < MINIMUM_SIZE[1]:
        raise UserError(f"frame size {size} is too small: at least {MINIMUM_SIZE[0]} {MINIMUM_SIZE[1]} (height width)")
    if domain not in DOMAINS:
        raise UserError(f"unknown domain {domain!r}: use {' or '.join(DOMAINS)}")


def _description(videos: int, clips: int, frames: int, size: tuple, seed: int, domain: str) -> dict:
    return {
        "data": "synthetic",
        "domain": domain,
        "seed": seed,
        "size": list(size),
        "videos": videos,
        "clips": clips,
        "frames": frames,
        "clip_stride": clip_stride(frames),
        "drawing": _DRAWING,
    }


def _claim(root: Path, description: dict) -> None:
    """Make the folder ours; one that holds other data, or another stream, is refused."""
    marker = root / MARKER
    if marker.exists():
        found = read_json(marker)
        found = found if isinstance(found, dict) else {}
        other = [key for key, value in description.items() if found.get(key) != value]
        if other:
            was = ", ".join(f"{key} {found.get(key)} instead of {description[key]}" for key in other)
            raise UserError(f"{root} holds another synthetic stream ({was}); choose another folder or remove it")
        return
    make_folder(root)
    if any(root.iterdir()):
        raise UserError(f"{root} is not empty and holds no {MARKER}: synthetic frames are not mixed with other files")
    write_json(marker, description)


def _draw_batch(job: tuple) -> int:
    """Draw the frames of a batch that are missing; returns how many."""
    root, seed, video, start, numbers, size, domain = job
    drawn = 0
    for number in numbers:
        frame_file, mask_file = frame_paths(root, video, start, number)
        if frame_file.exists() and mask_file.exists():
            continue
        colour, codes = draw_frame(seed, video, number, size, domain)
        write_bytes(frame_file, encode_frame(colour, ".png"))
        write_bytes(mask_file, encode_frame(np.dstack([codes] * 3), ".png"))
        drawn += 1
    return drawn


def _write_film(job: tuple) -> Path:
    """Encode a video's frames as mp4, its clips one after the other; an existing file is kept."""
    from surgseg.video.writer import VideoWriter

    root, seed, video, clips, frames = job
    path = video_path(root, video)
    if path.exists():
        return path
    comment = f"{VIDEO_COMMENT}; seed {seed}, video {video}"
    with VideoWriter(path, FRAMES_PER_SECOND, metadata={"comment": comment}) as writer:
        for start in clip_starts(clips, frames):
            for number in range(start, start + frames):
                writer.write(read_frame(frame_paths(root, video, start, number)[0]))
    return path


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[Callable]:
    """`map` over processes that start afresh (the same on every system); in this process where one is enough."""
    if workers == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, initializer=_single_threaded)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _single_threaded() -> None:
    """One thread per process: the processes already fill the cores."""
    import cv2

    cv2.setNumThreads(1)


def _progress(results: Iterable, total: int, what: str, unit: str) -> Iterable:
    return tqdm(results, total=total, desc=what, unit=unit, disable=not sys.stderr.isatty())
