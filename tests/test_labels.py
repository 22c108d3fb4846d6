import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from surgseg import labels, masks
from surgseg.files import UserError
from tests.helpers import code_mask, save_image, save_rgb_mask

NAMED_CODES = [row.code for row in labels.CHOLECSEG8K] + [0, 255]
CHOLEC_SCHEMES = ["binary", "grasper-hook", "endovit8", "full13"]


def test_the_code_table_is_the_papers():
    table = {row.code: (row.paper_id, row.name) for row in labels.CHOLECSEG8K}
    assert [row.paper_id for row in labels.CHOLECSEG8K] == list(range(13))
    assert table[31] == (5, "grasper")
    assert table[32] == (9, "l-hook electrocautery")
    assert table[5] == (12, "liver ligament")


def test_only_31_and_32_are_instruments_and_0_and_255_are_void():
    lookup = labels.SCHEMES["binary"].lookup()
    assert [code for code in range(256) if lookup[code] == 1] == [31, 32]
    assert [code for code in range(256) if lookup[code] == labels.VOID] == [0, 255]
    assert lookup[5] == 0  # the paper's class 5 is the grasper, the watershed code 5 is not


@pytest.mark.parametrize("name", CHOLEC_SCHEMES)
def test_cholecseg8k_schemes_name_every_code_once(name):
    lookup = labels.SCHEMES[name].lookup()
    assert {code for code in range(256) if lookup[code] >= 0} == set(NAMED_CODES)


@given(st.sampled_from(CHOLEC_SCHEMES), hnp.arrays(np.uint8, (5, 7), elements=st.sampled_from(NAMED_CODES)))
def test_remap_gives_known_ids_and_keeps_pixel_counts(name, codes):
    scheme = labels.SCHEMES[name]
    ids, counts = masks.remap(codes, scheme.lookup(), "mask.png")
    assert set(np.unique(ids)) <= {*range(scheme.num_classes), labels.VOID}
    assert counts.sum() == codes.size
    assert (counts == np.bincount(codes.reshape(-1), minlength=256)).all()
    for item in scheme.classes:
        assert (ids == item.id).sum() == counts[list(item.codes)].sum()
        assert (np.isin(codes, item.codes) == (ids == item.id)).all()
    assert (ids == labels.VOID).sum() == counts[list(scheme.void_codes)].sum()


@given(st.integers(0, 255).filter(lambda code: code not in NAMED_CODES), st.integers(1, 9))
def test_an_unknown_code_is_named_with_file_and_pixels(code, pixels):
    codes = np.full((3, 5), 21, np.uint8)
    codes.reshape(-1)[:pixels] = code
    with pytest.raises(UserError, match=rf"clip/mask\.png: unknown mask code {code} \({pixels} pixels\)"):
        masks.remap(codes, labels.SCHEMES["binary"].lookup(), "clip/mask.png")


def test_void_as_background_counts_void_codes_as_class_0():
    scheme = labels.void_as_background(labels.SCHEMES["binary"])
    ids, _ = masks.remap(np.array([[0, 255, 31, 21]], np.uint8), scheme.lookup(), "m")
    assert ids.tolist() == [[0, 0, 1, 0]]
    assert scheme.void_codes == ()


def test_code_lists_of_endovis_make_every_other_code_background():
    scheme = labels.binary_scheme([70, 160], [])
    lookup = scheme.lookup()
    assert (lookup >= 0).all()
    assert lookup[[70, 160, 0, 255]].tolist() == [1, 1, 0, 0]


def test_default_code_lists_are_the_binary_scheme():
    assert labels.binary_scheme().lookup().tolist() == labels.SCHEMES["binary"].lookup().tolist()


