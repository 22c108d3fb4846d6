"""A folder of images as one video: order, times, damage, sizes, kinds of pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from surgseg.files import UserError
from surgseg.video.images import ImageReader
from surgseg.video.reader import VideoReader
from surgseg.video.sampling import ALL_FRAMES, Sampling
from tests.films import draw, write_film


def write_images(folder, count=12, name="frame_{}.png", size=(24, 32)):
    folder.mkdir(exist_ok=True)
    for index in range(count):
        Image.fromarray(np.full((*size, 3), 10 * index, np.uint8)).save(folder / name.format(index))
    return folder


def read(folder, sampling=ALL_FRAMES, skip=0, **options):
    with ImageReader(folder, sampling=sampling, **options) as reader:
        return list(reader.frames(skip)), reader


def indices(frames):
    return [frame.index for frame in frames]


def test_images_come_in_natural_order_with_index_and_time(tmp_path):
    frames, reader = read(write_images(tmp_path / "film"), rate=5)
    assert indices(frames) == list(range(12))
    assert [frame.time_s for frame in frames] == [index / 5 for index in range(12)]
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [10 * index for index in range(12)]
    assert not any(frame.suspect for frame in frames)
    assert reader.ended and reader.covered_s == reader.duration == reader.length_s == 2.4
    assert reader.size == (24, 32) and reader.expected == 12 and reader.data == "unmarked"


def test_it_describes_itself_as_a_video_does_and_says_that_the_rate_is_assumed(tmp_path):
    _, images = read(write_images(tmp_path / "film"))
    with VideoReader(write_film(tmp_path / "film.mp4", 3)) as video:
        assert images.describe().keys() == video.describe().keys()
        assert images.counts().keys() == video.counts().keys()
        assert video.describe()["rate_assumed"] is False
    facts = images.describe()
    assert (facts["container"], facts["rate_assumed"], facts["codec"]) == ("images", True, "png")
    assert (facts["height"], facts["width"]) == (24, 32)


def test_a_damaged_image_is_counted_and_its_index_stays_free(tmp_path):
    folder = write_images(tmp_path / "film")
    (folder / "frame_3.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (folder / "frame_5.png").write_bytes((folder / "frame_5.png").read_bytes()[:60])
    frames, reader = read(folder)
    assert indices(frames) == [0, 1, 2, 4, 6, 7, 8, 9, 10, 11]
    counts = reader.counts()
    assert counts["damaged_packets"] == counts["frames_lost"] == 2
    assert counts["frames_read"] == 10 and counts["frames_read_suspect"] == 0


def test_a_damaged_first_image_does_not_end_the_folder(tmp_path):
    folder = write_images(tmp_path / "film", 4)
    (folder / "frame_0.png").write_bytes(b"no image")
    frames, reader = read(folder)
    assert indices(frames) == [1, 2, 3] and reader.size == (24, 32)


def test_only_chosen_images_are_decoded(tmp_path):
    folder = write_images(tmp_path / "film")
    (folder / "frame_3.png").write_bytes(b"no image")
    frames, reader = read(folder, Sampling(step=5))
    assert indices(frames) == [0, 5, 10]
    assert reader.counts()["frames_read"] == 12 and reader.counts()["damaged_packets"] == 0


def test_reading_ends_with_the_sample(tmp_path):
    frames, reader = read(write_images(tmp_path / "film"), Sampling(step=2, max_frames=3))
    assert indices(frames) == [0, 2, 4]
    assert not reader.ended and reader.counts()["frames_read"] == 5 and reader.covered_s == 0.2


@pytest.mark.parametrize("skip", range(5))
def test_an_earlier_runs_images_are_skipped_whether_or_not_some_are_damaged(tmp_path, skip):
    folder = write_images(tmp_path / "film")
    (folder / "frame_2.png").write_bytes(b"no image")
    for sampling in (Sampling(step=2), Sampling("spread", None, 6), Sampling(step=2, max_frames=5)):
        everything, _ = read(folder, sampling)
        rest, _ = read(folder, sampling, skip)
        assert indices(rest) == indices(everything)[skip:]


def test_an_image_of_another_size_is_scaled_to_the_firsts(tmp_path):
    folder = write_images(tmp_path / "film", 5)
    Image.fromarray(np.full((50, 60, 3), 77, np.uint8)).save(folder / "frame_2.png")
    frames, reader = read(folder)
    assert {frame.image.shape for frame in frames} == {(24, 32, 3)}
    assert np.all(frames[2].image == 77) and reader.counts()["frames_rescaled"] == 1


def save_gray16(path, gray):
    cv2.imwrite(str(path), gray.astype(np.uint16) * 257)


def save_palette(path, gray):
    Image.fromarray(gray).convert("P").save(path)


def save_rgba(path, gray):
    Image.fromarray(np.dstack([gray] * 3 + [np.full_like(gray, 9)])).save(path)


def save_rgb16(path, gray):
    cv2.imwrite(str(path), np.dstack([gray.astype(np.uint16) * 257] * 3))


def save_gray(path, gray):
    Image.fromarray(gray).save(path)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("save", [save_gray, save_gray16, save_rgb16, save_palette, save_rgba])
def test_every_kind_of_pixel_becomes_rgb_of_eight_bits(tmp_path, save, suffix):
    gray = np.arange(256, dtype=np.uint8).reshape(8, 32)
    save(tmp_path / f"image{suffix}", gray)
    frames, _ = read(tmp_path)
    assert frames[0].image.dtype == np.uint8
    assert np.array_equal(frames[0].image, np.dstack([gray] * 3))


def test_jpeg_and_bmp_are_read_too_and_what_is_no_image_is_left_alone(tmp_path):
    for index, suffix in enumerate((".jpg", ".JPEG", ".bmp")):
        Image.fromarray(draw(index)).save(tmp_path / f"image{index}{suffix}")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._image0.jpg").write_bytes(b"system file")
    frames, _ = read(tmp_path)
    assert [np.abs(frame.image.astype(int) - draw(frame.index)).mean() < 6 for frame in frames] == [True] * 3


def test_folders_below_do_not_belong_to_the_video(tmp_path):
    folder = write_images(tmp_path / "film", 3)
    write_images(folder / "masks", 3)
    assert len(read(folder)[0]) == 3
    (tmp_path / "parent").mkdir()
    write_images(tmp_path / "parent" / "child")
    with pytest.raises(UserError, match="only in folders below it"):
        read(tmp_path / "parent")


def test_what_holds_no_images_is_one_clear_line(tmp_path):
    empty, broken = tmp_path / "empty", tmp_path / "broken"
    empty.mkdir()
    write_images(broken, 2)
    for path in broken.iterdir():
        path.write_bytes(path.read_bytes()[:45])
    for folder, message in ((empty, "no images"), (broken, "not one image"), (tmp_path / "none", "not a folder")):
        with pytest.raises(UserError, match=message) as caught:
            read(folder)
        assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
    for path in broken.iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match="can be decoded"):
        ImageReader(broken)
    with pytest.raises(UserError, match="above 0"):
        ImageReader(broken, rate=0)
