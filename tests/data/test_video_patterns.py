"""Which frames are of one video, and which videos look like parts of one operation."""

import numpy as np
import pytest

import analyze_model
from surgseg.data.dataset import load_folders, video_of, videos_of_masks
from surgseg.data.readers.folders import pair_folders
from surgseg.data.sources import list_folder
from surgseg.data.splits import make_split
from surgseg.data.videos import check_guesses, compile_pattern, parts_of_one, video_by_pattern, warn_of_divided
from surgseg.files import UserError, read_csv, read_json, write_csv, write_json
from surgseg.labels import SCHEMES
from surgseg.training.split import describe_split
from tests.helpers import code_mask, noise_frame, save_image

OPERATION_LAST = [f"frame{frame:04d}_op{op}" for frame in range(6) for op in (1, 2)]
FRAME_FIRST = [f"{frame:04d}_video{op}" for frame in range(6) for op in "AB"]
PARTS = [f"OP7_{part:02d}_{frame:06d}" for part in (1, 2, 3) for frame in range(3)]


def guess(names):
    check_guesses({name: video_of(name) for name in names})


@pytest.mark.parametrize(
    ("names", "doubt"),
    [
        (OPERATION_LAST, "the last number of frame0000_op1 seems to be the video"),
        (FRAME_FIRST, "0000_videoA, 0000_videoB differ in more than a number"),
        (["0000_case1", "0000_case2", "0001_case1", "0001_case2"], "the last number of 0000_case1"),
        (["IMG_0001-2", "IMG_0002-1", "IMG_0002-2"], "the last number of IMG_0001-2"),
        ([f"op{op}_{frame}_left" for op in (1, 2) for frame in range(3)], "op1_0_left holds several numbers"),
        (["a3f9c2d1", "b7e01c44", "0d9e8f72", "77aa01b3", "c0ffee19"], "most of 5 videos .* would have one frame"),
    ],
)
def test_names_that_do_not_tell_the_video_are_refused(names, doubt):
    with pytest.raises(UserError, match=f"do not tell .* one video: {doubt}.*--video-pattern"):
        guess(names)


@pytest.mark.parametrize(
    "names",
    [
        [f"op{op}_{frame:06d}" for op in (1, 2, 3) for frame in range(2)],
        [f"video{video:02d}_{clip}_{frame}" for video in (1, 12) for clip in (80, 160) for frame in range(3)],
        [f"{frame:04d}" for frame in range(3)],
        ["first", "second", "third"],
        [f"frame_{frame}_left" for frame in range(3)],
        [f"video_{frame:04d}" for frame in range(9)],
        ["op1_000000", "op2_000000", "op3_000000"],
        PARTS,
    ],
)
def test_names_that_tell_the_video_are_not_refused(names):
    guess(names)


@pytest.mark.parametrize("text", ["(op", "op", "(o)(p)"])
def test_a_pattern_needs_one_group(text):
    with pytest.raises(UserError, match="--video-pattern"):
        compile_pattern(text)


def test_a_pattern_is_searched_in_the_path_and_in_its_last_part():
    assert video_by_pattern(compile_pattern("(op[0-9]+)"), "train/op3/0001") == "op3"
    assert video_by_pattern(compile_pattern("^([a-z]+)"), "1/b_0001") == "b"
    with pytest.raises(UserError, match=r"'\(x\)' finds no video in op1_0001"):
        video_by_pattern(compile_pattern("(x)"), "op1_0001")


def write_pairs(root, names):
    for seed, name in enumerate(names):
        save_image(root / "f" / f"{name}.png", noise_frame(seed))
        save_image(root / "m" / f"{name}.png", code_mask() % 2)
    return root / "f", root / "m"


def prepared_pairs(folders, **options):
    return pair_folders(*map(list_folder, folders), **options).pairs


def test_both_ways_into_training_refuse_and_take_a_pattern(tmp_path):
    folders = write_pairs(tmp_path, OPERATION_LAST)
    for read in (prepared_pairs, lambda folders: load_folders(*folders)):
        with pytest.raises(UserError, match="--video-pattern"):
            read(folders)
    videos = [sample.video for sample in load_folders(*folders, video_pattern="(op[0-9])$").samples]
    assert videos == ["op1", "op2"] * 6
    pairs = prepared_pairs(folders, video_pattern="(op[0-9])$")
    assert [(pair.name, pair.frame.stem) for pair in pairs[:2]] == [
        ("op1_000000", "frame0000_op1"),
        ("op1_000001", "frame0001_op1"),
    ]
    assert [pair.video for pair in pairs] == ["op1"] * 6 + ["op2"] * 6
    with pytest.raises(UserError, match="or --video-id NAME"):
        prepared_pairs(folders)


