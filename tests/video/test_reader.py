"""Reading any video file: counts, time stamps, content, and damage that is stated."""

from __future__ import annotations

import os
import struct

import av
import numpy as np
import pytest

from surgseg.files import UserError
from surgseg.frames import encode_frame
from surgseg.video.reader import VideoReader
from surgseg.video.sampling import Sampling
from surgseg.video.writer import VideoWriter
from tests.films import (
    SIDE,
    damage,
    draw,
    edit_list,
    fast_start,
    square_at,
    write_film,
    write_tracks,
    write_with_cover,
)

MPEG2 = {"codec": "mpeg2video", "b_frames": 2}
HEVC = {"codec": "libx265", "b_frames": 2}
MJPEG = {"codec": "mjpeg", "pixel_format": "yuvj420p"}
OPEN = "log-level=none:pools=none:open-gop=1"


def old_pyav_counts_less(name):
    if int(av.__version__.split(".")[0]) < 17 and name in ("h264.avi", "hevc.mkv", "hevc.ts"):
        pytest.skip("before PyAV 17 an AVI file's index cannot be read, and FFmpeg reports less of HEVC's damage")


KINDS = {
    "film.mp4": {"b_frames": 2},
    "film.mov": {"b_frames": 3, "gop": 12},
    "film.mkv": {"b_frames": 2},
    "film.ts": {"b_frames": 2},
    "film.m2ts": {"b_frames": 2},
    "film.flv": {"b_frames": 2},
    "film.mpg": MPEG2,
    "film.vob": MPEG2,
    "h264.mpg": {"b_frames": 2},
    "mpeg2.ts": MPEG2,
    "mpeg2.mkv": MPEG2,
    "mpeg4.avi": {"codec": "mpeg4", "b_frames": 2},
    "mjpeg.avi": MJPEG,
    "mjpeg.mov": MJPEG,
    "h264.avi": {"b_frames": 2},
    "film.wmv": {"codec": "wmv2"},
    "hevc.mp4": HEVC,
    "hevc.mkv": HEVC,
    "hevc.ts": HEVC,
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}},
    "ten_bit.mp4": {"pixel_format": "yuv420p10le"},
    "hevc_ten_bit.mkv": {**HEVC, "pixel_format": "yuv420p10le"},
    "odd.mkv": {"codec": "ffv1", "pixel_format": "yuv444p", "size": (121, 161)},
    "odd.mp4": {"pixel_format": "yuv444p", "size": (121, 161)},
    "portrait.mp4": {"size": (160, 120)},
    "interlaced.mp4": {"options": {"x264-params": "tff=1"}},
    "interlaced.ts": {**MPEG2, "options": {"flags": "+ildct+ilme"}},
    "interlaced.mpg": {**MPEG2, "options": {"flags": "+ildct+ilme"}},
    "open_gop.mp4": {"b_frames": 3, "gop": 10, "options": {"x264-params": "open-gop=1:b-pyramid=normal"}},
    "open_gop.ts": {"b_frames": 3, "gop": 10, "options": {"x264-params": "open-gop=1"}},
    "open_gop_hevc.mkv": {**HEVC, "gop": 10, "options": {"x265-params": OPEN}},
    "sound_before.mp4": {"b_frames": 2, "sound": "before before"},
    "sound.mkv": {"b_frames": 2, "sound": "before after"},
    "sound.ts": {"b_frames": 2, "sound": "before after"},
    "sound.mpg": {**MPEG2, "sound": "before after"},
    "sound.avi": {"sound": "before after"},
    "live.mkv": {"b_frames": 2, "container_options": {"live": "1"}},
    "fragmented.mp4": {"b_frames": 2, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "counts_one_fragment.mp4": {"b_frames": 2, "container_options": {"movflags": "frag_keyframe"}},
    "elementary.h264": {"form": "h264", "b_frames": 2},
    "elementary.hevc": {**HEVC, "form": "hevc"},
    "elementary.mjpeg": {**MJPEG, "form": "mjpeg"},
    "elementary.m2v": {**MPEG2, "form": "mpeg2video"},
    "begins_late.mp4": {"b_frames": 2, "ticks": lambda index: 40 * index + 2000},
    "begins_late.mkv": {"ticks": lambda index: 40 * index + 2000},
    "begins_late.ts": {"b_frames": 2, "ticks": lambda index: 40 * index + 2000},
    "begins_late.mov": {"ticks": lambda index: 40 * index + 500},
}


