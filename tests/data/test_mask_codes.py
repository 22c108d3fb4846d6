"""Preparation of masks in forms that mislead, and its warnings about label counts."""

import json

import numpy as np
import pytest
from PIL import Image

import prepare_cholecseg8k_assets as assets
from surgseg.files import read_csv
from surgseg.labels import Scheme
from surgseg.masks import read_mask
from tests.helpers import noise_frame, save_image
from tests.test_mask_folders import grays, save_indexed, save_low_bit

SIZE = (96, 160)
PARTS = np.zeros(SIZE, np.uint8)  # 1,424 pixels of instrument
PARTS[20:41, 30:70] = 1  # 840 pixels
PARTS[41:49, 30:103] = 2  # 584 pixels
TOOL = (PARTS > 0).astype(np.uint8)


@pytest.fixture
def prepare(tmp_path, capsys):
    """Return a function: (status, pixels of instrument in each mask, warnings, stderr) of a run with options."""

    def run(*options):
        names = sorted(path.stem for path in (tmp_path / "m").iterdir())
        for number, name in enumerate(names):
            if not (tmp_path / "f" / f"{name}.png").is_file():  # its time stamp stays
                save_image(tmp_path / "f" / f"{name}.png", noise_frame(number, SIZE))
        words = ["--frame-dir", tmp_path / "f", "--mask-dir", tmp_path / "m", "--output-root", tmp_path / "out"]
        status = assets.main([str(word) for word in (*words, "--video-id", "op1", *options)])
        errors = capsys.readouterr().err
        if status:
            return status, [], [], errors
        rows = read_csv(tmp_path / "out" / "manifest.csv")
        masks = [read_mask(tmp_path / "out" / "masks" / f"{row['name']}.png", 2) for row in rows]
        warnings = json.loads((tmp_path / "out" / "audit.json").read_text())["warnings"]
        assert all(f"  - {warning}\n" in errors for warning in warnings)
        return status, [int((mask == 1).sum()) for mask in masks], warnings, errors

    return run


def test_void_of_cholecseg8k_does_not_act_beside_other_codes(tmp_path, prepare):
    save_image(tmp_path / "m" / "a_1.png", TOOL)
    assert prepare("--instrument-codes", 1)[:3] == (0, [1424], [])
    assert read_mask(tmp_path / "out/masks/op1_000001.png", 2).max() == 1
    value = {
        "classes": [
            {"id": 0, "name": "rest", "codes": [2]},
            {"id": 1, "name": "tool", "codes": [1], "instrument": True},
        ]
    }
    assert Scheme.from_json(value).void_codes == ()


@pytest.mark.parametrize(("bits", "code"), [(1, 1), (1, 255), (2, 1), (2, 85), (4, 1), (4, 17)])
def test_few_bits_mean_the_values_that_the_codes_name(tmp_path, prepare, bits, code):
    save_low_bit(tmp_path / "m" / "a_1.png", TOOL, bits)
    save_low_bit(tmp_path / "m" / "a_2.png", TOOL * 0, bits)
    assert prepare("--instrument-codes", code)[:3] == (0, [1424, 0], [])


@pytest.mark.parametrize("codes", [(70, 160), (1, 2)])
def test_a_palette_of_grays_means_the_colours_or_the_indices_that_the_codes_name(tmp_path, prepare, codes):
    save_indexed(tmp_path / "m" / "a_1.png", PARTS, grays(0, 70, 160))
    assert prepare("--instrument-codes", *codes)[:3] == (0, [1424], [])


def test_codes_of_cholecseg8k_in_the_palette_are_found(tmp_path, prepare):
    save_indexed(tmp_path / "m" / "a_1.png", PARTS, grays(21, 31, 32))
    save_indexed(tmp_path / "m" / "a_2.png", TOOL, grays(31, 50))  # its palette has another order
    assert prepare()[:2] == (0, [1424, 96 * 160 - 1424])


def test_without_an_instrument_the_known_codes_decide(tmp_path, prepare):
    save_indexed(tmp_path / "m" / "a_1.png", TOOL, grays(21, 50))  # index 1 is no code of CholecSeg8k
    status, found, (warning,), _ = prepare()
    assert (status, found) == (0, [0]) and "no pixel is instrument" in warning


def test_palettes_that_name_both_readings_are_refused(tmp_path, prepare):
    save_indexed(tmp_path / "m" / "a_1.png", PARTS, grays(0, 2, 1))
    status, _, _, errors = prepare("--instrument-codes", 2)
    assert status == 2 and "a_1.png: its palette or bit depth shows the values 0, 1, 2 as the grays 0, 1, 2" in errors


