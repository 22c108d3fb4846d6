"""Reviewed masks of a generated folder: who reads them, who must not, and how they come back from a tool."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

import analyze_generated_masks
import analyze_mask_statistics
import compare_videos
import prepare_cholecseg8k_assets
from surgseg.analysis.ground_truth import match_ground_truth
from surgseg.annotations.labelme import as_polygons
from surgseg.data.dataset import load_folders
from surgseg.evaluation.as_seen import find_truth
from surgseg.evaluation.folders import score_folders
from surgseg.figures.panels import read_panels
from surgseg.figures.selection import select_frames
from surgseg.files import UserError, read_csv, read_json
from surgseg.generate.folder import read_generated
from surgseg.labels import SCHEMES
from surgseg.masks import read_mask, write_mask
from surgseg.reviews import AuditSample, Review, read_reviews, reviewed_path, write_audit_sample, write_reviews
from surgseg.video.inputs import VideoSource
from tests.annotations.tasks import convert
from tests.folders import columns, write_folder
from tests.helpers import folder_bytes, noise_frame

BINARY, NAMES = SCHEMES["binary"], [f"op_{3 * index:06d}" for index in range(6)]
ACCEPTED, CORRECTED, EMPTY, UNUSABLE, AUDIT, OTHER = NAMES


def review(folder, name, ids):
    write_mask(reviewed_path(folder, name), ids, BINARY)


@pytest.fixture
def folder(tmp_path):
    """Six frames of 10x10 with 20 % predicted; reviewed: 20 %, 50 %, none. A mask is left of an unusable frame."""
    path = tmp_path / "op"
    write_folder(path, [columns(0, 2)] * 6, images=[noise_frame(i, (10, 10)) for i in range(6)], step=3, name="op")
    for name, width in ((ACCEPTED, 2), (CORRECTED, 5), (EMPTY, 0), (UNUSABLE, 2)):
        review(path, name, columns(0, width))
    write_audit_sample(path, AuditSample(0, {"all": 6}, [AUDIT], {}, [AUDIT]))
    rows = [Review(ACCEPTED, "correct", 1, status="accepted"), Review(CORRECTED, "correct", 2, status="corrected")]
    rows += [Review(EMPTY, "extra", status="empty"), Review(UNUSABLE, "correct", 3, status="unusable")]
    write_reviews(path, [*rows, Review(AUDIT, "audit", stratum="all", probability=1 / 6)])
    return path


COUNTS = {"accepted": 1, "corrected": 1, "empty": 1, "predicted": 2, "unusable_left_out": 1}
WORDS = "3 of 5 masks are reviewed (1 accepted, 1 corrected, 1 empty), the others predicted; 1 unusable frame left out"


def test_statistics_are_those_of_the_reviewed_masks_and_the_predicted_rest(folder, capsys):
    out = folder.parent / "out"
    options = ["--generated-dir", str(folder), "--output-dir", str(out), "--flow-pairs", "0", "--prefer-reviewed"]
    assert analyze_mask_statistics.main(options) == 0
    found = read_json(out / "mask_statistics.json")
    assert found["reviewed_masks"] == COUNTS and WORDS in capsys.readouterr().out
    rows = {row["name"]: (row["coverage"], row["components"]) for row in read_csv(out / "mask_statistics_frames.csv")}
    predicted = ("0.2", "1")
    reviewed = {ACCEPTED: predicted, CORRECTED: ("0.5", "1"), EMPTY: ("0", "0")}
    assert rows == {**reviewed, AUDIT: predicted, OTHER: predicted}
    assert found["mean_confidence"] == pytest.approx(0.9)  # the model's


def test_predictions_are_read_unless_reviewed_masks_are_preferred(folder):
    generated = read_generated(folder)
    assert len(generated.rows) == 6 and generated.count_reviewed(generated.rows) is None
    assert {generated.mask_path(row).parent.name for row in generated.rows} == {"masks"}


def test_videos_are_compared_by_the_reviewed_masks(folder, capsys):
    other = write_folder(folder.parent / "other", [columns(0, 2)] * 3)
    options = ["--generated-dirs", str(folder), str(other), "--output-dir", str(folder.parent / "out")]
    assert compare_videos.main([*options, "--flow-pairs", "0", "--prefer-reviewed"]) == 0
    assert f"op: {WORDS}.\n" in capsys.readouterr().out
    videos = read_json(folder.parent / "out" / "video_comparison.json")["videos"]
    assert [video["coverage"]["mean"] for video in videos] == pytest.approx([0.22, 0.2])
    assert [video["reviewed_masks"]["predicted"] for video in videos] == [2, 3]


def test_frames_are_chosen_and_drawn_by_the_reviewed_masks(folder, capsys):
    options = ["--generated-dir", str(folder), "--select", "largest", "--num-samples", "1"]
    assert analyze_generated_masks.main([*options, "--prefer-reviewed"]) == 0
    found = read_json(folder / "figures" / "visual_analysis.json")
    assert found["reviewed_masks"] == COUNTS and WORDS in capsys.readouterr().out
    assert [(sample["name"], sample["coverage"]) for sample in found["samples"]] == [(CORRECTED, 0.5)]


def list_another(path):
    write_reviews(path, [*read_reviews(path).values(), Review("of_another", "extra")])


def mark_all_unusable(path):
    (path / "review.json").unlink()
    write_reviews(path, [Review(name, "extra", status="unusable") for name in NAMES])


def test_the_queue_is_drawn_in_its_order_with_the_reasons(folder, capsys):
    rows = read_reviews(folder)
    rows[OTHER], rows[CORRECTED] = Review(OTHER, "correct", 1, "in pieces"), Review(CORRECTED, "correct", 2, "unsure")
    rows[ACCEPTED] = Review(ACCEPTED, "extra")
    generated = read_generated(folder)
    chosen = select_frames(generated.rows, "queue", 2, reviews=rows)
    assert [row.name for row in chosen.rows] == [OTHER, CORRECTED]
    assert chosen.words.startswith("2 of 3 frames to correct")
    labels = [panel.label for panel in read_panels(generated, chosen.rows, reviews=rows)]
    assert labels == ["0.60 s, coverage 20.00%\nin pieces", "0.12 s, coverage 20.00%\nunsure"]
    write_folder(folder.parent / "none", [1], images=[noise_frame(0, (10, 10))])
    assert analyze_generated_masks.main(["--generated-dir", str(folder.parent / "none"), "--select", "queue"]) == 2
    assert "no frame is to be corrected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: review(path, CORRECTED, columns(0, 5, (8, 10))), f"reviewed/{CORRECTED}.png is 10x8"),
        (lambda path: review(path, CORRECTED, columns(0, 5) * 7), f"{CORRECTED}.png: class id 7"),
        (
            lambda path: reviewed_path(path, EMPTY).unlink(),
            f"reviewed frames are missing in {{path}}/reviewed: {EMPTY}",
        ),
        (lambda path: reviewed_path(path, EMPTY).write_bytes(b"\x89PNG"), f"{EMPTY}.png: cannot be decoded"),
        (list_another, "lists frames that {path}/frames.csv does not: of_another"),
        (mark_all_unusable, "all 6 frames of {path} are marked unusable"),
    ],
)
def test_a_review_that_cannot_be_read_is_one_clear_line(folder, capsys, spoil, told):
    spoil(folder)
    assert analyze_mask_statistics.main(["--generated-dir", str(folder), "--prefer-reviewed"]) == 2
    error = capsys.readouterr().err
    assert told.format(path=folder) in error and error.count("\n") == 1


def test_a_run_without_masks_has_none_to_prefer(tmp_path):
    with pytest.raises(UserError, match="--save masks keeps them"):
        read_generated(write_folder(tmp_path / "op", [5], parts={}), prefer_reviewed=True)


def test_reviewed_masks_are_truth_and_those_of_unusable_frames_are_not(folder):
    """Also the accepted mask, which is the prediction pixel by pixel."""
    truth = folder / "reviewed"
    assert list(match_ground_truth(read_generated(folder), truth)) == [ACCEPTED, CORRECTED, EMPTY]
    assert list(find_truth(folder, BINARY, VideoSource(folder / "op.mp4"), False)) == [0, 3, 6]
    for name in (UNUSABLE, AUDIT, OTHER):
        (folder / "masks" / f"{name}.png").unlink()
    scored, masks = score_folders(truth, folder / "masks", BINARY, "ignore")
    assert masks == 3 and scored.names == [ACCEPTED, CORRECTED, EMPTY]


def test_frames_of_a_review_train_only_through_the_folder_that_knows_its_audit(folder, tmp_path, capsys):
    output = ["--output-root", str(tmp_path / "out"), "--instrument-codes", "1"]
    for masks in ("masks", "reviewed"):
        options = ["--frame-dir", str(folder / "frames"), "--mask-dir", str(folder / masks)]
        assert prepare_cholecseg8k_assets.main([*options, *output]) == 2
        with pytest.raises(UserError, match="give it as --data-root"):
            load_folders(folder / "frames", folder / masks)
    assert convert("--to", "cvat", "--data-root", folder, "--output", tmp_path / "op.zip") == 0
    back = ("--from", "cvat", "--data-root", folder, "--annotations", tmp_path / "op.zip")
    assert convert(*back, "--output", tmp_path / "out", "--masks-reviewed") == 2
    assert capsys.readouterr().err.count("must never train") == 3
    assert not (tmp_path / "out").exists()


def test_a_preparation_does_not_write_into_a_review(folder, tmp_path, capsys):
    write_folder(
        tmp_path / "other", [columns(0, 2)] * 2, images=[noise_frame(i, (10, 10)) for i in range(2)], name="op"
    )
    options = [f"--{part}-dir={tmp_path / 'other' / part}s" for part in ("frame", "mask")]
    before = folder_bytes(folder)
    assert prepare_cholecseg8k_assets.main([*options, "--output-root", str(folder), "--instrument-codes", "1"]) == 2
    assert "holds a review" in capsys.readouterr().err and folder_bytes(folder) == before


def test_a_tool_gets_the_reviewed_masks_where_asked(folder, tmp_path, capsys):
    task = ("--to", "coco", "--data-root", folder, "--output", tmp_path / "op.json")
    assert convert(*task, "--prefer-reviewed") == 0
    assert WORDS in capsys.readouterr().out
    found = read_json(tmp_path / "op.json")
    names = {image["id"]: image["file_name"] for image in found["images"]}
    areas = {names[item["image_id"]][: len(OTHER)]: item["area"] for item in found["annotations"]}
    assert areas == {ACCEPTED: 20, CORRECTED: 50, AUDIT: 20, OTHER: 20}
    assert len(names) == 5  # not the unusable one


def send_back(folder, changed, *options):
    """Read into the review what a tool gives back: the predictions, with `changed` columns of some frames."""
    root = Path(tempfile.mkdtemp(dir=folder.parent))
    task, there = root / "task", root / "there.zip"
    write_folder(
        task,
        [columns(0, changed.get(name, 2)) for name in NAMES],
        images=[noise_frame(0, (10, 10))] * 6,
        step=3,
        name="op",
    )
    assert convert("--to", "cvat", "--data-root", task, "--output", there) == 0
    return convert("--from", "cvat", "--data-root", folder, "--annotations", there, "--into-review", *options)


def test_masks_of_a_tool_become_reviewed_masks_and_audit_frames_stay_the_audit_s(folder, capsys):
    before, predicted = read_reviews(folder), folder_bytes(folder / "masks")
    assert send_back(folder, {AUDIT: 4}) == 0
    after = read_reviews(folder)
    row = after[AUDIT]
    assert (row.purpose, row.probability, row.status, row.changed_pixels) == ("audit", 1 / 6, "corrected", 20)
    assert (read_mask(reviewed_path(folder, AUDIT), 2) == columns(0, 4)).all()
    assert {name: row for name, row in after.items() if name != AUDIT} == {
        name: row for name, row in before.items() if name != AUDIT
    }
    assert "1 masks are unchanged predictions" in capsys.readouterr().err and OTHER not in after
    assert folder_bytes(folder / "masks") == predicted


def test_unchanged_masks_of_a_tool_are_accepted_on_a_person_s_word_and_replace_no_review(folder):
    before = read_reviews(folder)
    assert send_back(folder, {}, "--masks-reviewed") == 0
    after = read_reviews(folder)
    assert [after[name].status for name in (AUDIT, OTHER)] == ["accepted", "accepted"]
    assert [after[name] for name in (CORRECTED, EMPTY, UNUSABLE)] == [
        before[name] for name in (CORRECTED, EMPTY, UNUSABLE)
    ]
    assert after[OTHER].purpose == "extra"


def test_polygons_of_an_unchanged_mask_accept_the_mask_itself(tmp_path):
    disc = (np.hypot(*np.indices((80, 80)) - 40) < 30).astype(np.uint8)
    assert not np.array_equal(as_polygons(disc), disc)
    folder = write_folder(tmp_path / "op", [disc], images=[noise_frame(0, (80, 80))])
    there = tmp_path / "there"
    assert convert("--to", "labelme", "--data-root", folder, "--output", there) == 0
    back = ("--from", "labelme", "--data-root", folder, "--annotations", there, "--into-review", "--masks-reviewed")
    assert convert(*back) == 0
    assert np.array_equal(read_mask(reviewed_path(folder, "video_000000"), 2), disc)
    assert read_reviews(folder)["video_000000"].status == "accepted"


def test_another_mask_of_a_reviewed_frame_replaces_it_only_where_asked(folder, capsys):
    before = folder_bytes(folder)
    assert send_back(folder, {CORRECTED: 7, AUDIT: 4}) == 2
    assert f"holds other reviewed masks of {CORRECTED} (1 of" in capsys.readouterr().err
    assert folder_bytes(folder) == before
    assert send_back(folder, {CORRECTED: 5}) == 0  # the same as reviewed
    assert folder_bytes(folder) == before
    assert send_back(folder, {CORRECTED: 7}, "--masks-reviewed") == 0
    assert read_reviews(folder)[CORRECTED].changed_pixels == 50


def test_only_a_finished_generated_folder_takes_reviewed_masks(folder, tmp_path, capsys):
    assert convert("--to", "cvat", "--data-root", folder, "--output", tmp_path / "op.zip") == 0
    (folder / "run.json").unlink()
    back = ("--from", "cvat", "--data-root", folder, "--annotations", tmp_path / "op.zip")
    assert convert(*back, "--into-review", "--masks-reviewed") == 2
    assert "no generated folder of a finished run" in capsys.readouterr().err
    assert convert(*back, "--output", tmp_path / "out", "--prefer-reviewed") == 2
    assert "--prefer-reviewed for --to" in capsys.readouterr().err
