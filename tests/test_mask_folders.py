"""Masks whose meaning lies in the container or in the other files of the folder."""

import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from surgseg.analysis.ground_truth import match_ground_truth, score_rows
from surgseg.data.cache import open_cache
from surgseg.data.dataset import load_folders, load_prepared
from surgseg.evaluation.folders import score_folders
from surgseg.files import UserError
from surgseg.generate.folder import read_generated
from surgseg.labels import SCHEMES, write_scheme
from surgseg.mask_folders import settle_masks
from surgseg.masks import decode_codes, decode_levels, read_mask, write_mask
from tests.folders import write_folder
from tests.helpers import noise_frame, save_image

BINARY = SCHEMES["binary"]
TOOL = np.zeros((8, 12), np.uint8)
TOOL[2:5, 3:8] = 1  # 15 pixels
BORDER = np.zeros((8, 12), np.uint8)
BORDER[-1] = 255  # 12 pixels of void, no instrument


def save_low_bit(path, samples, bits):
    """A gray PNG of 1, 2 or 4 bits a sample; (H, W) `samples`, W * bits a multiple of 8."""
    height, width = samples.shape
    packed = np.packbits(np.unpackbits(samples[..., None], axis=2)[..., -bits:].reshape(height, -1), axis=1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in packed))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    )
    return path


def save_indexed(path, indices, colours):
    """An indexed PNG with only these colours in its palette."""
    image = Image.fromarray(np.asarray(indices, np.uint8))
    image.putpalette([level for colour in colours for level in colour])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def grays(*levels):
    return [(level,) * 3 for level in levels]


