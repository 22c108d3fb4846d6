"""Splits: which frames train, validate, test; and every way to refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from surgseg.data.dataset import Sample
from surgseg.data.splits import PARTS, apply_assignment, assign_by_video, make_split, stored_part, video_folds
from surgseg.files import UserError

# CholecSeg8k's 17 videos: 8,080 frames in clips of 80, video01 the largest; the others' sizes are made up
CHOLEC = {
    "video01": 1280, "video09": 400, "video12": 640, "video17": 320, "video18": 160, "video20": 160, "video24": 560,
    "video25": 480, "video26": 560, "video27": 560, "video28": 400, "video35": 560, "video37": 400, "video43": 400,
    "video48": 320, "video52": 480, "video55": 400,
}  # fmt: skip


def samples_of(videos, shown=None, part=""):
    """`videos` maps a video to its number of frames; only those of `shown` hold instruments."""
    return [
        Sample(f"{v}_{i:06d}", Path("f"), Path("m"), v, i, part, float(shown is None or v in shown))
        for v, count in videos.items()
        for i in range(count)
    ]


def videos_of(split, samples):
    return {part: {samples[i].video for i in split.parts[part]} for part in PARTS}


def names_of(split, samples, part):
    return [samples[i].name for i in split.parts[part]]


def message(*args, **options):
    with pytest.raises(UserError) as caught:
        make_split(*args, **options)
    return str(caught.value)


some_videos = st.dictionaries(st.integers(1, 99).map("video{:02d}".format), st.integers(1, 30), min_size=2, max_size=9)


@settings(deadline=None, max_examples=60)
@given(some_videos, st.data())
def test_a_split_by_video_divides_every_video_once(videos, data):
    shown = data.draw(st.sets(st.sampled_from(sorted(videos)), min_size=1))
    samples = samples_of(videos, shown)
    split = make_split(samples, name="video")
    assert sorted(np.concatenate(list(split.parts.values())).tolist()) == list(range(len(samples)))
    parts = videos_of(split, samples)
    assert not (parts["train"] & parts["val"] or parts["train"] & parts["test"] or parts["val"] & parts["test"])
    assert parts["train"] and parts["test"]
    assert bool(parts["val"]) == (len(videos) >= 3)
    if len(shown) >= 3:
        assert all(part & shown for part in parts.values())


@settings(deadline=None, max_examples=30)
@given(some_videos, st.data())
def test_training_is_never_left_without_instruments(videos, data):
    shown = data.draw(st.sets(st.sampled_from(sorted(videos)), min_size=1, max_size=2))
    samples = samples_of(videos, shown)
    parts = videos_of(make_split(samples, name="video"), samples)
    assert parts["train"] & shown
    if len(shown) == 2:
        assert parts["test"] & shown


@settings(deadline=None, max_examples=30)
@given(some_videos, st.randoms(use_true_random=False))
def test_the_assignment_does_not_depend_on_the_order_of_rows(videos, random):
    rows = [{"video": s.video, "instrument_fraction": "0.1"} for s in samples_of(videos)]
    first = assign_by_video(rows)
    random.shuffle(rows)
    assert assign_by_video(rows) == first


def test_cholecseg8k_by_video_comes_near_70_10_20():
    samples = samples_of(CHOLEC)
    assert len(samples) == 8080
    split = make_split(samples, name="video")
    shares = {part: len(indices) / len(samples) for part, indices in split.parts.items()}
    assert shares == pytest.approx({"train": 0.7, "val": 0.1, "test": 0.2}, abs=0.03)
    assert "video01" in videos_of(split, samples)["train"]


@pytest.mark.parametrize(
    ("name", "test", "val"),
    [("sp-tcn", {"12", "20", "48", "55"}, {"17", "52"}), ("endovit", {"12", "27"}, {"17", "52"})],
)
def test_published_splits_hold_the_published_videos(name, test, val):
    samples = samples_of(CHOLEC)
    parts = videos_of(make_split(samples, name=name), samples)
    assert parts["test"] == {f"video{number}" for number in test}
    assert parts["val"] == {f"video{number}" for number in val}
    assert parts["train"] == set(CHOLEC) - parts["test"] - parts["val"]


def test_a_published_split_names_the_videos_that_are_absent():
    text = message(samples_of({"video01": 5, "video12": 5, "video20": 5, "video17": 5}), name="sp-tcn")
    assert "48" in text and "55" in text and "52" in text and "20" not in text.split("needs videos")[1]


@settings(deadline=None, max_examples=20)
@given(some_videos, st.integers(0, 5))
def test_the_random_split_is_80_20_by_frame_and_known_to_leak(videos, seed):
    samples = samples_of(videos)
    assume(len(samples) >= 5)
    split = make_split(samples, name="random", seed=seed)
    assert split.leaks and split.by == "frame" and not len(split.parts["val"])
    assert len(split.parts["train"]) == round(0.8 * len(samples))
    assert len(split.parts["train"]) + len(split.parts["test"]) == len(samples)
    assert split.hash == make_split(samples, name="random", seed=seed).hash


def test_another_seed_draws_another_random_split():
    samples = samples_of({"a": 30, "b": 30})
    first, second = (make_split(samples, name="random", seed=seed) for seed in (0, 1))
    assert first.hash != second.hash
    assert not make_split(samples, name="video").leaks


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(10, 120), min_size=1, max_size=3))
def test_a_split_in_time_keeps_gaps_in_every_video(counts):
    samples = samples_of({f"v{i}": count for i, count in enumerate(counts)})
    split = make_split(samples, name="time")
    for video, count in enumerate(counts):
        numbers = {
            part: [samples[i].number for i in split.parts[part] if samples[i].video == f"v{video}"] for part in PARTS
        }
        assert numbers["train"][0] == 0 and numbers["test"][-1] == count - 1
        last = numbers["train"][-1]
        for part in ("val", "test"):
            if numbers[part]:
                assert numbers[part][0] - last > max(1, round(0.025 * count))
                last = numbers[part][-1]
        assert len(numbers["train"]) == pytest.approx(0.7 * count, abs=0.1 * count + 1)


def test_time_goes_by_the_frame_number_not_by_the_order_of_files():
    samples = samples_of({"a": 40})
    turned = samples[::-1]
    names = [set(names_of(make_split(item, name="time"), item, "test")) for item in (samples, turned)]
    assert names[0] == names[1] == {f"a_{i:06d}" for i in range(33, 40)}


def test_a_video_of_few_frames_cannot_be_split_in_time():
    assert "at least 10" in message(samples_of({"a": 40, "b": 9}), name="time")


@settings(deadline=None, max_examples=30)
@given(some_videos, st.data())
def test_folds_test_every_video_once(videos, data):
    samples = samples_of(videos)
    folds = data.draw(st.one_of(st.just("videos"), st.integers(2, len(videos)).map(str)))
    groups = video_folds(samples, folds)
    assert sorted(video for group in groups for video in group) == sorted(videos)
    assert len(groups) == (len(videos) if folds == "videos" else int(folds)) and all(groups)
    for number, group in enumerate(groups, 1):
        parts = videos_of(make_split(samples, folds=folds, fold=number), samples)
        assert parts == {"train": set(videos) - set(group), "val": set(), "test": set(group)}


def test_folds_have_like_sizes():
    groups = video_folds(samples_of({"a": 10, "b": 10, "c": 20, "d": 5, "e": 15}), "3")
    sizes = {"a": 10, "b": 10, "c": 20, "d": 5, "e": 15}
    assert sorted(sum(sizes[video] for video in group) for group in groups) == [20, 20, 20]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"folds": "4"}, "3 videos allow 2 to 3"),
        ({"folds": "1"}, "3 videos allow 2 to 3"),
        ({"folds": "many"}, "a number or 'videos'"),
        ({"folds": "3", "fold": 4}, "folds 1 to 3"),
        ({"folds": "3", "fold": 0}, "folds 1 to 3"),
        ({"test_videos": ["d"]}, "no video named d; the data holds a, b, c"),
        ({"val_videos": ["b"], "test_videos": ["b"]}, "b: a video cannot be in validation and test"),
        ({"val_videos": ["a"], "test_videos": ["b", "c"]}, "no frames to train on"),
        ({"name": "manifest"}, "the manifest gives no part"),
    ],
)
def test_impossible_divisions_are_refused(options, words):
    assert words in message(samples_of({"a": 12, "b": 12, "c": 12}), **options)


def test_no_frames_cannot_be_split():
    assert "no frames" in message([])


def test_a_single_video_is_refused_with_advice():
    text = message(samples_of({"op1": 30}))
    assert "one video" in text and "op1" in text and "--video-id" in text and "--split time" in text
    assert text == message(samples_of({"op1": 30}), name="video")


def test_named_videos_validate_and_test_the_rest_trains():
    samples = samples_of({"a": 2, "b": 3, "c": 4})
    split = make_split(samples, val_videos=["b"], test_videos=["c"], name=None)
    assert videos_of(split, samples) == {"train": {"a"}, "val": {"b"}, "test": {"c"}}
    assert videos_of(make_split(samples, test_videos=["c"]), samples)["val"] == set()


def test_the_manifests_parts_are_the_default_where_it_has_them():
    samples = samples_of({"a": 3}, part="train") + samples_of({"b": 2}, part="test")
    split = make_split(samples)
    assert (split.name, split.by) == ("manifest", "video")
    assert split.assignment == {"a": "train", "b": "test"}
    assert make_split(samples_of({"a": 3, "b": 2})).name == "video"


def test_a_manifest_that_divides_a_video_is_kept_by_frame():
    samples = samples_of({"a": 3}, part="train") + [Sample("a_000009", Path("f"), Path("m"), "a", 9, "test")]
    split = make_split(samples)
    assert split.by == "frame" and names_of(split, samples, "test") == ["a_000009"]


def test_a_manifest_with_gaps_names_the_frames():
    samples = samples_of({"a": 3}, part="train") + samples_of({"b": 1})
    assert "b_000000" in message(samples) and "--split video" in message(samples)


class TestSplitsJson:
    samples = samples_of({"a": 3, "b": 2, "c": 2})

    @pytest.fixture
    def write(self, tmp_path):
        def write(value):
            path = tmp_path / "splits.json"
            path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
            return str(path)

        return write

    def test_videos(self, write):
        split = make_split(self.samples, name=write({"train": ["a"], "val": ["b"], "test": ["c"]}))
        assert videos_of(split, self.samples) == {"train": {"a"}, "val": {"b"}, "test": {"c"}}

    def test_frames_and_those_not_listed_belong_to_no_part(self, write):
        split = make_split(self.samples, name=write({"train": ["a_000000", "a_000002"], "test": ["b_000001"]}))
        assert split.by == "frame"
        assert names_of(split, self.samples, "train") == ["a_000000", "a_000002"]
        assert names_of(split, self.samples, "test") == ["b_000001"]

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ({"train": ["a"], "val": ["b"]}, "gives no part for c"),
            ({"train": ["a", "b"], "test": ["b", "c"]}, "b is in two parts"),
            ({"train": ["a", "x"], "test": ["b"]}, "neither videos nor frames of the data: x"),
            ({"train": ["a", "b_000001"]}, "neither videos nor frames"),
            ({"train": [], "test": ["a", "b", "c"]}, "expected"),
            ({"training": ["a"]}, "expected"),
            (["a"], "expected"),
            ("{", "not valid JSON"),
            ({"train": ["a"], "val": None, "test": ["b", "c"]}, "splits.json"),
        ],
    )
    def test_refusals(self, write, value, words):
        path = write(value)
        text = message(self.samples, name=path)
        assert words in text and path in text

    def test_a_missing_file_is_named(self):
        assert "nowhere.json" in message(self.samples, name="nowhere.json")


def test_the_hash_follows_the_assignment():
    samples = samples_of({"a": 2, "b": 2, "c": 2})
    first = make_split(samples, val_videos=["b"], test_videos=["c"])
    assert first.hash == make_split(samples[::-1], val_videos=["b"], test_videos=["c"]).hash
    assert first.hash != make_split(samples, val_videos=["c"], test_videos=["b"]).hash
    assert len(first.hash) == 12 and int(first.hash, 16) >= 0
    assert first.to_json() == {
        "name": "videos", "by": "video", "hash": first.hash, "assignment": {"a": "train", "b": "val", "c": "test"},
    }  # fmt: skip


@pytest.mark.parametrize("name", ["video", "random", "time"])
def test_a_stored_split_finds_the_same_frames_again(name):
    samples = samples_of({"a": 20, "b": 10, "c": 10})
    split = make_split(samples, name=name)
    stored = json.loads(json.dumps(split.to_json()))
    again = apply_assignment(samples, stored)
    assert all(np.array_equal(again[part], split.parts[part]) for part in PARTS)
    assert stored_part(samples, stored, "test") == [samples[i] for i in split.parts["test"]]
    assert stored_part(samples, stored, "all") == samples


def test_a_stored_split_knows_nothing_of_other_data():
    stored = make_split(samples_of({"a": 2, "b": 2}), name="video").to_json()
    with pytest.raises(UserError, match=r"test part.*--split-part all"):
        stored_part(samples_of({"x": 2, "y": 2}), stored, "test")
    with pytest.raises(UserError, match="no split"):
        stored_part(samples_of({"x": 2}), None, "test")
    assert len(stored_part(samples_of({"x": 2}), None, "all")) == 2
