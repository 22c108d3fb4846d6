from collections import Counter
from pathlib import Path

import pytest

from surgseg.data.readers.folders import pair_folders
from surgseg.data.sources import list_folder
from surgseg.files import UserError


def tree(root: Path, *names: str) -> list:
    """Empty image files, listed as sources."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    root.mkdir(exist_ok=True)
    return list_folder(root)


def pair(tmp_path, frames, masks, **options):
    return pair_folders(tree(tmp_path / "F", *frames), tree(tmp_path / "M", *masks), **options)


def names(found) -> dict[str, tuple[str, str]]:
    return {item.name: (item.frame.name, item.mask.name) for item in found.pairs}


def kinds(found) -> Counter:
    return Counter(problem.kind for problem in found.problems)


def test_flat_folders_pair_by_name_and_not_by_order(tmp_path):
    found = pair(tmp_path, ["a_01_endo.png", "a_02_endo.png"], ["a_02_endo_watershed_mask.png"])
    assert names(found) == {"a_000002": ("a_02_endo.png", "a_02_endo_watershed_mask.png")}
    assert [(problem.kind, problem.file) for problem in found.problems] == [("frame without mask", "a_01_endo.png")]


@pytest.mark.parametrize(
    ("frame", "mask", "options"),
    [
        ("v_1_endo.png", "v_1_endo_watershed_mask.png", {}),
        ("v_1_raw.jpg", "v_1_class.png", {}),
        ("v_1.png", "v_1.png", {}),
        ("v_1_raw.png", "v_1_raw.png", {}),
        ("v_1_image.png", "v_1_seg.png", {"frame_suffix": "_image", "mask_suffix": "_seg"}),
        ("v_1.png", "v_1_seg.png", {"mask_suffix": "_seg"}),
    ],
)
def test_known_and_given_suffixes_are_taken_off(tmp_path, frame, mask, options):
    found = pair(tmp_path, [frame], [mask], **options)
    assert names(found) == {"v_000001": (frame, mask)}
    assert not found.problems


def test_all_pairing_faults_are_found_together(tmp_path):
    found = pair(tmp_path, ["v_1.png", "v_2.png", "v_3.png", "v_3.jpg"], ["v_1.png", "v_3.png", "v_4.png"])
    assert kinds(found) == {"frame without mask": 1, "mask without frame": 1, "two candidates": 1}
    assert list(names(found)) == ["v_000001"]


def test_two_masks_for_one_frame_are_two_candidates(tmp_path):
    found = pair(tmp_path, ["v_1.png"], ["v_1.png", "v_1_class.png"])
    assert kinds(found) == {"two candidates": 1}
    assert "v_1_class.png" in found.problems[0].what


def test_videos_colliding_under_one_id_are_a_fault(tmp_path):
    found = pair(tmp_path, ["A/x_1.png", "B/x_1.png"], ["A/x_1.png", "B/x_1.png"], video_id="op")
    assert kinds(found) == {"same output name": 1}
    assert found.pairs == []


def test_names_that_differ_only_in_leading_zeros_collide(tmp_path):
    found = pair(tmp_path, ["v_1.png", "v_01.png"], ["v_1.png", "v_01.png"])
    assert kinds(found) == {"same output name": 1}


def test_one_tree_given_twice_is_told_apart_by_suffix(tmp_path):
    files = tree(tmp_path, "OP1/Raw/img_01_raw.png", "OP1/Masks/img_01_class.png", "OP2/Raw/img_01_raw.png")
    files = tree(tmp_path, "OP2/Masks/img_01_class.png")
    found = pair_folders(files, files)
    assert {item.name: item.video for item in found.pairs} == {"OP1_000001": "OP1", "OP2_000001": "OP2"}
    assert not found.problems


def test_a_mask_folder_inside_the_frame_folder_holds_no_frames(tmp_path):
    frames = tree(tmp_path, "v_1.png", "masks/v_1.png")
    masks = list_folder(tmp_path / "masks")
    assert names(pair_folders(frames, masks)) == {"v_000001": ("v_1.png", "v_1.png")}


def test_the_other_masks_of_the_release_are_never_taken(tmp_path):
    clip = "video01/video01_00080/frame_80_endo"
    files = tree(tmp_path, *(f"{clip}{end}.png" for end in ("", "_mask", "_color_mask", "_watershed_mask")))
    found = pair_folders(files, files)
    assert names(found) == {"video01_000080": (f"{clip}.png", f"{clip}_watershed_mask.png")}
    assert found.problems == []


def test_clips_of_one_video_are_one_video(tmp_path):
    stems = [f"video01_{clip:05d}/frame_{clip + 1}" for clip in (80, 160)]
    found = pair(tmp_path, [f"{s}_endo.png" for s in stems], [f"{s}_endo_watershed_mask.png" for s in stems])
    assert [(item.video, item.clip) for item in found.pairs] == [
        ("video01", "video01_00080"),
        ("video01", "video01_00160"),
    ]


def test_flattened_release_names_keep_video_and_clip(tmp_path):
    found = pair(tmp_path, ["video01_00080_frame_80_endo.png"], ["video01_00080_frame_80_endo_watershed_mask.png"])
    (item,) = found.pairs
    assert (item.name, item.video, item.clip) == ("video01_000080", "video01", "video01_00080")


def test_a_single_clip_folder_names_its_video(tmp_path):
    found = pair(tmp_path, ["frame_80_endo.png"], ["frame_80_endo_watershed_mask.png"], root_name="video01_00080")
    assert [item.video for item in found.pairs] == ["video01"]


@pytest.mark.parametrize(
    ("stem", "video", "number"),
    [("video01_000123", "video01", 123), ("case-a.7", "case-a", 7), ("007", "video", 7), ("alpha", "video", 0)],
)
def test_the_video_of_a_flat_file_is_its_name_less_the_number(tmp_path, stem, video, number):
    (item,) = pair(tmp_path, [f"{stem}.png"], [f"{stem}.png"]).pairs
    assert (item.video, item.number) == (video, number)


def test_the_same_name_in_two_videos_pairs_within_each(tmp_path):
    found = pair(tmp_path, ["A/1.png", "B/1.png", "B/2.png"], ["A/1.png", "B/1.png", "A/2.png"])
    assert names(found) == {"A_000001": ("A/1.png", "A/1.png"), "B_000001": ("B/1.png", "B/1.png")}
    assert kinds(found) == {"frame without mask": 1, "mask without frame": 1}  # B/2 does not meet A/2


def test_the_stem_alone_pairs_where_one_side_is_flat(tmp_path):
    found = pair(tmp_path, ["A/x_1.png", "B/x_2.png"], ["x_1.png", "x_2.png"])
    assert {item.name: item.video for item in found.pairs} == {"A_000001": "A", "B_000002": "B"}


def test_a_lone_folder_for_the_role_is_no_video(tmp_path):
    found = pair(tmp_path, ["Raw/op1_1.png"], ["Masks/op1_1.png"])
    assert [item.name for item in found.pairs] == ["op1_000001"]


def test_frames_without_a_number_are_numbered_in_natural_order_after_the_others(tmp_path):
    files = ["V/b.png", "V/a.png", "V/x_5.png"]
    found = pair(tmp_path, files, files)
    assert {item.name: item.frame.name for item in found.pairs} == {
        "V_000005": "V/x_5.png",
        "V_000006": "V/a.png",
        "V_000007": "V/b.png",
    }
    assert [item.numbered_by_order for item in found.pairs] == [False, True, True]


@pytest.mark.parametrize("name", ["a/b", "", "..", "op 1"])
def test_a_video_id_that_is_no_file_name_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="--video-id"):
        pair(tmp_path, ["1.png"], ["1.png"], video_id=name)


def test_folder_names_become_safe_file_names(tmp_path):
    found = pair(tmp_path, ["case 1 (old)/1.png"], ["case 1 (old)/1.png"])
    assert [item.name for item in found.pairs] == ["case-1-old_000001"]


def test_operating_system_files_are_passed_over(tmp_path):
    found = pair(tmp_path, ["v_1.png", "._v_1.png", "__MACOSX/v_1.png"], ["v_1.png"])
    assert list(names(found)) == ["v_000001"]
