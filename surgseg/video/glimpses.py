"""Frames spread over a video by seeking, for a first look: quick also in a long film, but not exact."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from surgseg.video.reader import VideoReader
from surgseg.video.recordings import Recording

_PACKETS = 500  # read after a seek until a keyframe is found


def keyframes(path: Path, part: Recording, count: int) -> Iterator[np.ndarray]:
    """Yield at most `count` different keyframes, (H, W, 3) uint8 RGB of one size, from the first one on.

    Ends early where the file does not allow to seek. Raises `UserError` if the file cannot be opened.
    """
    with VideoReader(path, part=part) as reader:
        stream, begin = reader.stream, reader.stream.start_time or 0
        stream.codec_context.skip_frame = "NONKEY"
        ticks = (reader.duration or 0.0) / stream.time_base
        seen = set()
        for place in range(count):
            try:
                if place:
                    reader.container.seek(begin + int(place / count * ticks), stream=stream)
                picture = _first_picture(reader)
            except (av.error.FFmpegError, OSError):  # no index, or damage
                continue
            if picture is not None and picture.pts not in seen:
                seen.add(picture.pts)
                reader.to_rgb.begin(picture)
                yield reader.to_rgb(picture)


def _first_picture(reader: VideoReader) -> av.VideoFrame | None:
    for packet in itertools.islice(reader.container.demux(reader.stream), _PACKETS):
        for picture in packet.decode():
            return picture
    return None
