"""Frames spread over a video are those that reading all of it would give, though most of it is never decoded."""

from __future__ import annotations

import numpy as np
import pytest

from surgseg.video.reader import VideoReader
from surgseg.video.sampling import Sampler, Sampling
from tests.films import damage, write_film

FILMS = {
    "closed.mp4": {"gop": 12, "b_frames": 2},
    "open.mp4": {"gop": 12, "b_frames": 3, "options": {"x264-params": "open-gop=1"}},
    "open.mkv": {"gop": 12, "b_frames": 3, "options": {"x264-params": "open-gop=1"}},
    "hevc.mp4": {"codec": "libx265", "gop": 12, "options": {"x265-params": "log-level=none:open-gop=1"}},
    "intra.mov": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "refresh.mp4": {"gop": 12, "options": {"x264-params": "intra-refresh=1"}},
    "refresh.mkv": {"gop": 20, "options": {"x264-params": "intra-refresh=1"}},
    "one_group.mp4": {"gop": 1000},
    "late.mkv": {"gop": 10, "ticks": lambda index: 5000 + 40 * index + 13 * (index % 3)},
    "stream.ts": {"gop": 12, "b_frames": 2},
    "interlaced.mp4": {"gop": 12, "options": {"x264-params": "tff=1"}},
}
SAMPLINGS = [
    Sampling("spread", None, 3),
    Sampling("spread", None, 6, burst=2),
    Sampling("spread", None, 9, burst=9),
    Sampling("spread", None, 1, burst=1, start_s=3.0, end_s=4.0),
    Sampling("every", 7, None, burst=2, start_s=2.5),
    Sampling("every", 1, 5, start_s=4.9),
]


def read(path, sampling, skip=0):
    with VideoReader(path, sampling) as reader:
        return list(reader.frames(skip)), reader.counts()


@pytest.fixture
def no_gaps(monkeypatch):
    """A switch that makes readers decode everything."""
    return lambda: monkeypatch.setattr(Sampler, "leaves_gaps", False)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return {name: write_film(folder / name, 150, **options) for name, options in FILMS.items()}


@pytest.mark.parametrize("name", FILMS)
def test_what_is_left_out_changes_nothing_of_what_is_taken(films, name, no_gaps):
    sparse = [read(films[name], sampling) for sampling in SAMPLINGS]
    no_gaps()
    for sampling, (frames, counts) in zip(SAMPLINGS, sparse):
        expected, whole = read(films[name], sampling)
        assert [frame.index for frame in frames] == [frame.index for frame in expected] != []
        assert [frame.time_s for frame in frames] == [frame.time_s for frame in expected]
        for one, other in zip(frames, expected):
            np.testing.assert_array_equal(one.image, other.image)
        assert not any(frame.suspect for frame in frames)
        assert counts["frames_lost"] == whole["frames_lost"] == 0


@pytest.mark.parametrize("name", ["closed.mp4", "open.mkv", "hevc.mp4", "intra.mov"])
def test_most_of_a_video_is_not_decoded(films, name):
    _, counts = read(films[name], Sampling("spread", None, 2))
    assert counts["frames_read"] < 75
    _, counts = read(films[name], Sampling("every", 5, None, start_s=5.0))
    assert counts["frames_read"] < 75


def test_a_resumed_run_takes_the_rest(films):
    sampling = Sampling("spread", None, 8, burst=2)
    whole, _ = read(films["open.mp4"], sampling)
    rest, _ = read(films["open.mp4"], sampling, skip=3)
    assert [frame.index for frame in rest] == [frame.index for frame in whole][3:]
    for one, other in zip(rest, whole[3:]):
        np.testing.assert_array_equal(one.image, other.image)


def test_damage_in_what_is_decoded_is_counted_and_elsewhere_not_seen(tmp_path):
    path = damage(write_film(tmp_path / "film.mp4", 150, gop=10), at=0.5, share=0.02)
    frames, counts = read(path, Sampling("spread", None, 5))
    assert counts["damaged_packets"] > 0
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})
    before, counts = read(path, Sampling("every", 1, None, start_s=5.0))
    assert counts["damaged_packets"] == 0 and [frame.index for frame in before] == list(range(125, 150))
