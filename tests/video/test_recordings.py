"""Files that hold several recordings, or one inside a DICOM file."""

import re
import struct

import numpy as np
import pytest

from surgseg.files import UserError
from surgseg.video.inputs import VideoSource
from surgseg.video.reader import VideoReader
from surgseg.video.recordings import Recording, find_recordings
from tests.films import write_film
from tests.video.test_reader import KINDS, assert_square


def appended(path, counts=(20, 30), **kind):
    films = [write_film(path.with_name(f"{number}_{path.name}"), count, **kind) for number, count in enumerate(counts)]
    path.write_bytes(b"".join(film.read_bytes() for film in films))
    return path, [film.stat().st_size for film in films]


def read(path):
    with VideoSource(path).open() as reader:
        frames = list(reader)
        return frames, {**reader.describe(), **reader.counts(), "notes": reader.notes, "length_s": reader.length_s}


@pytest.mark.parametrize(
    "name", ["film.mp4", "film.mov", "fragmented.mp4", "film.mkv", "vp9.webm", "mpeg4.avi", "mjpeg.avi", "film.wmv"]
)
def test_recordings_appended_to_each_other_are_read_as_one_video(tmp_path, name):
    path, (first, second) = appended(tmp_path / name, **KINDS[name])
    assert find_recordings(path) == [Recording(0, first), Recording(first, first + second)]
    frames, facts = read(path)
    assert [frame.index for frame in frames] == list(range(50))
    assert np.allclose([frame.time_s for frame in frames], np.arange(50) / 25, atol=0.0021)
    assert_square(frames[25]._replace(index=5))
    assert facts["frames_expected"] == facts["frames_read"] == 50
    assert facts["notes"] == [f"{name} holds 2 recordings, appended to each other: they are read as one video"]


@pytest.mark.parametrize("name", KINDS)
def test_a_file_of_one_recording_is_read_whole(tmp_path, name):
    assert find_recordings(write_film(tmp_path / name, 3, **KINDS[name])) == [Recording()]


@pytest.mark.parametrize("name", ["film.mp4", "fragmented.mp4"])
def test_a_recording_cut_off_behind_another_is_told_and_not_read(tmp_path, name):
    path, (first, _) = appended(tmp_path / name, **KINDS[name])
    path.write_bytes(path.read_bytes()[: first + 60])
    frames, facts = read(path)
    assert len(frames) == 20 and facts["bytes_unread"] == 60
    assert facts["notes"] == [f"the last 60 bytes of {name} are a recording cut off: not read"]


def test_recordings_of_different_formats_may_follow_each_other(tmp_path):
    films = [
        write_film(tmp_path / name, 10, **KINDS[name]) for name in ("film.mp4", "mpeg4.avi", "film.mkv", "film.wmv")
    ]
    path = tmp_path / "joined.mp4"
    path.write_bytes(b"".join(film.read_bytes() for film in films))
    assert [frame.index for frame in read(path)[0]] == list(range(40))


def test_bytes_that_are_no_recording_are_no_part(tmp_path):
    film = write_film(tmp_path / "film.mp4", 3)
    film.write_bytes(film.read_bytes() + b"trailer" * 100)
    assert find_recordings(film) == [Recording()]


def test_appended_recordings_of_different_size_are_refused_by_their_place(tmp_path):
    small, large = (write_film(tmp_path / f"{size[0]}.mp4", 3, size) for size in ((120, 160), (240, 320)))
    path = tmp_path / "film.mp4"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    place = small.stat().st_size
    with pytest.raises(
        UserError,
        match=rf"film\.mp4 from byte {place} on \(cut it there\) is 320x240 pixels, the first part 160x120",
    ):
        read(path)


def element(group, number, kind, value):
    value += b" " * (len(value) % 2)
    return struct.pack("<HH2sH", group, number, kind, len(value)) + value


def dicom(path, *fragments, syntax=b"1.2.840.10008.1.2.4.102", header=b"", table=b""):
    """A DICOM file with encapsulated pixel data."""
    items = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(data)) + data for data in (table, *fragments))
    pixels = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + items + b"\xfe\xff\xdd\xe0\0\0\0\0"
    path.write_bytes(bytes(128) + b"DICM" + element(2, 0x10, b"UI", syntax) + header + pixels)
    return path


@pytest.mark.parametrize("name", ["elementary.h264", "elementary.hevc", "elementary.m2v", "film.mp4", "film.ts"])
def test_a_video_inside_dicom_is_read_as_outside(tmp_path, name):
    film = write_film(tmp_path / name, 40, **KINDS[name])
    header = element(0x18, 0x40, b"IS", b"25")
    frames, facts = read(dicom(tmp_path / "film.dcm", film.read_bytes(), header=header, table=bytes(4)))
    assert [frame.index for frame in frames] == list(range(40))
    assert np.allclose([frame.time_s for frame in frames], np.arange(40) / 25, atol=0.0011)
    assert_square(frames[30])
    assert facts["frames_lost"] == facts["damaged_packets"] == 0
    assert facts["length_s"] == pytest.approx(1.6, abs=0.05)


@pytest.mark.parametrize(("tag", "kind", "value"), [(0x40, b"IS", b"50"), (0x1063, b"DS", b"20.0")])
def test_times_of_a_stream_without_any_are_by_dicoms_frame_rate(tmp_path, tag, kind, value):
    raw = write_film(tmp_path / "film.mjpeg", 10, form="mjpeg", codec="mjpeg", pixel_format="yuvj420p")
    path = dicom(tmp_path / "film.dcm", raw.read_bytes(), header=element(0x18, tag, kind, value))
    assert np.allclose([frame.time_s for frame in read(path)[0]], np.arange(10) / 50)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"syntax": b"1.2.840.10008.1.2.4.50"}, "DICOM without a video (transfer syntax 1.2.840.10008.1.2.4.50)"),
        ({"fragments": (b"1234", b"5678")}, "DICOM with its video in several fragments: extract it"),
    ],
)
def test_dicom_that_cannot_be_read_is_named(tmp_path, options, said):
    fragments = options.pop("fragments", (b"1234",))
    with pytest.raises(UserError, match=re.escape(said)):
        VideoReader(dicom(tmp_path / "film.dcm", *fragments, **options))