def read(path, step=1):
    with VideoReader(path, Sampling(step=step)) as reader:
        return list(reader), reader.counts(), reader.describe()


def assert_square(frame, tolerance=2):
    rows, columns = np.nonzero(frame.image.min(axis=2) > 170)
    left = square_at(frame.index, frame.image.shape[1])
    found = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
    assert np.allclose(found, (40, 40 + SIDE, left, left + SIDE), atol=tolerance)


@pytest.fixture(scope="module")
def film_of(tmp_path_factory):
    """Give the path of a film of 40 frames by the name of its kind. The film is made once, and not to be changed."""
    root = tmp_path_factory.mktemp("films")

    def find(name):
        path = root / name
        return path if path.is_file() else write_film(path, 40, **KINDS[name])

    return find


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_comes_with_its_number_its_time_and_its_content(film_of, name):
    frames, counts, facts = read(film_of(name))
    assert [frame.index for frame in frames] == list(range(40))
    assert np.allclose([frame.time_s for frame in frames], np.arange(40) / 25, atol=0.0011)
    assert frames[0].image.dtype == np.uint8
    assert frames[0].image.shape[:2] == KINDS[name].get("size", (120, 160)) == (facts["height"], facts["width"])
    for frame in frames[::7]:
        assert_square(frame)
    assert counts["frames_lost"] == counts["damaged_packets"] == counts["frames_read_suspect"] == 0
    assert (facts["deinterlaced"] == "bwdif") == name.startswith("interlaced")
    assert facts["video_tracks"] == 1


@pytest.mark.parametrize("name", KINDS)
def test_length_is_known_whatever_the_header_says(film_of, name):
    with VideoReader(film_of(name), Sampling("spread", None, 4)) as reader:
        assert reader.length_s == pytest.approx(1.6, abs=0.05)
        assert np.allclose([frame.index for frame in reader], [5, 15, 25, 35], atol=1)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.mov", "film.ts", "hevc.mkv"])
def test_variable_rate_keeps_the_files_own_times(tmp_path, name):
    def ticks(index):
        return 40 * index if index < 20 else 800 + 120 * (index - 20)

    path = write_film(tmp_path / name, 40, ticks=ticks, **KINDS[name])
    frames, counts, _ = read(path)
    assert [frame.index for frame in frames] == list(range(40))
    assert np.allclose([frame.time_s for frame in frames], [ticks(index) / 1000 for index in range(40)], atol=0.0011)
    assert counts["frames_lost"] == 0
    for frame in frames[::7]:
        assert_square(frame)
    with VideoReader(path) as reader:
        assert reader.length_s == pytest.approx(3.2, abs=0.13)


def test_frames_that_an_avi_recorder_dropped_leave_their_time_free(tmp_path):
    path = write_film(tmp_path / "film.avi", 20, **MJPEG)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux() if packet.size]
    for index in (5, 6):  # empty chunks, their bytes taken up by one that no reader looks at
        size = struct.unpack_from("<I", data, places[index] - 4)[0]
        struct.pack_into("<I4sI", data, places[index] - 4, 0, b"JUNK", size + size % 2 - 8)
    index = data.index(b"idx1") + 8
    for dropped in (5, 6):
        struct.pack_into("<I", data, index + 16 * dropped + 12, 0)
    path.write_bytes(data)
    frames, counts, _ = read(path)
    assert len(frames) == 18 and counts["damaged_packets"] == 0
    kept = [index for index in range(20) if index not in (5, 6)]
    assert np.allclose([frame.time_s for frame in frames], np.array(kept) / 25)
    for frame, index in zip(frames, kept):
        assert_square(frame._replace(index=index))