def test_given_background_codes_leave_other_codes_unknown():
    assert labels.binary_scheme([2], [255], [0, 1]).lookup()[3] == -1


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        (([31], [31], None), "31 is listed both as instrument and as void"),
        (([31], [0], [31, 50]), "31 is listed both as instrument and as background"),
        (([31], [0], [0, 50]), "0 is listed both as void and as background"),
        (([300], [0], None), r"0\.\.255"),
    ],
)
def test_overlapping_or_impossible_code_lists_are_errors(lists, words):
    with pytest.raises(UserError, match=words):
        labels.binary_scheme(*lists)


def test_a_scheme_survives_json(tmp_path):
    for scheme in labels.SCHEMES.values():
        labels.write_scheme(tmp_path / "classes.json", scheme)
        assert labels.read_scheme(tmp_path / "classes.json") == scheme
        assert labels.load_scheme(str(tmp_path / "classes.json")) == scheme


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.pop(), "at least two"),
        (lambda rows: rows[1].update(id=5), "in order"),
        (lambda rows: rows[1].update(instrument=False), "no class is marked"),
        (lambda rows: [row.update(instrument=not row["instrument"]) for row in rows], "background cannot be"),
        (lambda rows: rows[1].update(codes=[50]), "50 is given twice"),
        (lambda rows: rows[1].update(codes=[999]), r"0\.\.255"),
        (lambda rows: rows[1].update(name="background"), "same name"),
        (lambda rows: rows[1].update(colour=[1, 2]), "colour"),
        (lambda rows: rows[1].pop("name"), "not a class scheme"),
    ],
)
def test_a_wrong_scheme_file_says_what_is_wrong(tmp_path, change, words):
    value = labels.SCHEMES["binary"].to_json()
    change(value["classes"])
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(value))
    with pytest.raises(UserError, match=words):
        labels.load_scheme(str(path))


def test_an_unknown_scheme_name_lists_the_known_ones():
    with pytest.raises(UserError, match="binary, grasper-hook"):
        labels.load_scheme("binray")


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "LA"])
def test_every_honest_mask_format_decodes_to_the_same_codes(tmp_path, mode):
    codes = code_mask()
    image = Image.fromarray(codes)
    if mode == "P":
        image.putpalette(list(range(255, -1, -1)) * 3)  # the index counts, whatever the colour
    else:
        image = image.convert(mode)
    image.save(tmp_path / "m.png")
    decoded, found = masks.decode_codes(tmp_path / "m.png")
    assert found == mode
    assert (decoded == codes).all()


def test_a_colour_mask_is_refused(tmp_path):
    colours = np.stack([code_mask(), code_mask(), code_mask()], 2)
    colours[0, 0] = (210, 140, 140)
    path = save_image(tmp_path / "colour.png", colours)
    with pytest.raises(UserError, match=r"colour\.png: colour channels differ"):
        masks.decode_codes(path)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_mask_that_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.png"):
        masks.decode_codes(path)


def test_a_written_mask_is_indexed_with_a_visible_palette(tmp_path):
    ids = np.array([[0, 1, 255]], np.uint8)
    masks.write_mask(tmp_path / "m.png", ids, labels.SCHEMES["binary"])
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "P"
        assert np.asarray(image).tolist() == ids.tolist()
        assert np.asarray(image.convert("RGB"))[0].tolist() == [[0, 0, 0], [0, 158, 230], [224, 224, 224]]
    assert masks.read_mask(tmp_path / "m.png", 2).tolist() == ids.tolist()


def test_ids_beyond_the_classes_are_named_with_pixels(tmp_path):
    path = save_rgb_mask(tmp_path / "m.png", np.array([[0, 31, 31]], np.uint8))
    with pytest.raises(UserError, match=r"m\.png: class id 31 \(2 pixels\)"):
        masks.read_mask(path, 2)


def test_pixels_of_a_very_large_mask_are_counted_exactly():
    codes = np.zeros((4097, 4096), np.uint8)  # above 2**24, where a float32 histogram stops counting
    codes[0, 0] = 31
    counts = masks.count_codes(codes)
    assert (counts[0], counts[31]) == (codes.size - 1, 1)
