"""Small videos for tests: a bright square that moves over a dim textured background, and ways to damage a file."""

from __future__ import annotations

import struct
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import torch
from torch import nn

from surgseg.checkpoint import Checkpoint
from surgseg.labels import SCHEMES

SIDE = 20


def square_at(index: int, width: int) -> int:
    """Left edge (pixels) of the square in a frame; its rows are 40 to 59."""
    return (10 + 2 * index) % (width - SIDE)


@lru_cache(maxsize=1000)
def draw(index: int, height: int = 120, width: int = 160, noise: float = 6.0) -> np.ndarray:
    """(H, W, 3) uint8 RGB, not to be changed; every tenth group of five frames shows no square."""
    frame = np.random.default_rng(index).normal(60, noise, (height, width, 3)).clip(0, 120).astype(np.uint8)
    if index % 50 < 45:
        left = square_at(index, width)
        frame[40 : 40 + SIDE, left : left + SIDE] = 250
    frame.setflags(write=False)
    return frame


def write_film(
    path: Path,
    count: int = 60,
    size: tuple[int, int] = (120, 160),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    gop: int = 25,
    b_frames: int = 0,
    rotation: int = 0,
    ticks=None,
    options: dict | None = None,
    container_options: dict | None = None,
    form: str | None = None,
    sound: str = "",
) -> Path:
    """Encode `count` frames at 25 fps; `ticks(index)` gives milliseconds for a variable rate; `form` is a container
    that the suffix does not say; `sound` puts tracks "before" and "after" the picture."""
    with av.open(str(path), "w", format=form, options=container_options or {}) as container:
        tracks = [_add_sound(container) for _ in range(sound.count("before"))]
        stream = _add_video(container, codec, size, pixel_format, options)
        tracks += [_add_sound(container) for _ in range(sound.count("after"))]
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, b_frames
        if ticks:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(count):
            picture = av.VideoFrame.from_ndarray(draw(index, *size), format="rgb24")
            if ticks:
                picture.pts, picture.time_base = ticks(index), Fraction(1, 1000)
            container.mux(stream.encode(picture))
            for track in tracks:
                container.mux(track.encode(_silence()))
        for track in (stream, *tracks):
            container.mux(track.encode(None))
    return path


def _add_video(container, codec: str, size: tuple[int, int], pixel_format: str = "yuv420p", options=None):
    fixed = {  # keyframes every `gop` frames only
        "libx264": {"sc_threshold": "0", "preset": "ultrafast"},
        "libx265": {"preset": "ultrafast", "crf": "16", "x265-params": "log-level=none:scenecut=0:pools=none"},
    }
    stream = container.add_stream(codec, rate=25, options={**fixed.get(codec, {}), **(options or {})})
    stream.height, stream.width = size
    stream.pix_fmt = pixel_format
    return stream


def _add_sound(container):
    return container.add_stream("mp2", rate=48000, layout="mono")


def _silence() -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.int16), format="s16", layout="mono")
    frame.sample_rate = 48000
    return frame


def write_tracks(path: Path, sizes: list[tuple[int, int]], count: int = 20) -> Path:
    """Several video tracks, of which the one of 120 x 160 shows the square."""
    with av.open(str(path), "w") as container:
        tracks = [_add_video(container, "libx264", size) for size in sizes]
        for index in range(count):
            for track, size in zip(tracks, sizes):
                image = draw(index) if size == (120, 160) else np.zeros((*size, 3), np.uint8)
                container.mux(track.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        for track in tracks:
            container.mux(track.encode(None))
    return path


def write_with_cover(path: Path, count: int = 20, marked: bool = True) -> Path:
    """A film beside a larger still picture; `marked`: as what it is."""
    with av.open(str(path), "w") as container:
        film = _add_video(container, "libx264", (120, 160))
        cover = container.add_stream("mjpeg", rate=25)
        cover.height, cover.width, cover.pix_fmt = 240, 320, "yuvj420p"
        if marked:
            cover.disposition = 0x400  # attached picture
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.full((240, 320, 3), 250, np.uint8), format="rgb24")))
        container.mux(cover.encode(None))
        for index in range(count):
            container.mux(film.encode(av.VideoFrame.from_ndarray(draw(index), format="rgb24")))
        container.mux(film.encode(None))
    return path


def edit_list(path: Path, skip: int, count: int) -> Path:
    """Let an mp4's edit list show `count` frames at 25 fps from frame `skip` on."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    start = struct.unpack_from(">i", data, at + 4)[0]
    struct.pack_into(">Ii", data, at, 40 * count, start + 512 * skip)  # in 1/1000 s, in 1/12800 s
    path.write_bytes(data)
    return path


def damage(path: Path, at: float = 0.5, share: float = 0.05) -> Path:
    """Overwrite a share of the file's bytes with noise, from the place `at` (0-1) on."""
    data = bytearray(path.read_bytes())
    start, length = int(len(data) * at), int(len(data) * share)
    data[start : start + length] = np.random.default_rng(0).integers(0, 256, length, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    return path


def fast_start(path: Path) -> Path:
    """Move an mp4's index to its front, so that a file cut short can still be read."""
    target = path.with_name(f"fast_{path.name}")
    with av.open(str(path)) as source, av.open(str(target), "w", options={"movflags": "faststart"}) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    return target


class BrightModel(nn.Module):
    """Two logits a pixel: instrument where the normalised frame is bright."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(8.0))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        bright = (frames.mean(1, keepdim=True) - 0.9) * self.scale
        return torch.cat([-bright, bright], 1)


def bright_checkpoint(data: str = "real") -> Checkpoint:
    """A loaded weights file that finds the square."""
    return Checkpoint(
        BrightModel().eval(), "unet", {}, SCHEMES["binary"], (120, 160), training={"data": data}, sha256="0" * 64
    )