def test_swapped_palettes_are_refused_as_indices_and_right_as_colours(tmp_path, prepare):
    save_indexed(tmp_path / "m" / "a_1.png", TOOL, grays(0, 255))
    save_indexed(tmp_path / "m" / "a_2.png", 1 - TOOL, grays(255, 0))
    status, _, _, errors = prepare("--instrument-codes", 1)
    assert status == 2 and "a_2.png and a_1.png: their palettes disagree" in errors and not (tmp_path / "out").exists()
    assert prepare("--instrument-codes", 255)[:3] == (0, [1424, 1424], [])


def soft_mask():
    """Levels of a soft edge: 1,424 pixels of 128 and more, 1,176 of 255 (edge of one pixel inside, one outside)."""
    levels = TOOL * np.uint8(255)
    levels[20, 30:70] = levels[48, 30:103] = 221
    levels[19, 30:70] = levels[49, 30:103] = 34
    levels[50, 30:103] = 4
    return levels


def test_soft_and_jpeg_masks_are_told_and_a_threshold_reads_them(tmp_path, prepare):
    save_image(tmp_path / "m" / "a_1.png", soft_mask())
    (tmp_path / "m" / "a_2.jpg").parent.mkdir(exist_ok=True)
    Image.fromarray(TOOL * np.uint8(255)).convert("RGB").save(tmp_path / "m" / "a_2.jpg", quality=75)
    status, found, warnings, _ = prepare("--instrument-codes", 255)
    assert status == 0 and max(found) < 1424
    assert len(warnings) == 1 and "codes that nobody named are background" in warnings[0]
    assert "--threshold-masks 128" in warnings[0]
    assert prepare("--threshold-masks", 128)[:3] == (0, [1424, 1424], [])
    assert prepare("--threshold-masks", 30)[1][0] > 1424  # another threshold prepares them again


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--threshold-masks", 0), "a gray level of 1..255 is needed"),
        (("--threshold-masks", 128, "--void-codes", 255), "leave out the code lists"),
        (("--threshold-masks", 128, "--class-scheme", "parts"), "leave out --class-scheme"),
    ],
)
def test_a_threshold_excludes_other_ways_to_name_codes(tmp_path, prepare, options, words):
    save_image(tmp_path / "m" / "a_1.png", TOOL)
    status, _, _, errors = prepare(*options)
    assert status == 2 and words in errors


def test_a_shape_in_alpha_is_no_mask(tmp_path, prepare):
    white = Image.fromarray(np.full(SIZE, 255, np.uint8)).convert("RGBA")
    white.putalpha(Image.fromarray(TOOL * np.uint8(255)))
    (tmp_path / "m").mkdir()
    white.save(tmp_path / "m" / "a_1.png")
    for options in (("--instrument-codes", 255), ("--threshold-masks", 128)):
        status, _, _, errors = prepare(*options)
        assert status == 2 and "a_1.png (its alpha channel hides pixels" in errors


@pytest.mark.parametrize(
    ("levels", "options", "words"),
    [
        ((0, 1, 2), ("--instrument-codes", 7), "no pixel is instrument (code 7); the masks hold the codes 0, 1, 2"),
        ((1, 1, 1), ("--instrument-codes", 1), "no pixel is background (every other code)"),
        ((0, 1, 2), ("--instrument-codes", 1, "--void-codes", 0), "90.7% of all pixels are void (code 0)"),
        ((0, 1, 2), ("--instrument-codes", 1, 2, 9), "code 9 is named and occurs in no mask"),
        ((0, 1, 255), ("--instrument-codes", 1), "code 255 (3.80% of all pixels) is background"),
    ],
)
def test_counts_that_contradict_the_codes_are_warned_of(tmp_path, prepare, levels, options, words):
    save_image(tmp_path / "m" / "a_1.png", np.array(levels, np.uint8)[PARTS])
    status, _, warnings, errors = prepare(*options)
    assert status == 0 and any(words in warning for warning in warnings) and "WARNING: look at this" in errors


def test_frames_of_void_alone_have_a_count_of_their_own(tmp_path, capsys, prepare):
    save_image(tmp_path / "m" / "a_1.png", np.where(TOOL > 0, 31, 21).astype(np.uint8))
    save_image(tmp_path / "m" / "a_2.png", np.full(SIZE, 255, np.uint8))
    prepare()
    audit = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert (audit["instrument_free_frames"], audit["void_frames"]) == (0, 1)
    row = audit["videos"]["op1"]
    assert [row[key] for key in ("with_instrument", "without_instrument", "void_frames")] == [1, 0, 1]
    assert row["mean_instrument_fraction"] == round(1424 / (96 * 160), 6)  # of the frame that has labels