def test_an_edit_list_hides_frames(tmp_path):
    path = edit_list(write_film(tmp_path / "film.mp4", 60, b_frames=2), skip=10, count=40)
    frames, counts, _ = read(path)
    assert [frame.index for frame in frames] == list(range(40))
    assert np.allclose([frame.time_s for frame in frames], np.arange(40) / 25)
    assert counts["frames_lost"] == 0 and counts["frames_expected"] == 40
    for frame in frames[:34:5]:
        assert_square(frame._replace(index=frame.index + 10))


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.ts"])
def test_the_largest_of_several_tracks_is_the_video(tmp_path, name):
    frames, counts, facts = read(write_tracks(tmp_path / name, [(64, 64), (120, 160), (48, 80)]))
    assert facts["video_tracks"] == 3 and (facts["height"], facts["width"]) == (120, 160)
    assert len(frames) == counts["frames_read"] == 20
    assert_square(frames[-1])


@pytest.mark.parametrize("name, marked", [("film.mp4", True), ("film.mkv", False)])
def test_a_cover_picture_is_not_the_video(tmp_path, name, marked):
    frames, _, facts = read(write_with_cover(tmp_path / name, marked=marked))
    assert len(frames) == 20 and facts["video_tracks"] == 2 - marked
    assert_square(frames[-1])


@pytest.mark.parametrize("name", ["film.ts", "film.mpg"])
def test_recordings_joined_end_to_end_go_on_in_time(tmp_path, name):
    path = write_film(tmp_path / name, 50, **KINDS[name])
    path.write_bytes(path.read_bytes() * 2)
    frames, counts, _ = read(path)
    assert [frame.index for frame in frames] == list(range(100)) and counts["frames_lost"] == 0
    assert np.allclose([frame.time_s for frame in frames], np.arange(100) / 25, atol=0.0011)
    for frame in frames[60:95:7]:
        assert_square(frame._replace(index=frame.index - 50))
    with VideoReader(path) as reader:
        assert reader.length_s == pytest.approx(4.0, abs=0.05)


def test_a_recording_that_begins_between_keyframes_is_read_from_the_first_on(tmp_path):
    path = write_film(tmp_path / "film.ts", 60, b_frames=2)
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 188 // 4 * 188 :])
    frames, _, _ = read(path)
    assert 30 <= len(frames) < 50 and frames[0].index == 0 and 0 < frames[0].time_s < 1
    first = 60 - len(frames)
    for frame in frames:
        if frame.index + first < 45:
            assert_square(frame._replace(index=frame.index + first))


def test_a_picture_of_the_largest_usual_size_is_read(tmp_path):
    (frame,), _, _ = read(write_film(tmp_path / "film.mp4", 1, size=(2160, 3840)))
    assert frame.image.shape == (2160, 3840, 3)
    assert_square(frame)