# ---------------------------------------------------------------------------------------------- the container


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_samples_of_few_bits_are_read_as_stored(tmp_path, bits):
    samples = np.arange(32, dtype=np.uint8).reshape(2, 16) % 2**bits
    path = save_low_bit(tmp_path / "m.png", samples, bits)
    codes, kind = decode_codes(path)
    assert codes.tolist() == samples.tolist() and kind == f"{bits}-bit gray"
    assert decode_levels(path)[0].tolist() == (samples * (255 // (2**bits - 1))).tolist()
    assert decode_levels(path)[0].max() == 255


def test_one_bit_of_other_formats_is_0_and_1(tmp_path):
    for suffix in ("bmp", "tif"):
        Image.fromarray(TOOL.astype(bool)).save(tmp_path / f"m.{suffix}")
        assert decode_codes(tmp_path / f"m.{suffix}")[0].tolist() == TOOL.tolist()


def test_16_bit_values_are_kept_or_refused_by_name(tmp_path):
    Image.fromarray(TOOL.astype(np.uint16) * 160).save(tmp_path / "deep.png")
    assert decode_codes(tmp_path / "deep.png")[0].tolist() == (TOOL * 160).tolist()
    Image.fromarray(TOOL.astype(np.uint16) * 257).save(tmp_path / "deep.tif")
    with pytest.raises(UserError, match=r"deep\.tif: 16-bit gray values up to 257"):
        decode_codes(tmp_path / "deep.tif")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("full", [False, True])
def test_a_shape_in_alpha_is_refused(tmp_path, mode, full):
    white = Image.fromarray(np.full_like(TOOL, 255)).convert(mode)
    white.putalpha(Image.fromarray(np.zeros_like(TOOL) if full else TOOL * np.uint8(255)))
    white.save(tmp_path / "m.png")
    with pytest.raises(UserError, match=r"m\.png: its alpha channel hides pixels"):
        decode_codes(tmp_path / "m.png")


# ---------------------------------------------------------------------------------------------- what 255 means


def settled(folder, *names):
    settle_masks(folder, BINARY)
    return [read_mask(folder / name, 2).tolist() for name in names]


@pytest.mark.parametrize("place", ["", "video_02/"])
def test_255_is_void_in_every_gray_file_of_a_folder_of_ids(tmp_path, capsys, place):
    save_image(tmp_path / "m" / "video_01" / "a.png", TOOL)
    save_image(tmp_path / "m" / f"{place}b.png", BORDER)
    assert settled(tmp_path / "m", f"{place}b.png") == [BORDER.tolist()]
    assert "WARNING: 1 gray masks in" in (warning := capsys.readouterr().err) and "(b.png)" in warning


def test_a_gray_copy_in_an_indexed_folder_counts_as_its_twin(tmp_path):
    write_mask(tmp_path / "m" / "twin.png", BORDER, BINARY)
    save_image(tmp_path / "m" / "gray.png", np.stack([BORDER] * 3, 2))
    assert settled(tmp_path / "m", "gray.png", "twin.png") == [BORDER.tolist()] * 2


def test_classes_beside_the_folder_make_255_void(tmp_path):
    save_image(tmp_path / "m" / "a.png", BORDER)
    write_scheme(tmp_path / "classes.json", BINARY)
    assert settled(tmp_path / "m", "a.png") == [BORDER.tolist()]
    settle_masks(tmp_path / "m", BINARY, predictions=True)
    assert read_mask(tmp_path / "m" / "a.png", 2).sum() == 12  # predictions hold no void


def test_255_is_the_instrument_where_all_files_hold_0_and_255_alone(tmp_path, capsys):
    save_image(tmp_path / "m" / "a.png", TOOL * np.uint8(255))
    save_image(tmp_path / "m" / "none.png", TOOL * np.uint8(0))
    save_low_bit(tmp_path / "m" / "bits.png", TOOL[:, :8], 1)
    assert settled(tmp_path / "m", "a.png", "bits.png") == [TOOL.tolist(), TOOL[:, :8].tolist()]
    assert "so 255 is instrument" in capsys.readouterr().out
    save_image(tmp_path / "m" / "later.png", TOOL)
    assert settled(tmp_path / "m", "later.png") == [TOOL.tolist()]
    assert read_mask(tmp_path / "m" / "a.png", 2).sum() == 15 * 255  # void now


def test_the_nearest_folder_decides(tmp_path):
    save_image(tmp_path / "m" / "a.png", TOOL * np.uint8(255))
    save_image(tmp_path / "m" / "inner" / "b.png", BORDER)
    settle_masks(tmp_path / "m", BINARY)
    write_mask(tmp_path / "m" / "inner" / "c.png", TOOL, BINARY)
    assert settled(tmp_path / "m" / "inner", "b.png") == [BORDER.tolist()]
    assert read_mask(tmp_path / "m" / "a.png", 2).tolist() == TOOL.tolist()


def test_masks_left_over_from_another_scheme_do_not_count(tiny_prepared, tmp_path):
    root = shutil.copytree(tiny_prepared, tmp_path / "p")
    save_indexed(root / "masks" / "old.png", TOOL, [(9, 9, 9), (0, 0, 0)])
    assert len(load_prepared(root).samples) == 24


def test_scores_of_two_folders_settle_both(tmp_path):
    for name, truth, found in (("a", TOOL, TOOL), ("b", BORDER, TOOL * 0)):
        save_image(tmp_path / "truth" / f"{name}.png", truth)
        save_image(tmp_path / "found" / f"{name}.png", found * np.uint8(255))
    scored, _ = score_folders(tmp_path / "truth", tmp_path / "found", BINARY, "ignore")
    assert scored.counts.sum(0).tolist() == [[2 * 96 - 15 - 12, 0], [0, 15], [12, 0]]


def test_ground_truth_and_training_folders_are_settled(tmp_path):
    write_folder(tmp_path / "g", [TOOL, TOOL * 0])
    for index, truth in enumerate((TOOL, BORDER)):
        name = f"video_{30 * index:06d}.png"
        save_image(tmp_path / "m" / name, truth)
        save_image(tmp_path / "f" / name, noise_frame(index, TOOL.shape))
    generated = read_generated(tmp_path / "g")
    scores = score_rows(generated, match_ground_truth(generated, tmp_path / "m"))
    assert scores["video_000030"]["true_coverage"] == 0
    for factor, expected in ((1, 255), (255, 1)):
        save_image(tmp_path / "m" / "video_000000.png", TOOL * np.uint8(factor))
        samples = load_folders(tmp_path / "f", tmp_path / "m").samples
        cache = open_cache(samples, TOOL.shape, BINARY, tmp_path / "cache")
        assert (cache.masks[1][-1] == expected).all() and (cache.masks[0] == TOOL).all()
    write_scheme(tmp_path / "classes.json", BINARY)
    samples = load_folders(tmp_path / "f", tmp_path / "m").samples
    assert (open_cache(samples, TOOL.shape, BINARY, tmp_path / "cache").masks[1][-1] == 255).all()  # the same files


# ---------------------------------------------------------------------------------------------- what an index means


def test_palettes_that_swap_their_colours_are_named(tmp_path):
    red, green = (200, 0, 0), (0, 200, 0)
    save_indexed(tmp_path / "m" / "a.png", TOOL, [red, green])
    save_indexed(tmp_path / "m" / "b.png", 1 - TOOL, [green, red])
    with pytest.raises(UserError, match=r"b\.png and .*a\.png: their palettes disagree"):
        settle_masks(tmp_path / "m", BINARY)


def test_an_index_that_shows_another_class_of_classes_json_is_named(tmp_path):
    write_scheme(tmp_path / "classes.json", BINARY)
    save_indexed(tmp_path / "m" / "small.png", BORDER // 255, [(0, 0, 0), (224, 224, 224)])  # void, now at index 1
    with pytest.raises(UserError, match=r"small\.png and classes\.json: their palettes disagree"):
        settle_masks(tmp_path / "m", BINARY)


def test_other_colours_and_shorter_palettes_do_not_disagree(tmp_path):
    write_mask(tmp_path / "m" / "a.png", TOOL, BINARY)
    save_indexed(tmp_path / "m" / "short.png", TOOL, [(0, 0, 0), (0, 158, 230)])
    save_indexed(tmp_path / "m" / "other.png", TOOL, [(0, 0, 0), (128, 0, 0), (0, 158, 230)])  # the blue is not used
    assert settled(tmp_path / "m", "a.png", "short.png", "other.png") == [TOOL.tolist()] * 3
