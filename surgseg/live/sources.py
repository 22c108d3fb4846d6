"""What `--source` names: a camera by its number, a network stream by its address, or a file.

Cameras go through OpenCV: it takes the same numbers on Linux (V4L2), Windows (Media Foundation) and macOS
(AVFoundation), and so do its wheels without windows. PyAV's wheels hold no camera input but Linux's. Streams go through
PyAV, whose timeouts notice a source that stalls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import av
import cv2
import numpy as np

from surgseg.live.capture import GAP_S, Capture, SourceLost, follow
from surgseg.video.picture import ToRgb
from surgseg.video.source import video_tracks

TIMEOUT_S = 5.0  # to open a stream, and for its next packet
_HELD = 3  # packets that demuxer and parser may hold back during a pause: the first ones after it are from before it
_OPTIONS = {  # those that a protocol does not know are ignored
    "rtsp_transport": "tcp",  # UDP is often blocked, and loses packets
    "flags": "low_delay",
    "analyzeduration": "1000000",  # microseconds, instead of 5 s, before the first frame
}


def is_camera(name: str) -> bool:
    return name.isdigit()


def is_stream(name: str) -> bool:
    return re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE) is not None or Path(name).is_fifo()


def public_name(name: str) -> str:
    """The name for messages: of a stream without user, password and what follows the host, which can be secret."""
    if is_camera(name):
        return f"camera {name}"
    if "://" not in name:
        return name
    scheme, _, rest = name.partition("://")
    host = re.split(r"[/?#]", rest)[0].rpartition("@")[2]
    return f"{scheme.lower()}://{host}"


def camera_frames(number: int, size: tuple[int, int] | None, capture: Capture) -> Iterator[tuple[np.ndarray, float]]:
    """Yield ((H, W, 3) uint8 RGB, when it arrived). `size` (H, W) is asked for; a camera takes the nearest it has."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # else each driver prints what it has not
    try:
        camera = cv2.VideoCapture(number)
    except cv2.error as error:
        raise SourceLost("no such camera") from error
    try:
        if not camera.isOpened():
            raise SourceLost("no such camera, or another program uses it")
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if size:
            camera.set(cv2.CAP_PROP_FRAME_WIDTH, size[1])
            camera.set(cv2.CAP_PROP_FRAME_HEIGHT, size[0])
        while camera.grab():
            arrived = capture.clock()
            read, image = camera.retrieve()
            if read:
                yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB), arrived
        raise SourceLost("the camera gives no more frames")
    finally:
        camera.release()


def stream_frames(address: str, capture: Capture, timeout: float = TIMEOUT_S) -> Iterator[tuple[np.ndarray, float]]:
    """Yield ((H, W, 3) uint8 RGB, when the first packet of it arrived), from the first keyframe on.

    Each frame has the size that it was sent with. Raises `SourceLost` for an address that cannot be opened, after
    `timeout` seconds without a packet, and at the end of the stream.
    """
    av.logging.set_level(None)  # with a level, which torchvision may have set, decoder threads can deadlock
    try:
        with av.open(address, options=_OPTIONS, timeout=timeout, metadata_errors="replace") as container:
            yield from _decoded(container, capture)
    except (OSError, ValueError, av.error.FFmpegError) as error:
        stalled = isinstance(error, av.error.ExitError)
        reason = f"no data for {timeout:g} s" if stalled else getattr(error, "strerror", None) or type(error).__name__
        raise SourceLost(reason) from error
    raise SourceLost("the stream ended")


def _decoded(container, capture: Capture) -> Iterator[tuple[np.ndarray, float]]:
    tracks = video_tracks(container)
    if not tracks:
        raise SourceLost("it has no video track")
    codec = tracks[0].codec_context
    codec.thread_type = "SLICE"  # threads by frame would hold back a frame for each thread
    arrivals: dict[int | None, float] = {}
    to_rgb, size, begun = ToRgb(codec), None, False
    asked, old, paused_at = capture.clock(), 0, 0.0
    for packet in container.demux(tracks[0]):
        arrived = capture.clock()
        if arrived - asked > GAP_S:
            old, paused_at = _HELD, asked
        if old:
            old, arrived = old - 1, paused_at
        arrivals[packet.pts] = arrived
        try:
            pictures = packet.decode()
        except av.error.InvalidDataError:  # damage; the pictures after it come all the same
            pictures = []
        for picture in pictures:
            begun |= picture.key_frame
            if not begun or picture.is_corrupt:
                continue
            if (picture.height, picture.width) != size:
                to_rgb, size = ToRgb(codec), (picture.height, picture.width)
                to_rgb.begin(picture)
            yield to_rgb(picture), arrivals.pop(picture.pts, arrived)
        if len(arrivals) > 1000:  # of packets that gave no picture
            arrivals.clear()
        asked = capture.clock()


def open_live(name: str, camera_size: tuple[int, int] | None, reconnect: float) -> Callable[[Capture], None]:
    """Return the work of a capture of a camera or stream."""
    if is_camera(name):
        return follow(lambda capture: camera_frames(int(name), camera_size, capture), public_name(name), reconnect)
    return follow(lambda capture: stream_frames(name, capture), public_name(name), reconnect)
