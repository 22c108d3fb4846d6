"""What goes to an annotation tool comes back: exactly, or as polygons."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from surgseg.annotations.cvat import voc_colours
from surgseg.data.dataset import load_prepared, mark_predicted
from surgseg.files import read_csv, read_json, write_csv, write_json
from surgseg.labels import read_scheme
from tests.annotations.tasks import SCHEME, convert, make_task, random_masks, same_masks, written
from tests.folders import columns, write_folder

SUFFIX = {"cvat": ".zip", "coco": ".json", "labelme": ""}


def round_trip(root, tool, *options):
    there, back = root.parent / f"there{SUFFIX[tool]}", root.parent / f"back_{tool}"
    assert convert("--to", tool, "--data-root", root, "--output", there) == 0
    status = convert(
        "--from", tool, "--data-root", root, "--annotations", there, "--output", back, *options, "--empty-frames"
    )
    assert status == 0
    return back


@pytest.mark.parametrize("tool", ["cvat", "coco"])
@pytest.mark.parametrize("seed", range(3))
def test_masks_come_back_exactly(tmp_path, tool, seed):
    masks = random_masks(30, seed)
    back = round_trip(make_task(tmp_path / "task", masks), tool)
    assert same_masks(written(back), masks)
    assert read_scheme(back / "classes.json") == SCHEME


def test_labelme_masks_of_noise_come_back_exactly(tmp_path):
    """Regions of a few pixels that interlock: no polygon with fewer points has an IoU of .99."""
    masks = random_masks(30)
    assert same_masks(written(round_trip(make_task(tmp_path / "task", masks), "labelme")), masks)


@pytest.mark.parametrize("tool", SUFFIX)
def test_what_comes_back_can_be_trained_on(tmp_path, tool):
    masks = {f"op{video}_{number:06d}": columns(number, 3 + number) for video in "abc" for number in range(2)}
    prepared = load_prepared(round_trip(make_task(tmp_path / "task", masks), tool))
    assert prepared.videos == ["opa", "opb", "opc"]
    assert {sample.part for sample in prepared.samples} == {"train", "val", "test"}
    row = read_csv(prepared.root / "manifest.csv")[0]
    assert (row["width"], row["instrument_fraction"], row["void_fraction"]) == ("10", "0.300000", "0.000000")


def test_parts_and_videos_of_a_manifest_are_kept(tmp_path):
    task = make_task(tmp_path / "task", {"one": columns(0, 2), "two": columns(2, 4)})
    row = {"video": "op7", "clip": "c", "width": 10, "height": 10, "instrument_fraction": 0.2, "void_fraction": 0}
    rows = [
        {"name": name, "frame": frame, **row, "split": part}
        for name, frame, part in (("one", 4, "val"), ("two", 9, "test"))
    ]
    write_csv(task / "manifest.csv", rows[0], rows)
    write_json(task / "audit.json", {"data": "synthetic", "licences": ["CC BY 4.0"]})
    back = load_prepared(round_trip(task, "coco"))
    assert back.data == "synthetic" and read_json(back.root / "audit.json")["licences"] == ["CC BY 4.0"]
    samples = back.samples
    assert [(sample.video, sample.number, sample.part) for sample in samples] == [("op7", 4, "val"), ("op7", 9, "test")]


def test_names_in_subfolders_and_with_accents_come_back(tmp_path):
    masks = {"vidéo1/op_1": columns(0, 2), "vidéo2/op_1": columns(3, 5)}
    for tool in SUFFIX:
        task = make_task(tmp_path / tool / "task", masks)
        assert same_masks(written(round_trip(task, tool)), masks)


@pytest.mark.parametrize("tool", SUFFIX)
def test_masks_that_nobody_changed_stay_predictions(tmp_path, tool):
    ring = np.zeros((64, 64), np.uint8)
    ring[8:56, 8:56], ring[20:40, 20:40] = 1, 0
    disc = np.uint8(np.hypot(*np.mgrid[-90:90, -90:90]) < 80)  # its polygon has fewer corners
    generated = write_folder(
        tmp_path / "task", [ring, disc], images=[np.zeros((*m.shape, 3), np.uint8) for m in (ring, disc)]
    )
    back = mark_predicted(load_prepared(round_trip(generated, tool)))
    assert [sample.predicted for sample in back.samples] == [True, True]
    back.root.rename(tmp_path / "first")
    (tmp_path / f"there{SUFFIX[tool]}").rename(tmp_path / "old")
    reviewed = mark_predicted(load_prepared(round_trip(generated, tool, "--masks-reviewed")))
    assert [sample.predicted for sample in reviewed.samples] == [False, False]


def test_cvat_gets_the_voc_colours_a_labelmap_and_a_list(tmp_path):
    assert voc_colours()[[0, 1, 2, 3, 15, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [192, 128, 128], [224, 224, 192]
    ]  # fmt: skip
    ids = np.array([[0, 1, 2, 255]], np.uint8)
    convert("--to", "cvat", "--data-root", make_task(tmp_path / "t", {"op_1": ids}), "--output", tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        lines = archive.read("labelmap.txt").decode().splitlines()
        assert lines[1:] == ["background:0,0,0::", "grasper:128,0,0::", "l-hook:0,128,0::", "void:224,224,192::"]
        assert archive.read("ImageSets/Segmentation/default.txt") == b"op_1\n"
        for folder in ("SegmentationClass", "SegmentationObject"):
            with archive.open(f"{folder}/op_1.png") as stream:
                picture = Image.open(stream)
                assert picture.mode == "RGB"
                assert np.asarray(picture).tolist() == [[[0, 0, 0], [128, 0, 0], [0, 128, 0], [224, 224, 192]]]


def test_coco_file_is_what_pycocotools_reads(tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    masks = random_masks(6)
    convert("--to", "coco", "--data-root", make_task(tmp_path / "t", masks), "--output", tmp_path / "a.json")
    read = coco.COCO(tmp_path / "a.json")
    assert [row["name"] for row in read.loadCats(read.getCatIds())] == ["grasper", "l-hook", "void"]
    for image in read.loadImgs(read.getImgIds()):
        ids = np.zeros((image["height"], image["width"]), np.uint8)
        for row in read.loadAnns(read.getAnnIds(image["id"])):
            pixels = read.annToMask(row)
            ids += pixels * np.uint8({1: 1, 2: 2, 3: 255}[row["category_id"]])
            assert row["area"] == pixels.sum()
        assert np.array_equal(ids, masks[image["file_name"][:-4]])


def test_labelme_file_leads_to_its_frame(tmp_path):
    task = make_task(tmp_path / "task", {"deep/op_1": columns(2, 5), "deep/op_2": columns(0, 0)})
    convert("--to", "labelme", "--data-root", task, "--output", tmp_path / "out" / "labelme")
    path = tmp_path / "out" / "labelme" / "deep" / "op_1.json"
    value = json.loads(path.read_text())
    assert value["imagePath"] == "../../../task/frames/deep/op_1.png"
    assert (value["imageData"], value["imageHeight"], value["imageWidth"]) == (None, 10, 10)
    (shape,) = value["shapes"]
    assert (shape["label"], shape["shape_type"], sorted(shape["points"])) == (
        "grasper", "polygon", [[2.0, 0.0], [2.0, 9.0], [4.0, 0.0], [4.0, 9.0]]
    )  # fmt: skip
    assert json.loads(path.with_name("op_2.json").read_text())["shapes"] == []
