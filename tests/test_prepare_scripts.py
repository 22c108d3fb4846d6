"""The two preparation scripts through main([...]), on small sources and on the real samples."""

import json

import numpy as np
import pytest

import prepare_cholecseg8k_assets as assets
import prepare_full_dataset as full
from surgseg.data.dataset import load_prepared
from surgseg.files import read_csv
from tests.helpers import (
    code_mask,
    folder_bytes,
    make_release,
    noise_frame,
    release_frame,
    release_mask,
    save_image,
    save_rgb_mask,
    shared_data,
)


def call(main, *words, **options) -> int:
    for key, value in options.items():
        words += (f"--{key.replace('_', '-')}", value)
    return main([str(word) for word in words])


@pytest.fixture
def flat(tmp_path):
    for number in range(3):
        save_image(tmp_path / "F" / f"x_{number}_endo.png", noise_frame(number))
        save_rgb_mask(tmp_path / "M" / f"x_{number}_endo_watershed_mask.png", code_mask())
    return tmp_path


def prepare_flat(root, *words) -> int:
    return call(assets.main, *words, frame_dir=root / "F", mask_dir=root / "M", output_root=root / "out")


def test_the_release_is_prepared_and_summarised(tmp_path, capsys):
    release = make_release(tmp_path / "r", {"video01": 4, "video12": 2})
    assert call(full.main, source_root=release, output_root=tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert "grasper" in text
    assert "prepared 6 frames" in text
    assert f"python instrument_segmentation.py --data-root {tmp_path / 'out'}" in text


def test_bad_files_give_status_2_and_skip_bad_0(tmp_path, capsys):
    release = make_release(tmp_path / "r", {"video01": 4})
    release_mask(release, "video01", 1).unlink()
    release_frame(release, "video01", 2).write_bytes(b"")
    assert call(full.main, source_root=release, output_root=tmp_path / "out") == 2
    errors = capsys.readouterr().err
    assert "1 x frame without mask: video01/video01_00000/frame_1_endo.png" in errors
    assert "frame_2_endo.png (the file is empty)" in errors
    assert len(load_prepared(tmp_path / "out").samples) == 2
    assert call(full.main, "--skip-bad", source_root=release, output_root=tmp_path / "out") == 0


def test_a_mistake_is_one_line_and_status_2(tmp_path, capsys):
    release = make_release(tmp_path / "r", {"video01": 2})
    for words in (
        {"source_root": tmp_path / "nowhere"},
        {"source_root": release, "output_root": release / "out"},
        {"source_root": release, "output_root": tmp_path / "out", "class_scheme": "tools"},
        {"source_root": release, "output_root": tmp_path / "out", "threads": 0},
    ):
        assert call(full.main, **words) == 2
        errors = capsys.readouterr().err
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_flat_folders_become_sample_frames_and_masks(flat):
    assert prepare_flat(flat, "--video-id", "video80") == 0
    out = flat / "out"
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        "audit.json",
        "classes.json",
        "manifest.csv",
        "masks",
        "sample_frames",
    ]
    assert (out / "sample_frames" / "video80_000002.png").is_file()
    prepared = load_prepared(out)
    assert prepared.videos == ["video80"]
    assert {sample.part for sample in prepared.samples} == {""}  # one video cannot be split


def test_a_second_video_id_adds_and_splits(flat):
    assert prepare_flat(flat, "--video-id", "a") == 0
    assert prepare_flat(flat, "--video-id", "b") == 0
    rows = read_csv(flat / "out" / "manifest.csv")
    assert [row["video"] for row in rows] == ["a"] * 3 + ["b"] * 3
    assert len({row["split"] for row in rows}) == 2
    twins = json.loads((flat / "out" / "audit.json").read_text())["identical_frames"]["across_videos"]
    assert twins[0] == ["a_000000", "b_000000"]


def test_pairing_faults_stop_before_anything_is_written(flat, capsys):
    (flat / "M" / "x_1_endo_watershed_mask.png").unlink()
    save_rgb_mask(flat / "M" / "y_9_class.png", code_mask())
    assert prepare_flat(flat) == 2
    errors = capsys.readouterr().err
    assert "1 x frame without mask: x_1_endo.png" in errors
    assert "1 x mask without frame: y_9_class.png" in errors
    assert not (flat / "out").exists()
    assert prepare_flat(flat, "--skip-bad") == 0
    assert len(load_prepared(flat / "out").samples) == 2


