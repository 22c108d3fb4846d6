"""Open a video file, choose its video track, and yield its packets."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import av
from av.stream import Disposition

from surgseg.files import UserError
from surgseg.video.gop_skip import Jump, leave_gaps, starts_h264
from surgseg.video.recordings import Recording
from surgseg.video.timeline import Timeline

_HOLE = 4096  # bytes between two packets of a Matroska file: more than headers need
_CHUNK = 8  # bytes of the header of an AVI chunk; the index points to the header
_JOINED = ("mpeg", "mpegts")  # formats whose files can be joined by appending one to another
_PAUSE = 3600  # seconds; after a longer step the time stamps belong to another recording
_DISK = (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT, errno.EACCES, errno.EPERM)
_STILL = ("mjpeg", "png", "bmp", "gif")  # codecs of cover pictures; not every file marks them as such
_NO_VIDEO = ("tty", "image2")  # FFmpeg reads text and single images as "video"


def open_video(path: Path, part: Recording) -> tuple:
    """Return (open PyAV container, its main video stream). Raises `UserError` for what cannot be decoded."""
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a video file")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes)")
    try:
        place = f"file:{path}" if part.end is None else f"subfile,,start,{part.start},end,{part.end},,:file:{path}"
        options = {"framerate": str(part.rate)} if part.rate else {}  # of raw streams, which have no times
        av.logging.set_level(None)  # with a level, which torchvision may have set, decoder threads can deadlock
        container = av.open(place, options=options, metadata_errors="replace")
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


def video_tracks(container) -> list:
    """The video streams without cover pictures."""
    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def _choose_stream(container, path: Path):
    tracks = video_tracks(container)
    if not tracks:
        kinds = ", ".join(sorted({stream.type for stream in container.streams.get()})) or "nothing"
        kinds += " (one still picture)" if container.streams.video else ""
        raise UserError(f"{path} has no video track (it holds: {kinds})")
    name = container.format.name
    if name in _NO_VIDEO or name.endswith("_pipe"):
        raise UserError(f"{path} is no video (read as {name})")
    best = container.streams.best("video")
    stream = max(tracks, key=lambda track: (*_moving_and_size(track), track is best))
    if stream.codec_context is None or not stream.codec_context.width:
        raise UserError(f"{path} is cut off inside its first frame, or its codec is unknown")
    return stream


def _moving_and_size(stream) -> tuple[bool, int]:
    """Key that sorts a moving video after a still picture, and a large one after a small one: (moving, pixels)."""
    codec = stream.codec_context
    return (codec.name not in _STILL, codec.width * codec.height) if codec is not None else (False, 0)


class Packets:
    """Iterate over the packets of one stream of an open container, in the file's order, past demuxing errors.

    Each packet is reported to the timeline. A `Jump` replaces groups of pictures that end before `wanted_from()`.
    Where time stamps start again (MPEG streams joined end to end), they are shifted so that they continue; a single
    stamp far from its neighbours is replaced and counts as damage. An AVI file has no stamps: its packets are counted,
    and its index tells which are missing.
    """

    def __init__(self, container, stream, timeline: Timeline):
        self.container, self.stream, self.timeline = container, stream, timeline
        self.wanted_from: Callable[[], float] | None = None  # ticks; None: every packet is wanted
        self.discarded = 0  # packets hidden by an edit list
        self._others = 0.0  # seconds of the last packet of the other tracks
        self._joined = container.format.name in _JOINED
        self._shift, self._last = 0, None  # ticks
        entries = getattr(stream, "index_entries", None) if container.format.name == "avi" else None
        self._index = {entry.pos + _CHUNK: entry.timestamp for entry in entries or ()}

    def __iter__(self) -> Iterator[av.Packet | Jump]:
        hole = False
        items = self._mended(self._demuxed())
        for item in items if self.wanted_from is None else leave_gaps(items, self.wanted_from, self._starts):
            if isinstance(item, Jump):
                yield item
                continue
            packet, before = item
            hole |= before
            if packet.is_discard:
                self.discarded += 1
            else:
                self.timeline.packet(packet.pts, packet.is_corrupt, hole, packet.dts)
                hole = False
            yield packet

    def _starts(self, packet: av.Packet) -> bool:
        """Whether decoding can start at this packet."""
        codec = self.stream.codec_context
        return packet.is_keyframe and (codec.name != "h264" or starts_h264(bytes(packet), codec.extradata))

    def others_end(self, end: int | None) -> bool:
        """Whether another track ends within half a second of `end` (of the container, in microseconds), or later."""
        return bool(end) and self._others >= end / av.time_base - 0.5

    def _demuxed(self) -> Iterator[tuple[av.Packet, bool]]:
        """Yield (packet, whether bytes before it belong to no packet)."""
        matroska = "matroska" in self.container.format.name
        failures, end, hole = 0, None, False
        while failures < 16:
            try:
                for packet in self.container.demux():
                    if not packet.size:  # marks the end of a track
                        continue
                    if matroska and packet.pos is not None:
                        hole |= end is not None and packet.pos - end > _HOLE
                        end = max(end or 0, packet.pos + packet.size)
                    if packet.stream_index != self.stream.index:
                        if packet.pts is not None:
                            self._others = max(self._others, float(packet.pts * packet.time_base))
                        continue
                    failures = 0
                    yield packet, hole
                    hole = False
                return
            except (
                av.error.EOFError,
                IndexError,
            ):  # PyAV: IndexError if a track began inside the file
                return
            except av.error.FFmpegError as error:
                self._check_disk(error)
                failures += 1
                self.timeline.error()

    def _check_disk(self, error: Exception) -> None:
        """Raise `UserError` if the disk or network failed. This is no damage of the file: a later run can continue."""
        if error.errno not in _DISK:
            return
        path = Path(self.container.name.partition("file:")[2])
        try:
            with path.open("rb") as stream:
                stream.seek(-1, 2)
                stream.read(1)
        except OSError as fault:
            raise UserError(f"{path} cannot be read on: {fault.strerror or fault}; start again when it can") from fault

    def _mended(self, packets: Iterator[tuple[av.Packet, bool]]) -> Iterator[tuple[av.Packet, bool]]:
        if not self._joined:
            for packet, hole in packets:
                yield packet, hole | self._place(packet)
            return
        following = next(packets, None)
        while following is not None:
            (packet, hole), following = following, next(packets, None)
            hole |= self._mend(packet, following[0].dts if following else None)
            yield packet, hole

    def _place(self, packet: av.Packet) -> bool:
        """Set the stamp of a packet of an AVI file from the index. Return whether packets before it are missing."""
        stamp = self._index.get(packet.pos)
        if stamp is None or packet.dts is None:
            return False
        missed = stamp - packet.dts != self._shift
        self._shift = stamp - packet.dts
        packet.dts = stamp
        packet.pts = None if packet.pts is None else packet.pts + self._shift
        return missed

    def _mend(self, packet: av.Packet, following: int | None) -> bool:
        """Shift the stamps of a packet. Return whether its own was damaged. `following`: the next stamp, unshifted."""
        damaged = False
        if packet.dts is not None and self._last is not None:
            second = 1 / packet.time_base
            step = packet.dts + self._shift - self._last
            after = None if following is None else following + self._shift - self._last
            if -second / 2 <= step <= second:
                pass
            elif after is not None and -second / 2 <= after < (step if step > 0 else second):
                damaged = True
                packet.dts = packet.pts = int(self._last - self._shift + (packet.duration or 1))
            elif not -second / 2 <= step <= _PAUSE * second:
                self._shift -= int(step) - int(packet.duration or 1)
        if self._shift:
            packet.pts = None if packet.pts is None else packet.pts + self._shift
            packet.dts = None if packet.dts is None else packet.dts + self._shift
        if packet.dts is not None:
            self._last = packet.dts
        return damaged


def measure_length(path: Path, part: Recording, claimed: float | None, rate: float | None) -> float | None:
    """Return the seconds from the first packet of the video to the end of its last one.

    If the header states a length (`claimed`), the last seconds are read first; if they agree with it, no others are.
    """
    if claimed:
        container, stream = open_video(path, part)
        with container:
            start = stream.start_time or 0
            try:
                container.seek(start + int((claimed - 3) / stream.time_base), stream=stream)
                length = _length(container, stream, rate, start)
            except av.error.FFmpegError:
                length = None
        if length and abs(length - claimed) < 2:
            return length
    container, stream = open_video(path, part)
    with container:
        return _length(container, stream, rate, None)


def _length(container, stream, rate: float | None, first: int | None) -> float | None:
    by_order = container.format.name == "avi"
    step = 1 / (rate * stream.time_base) if rate else 0
    count, end = 0, None
    for packet in Packets(container, stream, Timeline(None)):
        stamp = packet.dts if by_order else packet.pts
        count += not packet.is_discard
        if stamp is None or packet.is_discard:
            continue
        first = stamp if first is None else min(first, stamp)
        end = max(stamp + (packet.duration or step), first if end is None else end)
    if end is not None:
        return float((end - first) * stream.time_base)
    return count / rate if rate and count else None
