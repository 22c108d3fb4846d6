"""The generated folder: what is written can be read, and what disagrees is said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from surgseg.analysis.statistics import detection_statistics
from surgseg.files import UserError, read_json, write_json
from surgseg.generate.earlier import check_target, find_earlier
from surgseg.generate.folder import FrameRow, check_name, read_generated, read_run
from surgseg.generate.writer import GeneratedWriter
from surgseg.labels import SCHEMES
from surgseg.masks import count_components, read_mask
from surgseg.predict import Measures
from surgseg.video.reader import Frame
from tests.helpers import folder_bytes

ALL = {"frames": "jpg", "masks": "png", "overlays": "jpg", "probabilities": "png"}
ASKED = {
    "fingerprint": "f" * 64,
    "weights_sha256": "0" * 64,
    "threshold": 0.5,
    "sampling": {"mode": "every", "step": 10},
    "image_rate": None,
    "view": "full",
    "batch_size": 4,
    "backend": {"name": "torch", "version": "2"},
    "decoder": {"name": "PyAV", "version": "1"},
}


def asked(name="video", parts=None, overlay_video=False, **changed):
    parts = {"frames": "jpg", "masks": "png"} if parts is None else parts
    return {**ASKED, "name": name, "parts": parts, "overlay_video": overlay_video, **changed}


def write(folder, count=3, complete=True, name="video", parts=None, overwrite=False, **changed):
    parts = {"frames": "jpg", "masks": "png"} if parts is None else parts
    earlier = find_earlier(folder, asked(name, parts, **changed), overwrite)
    writer = GeneratedWriter(folder, SCHEMES["binary"], name, parts, earlier=earlier)
    run = {**ASKED, **changed}
    writer.begin(run)
    for index in range(writer.rows_written, count):
        ids = np.zeros((20, 30), np.uint8)
        ids[:index, :6] = 1
        image = np.full((20, 30, 3), 90, np.uint8)
        probability = (ids * 191).astype(np.uint8) if "probabilities" in parts else None
        measures = Measures(ids.mean(), 0.75, 0.5)
        writer.commit(writer.store(Frame(10 * index, index / 2.5, image, index == 2), ids, measures, probability))
    writer.finish(run, None if complete else "Ctrl-C")
    return folder


def test_what_is_written_is_read_back(tmp_path):
    generated = read_generated(write(tmp_path / "out"))
    assert [row.name for row in generated.rows] == ["video_000000", "video_000010", "video_000020"]
    assert [row.coverage for row in generated.rows] == pytest.approx([0, 0.01, 0.02])
    assert [row.time_s for row in generated.rows] == [0, 0.4, 0.8]
    assert [row.suspect for row in generated.rows] == [False, False, True]
    assert {(row.mean_confidence, row.uncertainty) for row in generated.rows} == {(0.75, 0.5)}
    assert generated.scheme == SCHEMES["binary"] and generated.run["complete"] is True
    counts = [generated.run[f"frames_{what}"] for what in ("written", "detected", "suspect")]
    assert counts == [3, 1, 1]  # what is suspect counts as no detection
    with Image.open(generated.mask_path(generated.rows[2])) as mask:
        assert mask.mode == "P"
    assert read_mask(generated.mask_path(generated.rows[2]), 2).sum() == 12
    assert generated.frame_path(generated.rows[0]).is_file()


def test_every_part_is_written_and_found(tmp_path):
    generated = read_generated(write(tmp_path / "out", parts=ALL))
    row = generated.rows[2]
    paths = {part: generated.path(part, row) for part in ALL}
    assert {part: path.name for part, path in paths.items()} == {
        "frames": "video_000020.jpg",
        "masks": "video_000020.png",
        "overlays": "video_000020.jpg",
        "probabilities": "video_000020.png",
    }
    with Image.open(paths["probabilities"]) as image:
        assert image.mode == "L" and np.asarray(image).max() == 191 and np.count_nonzero(image) == 12
    with Image.open(paths["overlays"]) as image:
        overlay = np.asarray(image).astype(int)
    assert np.ptp(overlay[:2, :5], axis=2).min() > 40  # tinted, where the frame is gray
    assert np.ptp(overlay[12:, 16:], axis=2).max() < 10


def test_without_frames_only_masks_are_kept(tmp_path):
    generated = read_generated(write(tmp_path / "out", parts={"masks": "png"}))
    assert generated.frame_path(generated.rows[0]) is None and not (tmp_path / "out" / "frames").exists()


def test_a_run_cut_short_is_read_as_far_as_it_came(tmp_path):
    folder = write(tmp_path / "out", complete=False)
    table = folder / "frames.csv"
    table.write_bytes(table.read_bytes()[:-5])  # killed within the last line; its mask is on the disk
    generated = read_generated(folder)
    assert [row.frame for row in generated.rows] == [0, 10] and generated.run["stopped"] == "Ctrl-C"


def test_a_finished_table_without_its_last_line_break_is_refused_not_shortened(tmp_path):
    folder = write(tmp_path / "out")
    table = folder / "frames.csv"
    table.write_bytes(table.read_bytes()[:-3])
    with pytest.raises(UserError, match="line 4: not a row"):
        read_generated(folder)


def remove(name):
    return lambda folder: (folder / name).unlink()


def add_mask(folder):
    (folder / "masks" / "other.png").write_bytes(b"")


def edit_table(old, new):
    return lambda folder: (folder / "frames.csv").write_text((folder / "frames.csv").read_text().replace(old, new))


def forget_schema(folder):
    write_json(folder / "run.json", {"frames": 3})


def miss_a_row(folder):
    table = folder / "frames.csv"
    table.write_bytes(b"".join(table.read_bytes().splitlines(keepends=True)[:-1]))
    for path in (folder / "masks" / "video_000020.png", folder / "frames" / "video_000020.jpg"):
        path.unlink()


def promise_a_video(folder):
    write_json(folder / "run.json", {**read_json(folder / "run.json"), "overlay_video": True})


BROKEN = [
    (remove("run.json"), r"run\.json missing"),
    (remove("frames.csv"), r"frames\.csv missing"),
    (remove("classes.json"), r"classes\.json missing"),
    (remove("masks/video_000010.png"), r"missing in masks/: video_000010\.png"),
    (remove("frames/video_000010.jpg"), r"missing in frames/: video_000010\.jpg"),
    (add_mask, r"in masks/: other\.png"),
    (edit_table("video_000020,20", "video_000020,5"), "do not ascend"),
    (edit_table("0.02", "1.5"), "line 4: not a row of frames .*outside"),
    (edit_table("0.02", "much"), "line 4: not a row"),
    (edit_table("coverage", "area"), "no column coverage"),
    (forget_schema, "not written by this version"),
    (miss_a_row, "counts 3 frames, the table 2"),
    (promise_a_video, r"overlay\.mp4 is missing"),
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
    folder = write(tmp_path / "out", count=3, parts=ALL)
    (folder / "notes.txt").write_text("mine")
    (folder / "masks" / ".video_000030.png.ab12.part.png").write_bytes(b"")  # what a killed run leaves
    before = folder_bytes(folder)
    with pytest.raises(UserError, match="--overwrite"):
        find_earlier(folder, asked("other"), overwrite=False)
    assert folder_bytes(folder) == before
    write(folder, count=1, name="other", overwrite=True)
    assert len(read_generated(folder).rows) == 1
    assert set(folder_bytes(folder)) == {
        *("classes.json", "frames.csv", "run.json", "notes.txt"),
        *("frames/other_000000.jpg", "masks/other_000000.png"),
    }
    assert (folder / "notes.txt").read_text() == "mine"


def test_what_analyses_said_of_an_earlier_run_goes_with_it(tmp_path):
    folder = write(tmp_path / "out", count=2, complete=False)
    (folder / "figures").mkdir()
    (folder / "figures" / "mask_statistics.png").write_bytes(b"x")
    (folder / "mask_statistics.json").write_text("{}")
    write(folder, count=3)
    assert not (folder / "mask_statistics.json").exists() and not list((folder / "figures").iterdir())


def test_files_of_others_are_never_touched(tmp_path):
    folder = write(tmp_path / "out")
    (folder / "masks" / "video_corrected.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"no generated run wrote \(masks/video_corrected.png\)"):
        find_earlier(folder, asked(), overwrite=True)
    prepared = tmp_path / "prepared"
    (prepared / "masks").mkdir(parents=True)
    (prepared / "classes.json").write_text("{}")
    with pytest.raises(UserError, match="no generated run wrote"):
        check_target(prepared)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        check_target(tmp_path / "file")


def test_what_operating_systems_leave_in_folders_is_no_obstacle(tmp_path):
    folder = write(tmp_path / "out", count=2, complete=False)
    left = [folder / "masks" / ".DS_Store", folder / "frames" / "Thumbs.db", folder / "masks" / "._video_000000.png"]
    for path in left:
        path.write_bytes(b"x")
    check_target(folder)
    assert len(read_generated(write(folder, count=3)).rows) == 3
    assert all(path.is_file() for path in left)


def test_run_json_stands_first_and_unfinished(tmp_path):
    GeneratedWriter(tmp_path / "out", SCHEMES["binary"], "video", {"masks": "png"}).begin({"threshold": 0.4})
    run = read_json(tmp_path / "out" / "run.json")
    assert run["complete"] is False and run["threshold"] == 0.4


def test_run_json_of_another_program_is_none_of_ours(tmp_path):
    for content in ([1], {"schema": "other"}, {"schema": "surgseg.generated/2", "parts": {"..": "png"}}):
        write_json(tmp_path / "run.json", content)
        assert read_run(tmp_path) is None
    with pytest.raises(UserError, match="no generated run wrote"):
        check_target(tmp_path)


@pytest.mark.parametrize("name", ["", "../up", "a b", ".hidden", "a/b"])
def test_a_name_must_fit_a_file_name(name):
    with pytest.raises(UserError, match="--name"):
        check_name(name)


# --- what a later run keeps


def test_an_unfinished_run_is_kept_to_its_last_row_whose_files_are_there(tmp_path):
    folder = write(tmp_path / "out", count=3, complete=False)
    found = find_earlier(folder, asked(), overwrite=False)
    assert (found.rows, found.last_frame, found.last_time_s) == (3, 20, 0.8)
    assert (found.detected, found.suspects, found.sessions, found.finished) == (1, 1, 1, None)
    (folder / "masks" / "video_000010.png").unlink()
    found = find_earlier(folder, asked(), overwrite=False)
    assert (found.rows, found.detected, found.suspects) == (1, 0, 0)
    kept = (folder / "frames.csv").read_bytes()[: found.size]
    assert kept.count(b"\n") == 2 and kept.endswith(b"\n")


def test_an_empty_image_is_not_on_the_disk(tmp_path):
    folder = write(tmp_path / "out", count=3, complete=False)
    (folder / "frames" / "video_000020.jpg").write_bytes(b"")
    assert find_earlier(folder, asked(), overwrite=False).rows == 2


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_line_that_is_not_whole_is_written_again(tmp_path, cut):
    whole = folder_bytes(write(tmp_path / "whole"))
    folder = write(tmp_path / "out", complete=False)
    table = folder / "frames.csv"
    table.write_bytes(table.read_bytes()[:-cut])
    assert find_earlier(folder, asked(), overwrite=False).rows == 2
    again = folder_bytes(write(folder))
    assert {**again, "run.json": b""} == {**whole, "run.json": b""}


def test_a_table_with_other_columns_is_written_anew(tmp_path):
    folder = write(tmp_path / "out", complete=False)
    edit_table("coverage", "area")(folder)
    assert find_earlier(folder, asked(), overwrite=False).rows == 0


def test_a_finished_folder_needs_nothing_but_its_batches_may_differ(tmp_path):
    folder = write(tmp_path / "out")
    assert find_earlier(folder, asked(batch_size=32), overwrite=False).finished["frames_written"] == 3
    assert find_earlier(folder, asked(), overwrite=True).finished is None
    unfinished = write(tmp_path / "part", complete=False)
    with pytest.raises(UserError, match=r"an unfinished run with other settings .*--batch-size: 4 there, 32 now"):
        find_earlier(unfinished, asked(batch_size=32), overwrite=False)


CHANGED = [
    ({"fingerprint": "e" * 64}, "a run of another video"),
    ({"weights_sha256": "1" * 64}, "other weights: 000000000000 there, 111111111111 now"),
    ({"threshold": 0.6}, "threshold: 0.5 there, 0.6 now"),
    ({"sampling": {"mode": "every", "step": 5}}, "sampling: mode every step 10 there, mode every step 5 now"),
    ({"image_rate": 10.0}, "--image-rate: None there, 10.0 now"),
    ({"name": "other"}, "--name: video there, other now"),
    ({"parts": {"masks": "png"}}, "--frame-format or --save: frames jpg masks png there, masks png now"),
    ({"overlay_video": True}, "--save video: False there, True now"),
]


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize(("changed", "message"), CHANGED)
def test_a_run_that_differs_says_in_what(tmp_path, complete, changed, message):
    folder = write(tmp_path / "out", complete=complete)
    with pytest.raises(UserError) as caught:
        find_earlier(folder, {**asked(), **changed}, overwrite=False)
    assert message in str(caught.value) and "--overwrite" in str(caught.value)
    assert find_earlier(folder, {**asked(), **changed}, overwrite=True).rows == 0


# --- measures of masks and tables


def test_components_by_hand():
    ids = np.zeros((40, 50), np.uint8)
    ids[0:2, 0:2] = 1
    ids[2, 2] = 1  # touches by a corner: the same component
    ids[30, 40] = 1  # a speck of 1 pixel in 2000, which is not more than 0.0005
    assert count_components(ids, 0.0005) == 1
    assert count_components(ids, 0.0004) == 2
    assert count_components(np.zeros((4, 4), np.uint8), 0.0) == 0


def test_components_touch_each_other_and_the_edges_of_any_mask():
    random = np.random.default_rng(0)
    for share in (0.02, 0.3, 0.5, 0.9):
        mask = (random.random((37, 53)) < share).astype(np.uint8) * 3
        _, number = ndimage.label(mask, np.ones((3, 3)))
        assert count_components(mask, 0.0) == number


def test_components_join_all_instrument_classes(tmp_path):
    ids = np.zeros((20, 30), np.uint8)
    ids[2:6, 2:6], ids[2:6, 6:10] = 1, 2  # two classes side by side: one region of instrument
    ids[12:16, 12:16] = 2
    writer = GeneratedWriter(tmp_path / "out", SCHEMES["grasper-hook"], "video", {})
    frame = Frame(0, 0.0, np.zeros((20, 30, 3), np.uint8), False)
    assert writer.store(frame, ids, Measures(0.0, 0.0, 0.0), None).row.components == 2


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
