"""What leaks from training into the held-out frames: shared videos refused, near copies counted."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from surgseg.data.dataset import Sample
from surgseg.data.leaks import check_videos, describe_near_copies, near_copies
from surgseg.data.likeness import NEAR, frame_hashes, nearest
from surgseg.data.splits import Split, make_split
from surgseg.files import UserError
from surgseg.frames import read_frame
from tests.helpers import shared_data

SIZE = 128


def samples_of(videos, parts=()):
    """Frames of `videos` (name to count); `parts` are the manifest's, in the same order."""
    names = [(video, number) for video, count in videos.items() for number in range(count)]
    parts = parts or [""] * len(names)
    return [Sample(f"{v}_{n:06d}", Path("f"), Path("m"), v, n, part) for (v, n), part in zip(names, parts)]


def refusal(split, samples, **options):
    with pytest.raises(UserError) as caught:
        check_videos(split, samples, **options)
    return str(caught.value)


def scene(seed):
    """(SIZE, SIZE, 3) uint8: patches of light and colour, the larger the stronger, as in a picture of tissue."""
    rng, pixels = np.random.default_rng(seed), 0
    for patches, strength in ((4, 40), (8, 30), (16, 20), (32, 15)):
        coarse = rng.uniform(-strength, strength, (patches, patches, 3)).astype(np.float32)
        pixels = pixels + cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return (130 + pixels).clip(30, 230).astype(np.uint8)


def under_vignette(pixels, radius):
    """The scene in a round field that darkens towards its rim, black around it."""
    place = np.arange(SIZE) - (SIZE - 1) / 2
    distance = np.hypot(place[:, None], place[None]) / radius
    light = np.where(distance < 1, 1 - 0.5 * distance**2, 0)
    return (pixels * light[..., None]).astype(np.uint8)


def moved(pixels):
    """What the next frame of a video looks like: shifted by 1 %, turned by 1 degree, 10 % brighter, compressed."""
    matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), 1, 1)
    matrix[:, 2] += 0.01 * SIZE
    turned = cv2.warpAffine(pixels, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)
    bright = (turned * 1.1).clip(0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", bright)[1], cv2.IMREAD_COLOR)


def compare(train, val=(), test=(), **options):
    """`near_copies` of three lists of frames, named train0, train1, ..., val0, ..."""
    parts, names, start = {}, [], 0
    for part, frames in (("train", train), ("val", val), ("test", test)):
        parts[part] = np.arange(start, start + len(frames), dtype=np.int64)
        names += [f"{part}{i}" for i in range(len(frames))]
        start += len(frames)
    return near_copies(np.stack([*train, *val, *test]), parts, names, **options)


def test_a_manifest_that_puts_a_video_on_both_sides_is_refused_by_name():
    samples = samples_of({"a": 2, "b": 2, "c": 2}, ["train", "train", "train", "test", "val", "test"])
    text = refusal(make_split(samples), samples)
    assert "b (train, test)" in text and "c (val, test)" in text and "a (" not in text
    assert "'manifest'" in text and "--split video" in text and "--allow-shared-videos" in text and "\n" not in text


def test_a_splits_file_of_frames_may_share_videos_where_the_user_says_so(tmp_path):
    samples = samples_of({"a": 3})
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({"train": ["a_000000"], "test": ["a_000002"]}), encoding="utf-8")
    split = make_split(samples, name=str(path))
    assert "a (train, test)" in refusal(split, samples)
    check_videos(split, samples, allow_shared=True)


def test_a_split_by_video_may_never_share_one():
    samples = samples_of({"a": 2})
    parts = {"train": np.array([0]), "val": np.array([], dtype=np.int64), "test": np.array([1])}
    text = refusal(Split("videos", "video", {"a": "train"}, parts), samples, allow_shared=True)
    assert "a (train, test)" in text and "--allow-shared-videos" not in text


@pytest.mark.parametrize("name", ["random", "time"])
def test_splits_that_divide_videos_on_purpose_are_exempt(name):
    samples = samples_of({"a": 20, "b": 20})
    check_videos(make_split(samples, name=name), samples)


@pytest.mark.parametrize("options", [{"name": "video"}, {"folds": "videos"}, {"val_videos": ["b"]}])
def test_whole_videos_pass(options):
    samples = samples_of({"a": 4, "b": 4, "c": 4})
    check_videos(make_split(samples, **options), samples)


@pytest.mark.parametrize("radius", [32, 62, 80])  # a small field, one that fits, one cut off by the frame
def test_under_one_vignette_a_moved_copy_is_near_and_another_scene_is_not(radius):
    train = [under_vignette(scene(seed), radius) for seed in range(12)]
    others = [under_vignette(scene(seed), radius) for seed in range(100, 112)]
    copies = [under_vignette(moved(scene(seed)), radius) for seed in (3, 7)]
    found = compare(train, test=others + copies)
    assert (found.count, found.compared, found.blank) == (2, 14, 0)
    assert {pair[:2] for pair in found.examples} == {("test12", "train3"), ("test13", "train7")}


def test_frames_that_fill_the_picture_are_compared_too():
    found = compare([scene(0), scene(1)], test=[scene(2), moved(scene(1))])
    assert found.by_part == {"val": 0, "test": 1} and found.examples[0][:2] == ("test1", "train1")


