"""Reading prepared folders and bare pairs of folders."""

import shutil

import numpy as np
import pytest

from surgseg.data.dataset import MANIFEST_FIELDS, load_folders, load_prepared, video_of
from surgseg.data.sources import data_kind
from surgseg.files import UserError, read_csv, write_csv, write_json
from surgseg.labels import SCHEMES
from tests.helpers import noise_frame, save_image


@pytest.fixture
def folder(tiny_prepared, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(tiny_prepared, tmp_path / "prepared")


def message(work, *args):
    with pytest.raises(UserError) as caught:
        work(*args)
    return str(caught.value)


def test_a_prepared_folder_is_read_through_its_manifest(tiny_prepared):
    prepared = load_prepared(tiny_prepared)
    assert len(prepared.samples) == 24 and prepared.videos == ["video01", "video02", "video03", "video04"]
    assert (prepared.scheme, prepared.data) == (SCHEMES["binary"], "real")
    last = prepared.samples[-1]
    assert (last.name, last.video, last.number, last.part) == ("video04_000005", "video04", 5, "test")
    assert last.instrument_fraction == 0 < prepared.samples[0].instrument_fraction
    assert last.frame.is_file() and last.mask.is_file()


def test_samples_stand_in_natural_order_whatever_the_manifests(folder):
    rows = read_csv(folder / "manifest.csv")
    write_csv(folder / "manifest.csv", MANIFEST_FIELDS, rows[::-1])
    names = [sample.name for sample in load_prepared(folder).samples]
    assert names == [row["name"] for row in rows]


def test_a_frame_that_stands_twice_in_the_manifest_is_named(folder):
    rows = read_csv(folder / "manifest.csv")
    write_csv(folder / "manifest.csv", MANIFEST_FIELDS, [*rows, {**rows[-1], "split": "train"}])
    assert "twice: video04_000005" in message(load_prepared, folder)


def test_frames_may_stand_in_sample_frames(folder):
    (folder / "frames").rename(folder / "sample_frames")
    assert load_prepared(folder).samples[0].frame.parent.name == "sample_frames"


def test_the_audit_says_whether_data_is_synthetic(folder):
    write_json(folder / "audit.json", {"data": "synthetic"})
    assert load_prepared(folder).data == data_kind(folder / "masks") == "synthetic"
    (folder / "audit.json").unlink()
    assert load_prepared(folder).data == data_kind(folder / "masks") == "real"


def test_the_nearest_record_says_what_kind_of_data_it_is(folder):
    (folder.parent / "synthetic.json").write_text("{}")  # the marker alone is enough
    assert data_kind(folder) == "real", "its own audit is nearer"
    write_json(folder / "audit.json", {"files": 3})  # says nothing
    assert data_kind(folder / "masks") == load_prepared(folder).data == "synthetic"


def test_an_unprepared_folder_names_the_scripts_that_prepare(tmp_path):
    text = message(load_prepared, tmp_path)
    assert str(tmp_path) in text and "prepare_full_dataset.py" in text


def test_missing_files_are_named_together(folder):
    (folder / "frames" / "video01_000001.png").unlink()
    (folder / "masks" / "video03_000004.png").unlink()
    text = message(load_prepared, folder)
    assert "video01_000001" in text and "video03_000004" in text


@pytest.mark.parametrize(
    "row", ["video01_000000,video01,c,x,64,48,0.1,0,train", "video01_000000,video01", "video01_000000,,,,,,,,"]
)
def test_a_broken_manifest_row_is_named(folder, row):
    header = ",".join(MANIFEST_FIELDS)
    (folder / "manifest.csv").write_text(f"{header}\n{row}\n")
    text = message(load_prepared, folder)
    assert "manifest.csv" in text and "video01_000000" in text


def test_a_prepared_frame_in_two_formats_is_refused(folder):
    save_image(folder / "frames" / "video01_000001.jpg", noise_frame(0))
    assert "two files for one name" in message(load_prepared, folder)


def test_an_empty_or_foreign_manifest_is_refused(folder):
    write_csv(folder / "manifest.csv", MANIFEST_FIELDS, [])
    assert "no frames" in message(load_prepared, folder)
    write_csv(folder / "manifest.csv", ["name", "video"], [])
    assert "instrument_fraction" in message(load_prepared, folder)


class TestBareFolders:
    @pytest.fixture
    def folders(self, tmp_path):
        for video, number in (("op1", 1), ("op1", 2), ("op2", 10), ("op2", 9)):
            save_image(tmp_path / "images" / f"{video}_{number}.jpg", noise_frame(number))
            save_image(tmp_path / "labels" / f"{video}_{number}.png", np.eye(24, 32, dtype=np.uint8))
        return tmp_path / "images", tmp_path / "labels"

    def test_pairs_by_name_and_videos_by_the_names_beginning(self, folders):
        prepared = load_folders(*folders)
        assert [s.name for s in prepared.samples] == ["op1_1", "op1_2", "op2_9", "op2_10"]
        assert [s.number for s in prepared.samples] == [1, 2, 9, 10]
        assert prepared.videos == ["op1", "op2"] and prepared.scheme == SCHEMES["binary"]
        assert all(s.frame.stem == s.mask.stem for s in prepared.samples)

    def test_videos_by_folders_where_there_are_any(self, folders):
        for folder in folders:
            (folder / "first").mkdir()
            for path in list(folder.glob("op1_*")):
                path.rename(folder / "first" / path.name)
        assert load_folders(*folders).videos == ["first", "op2"]

    @pytest.mark.parametrize(("index", "words"), [(0, "masks without frame"), (1, "frames without mask")])
    def test_a_missing_partner_is_named(self, folders, index, words):
        next(folders[index].glob("op2_9.*")).unlink()
        text = message(load_folders, *folders)
        assert words in text and "op2_9" in text and "1 " in text

    def test_equal_names_in_subfolders_are_different_frames(self, folders):
        for video in ("op1", "op2"):
            save_image(folders[0] / "more" / video / "7.jpg", noise_frame(7))
            save_image(folders[1] / "more" / video / "7.png", np.eye(24, 32, dtype=np.uint8))
        samples = load_folders(*(folder / "more" for folder in folders)).samples
        assert [(s.name, s.video, s.number) for s in samples] == [("op1/7", "op1", 7), ("op2/7", "op2", 7)]
        assert all(s.frame.parent.name == s.mask.parent.name == s.video for s in samples)

    def test_two_files_of_one_name_are_refused(self, folders):
        save_image(folders[0] / "again" / "op1_1.png", noise_frame(0))
        assert "op1_1" in message(load_folders, *folders)

    def test_an_empty_or_absent_folder_is_refused(self, folders, tmp_path):
        assert "not a folder" in message(load_folders, tmp_path / "none", folders[1])
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        assert "no images" in message(load_folders, tmp_path / "a", tmp_path / "b")

    def test_an_unknown_scheme_is_refused(self, folders):
        assert "unknown class scheme" in message(load_folders, *folders, "tools")


def test_the_two_folders_of_a_prepared_folder_bring_their_manifest(tiny_prepared):
    prepared = load_folders(tiny_prepared / "frames", tiny_prepared / "masks")
    assert prepared.samples == load_prepared(tiny_prepared).samples


def test_frames_that_the_manifest_leaves_out_are_named(folder, capsys):
    shutil.copy(folder / "frames" / "video02_000003.png", folder / "frames" / "video02_000099.png")
    load_prepared(folder)
    assert "1 frames of" in (said := capsys.readouterr().out) and "video02_000099" in said


def test_other_folders_beside_a_manifest_are_read_themselves(folder):
    """`data/my_frames` and `data/my_masks` are not `data/frames` and `data/masks`."""
    for old, new in (("frames", "my_frames"), ("masks", "my_masks")):
        (folder / new).mkdir()
        shutil.copy(folder / old / "video02_000003.png", folder / new / "mine_7.png")
    prepared = load_folders(folder / "my_frames", folder / "my_masks")
    assert [sample.name for sample in prepared.samples] == ["mine_7"]


@pytest.mark.parametrize(
    ("stem", "video"),
    [("video01_000080", "video01"), ("op1-7", "op1"), ("clip.12", "clip"), ("a_b_3", "a_b"), ("12", "video"),
     ("nonumber", "video"), ("case 5", "case")],
)  # fmt: skip
def test_the_video_is_the_name_less_its_number(stem, video):
    assert video_of(stem) == video


def test_known_suffixes_are_no_part_of_a_video_name():
    assert video_of("frame_80_endo") == video_of("frame_81_endo") == "frame"
    assert video_of("img_03_raw") == "img" and video_of("video01_000080") == "video01"
    assert video_of("000123") == "video"
