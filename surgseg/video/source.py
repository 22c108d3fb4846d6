"""Open a video file and choose its picture track; everything that is no video is one clear line."""

from __future__ import annotations

from pathlib import Path

import av

from surgseg.files import UserError

_NO_VIDEO = ("tty", "image2")  # FFmpeg reads text and single images as "video"


def open_source(path: Path) -> tuple:
    """(open PyAV container, its main video stream). Raises `UserError` for anything that cannot be decoded."""
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a video file")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes)")
    try:
        container = av.open(f"file:{path}", metadata_errors="replace")
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: permission denied") from error
    except (OSError, av.error.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} is no video, or is cut off before its index ({reason})") from error
    try:
        return container, _choose_stream(container, path)
    except UserError:
        container.close()
        raise


def _choose_stream(container, path: Path):
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise UserError(f"{path} has no video track (it holds: {kinds})")
    name = container.format.name
    if name in _NO_VIDEO or name.endswith("_pipe"):
        raise UserError(f"{path} is no video (read as {name})")
    stream = container.streams.best("video") or container.streams.video[0]
    if stream.codec_context is None or not stream.codec_context.width:
        raise UserError(f"{path} is cut off inside its first frame, or its codec is unknown")
    return stream
