"""Find the recordings in a file: several where files were appended to each other, one inside a DICOM file."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

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
            starts, whole = _starts(stream, size)
    except OSError:  # opening the video raises the error
        return [Recording()]
    if len(starts) < 2:
        return [Recording()]
    found = [Recording(start, end) for start, end in zip(starts, [*starts[1:], size])]
    return found if whole else [*found[:-2], found[-2]._replace(unread=size - starts[-1])]


def _starts(stream: BinaryIO, size: int) -> tuple[list[int], bool]:
    """Return the places where recordings begin, and whether the last one has content.

    A recording begins with a mark of its format among the top-level elements, behind the content of the one before.
    """
    starts, place, read, whole = [], 0, None, True
    while place + 24 <= size:
        stream.seek(place)
        head = stream.read(24)
        begins = next((read for at, mark, read in _FORMATS if head[at:].startswith(mark)), None)
        if whole and begins:
            starts.append(place)
            read, whole = begins, False
        if read is None:
            break
        kind, length = read(head)
        whole |= kind in _CONTENT and (kind != b"moov" or place + length <= size)  # an index cut off is of no use
        if length < 8:  # unknown, or no element
            break
        place += length
    return starts, whole


def _box(head: bytes) -> tuple[bytes, int]:
    """The kind and the bytes of an element of an mp4 file."""
    length, kind, long = struct.unpack_from(">I4sQ", head)
    return kind, long if length == 1 else length


def _chunk(head: bytes) -> tuple[bytes, int]:
    """Of an AVI file."""
    _, length, kind = struct.unpack_from("<4sI4s", head)
    return kind, 8 + length + length % 2


def _element(head: bytes) -> tuple[bytes, int]:
    """Of a Matroska file: the leading zero bits of the kind and of the length give the bytes of each."""
    kind = head[: 9 - head[0].bit_length()]
    rest = head[len(kind) :]
    width = 9 - rest[0].bit_length()
    length = int.from_bytes(rest[:width], "big") - (1 << 7 * width)
    unknown = width > 8 or length == (1 << 7 * width) - 1
    return kind, 0 if unknown else len(kind) + width + length


def _object(head: bytes) -> tuple[bytes, int]:
    """Of an ASF (WMV) file."""
    return head[:16], int.from_bytes(head[16:24], "little")


_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_CONTENT = (b"moov", b"AVI ", b"\x18\x53\x80\x67", _ASF_DATA)  # kinds of elements that every recording has
_FORMATS = (  # place and bytes of the mark with which a recording begins, and how its elements are read
    (4, b"ftyp", _box),
    (8, b"AVI ", _chunk),
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
