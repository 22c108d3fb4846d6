"""Faults of a tool's file: all of them in one error, by file and label, and nothing written."""

import base64
import io
import json
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from surgseg.labels import SCHEMES
from tests.annotations.tasks import convert, make_task, same_masks, written
from tests.folders import columns

MASKS = {"op_000001": columns(0, 3), "op_000002": columns(2, 6), "op_000003": columns(0, 0)}


@pytest.fixture
def task(tmp_path):
    return make_task(tmp_path / "task", MASKS)


def shape(label="grasper", points=((1, 1), (4, 1), (4, 4)), kind="polygon", **more):
    return {"label": label, "points": [list(point) for point in points], "shape_type": kind, **more}


def labelme_folder(folder, shapes, **more):
    """LabelMe's files of the three frames; `shapes` by name, none for the others."""
    folder.mkdir(exist_ok=True)
    for name in MASKS:
        value = {
            "shapes": shapes.get(name, []),
            "imagePath": f"{name}.png",
            "imageHeight": 10,
            "imageWidth": 10,
            **more,
        }
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def coco_file(path, annotations, categories=("grasper",)):
    """A COCO file of the three frames. `annotations`: (number of the frame, category, segmentation)."""
    value = {
        "images": [
            {"id": number, "file_name": f"{name}.png", "width": 10, "height": 10}
            for number, name in enumerate(MASKS, 1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(categories, 1)],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": 0}
            for number, (image, category, segmentation) in enumerate(annotations, 1)
        ],
    }
    path.write_text(json.dumps(value))
    return path


def rewrite(archive, changes):
    """Replace, add (bytes) or remove (None) members of a zip."""
    with zipfile.ZipFile(archive) as old:
        content = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(archive, "w") as new:
        for name, data in {**content, **changes}.items():
            if data is not None:
                new.writestr(name, data)


def rgb_png(pixels):
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def read(task, tool, annotations, *options):
    return convert(
        "--from", tool, "--data-root", task, "--annotations", annotations, "--output", task.parent / "back", *options
    )


def refused(task, tool, annotations, capsys, *options):
    """The error of an import that must write nothing."""
    before = set(task.parent.rglob("*"))
    assert read(task, tool, annotations, *options) == 2
    assert set(task.parent.rglob("*")) == before
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    return error


@pytest.fixture
def cvat(task):
    convert("--to", "cvat", "--data-root", task, "--output", task.parent / "a.zip")
    return task.parent / "a.zip"


def test_all_unknown_labels_are_named_with_their_files(task, tmp_path, capsys):
    folder = labelme_folder(
        tmp_path / "l", {"op_000001": [shape("forceps")], "op_000002": [shape("forceps"), shape("suction"), shape()]}
    )
    error = refused(task, "labelme", folder, capsys)
    assert "'forceps' (2 files: op_000001.json, op_000002.json)" in error
    assert "'suction' (1 files: op_000002.json)" in error
    assert "background, void, grasper, l-hook" in error and "--label" in error


def test_labels_are_mapped_and_left_out_on_request(task, tmp_path):
    square = ((0, 0), (2, 0), (2, 2), (0, 2))
    folder = labelme_folder(
        tmp_path / "l", {"op_000001": [shape("forceps", square), shape("smoke", ((5, 5), (9, 5), (9, 9)))]}
    )
    assert read(task, "labelme", folder, "--label", "forceps=l-hook", "--ignore-labels", "smoke") == 0
    expected = np.zeros((10, 10), np.uint8)
    expected[:3, :3] = 2
    assert np.array_equal(written(tmp_path / "back")["op_000001"], expected)


@pytest.mark.parametrize("option", ["forceps", "forceps=", "forceps=tweezers"])
def test_a_mapping_to_no_class_is_refused(task, tmp_path, capsys, option):
    error = refused(task, "labelme", labelme_folder(tmp_path / "l", {}), capsys, "--label", option)
    assert ("tweezers" if "tweezers" in option else option) in error


