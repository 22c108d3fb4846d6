import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

import select_frames
from surgseg.files import write_json
from surgseg.generate.folder import read_generated
from surgseg.review.select import choose_to_correct
from surgseg.review.suspicion import read_features
from surgseg.reviews import read_audit_sample, read_reviews, write_reviews
from tests.folders import columns, texture, write_folder

SIZE = (48, 64)


def picture(scene: int, brighter: int = 0) -> np.ndarray:
    """(H, W, 3) uint8: each scene looks different."""
    gray = texture(SIZE, scene) // 2 + 60 + brighter
    return np.stack([gray, gray // 2, gray // 2], axis=2).astype(np.uint8)


def keep_probabilities(path, maps) -> None:
    """Add maps of probability, (H, W) uint8 in 255ths, to a folder."""
    run = json.loads((path / "run.json").read_text())
    write_json(path / "run.json", {**run, "parts": {**run["parts"], "probabilities": "png"}})
    (path / "probabilities").mkdir()
    for mask, probability in zip(sorted((path / "masks").iterdir()), maps):
        cv2.imwrite(str(path / "probabilities" / mask.name), probability)


@pytest.fixture
def folder(tmp_path):
    """24 bursts of two frames, which look unlike in each third burst; burst 23 looks like burst 0, brighter."""
    scenes = [*range(23), 0]
    images = [
        picture(scene + 50 * k * (scene % 3 == 1), 9 * (place == 23) + k)
        for place, scene in enumerate(scenes)
        for k in (0, 1)
    ]
    masks = [columns(0, 4 + place + 2 * k, SIZE) for place in range(24) for k in (0, 1)]
    numbers = [100 * place + k for place in range(24) for k in (0, 1)]
    run = {"sampling": {"mode": "spread", "burst": 2}}
    return write_folder(tmp_path / "v", masks, images=images, numbers=numbers, **run)


def run(folder, *options) -> int:
    return select_frames.main(["--generated-dir", str(folder), *map(str, options)])


def test_frames_of_the_audit_their_bursts_and_near_copies_never_train(folder, capsys):
    assert run(folder, "--budget", 4, "--audit", 4) == 0
    audit, reviews = read_audit_sample(folder), read_reviews(folder)
    kept = set(audit.names).union(*audit.reserve.values())
    expected = {f"{name[:-1]}{k}" for name in kept for k in (0, 1)}
    twins = {f"video_{number:06d}" for number in (0, 1, 2300, 2301)}
    assert set(audit.never_train) == expected | (twins if expected & twins else set())
    to_correct = [row for row in reviews.values() if row.purpose == "correct"]
    assert [row.rank for row in to_correct] == [1, 2, 3, 4] and all(row.reason for row in to_correct)
    assert not {row.name for row in to_correct} & set(audit.never_train)
    assert {row.name: row.probability for row in reviews.values() if row.purpose == "audit"} == dict.fromkeys(
        audit.names, 2 / 12
    )
    printed = capsys.readouterr().out
    assert f"near copies never train: {len(audit.never_train)} frames" in printed


def test_near_copies_are_found_among_all_frames(folder):
    features = read_features(read_generated(folder))
    assert np.flatnonzero(features.near_copies([0])).tolist() == [0, 1, 46, 47]


def test_the_same_seed_chooses_the_same_frames(folder):
    tables = []
    for seed in (1, 1, 2):
        (folder / "review.csv").unlink(missing_ok=True)
        (folder / "review.json").unlink(missing_ok=True)
        assert run(folder, "--budget", 3, "--audit", 4, "--choose", "random", "--seed", seed) == 0
        tables.append((folder / "review.csv").read_text())
    assert tables[0] == tables[1] != tables[2]


def test_a_second_call_adds_and_changes_no_reviewed_row(folder):
    run(folder, "--budget", 2, "--audit", 4)
    reviews = read_reviews(folder)
    before = read_audit_sample(folder)
    done = {
        name: replace(row, status="unusable", seconds=7.0, time="2026-01-01T00:00:00Z")
        for name, row in list(reviews.items())[::3]
    }
    write_reviews(folder, {**reviews, **done}.values())
    assert run(folder, "--budget", 2) == 0
    after = read_reviews(folder)
    assert {name: after[name] for name in reviews} == {**reviews, **done}
    assert [row.rank for row in after.values() if row.purpose == "correct"] == [1, 2, 3, 4]
    assert read_audit_sample(folder) == before
    assert run(folder, "--budget", 0, "--audit", 6) == 0
    larger = read_audit_sample(folder)
    assert larger.names[:4] == before.names and len(larger.names) == 6
    assert larger.never_train == before.never_train
    last = read_reviews(folder)
    assert all(last[name].probability == 3 / 12 for name in larger.names)
    assert all(last[name] == row for name, row in done.items() if row.purpose == "correct")
    assert all(last[name].status == "unusable" for name in done)


def test_a_call_that_was_killed_between_its_files_is_repeated(folder):
    run(folder, "--budget", 3, "--audit", 4)
    table = (folder / "review.csv").read_text()
    (folder / "review.csv").unlink()
    run(folder, "--budget", 3, "--audit", 4)
    assert (folder / "review.csv").read_text() == table
    kept = [row for row in read_reviews(folder).values() if row.purpose != "audit"]
    write_reviews(folder, kept)
    assert run(folder, "--budget", 0) == 0
    assert (folder / "review.csv").read_text() == table


def test_an_audit_of_frames_that_were_reviewed_before_is_refused(folder, capsys):
    assert run(folder, "--budget", 20, "--audit", 0) == 0
    reviews = read_reviews(folder)
    write_reviews(folder, [replace(row, status="unusable") for row in reviews.values()])
    assert run(folder, "--audit", 6) == 2
    assert "draw the audit before anything is reviewed" in capsys.readouterr().err
    assert set(read_reviews(folder)) == set(reviews) and not (folder / "review.json").read_text().count("video_")
    write_reviews(folder, reviews.values())
    assert run(folder, "--audit", 4, "--budget", 2) == 0  # open rows are no problem: they leave the queue
    assert "open frames left the queue" in capsys.readouterr().out
    never = set(read_audit_sample(folder).never_train)
    assert not never & {name for name, row in read_reviews(folder).items() if row.purpose == "correct"}


def test_the_reserve_shrinks_where_too_few_frames_would_be_left_to_correct(folder, capsys):
    assert run(folder, "--budget", 18, "--audit", 4) == 0
    assert sum(map(len, read_audit_sample(folder).reserve.values())) == 4
    assert "the reserve for a larger audit is 1 times the audit, not 3 times" in capsys.readouterr().out


def test_a_budget_that_is_too_large_is_stated(folder, capsys):
    assert run(folder, "--budget", 99, "--audit", 4) == 3
    assert "of 99 frames to correct were found" in capsys.readouterr().err


def test_reasons_name_the_strongest_signs(tmp_path):
    """Sixteen frames, in bursts of two; each sign is made in one of them, so the values are known."""
    masks = [columns(0, 16, SIZE) for _ in range(16)]
    sure = [np.where(mask == 1, 255, 0).astype(np.uint8) for mask in masks]
    masks[4][8:24, 40:52] = 1  # 192 of 3,072 pixels, 6.25 %, touch no border
    masks[5] = masks[4].copy()
    sure[4], sure[5] = sure[4] | masks[4] * np.uint8(255), sure[5] | masks[5] * np.uint8(150)  # ... without a sure core
    masks[10] = columns(0, 32, SIZE)  # 25 % more than the frame of its burst, and than those around
    numbers = [100 * (i // 2) + i % 2 for i in range(16)]
    path = tmp_path / "v"
    write_folder(
        path, masks, images=[picture(i // 2, i % 2) for i in range(16)], numbers=numbers, sampling={"burst": 2}
    )
    keep_probabilities(path, sure)
    features = read_features(read_generated(path))
    values = {name: np.flatnonzero(sign).tolist() for name, sign in features.signs.items()}
    assert values == {
        "uncertainty": [],
        "disagreement": [10, 11],
        "fragments": [5],
        "jump": [4, 5, 10],
        "loose": [4, 5],
    }
    assert features.signs["fragments"][5] == features.signs["loose"][5] == 192 / 3072
    assert features.signs["jump"][10] == pytest.approx(0.25)
    assert features.reason(4) == (
        "mask over 6.2% of the picture touches no border; "
        "coverage differs by 6.2% of the picture from the frames before and after"
    )
    assert features.reason(10) == (
        "coverage differs by 25.0% of the picture from the frames before and after; "
        "mask over 25.0% of the picture comes or goes within 0.2 s"
    )
    assert features.reason(0) == "nothing stands out; it looks unlike the other frames to correct"
    assert {index // 2 for index, _ in choose_to_correct(features, 2)} == {2, 5}


def test_without_probabilities_or_neighbours_a_note_says_what_is_missing(tmp_path, capsys):
    path = write_folder(tmp_path / "v", [1, 2, 3, 4], images=[picture(i)[:10, :10] for i in range(4)])
    assert run(path, "--budget", 1, "--audit", 0) == 0
    printed = capsys.readouterr().out
    assert "kept no probabilities" in printed and "at most 0.2 s apart" in printed


def test_empty_masks_are_chosen_by_their_looks_each_once(tmp_path):
    images = [*(picture(scene) for scene in (0, 0, 1, 2)), *np.zeros((2, *SIZE, 3), np.uint8)]  # the last two are black
    path = write_folder(tmp_path / "v", [np.zeros(SIZE, np.uint8)] * 6, images=images)
    assert run(path, "--budget", 9, "--audit", 0) == 3
    numbers = {int(name[-3:]) // 30 for name in read_reviews(path)}
    assert {2, 3} < numbers and len(numbers & {0, 1}) == len(numbers & {4, 5}) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"parts": {"frames": "png"}}, "kept no masks"),
        ({"parts": {"masks": "png"}}, "kept no frames"),
        ({"complete": False}, "is unfinished"),
    ],
)
def test_a_folder_that_cannot_be_reviewed_is_refused(tmp_path, capsys, options, told):
    path = write_folder(tmp_path / "v", [1, 2], images=[np.zeros((10, 10, 3), np.uint8)] * 2, **options)
    assert run(path) == 2
    assert told in capsys.readouterr().err
    assert not (path / "review.csv").exists()


def test_a_mask_that_changes_at_a_cut_is_not_suspicious(tmp_path):
    scenes = [i // 8 for i in range(16)]
    masks = [columns(0, 16 + 32 * scene, SIZE) for scene in scenes]
    masks[7] = columns(0, 8, SIZE)  # the coverage at a cut lies outside the range of its neighbours
    path = write_folder(tmp_path / "v", masks, step=1, images=[picture(scene) for scene in scenes])
    signs = read_features(read_generated(path)).signs
    assert np.flatnonzero(signs["disagreement"]).tolist() == [6, 7] and not signs["jump"].any()
    (tmp_path / "cuts.csv").write_text("frame\n")
    signs = read_features(read_generated(path), tmp_path / "cuts.csv").signs
    assert np.flatnonzero(signs["disagreement"]).tolist() == [6, 7, 8] and signs["jump"].any(), "a list replaces them"


def test_a_list_of_cuts_is_used_and_what_it_does_is_said(folder, capsys, tmp_path):
    (tmp_path / "cuts.csv").write_text("frame\n1001\n9999\n")
    options = ["--budget", 1, "--audit", 0, "--cuts", tmp_path / "cuts.csv"]
    assert run(folder, *options) == 2 and "--cuts needs --choose suspicion" in capsys.readouterr().err
    assert run(folder, *options, "--choose", "suspicion") == 0
    assert "1 of the list: frame 1001; 1 more lie after the last frame" in capsys.readouterr().out
