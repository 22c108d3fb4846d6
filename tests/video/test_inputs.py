"""What --video-path names."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from surgseg.files import UserError
from surgseg.video.images import ImageReader
from surgseg.video.inputs import VideoSource, find_sources, first_frames, join_sources, spread_frames
from surgseg.video.reader import VideoReader
from tests.films import write_film
from tests.helpers import noise_frame, save_image


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def found(*names):
    return [source.path.name for source in find_sources([str(name) for name in names])]


def test_files_come_in_the_order_they_are_named(tmp_path):
    touch(tmp_path, "b.mp4", "a.avi")
    assert found(tmp_path / "b.mp4", tmp_path / "a.avi") == ["b.mp4", "a.avi"]


def test_globs_come_in_natural_order_and_each_video_once(tmp_path, monkeypatch):
    touch(tmp_path, "video10.mp4", "video2.mp4", "video1.mp4", "notes.txt")
    assert found(tmp_path / "*.mp4") == ["video1.mp4", "video2.mp4", "video10.mp4"]
    monkeypatch.chdir(tmp_path)
    assert found("video2.mp4", "*.mp4", tmp_path / "video10.mp4") == ["video2.mp4", "video1.mp4", "video10.mp4"]


def test_globs_may_go_through_folders(tmp_path):
    touch(tmp_path, "a/x.mp4", "b/c/y.mp4")
    assert found(tmp_path / "**" / "*.mp4") == ["x.mp4", "y.mp4"]


def test_a_folder_of_videos_stands_for_its_videos(tmp_path):
    touch(tmp_path, "v10.mp4", "v9.MPG", "._v9.MPG", ".DS_Store", "notes.txt", "deeper/other.mp4")
    assert found(tmp_path) == ["v9.MPG", "v10.mp4"]


def test_a_folder_of_images_is_one_video(tmp_path):
    for index in range(2):
        save_image(tmp_path / "frames" / f"{index}.png", noise_frame(index))
    (source,) = find_sources([str(tmp_path / "frames")])
    assert source == VideoSource(tmp_path / "frames", images=True)
    with source.open(image_rate=10.0) as reader:
        assert isinstance(reader, ImageReader) and reader.rate == 10


def test_a_glob_may_match_folders(tmp_path):
    touch(tmp_path, "one/a.mp4", "two/b.mp4")
    assert found(tmp_path / "*") == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize("name", ["case [1].mp4", "what?.mp4", "st*r.mp4"])
def test_a_file_that_looks_like_a_glob_is_a_file(tmp_path, name):
    touch(tmp_path, name, "case 1.mp4", "whatX.mp4", "star.mp4")
    assert found(tmp_path / name) == [name]


def test_what_names_no_video_is_said(tmp_path):
    touch(tmp_path, "mixed/a.mp4", "mixed/b.png", "texts/notes.txt")
    cases = [
        (tmp_path / "nowhere.mp4", r"nowhere\.mp4: no such file$"),
        (tmp_path / "*.mp4", r"\*\.mp4: no such file, and nothing matches it"),
        (tmp_path / "mixed", r"mixed holds videos \(a\.mp4\) and images"),
        (tmp_path / "texts", "texts holds neither videos nor images"),
    ]
    for name, message in cases:
        with pytest.raises(UserError, match=message):
            find_sources([str(name)])


# --- fingerprints


def test_a_fingerprint_stays_with_the_video_not_with_its_name(tmp_path):
    film = write_film(tmp_path / "Anna Example.mp4", 5, (48, 64))
    before = VideoSource(film).fingerprint()
    renamed = film.rename(tmp_path / "other.mp4")
    os.utime(renamed, (0, 0))
    assert VideoSource(renamed).fingerprint() == before
    assert len(before) == 64 and int(before, 16)
    assert VideoSource(write_film(tmp_path / "Anna Example.mp4", 6, (48, 64))).fingerprint() != before


def test_a_fingerprint_sees_size_and_both_ends(tmp_path):
    content = bytearray(3 << 20)
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    prints = {VideoSource(path).fingerprint()}
    for place in (0, -1):
        changed = bytearray(content)
        changed[place] = 1
        path.write_bytes(changed)
        prints.add(VideoSource(path).fingerprint())
    path.write_bytes(content + b"\0")
    prints.add(VideoSource(path).fingerprint())
    assert len(prints) == 4


def test_a_fingerprint_of_images_sees_names_and_sizes(tmp_path):
    source = VideoSource(touch(tmp_path / "frames", "2.png", "10.png"), images=True)
    before = source.fingerprint()
    touch(tmp_path / "frames", ".DS_Store", "notes.txt")
    assert source.fingerprint() == before and source.size == 11
    touch(tmp_path / "frames", "11.png")
    assert source.fingerprint() != before


def test_first_frames_come_from_the_first_video_that_has_any(tmp_path):
    touch(tmp_path, "bad.mp4")
    film = write_film(tmp_path / "good.mp4", 45, (48, 64))
    frames = first_frames([VideoSource(tmp_path / "bad.mp4"), VideoSource(film)])
    assert {frame.shape for frame in frames} == {(48, 64, 3)} and 2 <= len(frames) <= 4
    with pytest.raises(UserError, match=r"bad\.mp4 is no video"):
        first_frames([VideoSource(tmp_path / "bad.mp4")])


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.ts", "film.avi"])
def test_frames_for_a_first_look_are_spread_over_a_film_that_allows_to_seek(tmp_path, name, monkeypatch):
    film = write_film(tmp_path / name, 300, (48, 64), codec="mpeg4", gop=10)
    monkeypatch.setattr("surgseg.video.inputs.VideoSource.open", None)  # not read from its beginning
    frames = list(spread_frames(VideoSource(film), 12))
    assert len(frames) == len({frame.tobytes() for frame in frames}) == 12
    assert {frame.shape for frame in frames} == {(48, 64, 3)}


@pytest.mark.parametrize("options", [{"form": "h264"}, {"gop": 500}])
def test_a_film_without_keyframes_to_seek_is_read_from_its_beginning(tmp_path, options):
    frames = list(spread_frames(VideoSource(write_film(tmp_path / "film.mp4", 120, (48, 64), **options)), 12))
    assert 12 <= len({frame.tobytes() for frame in frames}) <= 13


def test_parts_of_an_operation_and_images_are_looked_at_too(tmp_path):
    parts = [write_film(tmp_path / f"{number}.mp4", 40, (48, 64), gop=5) for number in range(2)]
    assert len(list(spread_frames(join_sources([VideoSource(part) for part in parts]), 8))) == 8
    for index in range(20):
        save_image(tmp_path / "images" / f"{index}.png", noise_frame(index))
    assert len(list(spread_frames(VideoSource(tmp_path / "images", images=True), 6))) == 6


def test_a_file_that_was_damaged_in_the_middle_is_another_video(tmp_path):
    data = bytearray(np.random.default_rng(0).bytes(5 << 20))
    (tmp_path / "a.mp4").write_bytes(data)
    for place in range(2_600_000, 2_640_000):
        data[place] ^= 255
    (tmp_path / "b.mp4").write_bytes(data)
    assert VideoSource(tmp_path / "a.mp4").fingerprint() != VideoSource(tmp_path / "b.mp4").fingerprint()


def test_a_video_opens_as_one(tmp_path):
    with VideoSource(write_film(tmp_path / "film.mp4", 3, (48, 64))).open() as reader:
        assert isinstance(reader, VideoReader) and len(list(reader)) == 3