@pytest.mark.skipif(not hasattr(av.VideoStream, "set_display_rotation"), reason="this PyAV cannot write rotation")
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_metadata_turns_the_frame_counterclockwise(tmp_path, degrees):
    frames, _, facts = read(write_film(tmp_path / "turned.mp4", 3, rotation=degrees))
    assert facts["rotation"] == degrees
    expected = np.rot90(draw(2), degrees // 90)
    assert frames[2].image.shape == expected.shape == (facts["height"], facts["width"], 3)
    assert np.abs(frames[2].image.astype(int) - expected).mean() < 12


def test_step_keeps_every_nth_frame_and_counts_all(tmp_path):
    frames, counts, _ = read(write_film(tmp_path / "film.mp4", 40), step=7)
    assert [frame.index for frame in frames] == [0, 7, 14, 21, 28, 35]
    assert counts["frames_read"] == counts["frames_expected"] == 40


def test_writers_own_film_is_read_back(tmp_path):
    with VideoWriter(tmp_path / "own.mp4", metadata={"comment": "synthetic, seed 3"}) as writer:
        for index in range(5):
            writer.write(draw(index, 121, 161))
    with VideoReader(tmp_path / "own.mp4") as reader:
        frames = list(reader)
        assert reader.data == "synthetic"
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[0].image.shape == (122, 162, 3)


DAMAGED = ("film.mp4", "film.mkv", "film.ts", "film.mpg", "h264.avi", "hevc.mp4", "hevc.mkv", "hevc.ts")


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_in_the_middle_keeps_both_sides_and_is_counted(tmp_path, name):
    old_pyav_counts_less(name)
    path = damage(write_film(tmp_path / name, 150, **KINDS[name]))
    frames, counts, _ = read(path)
    assert all(later.index > earlier.index for earlier, later in zip(frames, frames[1:]))
    assert counts["damaged_packets"] > 0
    assert frames[0].index == 0 and frames[-1].index == 149
    assert counts["frames_read"] + counts["frames_lost"] == 150
    assert np.allclose([frame.time_s for frame in frames], [frame.index / 25 for frame in frames], atol=0.0011)
    trusted = [frame for frame in frames if not frame.suspect and frame.index % 50 < 45]
    assert len(trusted) > 80
    for frame in trusted:  # what is not marked suspect shows what was drawn
        assert_square(frame)


@pytest.mark.parametrize("name", [name for name in DAMAGED if name != "film.mpg"])  # whose packets have no place
def test_the_first_bytes_of_damage_do_not_slip_through(tmp_path, name):
    old_pyav_counts_less(name)
    path = write_film(tmp_path / name, 60, **KINDS[name])
    with VideoReader(path) as reader:
        sound = [frame.image for frame in reader]
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux() if packet.size]
    data = bytearray(path.read_bytes())
    position, size = places[33]
    begin = position + (8 if "hevc" in name else size // 2)  # FFmpeg does not notice half an HEVC picture of zeros
    data[begin : position + size] = bytes(position + size - begin)
    path.write_bytes(data)
    frames, counts, _ = read(path)
    assert counts["frames_read"] + counts["frames_lost"] == 60 and len(frames) > 40
    for frame in frames:
        assert frame.suspect or np.abs(frame.image.astype(int) - sound[frame.index]).mean() < 1
    assert not any(frame.suspect for frame in frames if not 25 <= frame.index < 50)


@pytest.mark.parametrize("name", DAMAGED)
def test_random_damage_never_ends_in_anything_but_a_user_error(film_of, tmp_path, name):
    path, whole, decoded = tmp_path / name, film_of(name).read_bytes(), []
    for seed in range(6):
        random = np.random.default_rng(seed)
        start, length = (int(random.random() * share * len(whole)) for share in (1, 0.1))
        middle = (random.bytes(length), bytes(length), b"")[seed % 3]
        path.write_bytes(whole[:start] + middle + whole[start + length :])
        try:
            frames, _, _ = read(path)
        except UserError as error:
            assert "\n" not in str(error)
            continue
        assert all(later.index > earlier.index for earlier, later in zip(frames, frames[1:]))
        decoded.append(len(frames))
    assert len(decoded) >= 3 and min(decoded) > 5, "most of a damaged file is still read"


def test_frames_are_suspect_from_damage_to_the_next_keyframe(tmp_path):
    path = write_film(tmp_path / "film.mp4", 100, gop=25)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux() if packet.size]
    data = bytearray(path.read_bytes())
    position, size = packets[30]
    data[position + 8 : position + size] = bytes(size - 8)
    path.write_bytes(data)
    frames, counts, _ = read(path)
    suspect = [frame.index for frame in frames if frame.suspect]
    assert counts["damaged_packets"] == counts["frames_lost"] == 1
    assert suspect == [29, *range(31, 50)]  # the frame before is doubtful


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.ts", "film.mpg", "mjpeg.avi", "h264.avi", "hevc.mp4"])
def test_an_end_cut_off_is_no_error_and_is_counted_where_a_header_tells(tmp_path, name):
    path = write_film(tmp_path / name, 100, **KINDS[name])
    path = fast_start(path) if path.suffix == ".mp4" else path
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, counts, _ = read(path)
    assert 20 < len(frames) < 90
    for frame in frames[: len(frames) - 4 : 9]:
        if frame.index % 50 < 45 and not frame.suspect:
            assert_square(frame)
    if path.suffix not in (".ts", ".mpg"):
        assert counts["frames_expected"] == 100
        assert len(frames) + counts["frames_lost"] == pytest.approx(100, abs=2)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="who may read everything cannot be refused")