def test_gray_0_255_masks_are_codes_like_any_other(tmp_path):
    save_image(tmp_path / "F" / "v_1.png", noise_frame(1))
    save_image(tmp_path / "M" / "v_1.png", np.kron([[0, 255]], np.ones((24, 16))).astype(np.uint8))
    assert prepare_flat(tmp_path, "--instrument-codes", "255", "--void-codes") == 0
    (row,) = read_csv(tmp_path / "out" / "manifest.csv")
    assert (row["instrument_fraction"], row["void_fraction"]) == ("0.500000", "0.000000")


def test_code_lists_are_checked_against_each_other(flat, capsys):
    assert prepare_flat(flat, "--instrument-codes", "31", "--void-codes", "31") == 2
    assert "31 is listed both as instrument and as void" in capsys.readouterr().err
    assert prepare_flat(flat, "--instrument-codes", "31", "--class-scheme", "full13") == 2
    assert "leave out --class-scheme" in capsys.readouterr().err


def test_given_background_codes_make_other_codes_errors(flat, capsys):
    assert prepare_flat(flat, "--instrument-codes", "31", "--background-codes", "50") == 2
    assert "unknown mask code 21" in capsys.readouterr().err
    assert prepare_flat(flat, "--instrument-codes", "31", "--background-codes", "21") == 0


def test_an_empty_frame_folder_is_an_error(flat, capsys):
    for path in (flat / "F").iterdir():
        path.unlink()
    assert prepare_flat(flat) == 2
    assert "no images in" in capsys.readouterr().err


def test_the_output_may_not_lie_in_the_source(flat, capsys):
    assert call(assets.main, frame_dir=flat, mask_dir=flat / "M", output_root=flat / "out") == 2
    assert "--output-root" in capsys.readouterr().err
    assert call(assets.main, frame_dir=flat / "F", mask_dir=flat / "masks", output_root=flat) == 2


def test_synthetic_frames_are_marked(flat):
    (flat / "synthetic.json").write_text("{}")
    assert prepare_flat(flat) == 0
    assert load_prepared(flat / "out").data == "synthetic"


def test_the_outputs_name_no_place_of_this_machine(flat):
    assert prepare_flat(flat) == 0
    written = folder_bytes(flat / "out")
    tables = [data for name, data in written.items() if not name.endswith(".png")]
    assert len(tables) == 4
    assert not any(str(flat).encode() in data for data in tables)


def test_endovis_2015_needs_only_its_codes(tmp_path):
    root = shared_data("endovis2015")
    for operation in (1, 2, 3):
        source = root / f"OP{operation}"
        words = ["--instrument-codes", 70, 160, "--video-id", f"op{operation}", "--void-codes"]
        assert call(assets.main, *words, frame_dir=source / "Raw", mask_dir=source / "Masks", output_root=tmp_path) == 0
    audit = json.loads((tmp_path / "audit.json").read_text())
    assert {video: row["frames"] for video, row in audit["videos"].items()} == {"op1": 40, "op2": 40, "op3": 40}
    assert audit["background_codes_seen"] == [0]
    assert audit["void"]["pixels"] == 0
    assert audit["instrument_free_frames"] == 0


def test_the_endovis_tree_gives_its_three_operations(tmp_path):
    root = shared_data("endovis2015")
    words = ["--class-scheme", "parts", "--output-root", tmp_path]
    assert call(assets.main, *words, frame_dir=root, mask_dir=root) == 0
    prepared = load_prepared(tmp_path)
    assert prepared.videos == ["OP1", "OP2", "OP3"]
    assert len(prepared.samples) == 120
    assert prepared.samples[0].name == "OP1_000001"


def test_the_real_cholecseg8k_samples_hold_the_known_codes(tmp_path):
    assert call(full.main, source_root=shared_data("cholecseg8k_half"), output_root=tmp_path) == 0
    audit = json.loads((tmp_path / "audit.json").read_text())
    assert set(audit["codes"]) == {"11", "12", "13", "21", "22", "31", "32", "50", "255"}
    assert audit["codes"]["255"]["class"] == "void"
    assert {audit["codes"][code]["class"] for code in ("31", "32")} == {"instrument"}
    fractions = [float(row["instrument_fraction"]) for row in read_csv(tmp_path / "manifest.csv")]
    assert fractions == [0.025812, 0.053641, 0.033777, 0.124727]


@pytest.mark.parametrize("words", [("--void-to-background",), ("--void", "background")])
def test_void_becomes_background_under_the_new_spelling_and_the_old(flat, words):
    assert prepare_flat(flat, *words) == 0
    assert {row["void_fraction"] for row in read_csv(flat / "out" / "manifest.csv")} == {"0.000000"}
