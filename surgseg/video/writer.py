"""Encode H.264 video with PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from surgseg.files import UserError, make_folder

TICKS = Fraction(1, 90000)  # seconds; the time base of exact times
_BT601, _LIMITED = 6, 1  # colour conversion; without this mark, players assume another matrix for large frames


def partial_path(path: Path) -> Path:
    """Return the name of a video while it is written."""
    return path.with_name(f".{path.stem}.part{path.suffix}")


class VideoWriter:
    """Write (H, W, 3) uint8 RGB frames as an H.264 file; as .mp4 it plays in browsers. Odd sizes are padded to even.

    Use as a context manager; the file gets its name when it is complete, else it is removed. With `exact_times` each
    frame has the second from which it is shown, and frames are stored in the order in which they come. `lasting`: for
    live pictures; encoding is quick, the file has its name from the start, and what is written stays readable after an
    error or a kill (a fragment each second).
    """

    def __init__(
        self,
        path: Path | str,
        fps: float = 25.0,
        crf: int = 18,
        metadata: dict | None = None,
        exact_times: bool = False,
        lasting: bool = False,
    ):
        self.path = Path(path)
        self.rate = Fraction(fps).limit_denominator(60000)
        self.crf, self.exact_times, self.lasting = crf, exact_times, lasting
        self.metadata = metadata or {}
        self.partial = self.path if lasting else partial_path(self.path)
        self.container = None
        self.step, self.last = 1, 0  # ticks, of exact times

    def __enter__(self) -> VideoWriter:
        make_folder(self.path.parent)
        return self

    def write(self, frame: np.ndarray, time_s: float | None = None) -> None:
        """Add a frame; `time_s` (ascending) with `exact_times` only."""
        height, width = frame.shape[:2]
        if self.container is None:
            self._open(height + height % 2, width + width % 2)
        if height % 2 or width % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        if self.exact_times:
            ticks = round(time_s / TICKS)
            self.step, self.last = max(ticks - self.last, 1), ticks
            image.pts, image.time_base = ticks, TICKS
        try:
            self._mux(self.stream.encode(image))
        except av.error.FFmpegError as error:
            raise UserError(f"cannot write {self.path}: {error}") from error

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            if self.exact_times:  # used for the last frame only: it is shown as long as the one before
                packet.duration = self.step
        self.container.mux(packets)

    def _open(self, height: int, width: int) -> None:
        options = {"movflags": "faststart"} if self.path.suffix == ".mp4" else {}
        if self.lasting:
            options = {"movflags": "empty_moov+default_base_moof", "frag_duration": "1000000", "flush_packets": "1"}
        try:
            self.container = av.open(str(self.partial), "w", options=options)
        except (OSError, av.error.FFmpegError) as error:
            raise UserError(f"cannot write {self.path}: {error}") from error
        self.container.metadata.update(self.metadata)
        self.stream = self.container.add_stream("libx264", rate=self.rate)
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, "yuv420p"
        self.stream.codec_context.colorspace, self.stream.codec_context.color_range = _BT601, _LIMITED
        speed = {"preset": "ultrafast", "tune": "zerolatency"} if self.lasting else {"preset": "veryfast"}
        self.stream.options = {"crf": str(self.crf), **speed}
        if self.exact_times:  # without B-frames the packets are frames in display order
            self.stream.codec_context.time_base = TICKS
            self.stream.codec_context.max_b_frames = 0

    def __exit__(self, kind, value, trace) -> None:
        if self.container is None:
            return
        try:
            if kind is None or self.lasting:
                self._mux(self.stream.encode(None))
        finally:
            self.container.close()
        if kind is None or self.lasting:
            self.partial.replace(self.path)
        else:
            self.partial.unlink(missing_ok=True)