def test_frames_without_annotation_are_listed_and_left_out_on_request(task, cvat, tmp_path, capsys):
    rewrite(cvat, {"SegmentationClass/op_000002.png": None, "SegmentationClass/op_000003.png": None})
    error = refused(task, "cvat", cvat, capsys)
    assert "2 x frame without annotation: op_000002, op_000003" in error and "--allow-missing" in error
    assert read(task, "cvat", cvat, "--allow-missing") == 0
    assert written(tmp_path / "back").keys() == {"op_000001"}
    assert "left out: op_000002, op_000003" in capsys.readouterr().out


def test_frames_that_the_file_only_names_are_background_on_request_alone(task, tmp_path, capsys):
    file = coco_file(tmp_path / "a.json", [(1, 1, [[0, 0, 3, 0, 3, 10, 0, 10]])])
    assert "2 x frame without annotation" in refused(task, "coco", file, capsys)
    assert read(task, "coco", file, "--empty-frames") == 0
    assert same_masks(written(tmp_path / "back"), {**MASKS, "op_000002": columns(0, 0)})


def test_another_size_and_images_that_are_no_frame_are_named(task, cvat, capsys):
    rewrite(cvat, {"SegmentationClass/op_000001.png": rgb_png(np.zeros((10, 9, 3))), "SegmentationClass/x/y.png": b""})
    error = refused(task, "cvat", cvat, capsys)
    assert "op_000001.png (the frame is 10x10, its mask 9x10)" in error
    assert "1 x image that is no frame: SegmentationClass/x/y.png" in error


def test_colours_without_a_label_are_named(task, cvat, capsys):
    rewrite(cvat, {"SegmentationClass/op_000001.png": rgb_png(np.full((10, 10, 3), 255))})
    assert "op_000001.png (the colour (255,255,255) is not in labelmap.txt)" in refused(task, "cvat", cvat, capsys)


@pytest.mark.parametrize(
    ("labelmap", "named"),
    [
        (None, "no labelmap.txt"),
        (b"grasper\n", "line 1"),
        (b"grasper:1,2::\n", "line 1"),
        (b"grasper:1,2,3::\nhook:1,2,3::\n", "grasper and hook have the same colour"),
    ],
)
def test_a_broken_labelmap_is_an_error(task, cvat, capsys, labelmap, named):
    rewrite(cvat, {"labelmap.txt": labelmap})
    assert named in refused(task, "cvat", cvat, capsys)


def test_names_of_a_zip_never_become_paths(task, cvat, tmp_path):
    rewrite(cvat, {"SegmentationClass/../../../evil.png": rgb_png(np.zeros((10, 10, 3))), "/tmp/../labels.png": b"x"})
    assert read(task, "cvat", cvat) == 0
    assert same_masks(written(tmp_path / "back"), MASKS)
    assert not list(tmp_path.parent.glob("**/evil*")) and not (tmp_path.parent.parent / "evil.png").exists()


def test_shapes_without_area_or_outside_the_image_are_all_named(task, tmp_path, capsys):
    wrong = [
        shape(points=[]),
        shape(points=[(1, 1), (2, 2)]),
        shape(points=[(1, 1), (50, 1), (4, 4)]),
        shape("l-hook", points=[(1, 1), (float("nan"), 1), (4, 4)]),
        shape(points=[(1, 1), ("a", 1), (4, 4)]),
        shape(kind="line", points=[(1, 1), (4, 4)]),
        shape(kind=["polygon"]),
        shape(kind="mask", points=[(1, 1), (3, 3)], mask="?"),
        shape(kind="mask", points=[(1, 1), (3, 3)], mask=base64.b64encode(rgb_png(np.ones((2, 3)))).decode()),
        shape(kind="mask", points=[(1, 1), (3, 3)], mask=base64.b64encode(rgb_png(np.ones((3, 3)))[:-9]).decode()),
    ]
    error = refused(task, "labelme", labelme_folder(tmp_path / "l", {"op_000002": wrong}), capsys)
    assert f"{len(wrong)} x bad shape" in error and error.count("op_000002.json") == len(wrong)
    assert "shape 3 (grasper): the point (50, 1) is outside the image of 10x10" in error
    assert "shape 4 (l-hook): the point (nan, 1)" in error and "shape 9 (grasper): its mask is 3x2" in error


