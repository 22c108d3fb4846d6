"""Folders and archives as sources, and names that are written in two ways."""

import io
import tarfile
import unicodedata
import zipfile

import numpy as np
import pytest
from PIL import Image

import prepare_cholecseg8k_assets
import prepare_full_dataset
from surgseg.data.cache import load_resized
from surgseg.data.dataset import MANIFEST_FIELDS, load_folders, load_prepared, read_sample
from surgseg.data.readers.cholecseg8k import read_cholecseg8k
from surgseg.data.readers.folders import pair_folders
from surgseg.data.sources import list_folder, open_source
from surgseg.data.splits import apply_assignment, make_split
from surgseg.data.views import sample_views
from surgseg.evaluation.folders import score_folders
from surgseg.files import UserError, write_csv, write_json
from surgseg.labels import SCHEMES
from tests.helpers import code_mask, noise_frame, save_image, save_rgb_mask

COMPOSED = unicodedata.normalize("NFC", "Über")
DECOMPOSED = unicodedata.normalize("NFD", "Über")


def png_bytes(pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_zip(path, separator="\\", folder="video01"):
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(2):
            place = separator.join((folder, f"{folder}_00000", f"frame_{number}_endo"))
            archive.writestr(f"{place}.png", png_bytes(noise_frame(number)))
            archive.writestr(f"{place}_watershed_mask.png", png_bytes(code_mask()))
    return path


def error_of(script, capsys, *words) -> str:
    assert script.main([str(word) for word in words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize("separator", ["\\", "/"])
def test_backslashes_in_a_zip_are_read_as_slashes(tmp_path, separator):
    with open_source(write_zip(tmp_path / "a.zip", separator)) as (files, _):
        found = read_cholecseg8k(files)
        assert [pair.name for pair in found.pairs] == ["video01_000000", "video01_000001"] and not found.problems
        assert found.pairs[0].clip == "video01_00000"
        assert found.pairs[1].frame.read() == png_bytes(noise_frame(1))


def test_archives_in_the_folder_or_the_zip_are_named(tmp_path, capsys):
    folder = tmp_path / "downloads"
    folder.mkdir()
    write_zip(folder / "video01.zip")
    write_zip(folder / "video02.zip")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.write(folder / "video01.zip", "video01.zip")
    for source, names in ((folder, "video01.zip, video02.zip"), (tmp_path / "outer.zip", "video01.zip")):
        text = error_of(prepare_full_dataset, capsys, "--source-root", source, "--output-root", tmp_path / "out")
        assert f"{source} holds archives, which are not read ({names}): unpack them" in text
    words = ("--frame-dir", folder, "--mask-dir", folder, "--output-root", tmp_path / "out")
    assert "unpack them" in error_of(prepare_cholecseg8k_assets, capsys, *words)
    with pytest.raises(UserError, match="unpack them"):
        load_folders(folder, folder)


def test_archives_of_other_kinds_are_named(tmp_path, capsys):
    write_zip(tmp_path / "video01.zip")
    for suffix, mode in ((".tar", "w"), (".tar.gz", "w:gz"), (".tar.xz", "w:xz")):
        with tarfile.open(tmp_path / f"a{suffix}", mode) as archive:
            archive.add(tmp_path / "video01.zip", "video01.zip")
    (tmp_path / "a.rar").write_bytes(b"Rar!\x1a\x07\x01\x00")
    (tmp_path / "a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    (tmp_path / "rar.zip").write_bytes(b"Rar!\x1a\x07\x01\x00")
    kinds = {"a.tar": "tar", "a.tar.gz": "gzip", "a.tar.xz": "xz", "a.rar": "RAR", "a.7z": "7z", "rar.zip": "RAR"}
    for name, kind in kinds.items():
        text = error_of(prepare_full_dataset, capsys, "--source-root", tmp_path / name, "--output-root", tmp_path / "o")
        assert f"{name} is a {kind} archive" in text and "unpack it, and give the folder" in text


def write_two_ways(root):
    """Frames of two videos with decomposed names, masks of composed ones."""
    for number in range(2):
        for video in "ab":
            save_image(root / "f" / f"{DECOMPOSED}_{video}_{number:06d}.png", noise_frame(number))
            save_image(root / "m" / f"{COMPOSED}_{video}_{number:06d}.png", np.minimum(code_mask(), 1))
    return root / "f", root / "m"


def test_frames_and_masks_pair_whether_letters_are_composed_or_not(tmp_path):
    frames, masks = write_two_ways(tmp_path)
    found = pair_folders(list_folder(frames), list_folder(masks))
    assert [pair.name for pair in found.pairs] == [f"{COMPOSED}_{v}_00000{n}" for v in "ab" for n in range(2)]
    assert not found.problems
    joined = pair_folders(list_folder(frames), list_folder(masks), video_pattern=f"({DECOMPOSED})")
    assert {pair.video for pair in joined.pairs} == {COMPOSED}
    samples = load_folders(frames, masks).samples
    assert [sample.video for sample in samples] == [f"{COMPOSED}_a"] * 2 + [f"{COMPOSED}_b"] * 2
    assert all(sample.frame.is_file() and sample.mask.is_file() for sample in samples)


def test_predictions_are_matched_whether_letters_are_composed_or_not(tmp_path):
    for folder, name in (("m", COMPOSED), ("p", DECOMPOSED)):
        save_image(tmp_path / folder / f"{name}_1.png", np.eye(8, dtype=np.uint8))
    scored, masks = score_folders(tmp_path / "m", tmp_path / "p", SCHEMES["binary"], "ignore")
    assert masks == len(scored.names) == 1 and scored.frames["iou"].tolist() == [1.0]


def test_manifest_and_splits_know_both_ways_of_writing(tmp_path):
    root = tmp_path / "data"
    for video in "ab":
        save_image(root / "frames" / f"{DECOMPOSED}_{video}_000000.png", noise_frame(1))
        save_image(root / "masks" / f"{COMPOSED}_{video}_000000.png", np.minimum(code_mask(), 1))
    names = {f"{COMPOSED}_a": DECOMPOSED + "_a", f"{COMPOSED}_b": f"{COMPOSED}_b"}
    rows = [(f"{name}_000000", name, "", 0, 32, 24, "0.1", "0", "") for name in names.values()]
    write_csv(root / "manifest.csv", MANIFEST_FIELDS, [dict(zip(MANIFEST_FIELDS, row)) for row in rows])
    write_json(root / "classes.json", SCHEMES["binary"].to_json())
    samples = load_prepared(root).samples
    assert {sample.video for sample in samples} == set(names)
    split = make_split(samples, test_videos=[f"{DECOMPOSED}_b"])
    assert split.assignment == {f"{COMPOSED}_a": "train", f"{COMPOSED}_b": "test"}
    stored = {"by": "video", "assignment": {f"{DECOMPOSED}_b": "test"}}
    assert [samples[index].video for index in apply_assignment(samples, stored)["test"]] == [f"{COMPOSED}_b"]
    write_json(tmp_path / "splits.json", {"train": [f"{DECOMPOSED}_a"], "test": [f"{DECOMPOSED}_b"]})
    assert make_split(samples, name=str(tmp_path / "splits.json")).assignment == split.assignment


def write_turned(root, orientation, stored):
    """A frame with an EXIF orientation and a mask of the stored size: bright where the upright mask is 31."""
    codes = code_mask((24, 32))
    upright = np.dstack([np.where(codes == 31, 200, 20).astype(np.uint8)] * 3)
    exif = Image.Exif()
    exif[274] = orientation
    (root / "f").mkdir(parents=True)
    Image.fromarray(np.ascontiguousarray(stored(upright))).save(root / "f" / "a_001.jpg", exif=exif, quality=95)
    save_rgb_mask(root / "m" / "a_001.png", codes)
    return ["--frame-dir", root / "f", "--mask-dir", root / "m", "--output-root", root / "out"]


def test_a_frame_that_exif_turns_lies_over_its_mask_in_the_prepared_folder(tmp_path, capsys):
    words = write_turned(tmp_path, 3, lambda frame: frame[::-1, ::-1])
    assert prepare_cholecseg8k_assets.main([str(word) for word in words]) == 0
    assert "turned as EXIF says, so their masks must be upright: 1 (a_000001)" in capsys.readouterr().out
    (sample,) = load_prepared(tmp_path / "out").samples
    frame, mask = load_resized(sample, (24, 32), 2, sample_views([sample], "full"))
    assert frame[mask == 1].mean() > 180 and frame[mask == 0].mean() < 40


def test_a_size_mismatch_through_exif_names_exif(tmp_path, capsys):
    words = write_turned(tmp_path, 6, lambda frame: frame)
    assert prepare_cholecseg8k_assets.main([str(word) for word in words]) == 2
    text = capsys.readouterr().err
    assert "a_001.jpg (the frame is 24x32 after its EXIF orientation 6 is applied, its mask 32x24)" in text
    assert "--instrument-codes" not in text
    with pytest.raises(UserError, match=r"a_001\.jpg: the frame is 24x32 after its EXIF orientation 6"):
        read_sample(load_folders(tmp_path / "f", tmp_path / "m").samples[0], 256)
