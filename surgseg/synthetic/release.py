"""Write a synthetic stream in the folder layout of CholecSeg8k, and its videos as mp4.

    ROOT/synthetic.json                                             parameters; marks the folder as synthetic
    ROOT/video01/video01_00240/frame_240_endo.png                   a frame
    ROOT/video01/video01_00240/frame_240_endo_watershed_mask.png    its mask
    ROOT/videos/video01.mp4                                         all clips in order, H.264, 25 frames per second

Frame numbers count 25 per second of the scene. Clips begin `clip_stride` frames apart, so that they show different
moments; frame i of the mp4 is frame `clip_stride * (i // frames) + i % frames` of its video.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from surgseg.data.sources import MARKER
from surgseg.files import UserError, make_folder, read_json, write_bytes, write_json
from surgseg.frames import encode_frame, read_frame
from surgseg.synthetic.scenes import check_scene, draw_frame
from surgseg.threads import cpu_count

VIDEO_COMMENT = "synthetic laparoscopic scene"
DEMO_STREAM = {"videos": 20, "clips": 4, "frames": 4, "size": (240, 428), "seed": 3}
FRAMES_PER_SECOND = 25
_STRIDE = 240  # smallest number of frames between the starts of two clips
_DRAWING = 1  # raise it when the drawn images change: a folder of another version is then refused
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

    Existing files are kept, so the same call again draws only what is missing. Returns a dict with `frames` (all),
    `drawn` (new ones), `videos` (paths of the mp4 files) and `root`. Raises `UserError` for bad numbers, for a folder
    that cannot be written, and for a folder that holds other files or another stream.
    """
    root, size = Path(output_root), tuple(int(length) for length in size)
    for name, value in (("videos", videos), ("clips", clips), ("frames", frames)):
        if value < 1:
            raise UserError(f"number of {name} must be at least 1, not {value}")
    if seed < 0:
        raise UserError(f"seed must not be negative: {seed}")
    check_scene(size, domain)
    stream = {"domain": domain, "seed": seed, "size": list(size), "videos": videos, "clips": clips, "frames": frames}
    _mark_folder(root, {"data": "synthetic", **stream, "clip_stride": clip_stride(frames), "drawing": _DRAWING})
    jobs = [
        (root, seed, video, start, range(first, min(first + _BATCH, start + frames)), size, domain)
        for video in range(1, videos + 1)
        for start in clip_starts(clips, frames)
        for first in range(start, start + frames, _BATCH)
    ]
    films = [(root, seed, video, clips, frames) for video in range(1, videos + 1)]
    workers = min(workers or cpu_count(), len(jobs))
    with _pool(workers) as pool:
        counts = list(_progress(pool(_draw_batch, jobs), len(jobs), "drawing", "batch"))
        paths = list(_progress(pool(_write_film, films), len(films), "encoding", "video"))
    return {"root": root, "frames": videos * clips * frames, "drawn": sum(counts), "videos": paths}


def clip_starts(clips: int, frames: int) -> list[int]:
    """The number of the first frame of each clip."""
    return [clip_stride(frames) * index for index in range(clips)]


def clip_stride(frames: int) -> int:
    """Frames between the starts of two clips: 240, or for longer clips `frames` rounded up to a multiple of 80."""
    return max(_STRIDE, -(-frames // 80) * 80)


def frame_paths(root: Path | str, video: int, start: int, frame: int) -> tuple[Path, Path]:
    """Return the paths of a frame and of its watershed mask; `start` is the first frame number of its clip."""
    name = f"video{video:02d}"
    folder = Path(root) / name / f"{name}_{start:05d}"
    return folder / f"frame_{frame}_endo.png", folder / f"frame_{frame}_endo_watershed_mask.png"


def video_path(root: Path | str, video: int) -> Path:
    return Path(root) / "videos" / f"video{video:02d}.mp4"


def _mark_folder(root: Path, description: dict) -> None:
    """Write `description` as the folder's marker. Raise `UserError` if it holds other files or another stream."""
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
    """Draw the missing frames of a batch and return their number."""
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
    """Encode all clips of a video as one mp4 and return its path; an existing file is kept."""
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
    """Yield a `map` over new processes, or the builtin one for a single worker. Spawning works on every system."""
    if workers == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")
    one_thread = {"initializer": cv2.setNumThreads, "initargs": (1,)}  # the processes already fill the cores
    pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, **one_thread)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _progress(results: Iterable, total: int, what: str, unit: str) -> Iterable:
    return tqdm(results, total=total, desc=what, unit=unit, disable=not sys.stderr.isatty())