def test_rectangles_circles_and_masks_are_read_as_labelme_draws_them(task, tmp_path):
    corner = base64.b64encode(rgb_png(np.array([[0, 255], [255, 255]]))).decode()
    shapes = [
        shape("void", [(4, 3), (0, 0)], "rectangle"),
        shape("grasper", [(7, 7), (7, 9)], "circle"),
        shape("l-hook", [(8, 0), (9, 1)], "mask", mask=corner),
    ]
    assert read(task, "labelme", labelme_folder(tmp_path / "l", {"op_000001": shapes})) == 0
    ids = written(tmp_path / "back")["op_000001"]
    assert (ids == 255).sum() == 20 and (ids[:4, :5] == 255).all()
    assert ids[7, 5:].tolist() == [1] * 5 and ids[5, 5] == 0 and ids[9, 7] == 1
    assert ids[:2, 8:].tolist() == [[0, 2], [2, 2]]


def test_labelme_without_a_size_or_shapes_is_named(task, tmp_path, capsys):
    folder = labelme_folder(tmp_path / "l", {}, imageHeight=None)
    (folder / "op_000002.json").write_text("{}")
    (folder / "op_000003.json").write_text("{")
    error = refused(task, "labelme", folder, capsys)
    assert "op_000001.json (imageWidth or imageHeight is missing" in error
    assert "op_000002.json (no file of LabelMe" in error and "op_000003.json is not valid JSON" in error


def test_the_later_of_two_annotations_counts_and_it_is_said(task, tmp_path, capsys):
    left, middle = [[0, 0, 4, 0, 4, 10, 0, 10]], {"size": [10, 10], "counts": [20, 40, 40]}
    file = coco_file(tmp_path / "a.json", [(1, 1, left), (1, 2, middle)], ("grasper", "l-hook"))
    assert read(task, "coco", file, "--empty-frames") == 0
    assert "20 pixels of 1 frames lie in shapes of several classes" in capsys.readouterr().out
    assert written(tmp_path / "back")["op_000001"][0].tolist() == [1, 1, 2, 2, 2, 2, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "segmentation",
    [
        [],
        None,
        [[]],
        [[1, 1, 2, 2]],
        [[1, 1, 2, 2, 3]],
        [[1, 1, 40, 1, 4, 4]],
        ["text"],
        "text",
        {"counts": [100]},
        {"size": [9, 10], "counts": [90]},
        {"size": [10, 10], "counts": [90]},
        {"size": [10, 10], "counts": [-10, 110]},
        {"size": [10, 10], "counts": ["a"]},
        {"size": [10, 10], "counts": None},
        {"size": [10, 10], "counts": ""},
        {"size": [10, 10], "counts": "zzzzzzzzzz"},
        {"size": [10, 10], "counts": "\u00e9"},
        {"size": 10, "counts": [100]},
    ],
)
def test_a_broken_segmentation_is_named_with_its_annotation(task, tmp_path, capsys, segmentation):
    whole = {"size": [10, 10], "counts": [0, 100]}
    file = coco_file(tmp_path / "a.json", [(1, 1, whole), (2, 1, segmentation), (3, 1, whole)])
    assert "op_000002.png (annotation 2 (grasper): " in refused(task, "coco", file, capsys)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"images": None}, "no COCO file"),
        ({"categories": [{"id": 1}]}, "KeyError('name')"),
        ({"annotations": [{"id": 5, "image_id": 77, "category_id": 1}]}, "5 (image 77, category 1)"),
        ({"images": [{"id": 1, "file_name": "a.png", "width": 1, "height": 1}] * 2}, "two images have one id: 1"),
    ],
)
def test_broken_tables_of_a_coco_file_are_an_error(task, tmp_path, capsys, change, named):
    file = coco_file(tmp_path / "a.json", [])
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert named in refused(task, "coco", file, capsys)


