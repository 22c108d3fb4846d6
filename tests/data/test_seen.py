"""Scored frames that trained the weights, or the weights that they started from, are counted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from surgseg.checkpoint import load_checkpoint, load_tensors, save_checkpoint
from surgseg.data.dataset import Sample
from surgseg.data.likeness import BITS, frame_hashes, pack, unpack
from surgseg.data.seen import find_seen, inherited_frames, inherited_splits, seen_warnings, split_record, trained_videos
from surgseg.data.splits import make_split
from surgseg.evaluation.samples import known_of_split
from tests.data.test_leaks import samples_of, scene
from tests.films import bright_checkpoint
from tests.helpers import save_image
from tests.test_checkpoint import small


def by_video(*train, name="video"):
    return {"name": name, "by": "video", "hash": "-".join(train), "assignment": dict.fromkeys(train, "train")}


def counts(samples, training, trained=None, hashes=None):
    found = find_seen(samples, training, trained, hashes)
    return found["by_name"], found["same_video"], found["near_copies"]


def test_frames_of_the_own_training_part_are_counted_and_not_those_of_its_test_part():
    samples = samples_of({"a": 3, "b": 2})
    training = {"split": {**by_video("a"), "assignment": {"a": "train", "b": "test"}}}
    assert counts(samples, training) == (3, 0, None)
    assert counts(samples[3:], training) == (0, 0, None)


def test_frames_of_every_ancestor_are_counted():
    """Weights 3 started from weights 2, and these from weights 1."""
    samples = samples_of({"a": 3, "b": 2, "c": 1})
    second = {"split": by_video("b"), "ancestors": inherited_splits({"split": by_video("a"), "ancestors": []})}
    third = {"split": by_video("c"), "ancestors": inherited_splits(second)}
    assert [split["hash"] for split in third["ancestors"]] == ["b", "a"]
    assert counts(samples[:5], third) == (5, 0, None)
    assert "5 of 5 scored frames trained" in "".join(seen_warnings(find_seen(samples[:5], third, None, None)).values())


def test_frames_beside_those_of_a_random_split_are_counted_apart():
    samples = samples_of({"a": 10, "b": 10})
    split = make_split(samples, name="random")
    for record in (split_record(split, samples), split.to_json()):  # an earlier version stored no videos
        training = {"split": by_video("x"), "ancestors": inherited_splits({"split": record})}
        assert counts(samples, training) == (16, 4, None)
    renamed = [replace(sample, name=f"f{i}") for i, sample in enumerate(samples)]
    assert split_record(make_split(renamed, name="random"), renamed)["train_videos"] == ["a", "b"]


def test_an_ancestor_is_kept_once_and_by_its_training_part_alone():
    first = {**by_video("a"), "assignment": {"a": "train", "b": "test"}}
    kept = inherited_splits({"split": first, "ancestors": [first, by_video("c")]})
    assert [split["assignment"] for split in kept] == [{"a": "train"}, {"c": "train"}]
    assert trained_videos(kept) == {"a", "c"}


@pytest.mark.parametrize("training", [{}, {"split": by_video("a"), "start": "old.pth (--init-from)"}])
def test_a_start_that_does_not_say_what_trained_it_is_said(training):
    seen = find_seen(samples_of({"b": 1}), {"ancestors": inherited_splits(training)}, None, None)
    assert seen["unknown"] and "not known" in "".join(seen_warnings(seen).values())


def test_nothing_seen_nothing_said():
    training = {"split": by_video("a"), "ancestors": inherited_splits({"split": by_video("b"), "ancestors": []})}
    assert seen_warnings(find_seen(samples_of({"c": 4}), training, None, None)) == {}


def test_hashes_survive_packing():
    hashes = frame_hashes([scene(0), scene(1)])[0]
    assert pack(hashes).shape == (2, BITS // 8) and (unpack(torch.from_numpy(pack(hashes))) == hashes).all()


def test_hashes_of_ancestors_are_kept_each_once():
    frames = np.stack([scene(0), scene(1), scene(2)])
    first = inherited_frames(frames, [0, 1], None)
    assert len(inherited_frames(frames, [1, 2], torch.from_numpy(first))) == 3


def test_a_weights_file_keeps_the_hashes_and_a_file_without_them_loads(tmp_path):
    hashes = torch.from_numpy(pack(frame_hashes([scene(0)])[0]))
    path = tmp_path / "w.pth"
    save_checkpoint(path, small(trained_frames=hashes))
    assert torch.equal(load_checkpoint(path).trained_frames, hashes)
    assert "trained_frames" not in path.with_suffix(".json").read_text()
    save_checkpoint(path, small())
    assert "trained_frames" not in load_tensors(path) and load_checkpoint(path).trained_frames is None


@pytest.mark.parametrize("change", ["renamed", "mirrored"])
def test_copies_of_training_frames_under_other_names_are_found_when_scoring(tmp_path, change):
    pictures = [scene(0), scene(1), scene(2)]
    hashes = torch.from_numpy(pack(frame_hashes(pictures[:2])[0]))
    training = {"split": by_video("a"), "ancestors": []}
    checkpoint = replace(bright_checkpoint(), training=training, trained_frames=hashes)
    shown = [pixels[:, ::-1] if change == "mirrored" else pixels for pixels in pictures]
    paths = [save_image(tmp_path / f"x_{i}.png", np.ascontiguousarray(pixels)) for i, pixels in enumerate(shown)]
    samples = [Sample(path.stem, path, Path("m"), "x") for path in paths]
    about = known_of_split(checkpoint, samples)
    assert about["seen"]["near_copies"] == 2 and about["seen"]["compared"] == 3 and about["seen"]["by_name"] == 0
    assert "2 of 3 scored frames look like a frame that trained" in "".join(about["warnings"].values())
