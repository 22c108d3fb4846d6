"""Reading any video file: counts, time stamps, content, and damage that is stated."""

from __future__ import annotations

import av
import numpy as np
import pytest

from surgseg.files import UserError
from surgseg.video.reader import VideoReader
from surgseg.video.sampling import Sampler, Sampling
from surgseg.video.writer import VideoWriter
from tests.video.films import SIDE, damage, draw, fast_start, square_at, write_film

KINDS = {
    "film.mp4": {"b_frames": 2},
    "film.mov": {"b_frames": 3, "gop": 12},
    "film.mkv": {"b_frames": 2},
    "film.ts": {"b_frames": 2},
    "film.mpg": {"codec": "mpeg2video", "b_frames": 2},
    "mjpeg.avi": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "h264.avi": {"b_frames": 2},
    "ten_bit.mp4": {"pixel_format": "yuv420p10le"},
    "odd.mkv": {"codec": "ffv1", "pixel_format": "yuv444p", "size": (121, 161)},
    "portrait.mp4": {"size": (160, 120)},
    "interlaced.mp4": {"options": {"x264-params": "tff=1"}},
}


def read(path, step=1):
    with VideoReader(path) as reader:
        reader.choose = Sampler(Sampling(step=step))
        return list(reader), reader.counts(), reader.describe()


def assert_square(frame, tolerance=2):
    rows, columns = np.nonzero(frame.image.min(axis=2) > 170)
    left = square_at(frame.index, frame.image.shape[1])
    found = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
    assert np.allclose(found, (40, 40 + SIDE, left, left + SIDE), atol=tolerance)


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_comes_with_its_number_its_time_and_its_content(tmp_path, name):
    frames, counts, facts = read(write_film(tmp_path / name, 40, **KINDS[name]))
    assert [frame.index for frame in frames] == list(range(40))
    assert np.allclose([frame.time_s for frame in frames], np.arange(40) / 25, atol=0.0011)
    assert frames[0].image.dtype == np.uint8
    assert frames[0].image.shape[:2] == KINDS[name].get("size", (120, 160)) == (facts["height"], facts["width"])
    for frame in frames[::7]:
        assert_square(frame)
    assert counts["frames_lost"] == counts["damaged_packets"] == counts["frames_read_suspect"] == 0
    assert (facts["deinterlaced"] == "bwdif") == (name == "interlaced.mp4")


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_variable_rate_keeps_the_files_own_times(tmp_path, name):
    def ticks(index):
        return 40 * index if index < 20 else 800 + 120 * (index - 20)

    frames, counts, _ = read(write_film(tmp_path / name, 40, ticks=ticks))
    assert [frame.index for frame in frames] == list(range(40))
    assert np.allclose([frame.time_s for frame in frames], [ticks(index) / 1000 for index in range(40)], atol=0.0011)
    assert counts["frames_lost"] == 0


@pytest.mark.skipif(not hasattr(av.VideoStream, "set_display_rotation"), reason="this PyAV cannot write rotation")
def test_rotation_metadata_turns_the_frame_counterclockwise(tmp_path):
    frames, _, facts = read(write_film(tmp_path / "turned.mp4", 3, rotation=90))
    assert facts["rotation"] == 90
    expected = np.rot90(draw(2))
    assert frames[2].image.shape == expected.shape == (160, 120, 3)
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


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.ts", "film.mpg"])
def test_damage_in_the_middle_keeps_both_sides_and_is_counted(tmp_path, name):
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
    assert suspect == list(range(31, 50))


def test_an_end_cut_off_is_counted_as_lost(tmp_path):
    path = fast_start(write_film(tmp_path / "film.mp4", 100))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, counts, _ = read(path)
    assert 20 < len(frames) < 90
    assert len(frames) + counts["frames_lost"] == counts["frames_expected"] == 100


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


BAD = {
    no_file: "no such file",
    no_bytes: "empty",
    text: "no video",
    folder: "is a folder",
    sound: "no video track .*audio",
    cut_in_first_frame: "not one frame",
    cut_before_index: "cut off before its index",
    cut_in_first_frame_of_a_stream: "cut off inside its first frame",
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_a_file_that_holds_no_video_is_one_clear_line(tmp_path, make):
    with pytest.raises(UserError, match=BAD[make]) as caught:
        read(make(tmp_path / "bad.mp4"))
    assert "bad" in str(caught.value) and "\n" not in str(caught.value)
