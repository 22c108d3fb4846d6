"""Decode a video file with PyAV: every frame with its index, its time, and whether damage may have changed it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.codec.codec import Capabilities

from surgseg.files import UserError
from surgseg.threads import cpu_count
from surgseg.video.deinterlace import Deinterlacer
from surgseg.video.gop_skip import Jump
from surgseg.video.picture import ToRgb
from surgseg.video.recordings import Recording, find_recordings
from surgseg.video.sampling import ALL_FRAMES, Sampler, Sampling
from surgseg.video.source import Packets, measure_length, open_video, video_tracks
from surgseg.video.timeline import Place, Timeline

_REORDERED = 16  # frames that a codec may show in another order than they are stored
_FRAME_BY_FRAME = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")  # formats whose packets are frames with their times
_COUNTED_FROM_ZERO = ("matroska,webm", "flv")  # formats whose duration includes the time before the first frame


class Frame(NamedTuple):
    """One decoded frame: source index from 0, seconds from the stream's start, (H, W, 3) uint8 RGB.

    `suspect`: it was decoded after damage and before the next keyframe.
    """

    index: int
    time_s: float
    image: np.ndarray
    suspect: bool


class VideoReader:
    """The frames of a video file that a `Sampling` takes (default: all); use as a context manager.

    All frames are decoded and counted; those of the sample are converted to RGB and yielded. Long gaps in the sample
    are neither decoded nor counted where the format allows it. Reading stops when the sample is complete; `ended` is
    then False. `part`: one recording of a file that holds several (default: the first).

    Damage is counted (see `counts`); frames between damage and the next keyframe are marked suspect. Pictures are shown
    by their metadata (see `ToRgb`), interlaced ones are deinterlaced (bwdif), one of another size is scaled to that of
    the first. Raises `UserError` if no frame can be decoded.
    """

    def __init__(self, path: Path | str, sampling: Sampling = ALL_FRAMES, part: Recording | None = None):
        self.path = Path(path)
        self.part = part or find_recordings(self.path)[0]
        self.frames_read = self.suspects = self.rescaled = 0
        self.covered_s = self.missing_s = self._last_s = 0.0
        self.interlaced = self.ended = self._jumped = False
        self._deinterlacer: Deinterlacer | None = None
        self.container, self.stream = open_video(self.path, self.part)
        self.to_rgb = ToRgb(self.stream.codec_context)
        self.format = self.container.format.name
        self._start_decoder()
        self.packets = Packets(self.container, self.stream, self.timeline)
        length_s = self.length_s if sampling.mode == "spread" else None
        self.sampler = Sampler(sampling, length_s, self.rate)

    def _start_decoder(self) -> None:
        codec = self.stream.codec_context
        threads = min(cpu_count(), 8)
        by_frame = bool(codec.codec.capabilities & Capabilities.frame_threads)
        codec.thread_type, codec.thread_count = ("FRAME" if by_frame else "SLICE"), threads
        rate = self.stream.average_rate or self.stream.guessed_rate
        self.rate = float(rate) if rate and 0 < rate <= 1000 else None
        self.timeline = Timeline(
            interval=float(1 / (self.rate * self.stream.time_base)) if self.rate else None,
            delay=threads - 1 if by_frame else 0,
            counted=self.format == "avi" and codec.name in ("h264", "hevc") and self.rate is not None,
            exact="mp4" in self.format,
            steady=self.format == "mpeg" or codec.name in ("mpeg1video", "mpeg2video"),
            complete=codec.name == "hevc",
        )
        self._start = None if self.format == "avi" else self.stream.start_time
        self._length: float | None = None

    @property
    def duration(self) -> float | None:
        """Seconds by the file's header; None where it states none or an impossible value."""
        hours, *rest = self.stream.metadata.get("DURATION", "").split(":")  # Matroska: 01:02:03.4
        if self.stream.duration is not None:
            seconds = float(self.stream.duration * self.stream.time_base)
        elif len(rest) == 2:
            seconds = int(hours) * 3600 + int(rest[0]) * 60 + float(rest[1])
        else:
            seconds = (self.container.duration or 0) / av.time_base
        if self.format in _COUNTED_FROM_ZERO and self.stream.start_time:
            seconds -= max(float(self.stream.start_time * self.stream.time_base), 0.0)
        return seconds if 0 < seconds < 1e6 else None

    @property
    def length_s(self) -> float | None:
        """Seconds from the first frame to the end of the last; None where it cannot be found. The header's value counts
        if the last packets agree with it; else the length is measured over all packets, undecoded."""
        if self._length is None:
            self._length = measure_length(self.path, self.part, self.duration, self.rate) or self.duration
        return self._length

    @property
    def expected(self) -> int | None:
        """The header's number of frames, else duration times rate; None where neither is known."""
        if 0 < self.stream.frames < self.path.stat().st_size:  # not even one byte a frame: a damaged header
            return self.stream.frames - self.packets.discarded
        return round(self.duration * self.rate) if self.duration and self.rate else None

    @property
    def notes(self) -> list[str]:
        """What the user has to know of the file."""
        notes = []
        if self.to_rgb.hdr:
            notes.append(f"{self.path.name} is HDR ({self.to_rgb.transfer}): its frames are mapped to sRGB")
        if self.part.unread:
            notes.append(f"the last {self.part.unread} bytes of {self.path.name} are a recording cut off: not read")
        return notes

    @property
    def can_jump(self) -> bool:
        """Whether long gaps can be skipped without decoding them."""
        return self.format in _FRAME_BY_FRAME

    @property
    def data(self) -> str:
        """'synthetic' if the file's tags contain this word, else 'unmarked'."""
        tags = (self.container.metadata.get(tag, "") for tag in ("comment", "title", "description"))
        return "synthetic" if "synthetic" in " ".join(tags).lower() else "unmarked"

    def counts(self) -> dict[str, int | None]:
        """Frames and damage of the part read so far, with the keys of `run.json`."""
        return {
            "frames_expected": self.expected,
            "frames_read": self.frames_read,
            "frames_read_suspect": self.suspects,
            "frames_lost": self.timeline.lost,
            "frames_rescaled": self.rescaled,
            "damaged_packets": self.timeline.damaged,
        }

    def describe(self) -> dict:
        """The video's properties for `run.json`, in plain types, without its path and name."""
        return {
            **self.to_rgb.describe(),
            "rate": self.rate,
            "rate_assumed": False,
            "duration_s": self.duration,
            "codec": self.stream.codec_context.name,
            "pixel_format": self.stream.codec_context.pix_fmt,
            "container": self.format,
            "bytes_unread": self.part.unread,
            "video_tracks": len(video_tracks(self.container)),
            "deinterlaced": "bwdif" if self.interlaced else None,
        }

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, kind, value, trace) -> None:
        self.container.close()

    def stop(self) -> None:
        """End `frames` before its next frame; may be called from another thread."""
        self.sampler.done = True

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, skip: int = 0) -> Iterator[Frame]:
        """Yield the frames of the sample, except the first `skip`, which an earlier run has. Can be iterated once."""
        if self.can_jump and self.sampler.leaves_gaps:
            self.packets.wanted_from = self._wanted_from
        decoded = 0  # of the sample
        for picture, index, time_s, suspect in self._deinterlaced():
            self.to_rgb.begin(picture)
            if self.sampler.selects(index, time_s):
                self.rescaled += self.to_rgb.rescales(picture)
                decoded += 1
                if decoded > skip:
                    yield Frame(index, time_s, self.to_rgb(picture), suspect)
            if self.sampler.done:
                return
        self.ended = True
        self._count_missing_end()
        if not self.frames_read and not self._jumped:
            raise UserError(f"{self.path}: not one frame can be decoded ({self.timeline.damaged} damaged packets)")

    def _wanted_from(self) -> float:
        """The time stamp from which frames are needed: a little before the second that the sampler waits for."""
        begin = self.sampler.wanted_from - (2 / self.rate if self.rate else 1.0)
        return begin / self.stream.time_base + (self._start or 0)

    def _deinterlaced(self) -> Iterator[tuple]:
        """The frames of `_decoded`, filtered from the first interlaced frame on."""
        for item in self._decoded():
            if item is None:
                yield from self._deinterlacer.flush() if self._deinterlacer else ()
                continue
            if item[0].interlaced_frame and self._deinterlacer is None:
                self._deinterlacer, self.interlaced = Deinterlacer(), True
            if self._deinterlacer is None:
                yield item
            else:
                yield from self._deinterlacer.push(item)
        if self._deinterlacer is not None:
            yield from self._deinterlacer.flush()

    def _decoded(self) -> Iterator[tuple[av.VideoFrame, int, float, bool] | None]:
        # A frame is held back until all packets that precede its own are decoded: damage in them makes it suspect.
        waiting: deque[tuple] = deque()
        for picture in self._pictures():
            if picture is None:  # no later frame was sent before these
                while waiting:
                    yield self._count(*waiting.popleft())
                yield None
                continue
            place = self.timeline.frame(picture.pts, picture.key_frame, picture.is_corrupt)
            if place is None:
                continue
            waiting.append((picture, place, self._seconds(picture.pts, place.index)))
            self._last_s = waiting[-1][2]
            while waiting and (self.timeline.settled(waiting[0][1]) or len(waiting) > _REORDERED):
                yield self._count(*waiting.popleft())
        self.timeline.finish()
        while waiting:
            yield self._count(*waiting.popleft())

    def _count(self, picture: av.VideoFrame, place: Place, time_s: float) -> tuple[av.VideoFrame, int, float, bool]:
        suspect = self.timeline.suspect(place)
        self.frames_read += 1
        self.suspects += suspect
        self.covered_s = time_s + (1 / self.rate if self.rate else 0.0)
        return picture, place.index, time_s, suspect

    def _seconds(self, pts: int | None, index: int) -> float:
        if self.timeline.slot is not None:
            return float(self.timeline.slot * self.stream.time_base)
        if self.timeline.counted:
            return index / self.rate if self.rate else float(index)
        if pts is None:
            return self._last_s + (1 / self.rate if self.rate else 0.0)
        if self._start is None:
            self._start = pts
        return max(float((pts - self._start) * self.stream.time_base), 0.0)

    def _pictures(self) -> Iterator[av.VideoFrame | None]:
        """Yield decoded pictures in the decoder's order, and None before a jump."""
        for packet in self.packets:
            if isinstance(packet, Jump):
                yield from self._drain()
                yield None
                self.stream.codec_context.flush_buffers()
                self.timeline.jump(packet.index)
                self._jumped = True
                continue
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                self.timeline.error()
        yield from self._drain()

    def _drain(self) -> Iterator[av.VideoFrame]:
        """Yield the pictures that the decoder still holds, those after damage too."""
        for _ in range(64):
            try:
                pictures = self.stream.codec_context.decode(None)
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self.timeline.error()
                continue
            if not pictures:
                return
            yield from pictures

    def _count_missing_end(self) -> None:
        """Count the frames that the header promises and a file cut off at its end lacks."""
        if self.timeline.slot is not None:
            missing = (self.expected or 0) - self.timeline.slot - self.timeline.slot_step
        elif self.stream.frames:
            missing = (self.expected or 0) - self.timeline.next_index
        elif self.duration and self.rate and self.timeline.next_index and not self.timeline.begins:
            missing = round((self.duration - self.covered_s) * self.rate)
            if missing < 0.5 * self.rate + 2 or self.packets.others_end(self.container.duration):
                missing = 0  # muxers round by up to half a second, and sound may be longer than the picture
        else:
            missing = 0
        self.timeline.lost += max(missing, 0)
        self.timeline.next_index += max(missing, 0)
        self.missing_s = max(missing, 0) / self.rate if self.rate else 0.0
