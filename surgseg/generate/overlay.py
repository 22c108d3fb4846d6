"""The overlay video of a generated folder: an H.264 mp4 that browsers play."""

from __future__ import annotations

import contextlib
from pathlib import Path

import av
import numpy as np

from surgseg.files import UserError
from surgseg.generate.folder import OVERLAY_VIDEO
from surgseg.video.writer import TICKS, VideoWriter


class OverlayVideo:
    """Write `overlay.mp4` of a generated folder, frame by frame. Its first frame is at time 0."""

    def __init__(self, folder: Path, synthetic: bool):
        metadata = {"comment": "synthetic"} if synthetic else {}
        self._writer = VideoWriter(folder / OVERLAY_VIDEO, crf=23, metadata=metadata, exact_times=True).__enter__()
        self._first: int | None = None  # ticks of the source
        self._last = -1  # ticks of the video

    def write(self, picture: np.ndarray, time_s: float) -> None:
        """Add `picture` (H, W, 3) uint8 RGB, shown from `time_s` of the source on."""
        ticks = round(time_s / TICKS)
        self._first = ticks if self._first is None else self._first
        self._last = max(ticks - self._first, self._last + 1)  # a source may give two frames the same time
        self._writer.write(picture, self._last * TICKS)

    def finish(self) -> None:
        """Close the file and give it its final name. Raises `UserError` if it cannot be written."""
        try:
            self._writer.__exit__(None, None, None)
        except (OSError, av.error.FFmpegError) as error:
            self._writer.partial.unlink(missing_ok=True)
            raise UserError(f"cannot write {self._writer.path}: {error}") from error

    def abandon(self) -> None:
        """Remove the unfinished file after an error."""
        with contextlib.suppress(OSError, av.error.FFmpegError):  # a file that cannot be closed is removed too
            self._writer.__exit__(KeyboardInterrupt, None, None)
        self._writer.partial.unlink(missing_ok=True)
