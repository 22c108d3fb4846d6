"""Each public data set, drawn as its tree is: pixels, videos, parts; and what is wrong with a download, all at once."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import prepare_full_dataset
import prepare_public_dataset
from surgseg.data.readers import READERS
from surgseg.data.readers.films import film_frames
from surgseg.data.release import EDGES, table_of_sets
from surgseg.data.set_labels import set_scheme
from surgseg.data.sources import list_folder
from surgseg.files import UserError, read_csv, read_json
from surgseg.labels import SCHEMES, read_scheme
from tests.helpers import ROOT, noise_frame, save_image, shared_data
from tests.public_sets import CATEGORIES, DRAW, SIZE, box, coco, colours, gray, labelme, mask_of, write_json_file

PREPARED = {  # name of each frame: part, columns of instrument, columns of void (all rows)
    "cholecinstanceseg": {
        "video01_000000": ("train", 4, 0),
        "video01_000001": ("train", 4, 0),
        "video03_000150": ("val", 0, 0),
        "video07_000300": ("test", 4, 0),
    },
    "heisurf": {
        f"heisurf-{case}_{number:06d}": (part, 3, 1)
        for case, part in ((3, "test"), (11, "train"))
        for number in (100, 200)
    },
    "endovis2015": {f"op{n}_{i:06d}": (part, 5, 0) for n, part in ((1, "test"), (2, "train")) for i in (1, 2)},
    "endovis2018": {
        "seq_1_000000": ("train", 3, 0),
        "seq_1_000042": ("train", 7, 0),
        "test_seq_1_000000": ("test", 3, 0),
        "test_seq_1_000042": ("test", 3, 0),
    },
    "robust-mis": {
        "proctocolectomy-1_001200": ("train", 5, 0),
        "proctocolectomy-1_002400": ("train", 5, 0),
        "rectal_resection-2_000300": ("test", 5, 0),
    },
    "sar-rarp50": {
        **{f"video_01_{n:06d}": ("train", 4, 0) for n in (0, 6, 12)},
        **{f"video_11_{n:06d}": ("train", 4, 0) for n in range(6)},
        **{f"video_41_{n:06d}": ("test", 4, 0) for n in (0, 6, 12)},
    },
    "sisvse": {
        "sisvse-1_000010": ("train", 5, 0),
        "sisvse-2_000020": ("train", 5, 0),
        "sisvse-3_000030": ("val", 5, 0),
    },
    "autolaparo": {
        "autolaparo-test_300001": ("test", 3, 0),
        "autolaparo-train_001001": ("train", 3, 0),
        "autolaparo-train_170001": ("train", 3, 0),
        "autolaparo-val_171001": ("val", 3, 0),
    },
    "m2caiseg": {"v1_000010": ("train", 3, 1), "v2_000020": ("val", 3, 1), "v3_000030": ("test", 3, 1)},
}


def run(name, source, output, *options) -> int:
    words = ["--dataset", name, "--source-root", source, "--output-root", output, *options]
    return prepare_public_dataset.main([str(word) for word in words])


@pytest.mark.parametrize("name", PREPARED)
def test_a_set_keeps_its_videos_its_parts_and_its_pixels(name, tmp_path):
    assert run(name, DRAW[name](tmp_path / "in"), tmp_path / "out") == 0
    rows = {row["name"]: row for row in read_csv(tmp_path / "out" / "manifest.csv")}
    assert {key: row["split"] for key, row in rows.items()} == {key: row[0] for key, row in PREPARED[name].items()}
    for key, (_, instrument, void) in PREPARED[name].items():
        ids = mask_of(tmp_path / "out", key)
        assert ((ids == 1).sum(1) == instrument).all() and ((ids == 255).sum(1) == void).all(), key
    licence = READERS[name].licence
    assert read_json(tmp_path / "out" / "audit.json")["licences"] == [licence]


def test_endoscapes_takes_the_labelled_frames_and_255_is_void(tmp_path):
    assert run("endoscapes", DRAW["endoscapes"](tmp_path / "in"), tmp_path / "out") == 0
    rows = read_csv(tmp_path / "out" / "manifest.csv")
    assert [(row["video"], row["frame"], row["split"]) for row in rows][::2] == [
        ("endoscapes004", "25", "train"), ("endoscapes126", "25", "val"), ("endoscapes165", "25", "test"),
    ]  # fmt: skip
    ids = mask_of(tmp_path / "out", "endoscapes004_000025")
    assert (ids[:-1] == gray(1, 3)[:-1]).all() and (ids[-1] == 255).all()


def test_endovis2017_is_cut_out_and_joined_over_its_tools(tmp_path):
    options = ("--class-scheme", "instruments")
    assert run("endovis2017", DRAW["endovis2017"](tmp_path / "in"), tmp_path / "out", *options) == 0
    frame = np.asarray(Image.open(tmp_path / "out/frames/instrument_dataset_1_000000.png"))
    assert frame.shape == (1024, 1280, 3) and tuple(frame[0, 0]) == (250, 100, 1)
    ids = mask_of(tmp_path / "out", "instrument_dataset_1_000000")
    expected = np.zeros((1024, 1280), np.uint8)
    expected[:100, :20], expected[:100, 680:710] = 1, 2  # "robotic instrument", "other instrument"
    assert np.array_equal(ids, expected)
    assert read_scheme(tmp_path / "out/classes.json").names == ["background", "robotic instrument", "other instrument"]


def test_a_film_gives_the_frames_of_its_masks(tmp_path):
    assert run("sar-rarp50", DRAW["sar-rarp50"](tmp_path / "in"), tmp_path / "out", "--threads", 3) == 0
    for name, level in (("video_01_000006", 60), ("video_11_000002", 120), ("video_11_000003", 0)):
        frame = np.asarray(Image.open(tmp_path / f"out/frames/{name}.jpg"))
        assert frame.shape == (48, 64, 3) and abs(frame.mean() - level) < 3


def test_frames_of_a_film_may_be_read_in_any_order(tmp_path):
    DRAW["sar-rarp50"](tmp_path, frames=49)
    (film,) = list_folder(tmp_path / "test", (".avi",))
    frames = film_frames(film, [*range(0, 48, 2), 60])
    frames[46].read()  # passes more frames than are kept
    for index in (4, 2, 44):
        assert frames[index].read()[:2] == b"\xff\xd8"
    with pytest.raises(UserError, match="has no frame 60"):
        frames[60].read()


def test_each_instrument_can_be_a_class(tmp_path):
    assert run("cholecinstanceseg", DRAW["cholecinstanceseg"](tmp_path / "in"), tmp_path / "out",
               "--class-scheme", "instruments") == 0  # fmt: skip
    scheme = read_scheme(tmp_path / "out" / "classes.json")
    assert scheme.names[:3] == ["background", "grasper", "hook"] and scheme.instrument_ids == [1, 2, 3, 4, 5, 6, 7]
    assert set(mask_of(tmp_path / "out", "video01_000000").ravel()) == {0, 1}
    assert set(mask_of(tmp_path / "out", "video01_000001").ravel()) == {0, 2}
    assert set(mask_of(tmp_path / "out", "video07_000300").ravel()) == {0, 7}


def test_names_of_codes_are_those_of_the_set_not_of_cholecseg8k():
    scheme = set_scheme(READERS["cholecinstanceseg"].labels, "instruments")
    assert scheme.code_names[5] == "bipolar"  # CholecSeg8k's 5 is the liver ligament


def test_cholecseg8k_goes_through_the_same_door(tmp_path):
    source = DRAW["cholecseg8k"](tmp_path / "in")
    assert run("cholecseg8k", source, tmp_path / "out") == 0
    assert read_scheme(tmp_path / "out" / "classes.json") == SCHEMES["binary"]
    assert prepare_full_dataset.main(["--source-root", str(source), "--output-root", str(tmp_path / "full")]) == 0
    assert (tmp_path / "out/manifest.csv").read_bytes() == (tmp_path / "full/manifest.csv").read_bytes()


def test_the_other_script_reads_a_public_set_too(tmp_path):
    options = ["--format", "heisurf", "--source-root", str(DRAW["heisurf"](tmp_path / "in"))]
    assert prepare_full_dataset.main([*options, "--output-root", str(tmp_path / "out")]) == 0
    assert len(read_csv(tmp_path / "out" / "manifest.csv")) == 4


def test_the_real_operations_of_endovis2015(tmp_path, capsys):
    assert run("endovis2015", shared_data("endovis2015"), tmp_path / "out") == 0
    assert "prepared 120 frames" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ bad input


def fail(name, source, tmp_path, capsys, *options) -> str:
    """The error of a run that must write nothing."""
    before = sorted(tmp_path.rglob("*"))
    assert run(name, source, tmp_path / "out", *options) == 2
    assert sorted(tmp_path.rglob("*")) == before
    return capsys.readouterr().err


def test_all_faults_of_polygons_are_named_by_file_and_label(tmp_path, capsys):
    source = DRAW["cholecinstanceseg"](tmp_path / "in")
    folder = source / "train/VID01_seg8k"
    outside, empty, many = labelme("hook"), labelme("hook"), labelme("clip")
    outside["shapes"][0]["points"][1] = [40, 0]
    empty["shapes"][0]["points"] = []
    many["shapes"] += labelme("forceps")["shapes"]
    sizeless = {key: value for key, value in labelme("hook").items() if not key.startswith("imageW")}
    files = {"a_1": outside, "a_2": empty, "a_3": many, "a_4": sizeless, "a_5": labelme("hook", imageWidth=17)}
    files["a_6"] = labelme("hook", imageWidth=True)
    for name, value in files.items():
        save_image(folder / f"img_dir/{name}.png", noise_frame(int(name[2]), SIZE))
        write_json_file(folder / f"ann_dir/{name}.json", value)
    (folder / "img_dir/seg8k_video01_80.png").unlink()
    error = fail("cholecinstanceseg", source, tmp_path, capsys)
    for part in (
        "7 faults, nothing written",
        "ann_dir/a_1.json (shape 1 (hook): the point (40, 0) is outside the image of 16x12)",
        "ann_dir/a_2.json (shape 1 (hook): 0 points; at least 3 are needed)",
        "ann_dir/a_3.json (unknown label 'clip' (shape 1), 'forceps' (shape 2))",
        "ann_dir/a_4.json (imageWidth or imageHeight is missing: save it in LabelMe again)",
        "ann_dir/a_6.json (imageWidth or imageHeight is missing",
        "img_dir/a_5.png (the frame is 16x12, its mask 17x12)",
        "1 x mask without frame: train/VID01_seg8k/ann_dir/seg8k_video01_80.json",
    ):
        assert part in error
    assert run("cholecinstanceseg", source, tmp_path / "out", "--skip-bad") == 0
    assert len(read_csv(tmp_path / "out" / "manifest.csv")) == 3


def test_all_faults_of_a_coco_file_are_named_by_image_and_label(tmp_path, capsys):
    source = DRAW["sisvse"](tmp_path / "in")
    names = [f"real/3_{n}.png" for n in range(5)]
    for n, name in enumerate(names[:4]):
        save_image(source / "images" / name, noise_frame(n, SIZE))
    (source / "images/real/3_0030.png").unlink()
    crowd = {"size": [*SIZE], "counts": [36, 24, 100]}
    annotations = [(0, "Needle", []), (1, "Robot", box(0, 3)), (2, "Needle", box(0, 40)), (3, "Needle", crowd)]
    value = coco(names, [*annotations, (4, "Needle", box(0, 3))], [*CATEGORIES, "Robot"])
    path = write_json_file(source / "instance_jsons/real_val_1.json", value)
    error = fail("sisvse", source, tmp_path, capsys)
    place = f"instance_jsons/{path.name}"
    for part in (
        "5 faults, nothing written",
        f"{place} (real/3_0.png) (annotation 1 (Needle): no outline: its segmentation is empty)",
        f"{place} (real/3_1.png) (unknown label 'Robot' (annotation 2))",
        f"{place} (real/3_2.png) (annotation 3 (Needle): the point (40, 0) is outside the image of 16x12)",
        f"{place} (real/3_3.png) (annotation 4 (Needle): its run lengths add up to 160, not to the 192 pixels)",
        f"1 x mask without frame: {place} (real/3_4.png)",
    ):
        assert part in error


def test_unknown_colours_and_codes_are_named(tmp_path, capsys):
    source = DRAW["heisurf"](tmp_path / "in")
    save_image(source / "Segmentation/3/frame_100.png", colours(((1, 2, 3), 2)))
    save_image(source / "Segmentation/3/frame_200.png", gray(7, 2))
    error = fail("heisurf", source, tmp_path, capsys)
    assert "Segmentation/3/frame_100.png (unknown colour (1, 2, 3) (24 pixels))" in error
    assert "Segmentation/3/frame_200.png (image mode L, where colours (RGB) are expected)" in error
    shutil.rmtree(source)
    source = DRAW["autolaparo"](tmp_path / "in")
    save_image(source / "masks/001001.png", gray(30, 2))
    assert "masks/001001.png (unknown mask code 30 (24 pixels)" in fail("autolaparo", source, tmp_path, capsys)


def test_a_frame_of_another_size_is_not_cut_out(tmp_path, capsys):
    source = DRAW["endovis2017"](tmp_path / "in", size=(1024, 1280))
    error = fail("endovis2017", source, tmp_path, capsys)
    assert "left_frames/frame000.png (is 1280x1024; the cut-out is defined for 1920x1080)" in error


def drop(*names):
    """A fault: files that were not downloaded."""

    def remove(root):
        for name in names:
            (root / name).unlink()

    return remove


def add(name, pixels=None, text=""):
    def write(root):
        if pixels is not None:
            save_image(root / name, pixels)
        else:
            write_json_file(root / name, json.loads(text))

    return write


def copy(name, to):
    """A fault: a file that is there twice."""

    def double(root):
        (root / to).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, root / to)

    return double


def as_jpeg(name):
    """A fault: a mask that a tool saved as JPEG, and called PNG."""

    def save(root):
        Image.open(root / name).save(root / name, "JPEG")

    return save


def repeat_category(root):
    path = root / "instance_jsons/real_val_1.json"
    value = read_json(path)
    value["categories"].append({"id": 1, "name": "Needle"})  # 1 is a clip applier
    write_json_file(path, value)


def break_both(root):
    for part in ("train", "val"):
        (root / f"instance_jsons/real_{part}_1.json").write_text("{")


LABELS_JSON = "miccai_challenge_2018_release_1/miccai_challenge_2018_release_1/labels.json"
TOOL = "instrument_dataset_1/ground_truth/Other_labels/frame000.png"
HALF = {
    "a folder of another set": (
        "heisurf",
        add("other/OP1/Masks/img_01_class.png", gray(70, 2)),
        "files of other data sets too: endovis2015 (other/OP1/Masks/img_01_class.png); give the folder of heisurf",
    ),
    "another set": ("endovis2017", None, "found 0 frames and 0 masks; these look like files of endovis2015"),
    "a frame of endoscapes": (
        "endoscapes",
        drop("train_seg/4_25.jpg"),
        "1 x labelled frame is missing: train_seg/annotation_coco.json (4_25.jpg: the frame or its mask in semseg)",
    ),
    "a label map that differs": (
        "endoscapes",
        add("val_seg/annotation_coco.json", text='{"images": [], "categories": [{"id": 6, "name": "fat"}]}'),
        "category 6 is 'fat', not 'tool', so code 6 of the masks is not certain",
    ),
    "a film": (
        "sar-rarp50",
        drop("test/video_41/video_left.avi"),
        "video_left.avi is missing in test/video_41: download it",
    ),
    "the colours": (
        "endovis2018",
        drop(LABELS_JSON, "test_data/test_data/labels.json"),
        "no labels.json: it names the colours of the masks",
    ),
    "a name that is no label": (
        "endovis2018",
        add("test_data/labels.json", text='[{"name": "robot", "color": [1, 2, 3]}]'),
        "test_data/labels.json: unknown label 'robot'",
    ),
    "two names for a colour": (
        "endovis2018",
        add("test_data/labels.json", text='[{"name": "thread", "color": [0, 255, 0]}]'),
        "(0, 255, 0) is thread, and instrument-shaft in another labels.json",
    ),
    "the training part": (
        "m2caiseg",
        drop("train/images/v1_10.jpg", "train/groundtruth/v1_10_gt.png"),
        "the folder train is missing",
    ),
    "the test stages": (
        "robust-mis",
        add("Testing/Stage_1/Proctocolectomy/1/7/raw.png", gray(0, 0)),
        "which operations the stages of the test part show was not verified: give the folder Training",
    ),
    "a clip beyond the last": ("autolaparo", add("imgs/301001.jpg", noise_frame(1, SIZE)), "the set has 300 clips"),
    "masks of a film": (
        "sar-rarp50",
        lambda root: shutil.rmtree(root / "train1/video_01/segmentation"),
        "1 x film without masks: train1/video_01/video_left.avi",
    ),
    "the name of a mask": (
        "sar-rarp50",
        copy("test/video_41/segmentation/000000006.png", "test/video_41/segmentation/7.png"),
        "1 x name is no frame of 9 digits: test/video_41/segmentation/7.png",
    ),
    "a second copy of a film": (
        "sar-rarp50",
        copy("train2/video_11_1/video_left.avi", "old/train1/video_01/video_left.avi"),
        "two files of one place: old/train1/video_01/video_left.avi and train1/video_01/video_left.avi; keep the right",
    ),
    "a second mask of a tool": (
        "endovis2017",
        copy(f"train/{TOOL}", f"fixed/{TOOL}"),
        f"two files of one place: fixed/{TOOL} and train/{TOOL}",
    ),
    "a second copy of a COCO file": (
        "sisvse",
        copy("instance_jsons/real_val_1.json", "old/instance_jsons/real_val_1.json"),
        "two files of one place: instance_jsons/real_val_1.json and old/instance_jsons/real_val_1.json",
    ),
    "a category twice": ("sisvse", repeat_category, "real_val_1.json: two categories have one id: 1"),
    "both COCO files": ("sisvse", break_both, "); instance_jsons/real_val_1.json is not valid JSON"),
    "a mask as JPEG": (
        "robust-mis",
        as_jpeg("Training/Proctocolectomy/1/1200/instrument_instances.png"),
        "1200/instrument_instances.png (is a JPEG file, in which background is not exactly 0",
    ),
    "a second copy": ("heisurf", add("copy/Frames/3/frame_100.png", noise_frame(1, SIZE)), "two candidates"),
}


@pytest.mark.parametrize("what", HALF)
def test_a_download_that_is_not_whole_is_refused(what, tmp_path, capsys):
    name, change, expected = HALF[what]
    source = DRAW["endovis2015" if change is None else name](tmp_path / "in")
    if change:
        change(source)
    assert expected in fail(name, source, tmp_path, capsys)


def test_a_frame_without_the_mask_of_one_tool_is_never_prepared(tmp_path, capsys):
    source = DRAW["endovis2017"](tmp_path / "in")
    folder = source / "train/instrument_dataset_1"
    for kind in ("left_frames", "ground_truth/Left_Prograsp_Forceps_labels"):
        shutil.copy(folder / kind / "frame000.png", folder / kind / "frame001.png")
    assert run("endovis2017", source, tmp_path / "out", "--skip-bad") == 0
    assert "ground_truth/Other_labels without this frame" in capsys.readouterr().err
    assert len(read_csv(tmp_path / "out" / "manifest.csv")) == 2


def test_parts_that_divide_a_video_are_refused_and_can_be_left_out(tmp_path, capsys):
    source = DRAW["m2caiseg"](tmp_path / "in")
    for kind, ending in (("images", ".jpg"), ("groundtruth", "_gt.png")):
        (source / f"test/{kind}/v3_30{ending}").rename(source / f"test/{kind}/v1_30{ending}")
    assert "the published parts divide 1 videos (v1)" in fail("m2caiseg", source, tmp_path, capsys)
    assert run("m2caiseg", source, tmp_path / "out", "--split", "video") == 0
    rows = read_csv(tmp_path / "out/manifest.csv")
    assert {row["video"]: row["split"] for row in rows} == {"v1": "train", "v2": "test"}


def test_a_single_part_leaves_the_split_to_the_videos(tmp_path, capsys):
    source = DRAW["sar-rarp50"](tmp_path / "in")
    shutil.rmtree(source / "test")
    assert run("sar-rarp50", source, tmp_path / "out") == 0
    assert "Warning: no frame of test, which sar-rarp50 publishes as a part" in capsys.readouterr().err
    assert {row["split"] for row in read_csv(tmp_path / "out/manifest.csv")} == {"train", "test"}


@pytest.mark.parametrize("name", ["endovis2018", "m2caiseg"])
def test_capitals_in_names_make_no_difference(name, tmp_path):
    source = DRAW[name](tmp_path / "in")
    for path in sorted(source.rglob("*"), key=lambda path: -len(path.parts)):
        path.rename(path.with_name(path.name.title() if path.is_dir() else path.name.upper()))
    assert run(name, source, tmp_path / "out") == 0
    parts = {row["name"].lower(): row["split"] for row in read_csv(tmp_path / "out/manifest.csv")}
    assert parts == {key: row[0] for key, row in PREPARED[name].items()}


def test_names_that_do_not_tell_the_video_need_a_pattern(tmp_path, capsys):
    source = DRAW["m2caiseg"](tmp_path / "in")
    for path in [*source.rglob("*.jpg"), *source.rglob("*.png")]:
        path.rename(path.with_name(re.sub(r"v(\d)_", r"\1", path.name)))  # v1_10.jpg becomes 110.jpg
    assert "--video-pattern" in fail("m2caiseg", source, tmp_path, capsys)
    assert run("m2caiseg", source, tmp_path / "out", "--video-pattern", r"/(\d)\d+$") == 0
    assert {row["video"] for row in read_csv(tmp_path / "out/manifest.csv")} == {"1", "2", "3"}


def test_a_scheme_without_the_codes_of_the_set_and_an_existing_folder_are_refused(tmp_path, capsys):
    source = DRAW["endovis2015"](tmp_path / "in")
    error = fail("endovis2015", source, tmp_path, capsys, "--class-scheme", "full13")
    assert "--class-scheme full13 does not name these codes of the data set: 160 shaft, 70 manipulator" in error
    (tmp_path / "out").mkdir()
    assert "out exists" in fail("endovis2015", source, tmp_path, capsys)


def test_the_option_is_needed(capsys):
    assert prepare_public_dataset.main([]) == 2
    assert "--dataset and --source-root are needed" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ the table


def test_the_documented_table_is_the_printed_one(capsys):
    assert prepare_public_dataset.main(["--list"]) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == table_of_sets()
    assert printed.strip() in (ROOT / "docs/public_datasets.md").read_text(encoding="utf-8")


def test_the_stated_definition_agrees_with_the_labels():
    words = {"trocar": ("trocar", "endotip"), "clip": ("clip",), "needle": ("needle",), "suture": ("thread",)}
    for name, reader in READERS.items():
        assert len(reader.edges) == len(EDGES) and set(reader.edges) <= {"in", "out", "?"}, name
        for edge, stated in zip(EDGES, reader.edges):
            labels = reader.labels.other if reader.labels else ()
            known = [label for label in labels if re.split(r"[ -]", label.lower())[-1] in words[edge]]
            assert not known or stated == "out", (name, known)


def test_no_set_is_taken_for_another(tmp_path):
    from surgseg.data.release import _other_sets

    for name, draw in DRAW.items():
        files = list_folder(draw(tmp_path / name), (".png", ".jpg", ".json", ".avi"))
        assert _other_sets(name, files, "in") == {}, name
        assert name in _other_sets("", files, "in"), name