def test_folders_of_a_split_are_no_videos(tmp_path):
    names = [f"{part}/op{op}_{frame}" for part, op in (("train", 1), ("train", 2), ("Test", 3)) for frame in range(2)]
    folders = write_pairs(tmp_path, names)
    for read in (prepared_pairs, lambda folders: load_folders(*folders)):
        with pytest.raises(UserError, match=r"folders named Test, train are parts of a data set, .*--video-pattern"):
            read(folders)
    assert {sample.video for sample in load_folders(*folders, video_pattern="(op.)_").samples} == {"op1", "op2", "op3"}
    assert {pair.video for pair in prepared_pairs(folders, video_pattern="(op.)_")} == {"op1", "op2", "op3"}


def test_a_pattern_joins_the_parts_of_an_operation_in_their_order(tmp_path):
    folders = write_pairs(tmp_path, PARTS)
    pairs = prepared_pairs(folders, video_pattern="(OP[0-9]+)_")
    assert [pair.name for pair in pairs] == [f"OP7_{number:06d}" for number in range(9)]
    assert [pair.frame.stem for pair in pairs] == PARTS
    assert [pair.clip for pair in pairs] == ["OP7_01"] * 3 + ["OP7_02"] * 3 + ["OP7_03"] * 3
    samples = load_folders(*folders, video_pattern="(OP[0-9]+)_").samples
    assert [(s.name, s.video, s.number) for s in samples] == [(name, "OP7", n) for n, name in enumerate(PARTS)]


@pytest.mark.parametrize(
    ("videos", "groups"),
    [
        (["OP7_01", "OP7_02", "OP8_01"], [["OP7_01", "OP7_02"]]),
        (["case3a", "case3b", "case4"], [["case3a", "case3b"]]),
        (["VID001_part1", "VID001_part2", "VID002_part1"], [["VID001_part1", "VID001_part2"]]),
        (["GH010123", "GH020123", "GH010124"], [["GH010123", "GH020123"]]),
        (["op1_20240101_0900", "op1_20240101_0930"], [["op1_20240101_0900", "op1_20240101_0930"]]),
        (["video01", "video02", "op_1", "op_2", "patient-3"], []),
        ([f"cholec80_{number:02d}" for number in range(1, 81)], []),
    ],
)
def test_parts_of_one_operation_are_known_by_their_names(videos, groups):
    assert parts_of_one(videos) == groups


def test_only_parts_on_different_sides_are_a_warning():
    assert warn_of_divided({"OP7_01": "train", "OP7_02": "train", "OP8_01": "test"}) == ""
    text = warn_of_divided({"OP7_01": "train", "OP7_02": "test", "OP8_01": "test"})
    assert "OP7_01 (train) OP7_02 (test)" in text and "OP8" not in text


def test_a_split_that_divides_an_operation_says_so(tmp_path):
    samples = load_folders(*write_pairs(tmp_path, PARTS)).samples
    text = describe_split(make_split(samples, name="video"), samples)
    assert "WARNING" in text and all(video in text.split("WARNING")[1] for video in ("OP7_01", "OP7_02", "OP7_03"))


def test_scores_are_grouped_by_a_pattern_or_the_manifest_and_by_no_doubtful_guess(tmp_path, tiny_prepared):
    masks = write_pairs(tmp_path, OPERATION_LAST)[1]
    with pytest.raises(UserError, match="--video-pattern"):
        videos_of_masks(masks, OPERATION_LAST)
    assert videos_of_masks(masks, OPERATION_LAST, "(op.)$") == ["op1", "op2"] * 6
    manifest = tiny_prepared / "manifest.csv"
    listed = {row["name"]: row["video"] for row in read_csv(manifest)}
    assert videos_of_masks(tiny_prepared / "masks", list(listed)) == list(listed.values())
    write_csv(tmp_path / "manifest.csv", ["name", "video"], [{"name": n, "video": "joined"} for n in OPERATION_LAST])
    write_json(tmp_path / "classes.json", SCHEMES["binary"].to_json())
    assert set(videos_of_masks(masks, OPERATION_LAST)) == {"joined"}


def test_analysis_takes_the_pattern(tmp_path, capsys):
    masks = write_pairs(tmp_path, OPERATION_LAST)[1]
    preds = tmp_path / "p"
    for name in OPERATION_LAST:
        save_image(preds / f"{name}.png", np.zeros_like(code_mask()))
    words = ["--mask-dir", masks, "--pred-dir", preds, "--output-dir", tmp_path / "o", "--examples", 0]
    assert analyze_model.main([str(word) for word in words]) == 2
    assert "--video-pattern" in capsys.readouterr().err
    analyze_model.main([*(str(word) for word in words), "--video-pattern", "(op.)$"])
    metrics = read_json(tmp_path / "o" / "analysis_metrics.json")
    assert list(metrics["per_video"]) == ["op1", "op2"]
