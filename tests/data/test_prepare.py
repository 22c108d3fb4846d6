"""The engine: release or folders to a prepared folder, resumed, repaired, refused."""

import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from surgseg.data import convert
from surgseg.data.convert import Target
from surgseg.data.dataset import MANIFEST_FIELDS, load_prepared
from surgseg.data.prepare import check_separate, prepare
from surgseg.data.readers.cholecseg8k import read_cholecseg8k
from surgseg.data.sources import check_whole, list_folder, open_source
from surgseg.files import UserError, read_csv
from surgseg.labels import SCHEMES, binary_scheme, void_as_background
from surgseg.masks import write_mask
from tests.helpers import (
    code_mask,
    folder_bytes,
    make_release,
    noise_frame,
    release_frame,
    release_mask,
    save_image,
    save_rgb_mask,
)


def run(source, output, scheme=SCHEMES["binary"], **options):
    with open_source(source) as (files, data):
        return prepare(read_cholecseg8k(files, source.name), Target(output, threads=2, **options), scheme, data)


def kinds(result):
    return sorted(problem.kind for problem in result.problems)


@pytest.fixture
def release(tmp_path):
    return make_release(tmp_path / "release", {"video01": 4, "video09": 3, "video12": 2})


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


def test_a_release_becomes_a_prepared_folder(release, output):
    result = run(release, output)
    rows = read_csv(output / "manifest.csv", MANIFEST_FIELDS)
    assert [row["name"] for row in rows][:5] == [*(f"video01_{n:06d}" for n in range(4)), "video09_000000"]
    assert (rows[0]["video"], rows[2]["clip"], rows[2]["frame"]) == ("video01", "video01_00002", "2")
    assert (rows[0]["width"], rows[0]["height"]) == ("32", "24")
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    assert len({(row["video"], row["split"]) for row in rows}) == 3
    assert result.problems == []
    prepared = load_prepared(output)
    assert (len(prepared.samples), prepared.data, prepared.scheme) == (9, "real", SCHEMES["binary"])


def test_fractions_are_of_non_void_and_of_all_pixels(release, output):
    run(release, output)
    row = read_csv(output / "manifest.csv")[0]
    valid = 23 * 31  # the last row and column are void
    assert row["instrument_fraction"] == f"{2 * 23 / valid:.6f}"
    assert row["void_fraction"] == f"{1 - valid / (24 * 32):.6f}"


def test_a_frame_of_void_alone_has_no_instrument(release, output):
    save_rgb_mask(release_mask(release, "video01", 0), np.full((24, 32), 255, np.uint8))
    run(release, output)
    row = read_csv(output / "manifest.csv")[0]
    assert (row["instrument_fraction"], row["void_fraction"]) == ("0.000000", "1.000000")


def test_masks_hold_class_ids_and_frames_keep_their_bytes(release, output):
    run(release, output)
    with Image.open(output / "masks" / "video01_000001.png") as image:
        assert image.mode == "P"
        ids = np.asarray(image)
    codes = code_mask(instrument=3)
    assert (ids == np.where(codes == 31, 1, np.where(codes == 255, 255, 0))).all()
    source = release_frame(release, "video01", 1)
    assert (output / "frames" / "video01_000001.png").read_bytes() == source.read_bytes()


def test_frames_are_linked_and_copy_makes_copies(release, output):
    frame = output / "frames" / "video01_000000.png"
    run(release, output)
    assert frame.samefile(release_frame(release, "video01", 0))
    assert run(release, output, copy=True).done == 9
    assert not frame.samefile(release_frame(release, "video01", 0))
    assert run(release, output, copy=True).done == 0


def test_where_links_fail_frames_are_copied(release, output, monkeypatch):
    def refuse(*args):
        raise OSError("other disk")

    monkeypatch.setattr(convert.os, "link", refuse)
    run(release, output)
    frame = output / "frames" / "video01_000000.png"
    assert frame.read_bytes() == release_frame(release, "video01", 0).read_bytes()
    assert not frame.samefile(release_frame(release, "video01", 0))