def test_two_images_of_one_name_are_an_error(task, tmp_path, capsys):
    file = coco_file(tmp_path / "a.json", [])
    file.write_text(file.read_text().replace("op_000002.png", "op_000001.jpg"))
    error = refused(task, "coco", file, capsys)
    assert "second annotation of an image: op_000001.jpg (also op_000001.png)" in error


def test_without_pycocotools_the_error_says_how_to_install_it(task, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    error = refused(task, "coco", coco_file(tmp_path / "a.json", []), capsys)
    assert "pip install pycocotools" in error


def test_nothing_is_written_over(task, cvat, tmp_path, capsys):
    (tmp_path / "back").mkdir()
    assert "exists" in refused(task, "cvat", cvat, capsys)
    assert convert("--to", "cvat", "--data-root", task, "--output", cvat) == 2
    assert convert("--to", "cvat", "--data-root", task, "--output", task / "frames" / "new" / "a.zip") == 2
    assert not (task / "frames" / "new").exists()


def test_a_frame_without_mask_cannot_be_written(task, tmp_path, capsys):
    (task / "masks" / "op_000002.png").unlink()
    for tool, name in (("cvat", "a.zip"), ("coco", "a.json"), ("labelme", "a")):
        assert convert("--to", tool, "--data-root", task, "--output", tmp_path / name) == 2
        assert "op_000002" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["task"]


def test_a_folder_of_frames_alone_is_annotated_from_nothing(tmp_path):
    task = make_task(tmp_path / "task", MASKS)
    folder = labelme_folder(tmp_path / "l", {"op_000001": [shape("instrument", [(0, 0), (0, 9), (1, 9), (1, 0)])]})
    assert read(task / "frames", "labelme", folder, "--class-scheme", "binary") == 0
    assert np.array_equal(written(task / "back")["op_000001"], columns(0, 2))


def test_a_class_that_is_called_void_is_refused(tmp_path, capsys):
    scheme = SCHEMES["binary"].to_json()
    scheme["classes"][1]["name"] = "void"
    task = make_task(tmp_path / "task", MASKS)
    (task / "classes.json").write_text(json.dumps(scheme))
    assert convert("--to", "coco", "--data-root", task, "--output", tmp_path / "a.json") == 2
    assert "rename it" in capsys.readouterr().err


def test_names_match_in_either_unicode_form_and_with_backslashes(tmp_path):
    task = make_task(tmp_path / "task", {"opé/f_1": columns(0, 3)})
    value = {
        "images": [{"id": 1, "file_name": "ope\u0301\\f_1.png", "width": 10, "height": 10}],
        "categories": [{"id": 1, "name": "grasper"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 3, 0, 3, 10, 0, 10]], "iscrowd": 1}
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(value))
    assert read(task, "coco", tmp_path / "a.json") == 0
    assert same_masks(written(tmp_path / "back"), {"opé/f_1": columns(0, 3)})


def test_a_damaged_mask_is_named_and_a_cut_zip_is_an_error(task, cvat, tmp_path, capsys):
    whole = cvat.read_bytes()
    with zipfile.ZipFile(cvat) as archive:
        picture = archive.read("SegmentationClass/op_000001.png")
    rewrite(cvat, {"SegmentationClass/op_000001.png": picture[:-20]})
    assert "SegmentationClass/op_000001.png (truncated PNG" in refused(task, "cvat", cvat, capsys)
    (tmp_path / "a.zip").write_bytes(whole[: len(whole) // 2])
    assert "no whole zip file" in refused(task, "cvat", tmp_path / "a.zip", capsys)
