"""The generated folder: what is written can be read, and what disagrees is said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from surgseg.files import UserError, read_json, write_json
from surgseg.labels import SCHEMES
from surgseg.masks import read_mask
from surgseg.scores.statistics import detection_statistics, frame_statistics
from surgseg.video.generated import FrameRow, GeneratedWriter, check_name, check_target, read_generated
from surgseg.video.reader import Frame


def write(folder, count=3, complete=True, name="video", frame_format="jpg", overwrite=False):
    writer = GeneratedWriter(folder, SCHEMES["binary"], name, frame_format, overwrite)
    writer.begin({"threshold": 0.5})
    for index in range(count):
        ids = np.zeros((20, 30), np.uint8)
        ids[:index, :6] = 1
        image = np.full((20, 30, 3), 90, np.uint8)
        writer.commit(writer.store(Frame(10 * index, index / 2.5, image, index == 2), ids, ids * 0.75))
    writer.finish({"threshold": 0.5}, complete, None if complete else "Ctrl-C")
    return folder


def test_what_is_written_is_read_back(tmp_path):
    generated = read_generated(write(tmp_path / "out"))
    assert [row.name for row in generated.rows] == ["video_000000", "video_000010", "video_000020"]
    assert [row.coverage for row in generated.rows] == pytest.approx([0, 0.01, 0.02])
    assert [row.time_s for row in generated.rows] == [0, 0.4, 0.8]
    assert [row.suspect for row in generated.rows] == [False, False, True]
    assert generated.scheme == SCHEMES["binary"] and generated.run["complete"] is True
    with Image.open(generated.mask_path(generated.rows[2])) as mask:
        assert mask.mode == "P"
    assert read_mask(generated.mask_path(generated.rows[2]), 2).sum() == 12
    assert generated.frame_path(generated.rows[0]).is_file()


def test_without_frames_only_masks_are_kept(tmp_path):
    generated = read_generated(write(tmp_path / "out", frame_format="none"))
    assert generated.frame_path(generated.rows[0]) is None and not (tmp_path / "out" / "frames").exists()


def test_a_run_cut_short_is_read_as_far_as_it_came(tmp_path):
    folder = write(tmp_path / "out", complete=False)
    table = folder / "frames.csv"
    table.write_bytes(table.read_bytes()[:-5])  # killed within the last line; its mask is on the disk
    generated = read_generated(folder)
    assert [row.frame for row in generated.rows] == [0, 10] and generated.run["stopped"] == "Ctrl-C"


def remove(name):
    return lambda folder: (folder / name).unlink()


def add_mask(folder):
    (folder / "masks" / "other.png").write_bytes(b"")


def edit_table(old, new):
    return lambda folder: (folder / "frames.csv").write_text((folder / "frames.csv").read_text().replace(old, new))


def forget_schema(folder):
    write_json(folder / "run.json", {"frames": 3})


BROKEN = [
    (remove("run.json"), r"run\.json missing"),
    (remove("frames.csv"), r"frames\.csv missing"),
    (remove("classes.json"), r"classes\.json missing"),
    (remove("masks/video_000010.png"), r"missing in masks/: video_000010\.png"),
    (remove("frames/video_000010.jpg"), r"missing in frames/: video_000010\.jpg"),
    (add_mask, r"in masks/: other\.png"),
    (edit_table("video_000020,20", "video_000020,5"), "do not ascend"),
    (edit_table("0.02", "1.5"), "line 4: coverage"),
    (edit_table("0.02", "much"), "line 4: not a row"),
    (edit_table("coverage", "area"), "no column coverage"),
    (forget_schema, "not written by this version"),
]


@pytest.mark.parametrize(("harm", "message"), BROKEN)
def test_a_folder_that_disagrees_is_refused(tmp_path, harm, message):
    folder = write(tmp_path / "out")
    harm(folder)
    with pytest.raises(UserError, match=message):
        read_generated(folder)


def test_a_run_without_frames_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no frames"):
        read_generated(write(tmp_path / "out", count=0))


def test_an_earlier_run_is_replaced_only_on_demand(tmp_path):
    folder = write(tmp_path / "out", count=3)
    (folder / "notes.txt").write_text("mine")
    (folder / "masks" / ".video_000030.png.ab12.part.png").write_bytes(b"")  # what a killed run leaves
    with pytest.raises(UserError, match="--overwrite"):
        check_target(folder, overwrite=False)
    write(folder, count=1, name="other", overwrite=True)
    assert len(read_generated(folder).rows) == 1
    assert sorted(path.name for path in (folder / "masks").iterdir()) == ["other_000000.png"]
    assert (folder / "notes.txt").read_text() == "mine"


def test_files_of_others_are_never_touched(tmp_path):
    folder = write(tmp_path / "out")
    (folder / "masks" / "video_corrected.png").write_bytes(b"x")
    with pytest.raises(UserError, match="no generated run wrote"):
        check_target(folder, overwrite=True)
    prepared = tmp_path / "prepared"
    (prepared / "masks").mkdir(parents=True)
    (prepared / "classes.json").write_text("{}")
    with pytest.raises(UserError, match="no generated run wrote"):
        check_target(prepared, overwrite=True)


def test_run_json_stands_first_and_unfinished(tmp_path):
    GeneratedWriter(tmp_path / "out", SCHEMES["binary"], "video").begin({"threshold": 0.4})
    run = read_json(tmp_path / "out" / "run.json")
    assert run["complete"] is False and run["threshold"] == 0.4


@pytest.mark.parametrize("name", ["", "../up", "a b", ".hidden", "a/b"])
def test_a_name_must_fit_a_file_name(name):
    with pytest.raises(UserError, match="--name"):
        check_name(name)


def test_frame_measures_by_hand():
    ids = np.zeros((40, 50), np.uint8)
    ids[0:2, 0:2] = 1
    ids[2, 2] = 1  # touches by a corner: the same component
    ids[30, 40] = 1  # a speck below the stated area
    probability = np.full((40, 50), 0.5, np.float32)
    probability[:20] = 1.0
    measured = frame_statistics(ids, probability, [1], min_component_area=0.0005)
    assert measured["coverage"] == pytest.approx(6 / 2000)
    assert measured["mean_confidence"] == pytest.approx(0.75)
    assert measured["uncertainty"] == pytest.approx(0.5)
    assert measured["components"] == 1


def test_coverage_joins_all_instrument_classes():
    ids = np.array([[0, 1, 2, 3]], np.uint8)
    assert frame_statistics(ids, np.zeros((1, 4)), [1, 2], 0.0)["coverage"] == 0.5


def test_detection_statistics_by_hand():
    coverage = [0.0, 0.0005, 0.1, 0.2]
    rows = [FrameRow(f"v_{i}", 30 * i, 1.2 * i, c, 0.9, 0.2, 1, False) for i, c in enumerate(coverage)]
    found = detection_statistics(rows, min_area=0.001)
    assert found["detection_rate"] == 0.75 and found["detection_rate_min_area"] == 0.5
    assert found["without_detection"] == [{"name": "v_0", "frame": 0, "time_s": 0.0}]
    assert found["coverage"]["median"] == pytest.approx(0.05025)
    assert found["coverage"]["mean"] == pytest.approx(0.075125)
    assert found["coverage"]["sd"] == pytest.approx(np.std(coverage, ddof=1))
    assert math.isnan(detection_statistics(rows[:1], 0.001)["coverage"]["sd"])
