"""Keep what was shown: a recording, a table of the frames, snapshots, the masks on the screen."""

from __future__ import annotations

import bisect
import contextlib
import csv
import sys
import time
import zlib
from pathlib import Path
from typing import TextIO

import av
import cv2
import numpy as np

from surgseg.files import UserError, make_folder, write_bytes
from surgseg.frames import encode_frame
from surgseg.live.latency import STAGES
from surgseg.live.run import Shown
from surgseg.live.screen import Controls
from surgseg.video.writer import TICKS, VideoWriter

COLUMNS = (
    "frame time_s shown_s latency_ms "
    + " ".join(f"{stage}_ms" for stage in STAGES)
    + " threshold coverage mean_confidence uncertainty"
).split()


class Recorder(contextlib.AbstractContextManager):
    """Write the pictures as they were shown, at their seconds. What is written stays, whatever ends the run.

    A picture of another size than the first is made to fit, with black beside it. Raises `UserError` for a file that
    exists or cannot be written.
    """

    def __init__(self, path: Path):
        self._path = path
        self._writer = VideoWriter(path, crf=23, exact_times=True, lasting=True)
        self._size: tuple[int, int] | None = None
        self._last = -1  # ticks

    def __enter__(self) -> Recorder:
        create(self._path).close()
        return self

    def __call__(self, shown: Shown) -> None:
        self._size = self._size or shown.picture.shape[:2]
        self._last = max(round(shown.second / TICKS), self._last + 1)
        self._writer.write(fit_into(shown.picture, self._size), self._last * TICKS)

    def __exit__(self, kind, *rest) -> None:
        try:
            self._writer.__exit__(kind, *rest)
        except (OSError, av.error.FFmpegError) as error:
            if kind is None:
                raise UserError(f"cannot write {self._path}: {error}") from error
        if self._size is None:  # nothing was shown
            self._path.unlink(missing_ok=True)


def create(path: Path) -> TextIO:
    """Open a new text file, whose lines are written at once. Raises `UserError` if it exists or cannot be written."""
    make_folder(path.parent)
    try:
        return path.open("x", newline="", encoding="utf-8", buffering=1)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def fit_into(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the (H, W, 3) picture in `size`, its shape kept, in the middle of black."""
    if picture.shape[:2] == size:
        return picture
    scale = min(size[0] / picture.shape[0], size[1] / picture.shape[1])
    height, width = (max(round(scale * side), 1) for side in picture.shape[:2])
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    fitted = np.zeros((*size, 3), np.uint8)
    fitted[top : top + height, left : left + width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return fitted


class Table(contextlib.AbstractContextManager):
    """Write a CSV row for each shown frame as soon as it is shown; a gap has no row."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> Table:
        self._stream = create(self._path)
        self._rows = csv.writer(self._stream, lineterminator="\n")
        self._rows.writerow(COLUMNS)
        return self

    def __call__(self, shown: Shown) -> None:
        if (found := shown.prediction) is None:
            return
        frame = found.frame
        threshold = "" if found.threshold is None else f"{found.threshold:g}"
        times = [f"{value:.6f}" for value in (frame.time_s, shown.second)]
        stages = [f"{value:.3f}" for value in (sum(shown.stages_ms), *shown.stages_ms)]
        measures = [f"{value:.6f}" for value in found.measures]
        try:
            self._rows.writerow([frame.index, *times, *stages, threshold, *measures])
        except OSError as error:
            raise UserError(f"cannot write {self._path}: {error.strerror or error}") from error

    def __exit__(self, *error) -> None:
        with contextlib.suppress(OSError):  # of a full disk; the first error is raised by the row
            self._stream.close()


class Snapshots:
    """Write the frame as it came (PNG) and the picture as it was shown (JPEG) when the user asks for it."""

    def __init__(self, folder: Path, controls: Controls):
        self._folder, self._controls = folder, controls

    def __call__(self, shown: Shown) -> None:
        if not self._controls.snapshot or shown.prediction is None:
            return
        self._controls.snapshot = False
        frame = shown.prediction.frame
        stem = f"{time.strftime('%Y%m%d-%H%M%S')}_{frame.index:06d}"
        try:
            write_bytes(self._folder / f"{stem}_frame.png", encode_frame(frame.image, ".png"))
            write_bytes(self._folder / f"{stem}_shown.jpg", encode_frame(shown.picture))
            print(f"Snapshot: {self._folder / stem}_*")
        except UserError as error:  # the view goes on
            print(f"no snapshot: {error}", file=sys.stderr)


class ScreenLog:
    """The mask on the screen at each second of the source, compressed in memory (some kB a frame)."""

    def __init__(self):
        self._seconds: list[float] = []
        self._masks: list[bytes] = []
        self._shapes: list[tuple[int, int]] = []

    def __call__(self, shown: Shown) -> None:
        ids = None if shown.prediction is None else shown.prediction.ids
        self._seconds.append(shown.second)
        self._masks.append(b"" if ids is None else zlib.compress(ids, 1))
        self._shapes.append((0, 0) if ids is None else ids.shape)

    @property
    def last_s(self) -> float:
        return self._seconds[-1] if self._seconds else 0.0

    def at(self, second: float) -> np.ndarray | None:
        """Return the (H, W) uint8 class ids that were on the screen at a second; None: no mask was."""
        place = bisect.bisect_right(self._seconds, second) - 1
        if place < 0 or not self._masks[place]:
            return None
        return np.frombuffer(zlib.decompress(self._masks[place]), np.uint8).reshape(self._shapes[place])
