"""The overlay video: plays in browsers, keeps the source's times, holds nothing else of the source."""

from __future__ import annotations

import errno
import struct

import av
import numpy as np
import pytest

from surgseg.files import UserError
from surgseg.generate.overlay import OverlayVideo
from surgseg.labels import SCHEMES
from surgseg.overlay import Painter
from tests.films import draw


def write(folder, times, size=(48, 64), synthetic=False):
    video = OverlayVideo(folder, synthetic)
    for index in range(len(times)):
        video.write(draw(index, *size), times[index])
    video.finish()
    return folder / "overlay.mp4"


def shown(path):
    """[(seconds, (H, W, 3) RGB)] of every frame."""
    with av.open(str(path)) as container:
        return [(float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24")) for frame in container.decode()]


def boxes(path):
    """The names of an mp4's top-level boxes, in order."""
    data, place, names = path.read_bytes(), 0, []
    while place < len(data):
        size, name = struct.unpack(">I4s", data[place : place + 8])
        names.append(name.decode())
        place += size
    return names


def test_browsers_play_it(tmp_path):
    path = write(tmp_path, [index / 25 for index in range(10)])
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert len(container.streams) == 1 and "mp4" in container.format.name
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.frames) == (64, 48, 10)
    names = boxes(path)
    assert names.index("moov") < names.index("mdat")


@pytest.mark.parametrize(("size", "even"), [((47, 63), (48, 64)), ((48, 63), (48, 64)), ((47, 64), (48, 64))])
def test_odd_sizes_are_padded_to_even_ones(tmp_path, size, even):
    frames = shown(write(tmp_path, [0.0, 0.04], size))
    assert {image.shape for _, image in frames} == {(*even, 3)}
    assert np.abs(frames[1][1][: size[0], : size[1]].astype(int) - draw(1, *size)).mean() < 8


TIMES = {
    "even": [index / 25 for index in range(11)],
    "ntsc": [index * 1001 / 30000 for index in range(11)],
    "sampled": [index * 30 / 25 for index in range(11)],
    "late": [3600.5 + index / 25 for index in range(11)],
    "variable": list(np.cumsum([0.0, 0.04, 0.01, 0.5, 0.033, 0.0002, 2.0, 0.04, 60.0, 0.1, 0.05]) + 7.25),
}


@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES)
def test_times_are_the_sources_less_the_firsts(tmp_path, times):
    frames = shown(write(tmp_path, times))
    assert len(frames) == len(times)
    assert [time for time, _ in frames] == pytest.approx([time - times[0] for time in times], abs=2 / 90000)
    for index, (_, image) in enumerate(frames):  # and each is the picture of its time
        assert np.abs(image.astype(int) - draw(index, 48, 64)).mean() < 8


def test_two_frames_of_one_time_do_not_end_the_video(tmp_path):
    times = [0.0, 0.04, 0.04, 0.04, 0.04, 0.08, 0.12, 0.12, 0.16]
    assert [time for time, _ in shown(write(tmp_path, times))] == pytest.approx(times, abs=1e-3)


def test_the_last_frame_is_shown_as_long_as_the_one_before(tmp_path):
    with av.open(str(write(tmp_path, [0.0, 1.0, 3.0]))) as container:
        assert container.duration / av.time_base == pytest.approx(5.0, abs=0.01)


def test_the_last_frame_is_shown_too(tmp_path):
    with av.open(str(write(tmp_path, [0.0, 1.0, 2.0]))) as container:
        assert container.duration / av.time_base > 2.001


def test_one_frame_is_a_video(tmp_path):
    assert len(shown(write(tmp_path, [12.5]))) == 1


def test_synthetic_frames_are_marked_and_others_carry_no_tags(tmp_path):
    for synthetic, expected in ((True, "synthetic"), (False, None)):
        with av.open(str(write(tmp_path / str(synthetic), [0.0, 0.04], synthetic=synthetic))) as container:
            assert container.metadata.get("comment") == expected
            tags = {**container.metadata, **container.streams.video[0].metadata}
        assert set(tags) <= {"comment", "encoder", "major_brand", "minor_version", "compatible_brands"} | {
            *("handler_name", "vendor_id", "language")
        }


def test_instruments_are_tinted_where_the_mask_is(tmp_path):
    ids = np.zeros((48, 64), np.uint8)
    ids[16:32, 16:48] = 1
    paint = Painter(SCHEMES["binary"])
    video = OverlayVideo(tmp_path, False)
    gray = np.full((48, 64, 3), 120, np.uint8)
    for index in range(5):
        video.write(paint(gray, ids), index / 25)
    video.finish()
    picture = shown(tmp_path / "overlay.mp4")[4][1].astype(int)
    colour = 0.5 * 120 + 0.5 * np.array(SCHEMES["binary"].classes[1].colour)
    assert np.abs(picture[20:28, 20:44] - colour).max() < 12
    assert np.abs(picture[:12] - 120).max() < 6


def test_a_video_that_is_abandoned_leaves_nothing(tmp_path):
    video = OverlayVideo(tmp_path, False)
    for index in range(6):
        video.write(draw(index, 48, 64), index / 25)
    video.abandon()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_clear_error(tmp_path):
    """A limit on the size of files stands for the disk."""
    resource = pytest.importorskip("resource")
    times = [index / 25 for index in range(12)]
    size = write(tmp_path / "whole", times).stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
    try:
        video = OverlayVideo(tmp_path / "full", False)
        with pytest.raises(UserError, match=r"cannot write .*overlay\.mp4"):
            for index, time in enumerate(times):
                video.write(draw(index, 48, 64), time)
            video.finish()
        video.abandon()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "full").iterdir())


def test_an_error_of_the_disk_names_the_video(tmp_path, monkeypatch):
    def full(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    video = OverlayVideo(tmp_path, False)
    for index in range(4):
        video.write(draw(index, 48, 64), index / 25)
    with pytest.raises(UserError, match=r"cannot write .*overlay\.mp4.*No space left"):
        video.finish()