ORIENTATIONS = {
    "mirrored": lambda pixels: pixels[:, ::-1],
    "upside down": lambda pixels: pixels[::-1],
    "half turn": lambda pixels: pixels[::-1, ::-1],
    "quarter turn": np.rot90,
    "quarter turn back": lambda pixels: np.rot90(pixels, -1),
    "transposed": lambda pixels: pixels.swapaxes(0, 1),
    "mirrored quarter turn": lambda pixels: np.rot90(pixels[:, ::-1]),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_copy_in_another_orientation_is_near_also_when_it_has_moved(name):
    train = [under_vignette(scene(seed), 62) for seed in range(6)]
    turned = [np.ascontiguousarray(ORIENTATIONS[name](pixels)) for pixels in (train[2], moved(train[4]))]
    found = compare(train, test=[*turned, scene(50)])
    assert found.by_part["test"] == 2 and found.examples[0] == ("test0", "train2", 0)
    assert found.examples[1][:2] == ("test1", "train4")


def test_a_frame_that_is_not_square_is_found_turned_by_a_quarter():
    wide = cv2.resize(scene(1), (2 * SIZE, SIZE))
    tall = np.ascontiguousarray(np.rot90(wide))
    assert nearest(*(frame_hashes([pixels])[0] for pixels in (tall, wide)))[0] <= NEAR


def test_parts_are_counted_apart_and_a_frame_once():
    train = [scene(0), scene(0), scene(1)]
    found = compare(train, val=[scene(0), scene(5)], test=[scene(1), scene(0), scene(6), scene(7)])
    assert found.by_part == {"val": 1, "test": 2}
    assert (found.count, found.compared) == (3, 6)


def test_the_closest_pairs_are_the_examples():
    train = [scene(seed) for seed in range(5)]
    found = compare(train, test=[moved(pixels) for pixels in train[:4]] + [train[4]])
    assert found.count == 5 and len(found.examples) == 3
    assert found.examples[0] == ("test4", "train4", 0)
    distances = [bits for _, _, bits in found.examples]
    assert distances == sorted(distances) and distances[-1] <= NEAR


def test_the_distance_decides():
    assert compare([scene(0)], test=[moved(scene(0))], distance=0).count == 0
    assert compare([scene(0)], test=[scene(1)], distance=10_000).count == 1


def test_indices_need_not_be_in_order():
    frames = np.stack([scene(0), scene(1), scene(2), scene(1)])
    parts = {"train": np.array([3, 2]), "val": np.array([], dtype=np.int64), "test": np.array([0, 1])}
    assert near_copies(frames, parts, list("abcd")).examples == [("b", "d", 0)]


def test_blank_frames_are_left_out_and_counted():
    rng = np.random.default_rng(0)
    black = np.zeros((SIZE, SIZE, 3), np.uint8)
    dark_noise = rng.integers(0, 20, black.shape, dtype=np.uint8)
    white = np.full_like(black, 255) - rng.integers(0, 6, black.shape, dtype=np.uint8)
    caption = black.copy()
    caption[4:24, 10:60] = scene(0)[4:24, 10:60]
    blanks = [black, dark_noise, white, caption]
    found = compare([*blanks, scene(0)], val=[black, white], test=[*blanks, scene(1)])
    assert (found.count, found.compared, found.blank) == (0, 1, 10)


def test_an_empty_val_part_and_a_train_part_without_pictures():
    found = compare([scene(0)], test=[scene(0)])
    assert found.by_part == {"val": 0, "test": 1} and found.compared == 1
    assert compare([np.zeros_like(scene(0))], test=[scene(0)]).count == 0


def test_more_held_out_frames_than_one_chunk(monkeypatch):
    monkeypatch.setattr("surgseg.data.likeness.CHUNK", 2)
    pictures = [scene(seed) for seed in range(5)]
    found = compare(pictures[::-1], test=pictures, distance=0)
    assert found.count == 5 and ("test0", "train4", 0) in found.examples


def test_the_warning_holds_counts_and_names():
    black = np.zeros((SIZE, SIZE, 3), np.uint8)
    text = describe_near_copies(compare([scene(0), scene(1)], val=[scene(1)], test=[scene(0), scene(2), black]))
    assert "WARNING: 2 of 3 held-out frames (val 1, test 1)" in text and "1 blank left out" in text
    assert "val0 and train1 (0 of 416 bits differ)" in text and "test0 and train0" in text
    assert "crops, zooms" in text


def test_nothing_near_nothing_said():
    assert describe_near_copies(compare([scene(0)], test=[scene(1)])) is None


def test_real_operations_are_apart_and_a_compressed_copy_is_near():
    paths = [sorted((shared_data("endovis2015") / f"OP{number}" / "Raw").glob("*.png"))[:4] for number in (1, 2, 3)]
    first, second, third = ([cv2.resize(read_frame(path), (SIZE, SIZE)) for path in group] for group in paths)
    found = compare(first + second, test=third + [moved(first[0])])
    assert found.count == 1 and found.examples[0][:2] == ("test4", "train0")
