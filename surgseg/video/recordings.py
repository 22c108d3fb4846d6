"""Find the recordings in a file: several where files were appended to each other, one inside a DICOM file."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import BinaryIO, Callable, NamedTuple

from surgseg.files import UserError

_HEADER = 1 << 24  # bytes of a DICOM file in which its pixel data begin
_DICOM_VIDEO = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.10\d(\.1)?")  # transfer syntaxes of MPEG-2, H.264 and HEVC
_PIXEL_DATA = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"  # encapsulated, of undefined length
_ITEM = b"\xfe\xff\x00\xe0"


class Recording(NamedTuple):
    """Bytes `start` to `end` (None: all) of a file.

    `rate`: frames per second, where a DICOM file states it. `unread`: bytes behind it of a recording without content.
    """

    start: int = 0
    end: int | None = None
    rate: float | None = None
    unread: int = 0


def find_recordings(path: Path) -> list[Recording]:
    """Return the recordings in a file, in order: one, or several in an appended mp4, Matroska, AVI or WMV file.

    Raises `UserError` for a DICOM file whose pixel data are no video.
    """
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            head = stream.read(132)
            if head[128:] == b"DICM":
                return [_in_dicom(stream, path)]
            read = next((read for place, mark, read in _FORMATS if head[place:].startswith(mark)), None)
            starts, whole = _starts(stream, size, read) if read else ([], True)
    except OSError:  # opening the video raises the error
        return [Recording()]
    if len(starts) < 2:
        return [Recording()]
    found = [Recording(start, end) for start, end in zip(starts, [*starts[1:], size])]
    return found if whole else [*found[:-2], found[-2]._replace(unread=size - starts[-1])]


def _starts(stream: BinaryIO, size: int, read: Callable[[BinaryIO], tuple[bytes, int]]) -> tuple[list[int], bool]:
    """Return the places where recordings begin, and whether the last one has content.

    A recording begins with a top-level element of the first one's kind, after content.
    """
    starts, place, first, whole = [], 0, None, True
    while place + 24 <= size:
        stream.seek(place)
        kind, length = read(stream)
        if whole and kind == (first or kind):
            starts.append(place)
            first, whole = kind, False
        whole |= kind in _CONTENT and (kind != b"moov" or place + length <= size)  # an index cut off is of no use
        if length < 8:  # unknown, or no element
            break
        place += length
    return starts, whole


def _box(stream: BinaryIO) -> tuple[bytes, int]:
    length, kind = struct.unpack(">I4s", stream.read(8))
    return kind, struct.unpack(">Q", stream.read(8))[0] if length == 1 else length


def _riff(stream: BinaryIO) -> tuple[bytes, int]:
    _, length, kind = struct.unpack("<4sI4s", stream.read(12))
    return kind, 8 + length + length % 2


def _element(stream: BinaryIO) -> tuple[bytes, int]:
    """A Matroska element: the leading zero bits of its id and of its length give the bytes of each."""
    data = stream.read(12)
    kind = data[: 9 - data[0].bit_length()]
    rest = data[len(kind) :]
    width = 9 - rest[0].bit_length()
    length = int.from_bytes(rest[:width], "big") - (1 << 7 * width)
    unknown = width > 8 or length == (1 << 7 * width) - 1
    return kind, 0 if unknown else len(kind) + width + length


def _object(stream: BinaryIO) -> tuple[bytes, int]:
    """An object of an ASF (WMV) file."""
    return stream.read(16), int.from_bytes(stream.read(8), "little")


_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_CONTENT = (b"moov", b"AVI ", b"\x18\x53\x80\x67", _ASF_DATA)  # kinds of elements that every recording has
_FORMATS = (  # place and bytes of a format's mark; what reads the kind and the length of an element
    *((4, mark, _box) for mark in (b"ftyp", b"moov", b"mdat", b"wide")),
    (0, b"RIFF", _riff),
    (0, b"\x1a\x45\xdf\xa3", _element),
    (0, bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), _object),
)


def _in_dicom(stream: BinaryIO, path: Path) -> Recording:
    """`stream` is at the first element of the header. An offset table comes before the fragments; a video is one."""
    begin = stream.tell()
    data = stream.read(_HEADER)
    syntax, place = _value(data, b"\x02\x00\x10\x00UI"), data.find(_PIXEL_DATA)
    if place < 0 or not _DICOM_VIDEO.fullmatch(syntax):
        raise UserError(
            f"{path} is DICOM without a video (transfer syntax {syntax or 'unknown'}): save its frames as images, "
            f"and give their folder"
        )
    place += len(_PIXEL_DATA)
    place += 8 + int.from_bytes(data[place + 4 : place + 8], "little")  # the offset table
    start = begin + place + 8
    end = start + int.from_bytes(data[place + 4 : place + 8], "little")
    stream.seek(end)
    if stream.read(4) == _ITEM:
        raise UserError(f"{path} is DICOM with its video in several fragments: extract it, with dcmtk or pydicom")
    step, rate = _value(data[:place], b"\x18\x00\x63\x10DS"), _value(data[:place], b"\x18\x00\x40\x00IS")
    try:
        return Recording(start, end, 1000 / float(step) if step else float(rate) if rate else None)
    except (ValueError, ZeroDivisionError):
        return Recording(start, end)


def _value(data: bytes, tag: bytes) -> str:
    """Return the text of an element of a DICOM header (explicit, little endian); "" without one."""
    place = data.find(tag)
    if place < 0:
        return ""
    place += len(tag)
    length = int.from_bytes(data[place : place + 2], "little")
    return data[place + 2 : place + 2 + length].decode("ascii", "replace").strip(" \0")
