"""The overlay video of a generated folder, an H.264 mp4 that browsers play.

It is encoded in segments of a fixed number of frames, so that a run that is killed goes on behind its last
whole segment; at the end they are joined without encoding again.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import av
import numpy as np

from surgseg.files import UserError, atomic_path, make_folder
from surgseg.video.writer import TICKS, VideoWriter

SEGMENT = 64  # frames: a keyframe at least every so many, and what a killed run may have to encode again
PARTS = "overlay.parts"
FILE = "overlay.mp4"


class OverlayVideo:
    """Write `overlay.mp4` into a generated folder, frame by frame; the first `written` are in segments already."""

    def __init__(self, folder: Path, synthetic: bool, written: int = 0):
        self.folder, self.written = folder, written
        self.metadata = {"comment": "synthetic"} if synthetic else {}
        self._segment: VideoWriter | None = None
        self._ticks = 0  # of the segment's latest frame

    def write(self, picture: np.ndarray, time_s: float) -> None:
        """Add (H, W, 3) uint8 RGB, shown from `time_s` of the source on."""
        if self._segment is None:
            self._segment = VideoWriter(segment_path(self.folder, self.written // SEGMENT), exact_times=True, crf=23)
            self._segment.__enter__()
            self._ticks = round(time_s / TICKS) - 1
        self._ticks = max(round(time_s / TICKS), self._ticks + 1)  # a file may give two frames one time
        self._segment.write(picture, self._ticks * TICKS)
        self.written += 1
        if self.written % SEGMENT == 0:
            self._end_segment()

    def _end_segment(self) -> None:
        if self._segment is not None:
            segment, self._segment = self._segment, None
            try:
                segment.__exit__(None, None, None)
            except (OSError, av.error.FFmpegError) as error:
                segment.partial.unlink(missing_ok=True)
                raise UserError(f"cannot write {self.folder / FILE}: {error}") from error

    def abandon(self) -> None:
        """After an error: what is not a whole segment is dropped."""
        if self._segment is not None:
            segment, self._segment = self._segment, None
            with contextlib.suppress(OSError, av.error.FFmpegError):  # what it cannot close it was to drop
                segment.__exit__(KeyboardInterrupt, None, None)
            segment.partial.unlink(missing_ok=True)

    def finish(self) -> None:
        """Join the segments, the first frame at time 0; they stay until `remove_segments`."""
        self._end_segment()
        count = -(-self.written // SEGMENT)
        join([segment_path(self.folder, number) for number in range(count)], self.folder / FILE, self.metadata)


def segment_path(folder: Path, number: int) -> Path:
    return folder / PARTS / f"{number:06d}.nut"


def whole_segments(folder: Path) -> int:
    """Segments from the first on that are on the disk; the one that a finished run's end made shorter counts too."""
    number = 0
    while segment_path(folder, number).is_file():
        number += 1
    return number


def keep_segments(folder: Path, count: int) -> None:
    """Remove what lies behind the first `count` segments, and what a killed run left half-written."""
    kept = {segment_path(folder, number).name for number in range(count)}
    for path in (folder / PARTS).glob("*") if (folder / PARTS).is_dir() else ():
        if path.name not in kept:
            path.unlink()


def remove_segments(folder: Path) -> None:
    shutil.rmtree(folder / PARTS, ignore_errors=True)


def join(segments: list[Path], path: Path, metadata: dict[str, str]) -> None:
    """Copy the packets of H.264 segments into one mp4 with its index in front; its time begins at 0."""
    make_folder(path.parent)
    try:
        with atomic_path(path) as temporary, av.open(str(temporary), "w", options={"movflags": "faststart"}) as output:
            output.metadata.update(metadata)
            stream = begin = None
            last, shown = -1, 1  # ticks
            for segment in segments:
                with av.open(str(segment)) as source:
                    if stream is None:
                        stream = output.add_stream_from_template(source.streams.video[0])
                        stream.time_base = TICKS
                    for packet in source.demux(video=0):
                        if packet.pts is None:
                            continue
                        ticks = round(packet.pts * packet.time_base / TICKS)
                        begin = ticks if begin is None else begin
                        now = max(ticks - begin, last + 1)
                        shown = now - last if last >= 0 else shown
                        last = now
                        packet.pts = packet.dts = last
                        packet.time_base, packet.duration = TICKS, shown  # counts for the last one only
                        packet.stream = stream
                        output.mux(packet)
    except av.error.FFmpegError as error:
        raise UserError(f"cannot write {path}: {error}") from error
