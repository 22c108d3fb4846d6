"""The resized cache: built once, rebuilt when a file changes, whole or not there."""

import errno
import os
import shutil
import zlib

import numpy as np
import pytest
import torch

from surgseg.data import cache as module
from surgseg.data.cache import open_cache
from surgseg.data.dataset import load_prepared
from surgseg.files import UserError
from surgseg.frames import read_frame
from surgseg.labels import SCHEMES
from surgseg.masks import read_mask, write_mask
from surgseg.preprocess import resize_frames, resize_masks
from tests.helpers import noise_frame, save_image

SIZE = (24, 40)
BINARY = SCHEMES["binary"]


@pytest.fixture
def samples(tiny_prepared, tmp_path):
    """Six samples in a copy that a test may change."""
    return load_prepared(shutil.copytree(tiny_prepared, tmp_path / "prepared")).samples[:6]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def builds(monkeypatch):
    """The number of frames of each build."""
    counts, build = [], module._build

    def counting(samples, *args, **options):
        counts.append(len(samples))
        return build(samples, *args, **options)

    monkeypatch.setattr(module, "_build", counting)
    return counts


def refusal(samples, folder):
    with pytest.raises(UserError) as caught:
        open_cache(samples, SIZE, BINARY, folder)
    return str(caught.value)


def test_rows_are_the_samples_resized_in_their_order(samples, folder):
    cache = open_cache(samples[::-1], SIZE, BINARY, folder)
    assert cache.frames.shape == (6, *SIZE, 3) and cache.masks.shape == (6, *SIZE)
    assert cache.frames.dtype == cache.masks.dtype == np.uint8
    for row, sample in enumerate(samples[::-1]):
        frame = torch.from_numpy(read_frame(sample.frame).copy()).permute(2, 0, 1)[None]
        mask = torch.from_numpy(read_mask(sample.mask, 2).copy())[None]
        assert np.array_equal(cache.frames[row], resize_frames(frame, SIZE)[0].permute(1, 2, 0).numpy())
        assert np.array_equal(cache.masks[row], resize_masks(mask, SIZE)[0].numpy())
    assert set(np.unique(cache.masks)) == {0, 1, 255}


def test_unchanged_files_are_decoded_once(samples, folder, builds):
    first = open_cache(samples, SIZE, BINARY, folder)
    again = open_cache(samples, SIZE, BINARY, folder)
    assert builds == [6] and first.folder == again.folder
    assert not again.frames.flags.writeable


def test_a_changed_file_builds_the_cache_again(samples, folder, builds):
    before = open_cache(samples, SIZE, BINARY, folder).masks[2].copy()
    mask = read_mask(samples[2].mask, 2).copy()
    mask[:] = 1
    write_mask(samples[2].mask, mask, BINARY)
    after = open_cache(samples, SIZE, BINARY, folder)
    assert builds == [6, 6]
    assert (after.masks[2] == 1).all() and not (before == 1).all()


def test_a_newer_time_alone_builds_it_again(samples, folder, builds):
    open_cache(samples, SIZE, BINARY, folder)
    os.utime(samples[0].frame, (1, 1))
    open_cache(samples, SIZE, BINARY, folder)
    assert builds == [6, 6]


def test_size_scheme_and_choice_of_samples_have_caches_of_their_own(samples, folder, builds):
    opened = [
        open_cache(samples, SIZE, BINARY, folder),
        open_cache(samples, (40, 24), BINARY, folder),
        open_cache(samples, SIZE, SCHEMES["grasper-hook"], folder),
        open_cache(samples[:3], SIZE, BINARY, folder),
    ]
    assert len({cache.folder for cache in opened}) == 4 and builds == [6, 6, 6, 3]


def test_a_damaged_cache_is_built_again(samples, folder):
    cache = open_cache(samples, SIZE, BINARY, folder)
    good, place = np.array(cache.frames), cache.folder
    del cache
    (place / "frames.npy").write_bytes((place / "frames.npy").read_bytes()[:500])
    assert np.array_equal(open_cache(samples, SIZE, BINARY, folder).frames, good)
    (place / "masks.npy").unlink()
    assert np.array_equal(open_cache(samples, SIZE, BINARY, folder).frames, good)
    (place / "cache.json").unlink()
    assert np.array_equal(open_cache(samples, SIZE, BINARY, folder).frames, good)
    assert [item.name for item in folder.iterdir()] == [place.name]


def test_all_bad_files_are_named_and_nothing_is_left(samples, folder):
    samples[0].frame.write_bytes(b"no image")
    data = samples[2].frame.read_bytes()
    samples[2].frame.write_bytes(data[: len(data) // 2])
    ids = read_mask(samples[3].mask, 2).copy()
    ids[0, 0] = 7
    write_mask(samples[3].mask, ids, BINARY)
    save_image(samples[4].frame, noise_frame(0, (20, 30)))
    text = refusal(samples, folder)
    assert text.startswith("4 of 6 frames")
    for sample in (samples[0], samples[2], samples[3], samples[4]):
        assert sample.name in text
    assert "7 (1 pixels)" in text and "30x20" in text and "64x48" in text
    assert list(folder.iterdir()) == []


def test_an_interrupted_build_leaves_nothing(samples, folder, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "load_resized", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_cache(samples, SIZE, BINARY, folder)
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_known_before_it_is_full(samples, folder, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 100))
    assert "free" in refusal(samples, folder)
    assert list(folder.iterdir()) == []


def test_a_file_in_place_of_the_cache_folder_is_a_users_error(samples, folder):
    folder.write_text("in the way")
    assert str(folder) in refusal(samples, folder)


def test_a_vanished_file_is_named(samples, folder):
    samples[1].mask.unlink()
    assert str(samples[1].mask) in refusal(samples, folder)


def test_building_keeps_the_number_of_threads(samples, folder):
    before = torch.get_num_threads()
    open_cache(samples, SIZE, BINARY, folder)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("name", ["frames.npy", "masks.npy", "checksums.npy"])
def test_a_cache_of_too_few_rows_is_made_again(samples, folder, name):
    whole = open_cache(samples, SIZE, BINARY, folder)
    np.save(whole.folder / name, np.load(whole.folder / name)[:-1])
    again = open_cache(samples, SIZE, BINARY, folder)
    assert len(again.frames) == len(again.masks) == len(again.checksums) == len(samples) == len(again.names)


def test_checksums_follow_frames_and_masks(samples, folder):
    cache = open_cache(samples, SIZE, BINARY, folder)
    expected = [zlib.crc32(mask, zlib.crc32(frame)) for frame, mask in zip(cache.frames, cache.masks)]
    assert cache.checksums.tolist() == expected and len(set(expected)) > 1


@pytest.mark.parametrize("blocked", ["file", "full"])
def test_a_cache_that_cannot_be_written_names_the_option(samples, tmp_path, monkeypatch, blocked):
    place = tmp_path / "cache"
    if blocked == "file":
        place.write_bytes(b"")
    else:

        def full(*args):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(module.np, "save", full)
    with pytest.raises(UserError, match=r"cache: .*; choose another .*--cache-dir$"):
        open_cache(samples, (16, 24), BINARY, place)
    assert blocked == "file" or not list(place.iterdir())