def test_replacing_a_linked_frame_leaves_the_old_original_alone(release, output, tmp_path):
    run(release, output)
    source = release_frame(release, "video01", 0)
    original = source.read_bytes()
    os.link(source, tmp_path / "elsewhere.png")
    source.unlink()
    save_image(source, noise_frame(77))
    run(release, output, copy=True)
    assert (tmp_path / "elsewhere.png").read_bytes() == original
    assert (output / "frames" / "video01_000000.png").read_bytes() == source.read_bytes()


def test_a_zip_gives_the_same_folder(release, output, tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for name, data in folder_bytes(release).items():
            archive.writestr(f"cholecseg8k/{name}", data)
        archive.writestr("__MACOSX/video01/video01_00000/._frame_0_endo.png", b"x")
    run(release, output)
    run(tmp_path / "archive.zip", tmp_path / "from_zip")
    first, second = folder_bytes(output), folder_bytes(tmp_path / "from_zip")
    first.pop(".prepare.jsonl"), second.pop(".prepare.jsonl")  # stamps of a zip's members are checksums
    assert first == second
    assert run(tmp_path / "archive.zip", tmp_path / "from_zip").done == 0


def test_files_that_are_no_watershed_pair_are_ignored(tmp_path, output):
    release = make_release(tmp_path / "release", {"video01": 2}, extra_masks=True)
    (release / "video01" / "video01_00000" / "._frame_0_endo.png").write_bytes(b"x")
    (release / "video01" / "Thumbs.db").write_bytes(b"x")
    result = run(release, output)
    assert (result.done, result.problems) == (2, [])


def test_a_number_outside_its_clip_is_taken(tmp_path, output):
    clip = tmp_path / "r" / "deep" / "video52" / "video52_00080"
    save_image(clip / "frame_700_endo.png", noise_frame(1))
    save_rgb_mask(clip / "frame_700_endo_watershed_mask.png", code_mask())
    assert run(tmp_path / "r", output).audit["videos"]["video52"]["frames"] == 1


def test_a_single_video_or_clip_as_root_keeps_its_video(release, output):
    assert list(run(release / "video09", output).audit["videos"]) == ["video09"]
    audit = run(release / "video09" / "video09_00002", output).audit
    assert (list(audit["videos"]), audit["frames"]) == (["video09"], 1)


# ------------------------------------------------------------------------------------------------ bad files


def test_all_bad_files_are_reported_together_and_good_ones_kept(release, output):
    release_mask(release, "video01", 0).unlink()
    release_frame(release, "video01", 1).unlink()
    frame = release_frame(release, "video01", 2)
    frame.write_bytes(frame.read_bytes()[:-40])
    release_frame(release, "video01", 3).write_bytes(b"")
    save_rgb_mask(release_mask(release, "video09", 0), code_mask((12, 32)))
    save_rgb_mask(release_mask(release, "video09", 1), np.full((24, 32), 77, np.uint8))
    save_image(release_mask(release, "video09", 2), noise_frame(5))
    release_frame(release, "video12", 0).write_bytes(b"<html>not found</html>")
    result = run(release, output)
    assert kinds(result) == [
        "bad frame",
        "bad frame",
        "bad frame",
        "bad mask",
        "bad mask",
        "frame without mask",
        "mask without frame",
        "size mismatch",
    ]
    assert [row["name"] for row in read_csv(output / "manifest.csv")] == ["video12_000001"]
    text = "\n".join(str(problem) for problem in result.problems)
    assert "video09/video09_00000/frame_0_endo.png (the frame is 32x24, its mask 32x12)" in text
    assert "frame_1_endo_watershed_mask.png (unknown mask code 77 (768 pixels)" in text
    assert "frame_2_endo_watershed_mask.png (colour channels differ" in text
    assert "frame_2_endo.png (truncated PNG" in text
    assert "frame_3_endo.png (the file is empty)" in text
    assert "frame_0_endo.png (cannot be decoded as an image" in text
    assert len(json.loads((output / "audit.json").read_text())["problems"]) == 8


def test_a_mended_file_is_taken_by_the_next_run(release, output):
    mask = release_mask(release, "video01", 0)
    good = mask.read_bytes()
    mask.write_bytes(good[:-1])
    assert kinds(run(release, output)) == ["bad mask"]
    mask.write_bytes(good)
    result = run(release, output)
    assert (result.done, result.kept, result.problems, result.audit["problems"]) == (1, 8, [], [])


def test_one_flipped_byte_in_a_png_is_found(tmp_path):
    data = bytearray(save_image(tmp_path / "a.png", noise_frame(1)).read_bytes())
    check_whole(bytes(data), "a.png")
    data[len(data) // 2] ^= 1
    with pytest.raises(UserError, match=r"a\.png: damaged PNG"):
        check_whole(bytes(data), "a.png")


def test_a_cut_jpeg_is_found(tmp_path):
    data = save_image(tmp_path / "a.jpg", noise_frame(1)).read_bytes()
    check_whole(data, "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg: truncated JPEG"):
        check_whole(data[:-20], "a.jpg")


def test_two_clips_with_the_same_frame_number_collide(release, output):
    other = release / "video01" / "video01_00080" / "frame_0_endo.png"
    save_image(other, noise_frame(50))
    save_rgb_mask(other.with_name("frame_0_endo_watershed_mask.png"), code_mask())
    result = run(release, output)
    assert kinds(result) == ["same output name"]
    assert "video01_000000" not in {row["name"] for row in read_csv(output / "manifest.csv")}


def test_a_pair_outside_any_video_folder_is_a_problem(release, output):
    save_image(release / "loose" / "frame_1_endo.png", noise_frame(50))
    save_rgb_mask(release / "loose" / "frame_1_endo_watershed_mask.png", code_mask())
    assert kinds(run(release, output)) == ["no video folder"]


def test_a_source_without_a_release_says_what_was_looked_for(tmp_path, output):
    save_image(tmp_path / "r" / "img_1.png", noise_frame(1))
    with pytest.raises(UserError, match=r"frame_N_endo\.png \(0 found\).*prepare_cholecseg8k_assets"):
        run(tmp_path / "r", output)
    with pytest.raises(UserError, match="no such folder"):
        run(tmp_path / "nowhere", output)
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(UserError, match="no whole zip"):
        run(tmp_path / "cut.zip", output)


def test_where_every_pair_is_bad_nothing_is_written(release, output):
    with pytest.raises(UserError, match="none of 9 pairs could be prepared"):
        run(release, output, binary_scheme([70], [], [0]))
    assert not output.exists()


# ------------------------------------------------------------------------------------------------ the audit


def test_the_audit_counts_codes_classes_and_empty_frames(release, output):
    audit = run(release, output).audit
    total, void = 9 * 24 * 32, 9 * (24 + 32 - 1)
    instrument = 23 * sum([2, 3, 4, 0, 2, 3, 0, 2, 0])
    assert audit["codes"]["255"] == {
        "name": "void",
        "class": "void",
        "frames": 9,
        "pixels": void,
        "share": round(void / total, 6),
    }
    assert audit["codes"]["31"]["pixels"] == instrument
    assert audit["codes"]["31"]["frames"] == 6
    assert audit["classes"]["instrument"]["share"] == round(instrument / (total - void), 6)
    assert audit["instrument_free_frames"] == 3
    assert audit["videos"]["video01"]["clips"] == 2
    assert audit["sizes"] == {"32x24": 9}
    assert sorted(video for videos in audit["splits"].values() for video in videos) == ["video01", "video09", "video12"]


def test_rgba_masks_are_repaired_and_counted(release, output):
    save_rgb_mask(release_mask(release, "video01", 1), code_mask(instrument=3), alpha=True)
    audit = run(release, output).audit
    assert audit["repaired_rgba_masks"] == ["video01_000001"]
    assert audit["mask_modes"] == {"RGB": 8, "RGBA": 1}


def test_identical_frames_are_grouped_those_of_two_videos_apart(release, output):
    first = release_frame(release, "video01", 0).read_bytes()
    release_frame(release, "video12", 1).write_bytes(first)
    release_frame(release, "video09", 1).write_bytes(release_frame(release, "video09", 0).read_bytes())
    twins = run(release, output).audit["identical_frames"]
    assert twins["across_videos"] == [["video01_000000", "video12_000001"]]
    assert twins["within_videos"] == [["video09_000000", "video09_000001"]]
    assert twins["frames"] == 4


def test_remaining_codes_taken_as_background_are_listed(release, output):
    audit = run(release, output, binary_scheme([31], [255])).audit
    assert audit["background_codes_seen"] == [21]
    assert "background_codes_seen" not in run(release, output, SCHEMES["full13"]).audit


def test_void_as_background_leaves_no_void(release, output):
    audit = run(release, output, void_as_background(SCHEMES["binary"])).audit
    assert audit["void"] == {"codes": [], "pixels": 0, "share": 0.0}
    assert {row["void_fraction"] for row in read_csv(output / "manifest.csv")} == {"0.000000"}


# ------------------------------------------------------------------------------------------------ running again


def test_a_second_run_does_nothing_and_changes_nothing(release, output):
    assert run(release, output).done == 9
    before = folder_bytes(output)
    result = run(release, output)
    assert (result.done, result.kept) == (0, 9)
    assert folder_bytes(output) == before


def test_a_killed_run_finished_later_gives_the_same_folder(release, output, tmp_path, monkeypatch):
    run(release, tmp_path / "whole")
    calls, real = [], convert.place_frame

    def die_at_the_fourth(*args):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(convert, "place_frame", die_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        run(release, output)
    monkeypatch.undo()
    assert not (output / "manifest.csv").exists()
    with (output / ".prepare.jsonl").open("a") as stream:
        stream.write('{"name": "video01_0')  # a line cut by the end of the process
    (output / "masks" / ".video01_000003.png.abc.part.png").write_bytes(b"cut")
    result = run(release, output)
    assert result.done > 0
    assert result.kept > 0
    assert folder_bytes(output) == folder_bytes(tmp_path / "whole")


def test_a_changed_source_or_a_lost_output_is_done_again(release, output):
    run(release, output)
    save_rgb_mask(release_mask(release, "video01", 0), code_mask(instrument=9))
    (output / "masks" / "video09_000000.png").unlink()
    (output / "frames" / "video12_000000.png").unlink()
    (output / "masks" / "video12_000001.png").write_bytes(b"cut")
    assert run(release, output).done == 4
    row = read_csv(output / "manifest.csv")[0]
    assert row["instrument_fraction"] == f"{9 * 23 / (23 * 31):.6f}"


def test_a_frame_with_another_suffix_replaces_the_old_one(release, output):
    run(release, output)
    frame = release_frame(release, "video01", 0)
    frame.unlink()
    save_image(frame.with_suffix(".jpg"), noise_frame(3))
    run(release, output)
    assert [path.name for path in (output / "frames").glob("video01_000000.*")] == ["video01_000000.jpg"]


def test_another_video_adds_rows_and_the_same_video_replaces_its_own(tmp_path, output):
    run(make_release(tmp_path / "a", {"video01": 3}), output)
    result = run(make_release(tmp_path / "b", {"video02": 2}), output)
    assert result.audit["frames"] == 5
    assert result.audit["codes"]["31"]["frames"] == 3
    assert {row["split"] for row in read_csv(output / "manifest.csv")} == {"train", "test"}
    result = run(make_release(tmp_path / "c", {"video01": 2}), output)
    assert result.left_over == ["video01_000002"]
    names = [row["name"] for row in read_csv(output / "manifest.csv")]
    assert names == ["video01_000000", "video01_000001", "video02_000000", "video02_000001"]
    assert run(tmp_path / "b", output).done == 0


def test_problems_of_other_videos_stay_in_the_audit(tmp_path, output):
    first = make_release(tmp_path / "a", {"video01": 3})
    release_mask(first, "video01", 1).unlink()
    run(first, output)
    result = run(make_release(tmp_path / "b", {"video02": 2}), output)
    assert [problem["kind"] for problem in result.audit["problems"]] == ["frame without mask"]
    assert result.problems == []


def test_one_folder_has_one_scheme(tmp_path, output):
    first = make_release(tmp_path / "a", {"video01": 2})
    run(first, output)
    other = make_release(tmp_path / "b", {"video02": 2})
    for scheme in (SCHEMES["full13"], void_as_background(SCHEMES["binary"])):
        with pytest.raises(UserError, match="holds video01 with another class scheme"):
            run(other, output, scheme)
    assert run(first, output, SCHEMES["full13"]).done == 2  # all of its videos are replaced
    assert load_prepared(output).scheme == SCHEMES["full13"]


def test_names_that_differ_in_capitals_alone_are_refused(tmp_path, output):
    found = read_cholecseg8k(list_folder(make_release(tmp_path / "a", {"video01": 2})))
    prepare(found, Target(output), SCHEMES["binary"])
    capitals = replace(found, pairs=[replace(pair, video="VIDEO01") for pair in found.pairs])
    with pytest.raises(UserError, match="holds video01, which is VIDEO01 on some disks"):
        prepare(capitals, Target(output), SCHEMES["binary"])


def test_real_and_synthetic_do_not_mix(tmp_path, output):
    run(make_release(tmp_path / "a", {"video01": 2}), output)
    drawn = make_release(tmp_path / "b" / "release", {"video02": 2})
    (tmp_path / "b" / "synthetic.json").write_text("{}")
    with pytest.raises(UserError, match=r"holds real videos .* source is synthetic"):
        run(drawn, output)
    assert run(drawn, tmp_path / "drawn").audit["data"] == "synthetic"


def test_a_lost_journal_keeps_the_other_videos_rows(tmp_path, output):
    run(make_release(tmp_path / "a", {"video01": 3}), output)
    (output / ".prepare.jsonl").unlink()
    audit = run(make_release(tmp_path / "b", {"video02": 2}), output).audit
    assert (audit["frames"], audit["frames_without_record"]) == (5, 3)


def test_a_full_disk_ends_the_run_with_one_line(release, output, monkeypatch):
    def full(path, data):
        raise UserError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(convert, "write_bytes", full)
    with pytest.raises(UserError, match="No space left"):
        run(release, output)
    assert not (output / "manifest.csv").exists()


@pytest.mark.parametrize("output", ["src", "src/out", "."])
def test_an_output_that_the_scan_would_find_is_refused(tmp_path, output):
    (tmp_path / "src").mkdir()
    frames = tmp_path / output / "src" if output == "." else tmp_path / output / "frames"
    with pytest.raises(UserError, match="--output-root"):
        check_separate([frames], [tmp_path / "src"])
    check_separate([tmp_path / "frames"], [tmp_path / "src"])


def test_a_corrected_mask_is_kept(release, output):
    run(release, output)
    path = output / "masks" / "video01_000000.png"
    corrected = np.array(Image.open(path))
    corrected[:3] = 1
    write_mask(path, corrected, SCHEMES["binary"])
    kept = path.read_bytes()
    result = run(release, output)
    assert result.corrected == ["video01_000000"] and result.done == 0
    assert path.read_bytes() == kept
    save_rgb_mask(release_mask(release, "video01", 0), code_mask(instrument=9))
    with pytest.raises(UserError, match="changed since they were prepared"):
        run(release, output)
    assert path.read_bytes() == kept


def run_with_parts(source, output, parts):
    """Prepare with the part of each video that `parts` prescribes."""
    with open_source(source) as (files, data):
        found = read_cholecseg8k(files, source.name)
        pairs = [replace(pair, split=parts.get(pair.video, "")) for pair in found.pairs]
        return prepare(replace(found, pairs=pairs), Target(output, threads=2), SCHEMES["binary"], data)


def test_the_parts_that_a_data_set_prescribes_are_kept(release, output):
    parts = {"video01": "test", "video09": "train", "video12": "train"}
    run_with_parts(release, output, parts)
    assert {row["video"]: row["split"] for row in read_csv(output / "manifest.csv", MANIFEST_FIELDS)} == parts


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"video01": "test"}, "4 frames have a part .* 5 have none"),
        ({"video01": "testing"}, "parts that do not exist: testing; use train, val, test"),
    ],
)
def test_parts_that_would_be_lost_or_are_unknown_are_refused(release, output, parts, message):
    with pytest.raises(UserError, match=message):
        run_with_parts(release, output, parts)
    assert not (output / "manifest.csv").exists()


def test_the_audit_names_the_licence_of_real_data_alone(release, tmp_path):
    with open_source(release) as (files, _):
        found = read_cholecseg8k(files, release.name)
    for data, licences in (("real", ["CC BY-NC-SA 4.0"]), ("synthetic", [])):
        target = Target(tmp_path / data, threads=2)
        assert prepare(found, target, SCHEMES["binary"], data, "CC BY-NC-SA 4.0").audit["licences"] == licences