def test_a_file_that_may_not_be_read_is_one_clear_line(tmp_path):
    path = write_film(tmp_path / "film.mp4", 3)
    path.chmod(0)
    with pytest.raises(UserError, match="permission denied"):
        read(path)


def no_file(path):
    return path


def no_bytes(path):
    path.write_bytes(b"")
    return path


def text(path):
    path.write_text("no video\n" * 50)
    return path


def folder(path):
    path.mkdir()
    return path


def sound(path):
    path = path.with_suffix(".m4a")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 44100
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut_in_first_frame(path):
    path = fast_start(write_film(path, 20))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 300])
    return path


def cut_before_index(path):
    path.write_bytes(write_film(path, 20).read_bytes()[:2000])
    return path


def cut_in_first_frame_of_a_stream(path):
    path = write_film(path.with_suffix(".ts"), 20)
    path.write_bytes(path.read_bytes()[:1000])
    return path


def cut_in_first_frame_of(name, length):
    def cut(path):
        path = write_film(path.with_suffix(f".{name}"), 20, **KINDS[f"film.{name}" if name != "avi" else "h264.avi"])
        path.write_bytes(path.read_bytes()[:length])
        return path

    cut.__name__ = f"cut_in_first_frame_of_{name}"
    return cut


def zeros(path):
    path.write_bytes(bytes(20000))
    return path


def picture(path):
    path = path.with_suffix(".png")
    path.write_bytes(encode_frame(draw(0), ".png"))
    return path


BAD = {
    no_file: "no such file",
    no_bytes: "empty",
    text: "no video",
    folder: "is a folder",
    sound: "no video track .*audio",
    cut_in_first_frame: "not one frame",
    cut_before_index: "cut off before its index",
    cut_in_first_frame_of_a_stream: "cut off inside its first frame",
    cut_in_first_frame_of("mkv", 1500): "not one frame|cut off",
    cut_in_first_frame_of("avi", 6000): "not one frame|cut off",
    zeros: "no video",
    picture: "no video",
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_a_file_that_holds_no_video_is_one_clear_line(tmp_path, make):
    with pytest.raises(UserError, match=BAD[make]) as caught:
        read(make(tmp_path / "bad.mp4"))
    assert "bad" in str(caught.value) and "\n" not in str(caught.value)


def test_frames_that_an_earlier_run_has_are_counted_and_not_given_again(tmp_path):
    film = write_film(tmp_path / "film.mp4", 30)
    with VideoReader(film, Sampling(step=3)) as reader:
        assert [frame.index for frame in reader.frames(skip=4)] == [12, 15, 18, 21, 24, 27]
        assert reader.counts()["frames_read"] == 30


def test_a_reader_that_is_stopped_ends_before_its_next_frame(tmp_path):
    with VideoReader(write_film(tmp_path / "film.mp4", 30)) as reader:
        frames = reader.frames()
        assert next(frames).index == 0
        reader.stop()
        assert list(frames) == [] and not reader.ended
