"""Reviews of a generated folder on the disk: what is saved, what is refused, what nobody can lose."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from surgseg.files import LockedError, UserError, sole_writer
from surgseg.labels import VOID
from surgseg.review import store
from surgseg.review.picture import carry_mask, thumbnail
from surgseg.review.store import Conflict, open_for_review, save_review, starting_mask
from surgseg.reviews import (
    AuditSample,
    Review,
    lock_reviews,
    read_reviews,
    reviewed_path,
    write_audit_sample,
    write_reviews,
)
from tests.folders import columns, texture, write_folder
from tests.helpers import folder_bytes, save_image

SIZE = (20, 30)
PREDICTED = columns(0, 5, SIZE)


def write_reviewable(path: Path, count: int = 4, **options) -> Path:
    images = [np.full((*SIZE, 3), 40 + index, np.uint8) for index in range(count)]
    return write_folder(path, [PREDICTED] * count, images=images, step=5, **options)


@pytest.fixture
def folder(tmp_path):
    return write_reviewable(tmp_path / "video")


@pytest.fixture
def opened(folder):
    return open_for_review(folder)


def with_void(ids):
    return np.where(np.indices(SIZE)[0] == 0, VOID, ids).astype(np.uint8)


@pytest.mark.parametrize(
    ("ids", "status", "changed"),
    [
        (PREDICTED, "accepted", 0),
        (columns(0, 6, SIZE), "corrected", 20),
        (np.zeros(SIZE, np.uint8), "empty", 100),
        (with_void(0 * PREDICTED), "empty", 125),
        (with_void(PREDICTED), "corrected", 30),
        (None, "unusable", 0),
    ],
)
def test_the_mask_says_the_status(opened, folder, ids, status, changed):
    before = folder_bytes(folder / "masks")
    saved, version = save_review(opened, 1, ids, 2.5, "")
    assert (saved.purpose, saved.status, saved.changed_pixels, saved.seconds) == ("extra", status, changed, 2.5)
    assert read_reviews(folder) == {"video_000005": saved} and version
    assert folder_bytes(folder / "masks") == before
    if ids is None:
        assert not reviewed_path(folder, "video_000005").exists()
    else:
        with Image.open(reviewed_path(folder, "video_000005")) as image:
            assert image.mode == "P" and (np.asarray(image) == ids).all()


def test_each_instrument_class_counts(tmp_path):
    shaft = PREDICTED.copy()
    opened = open_for_review(write_reviewable(tmp_path / "video", scheme="parts"))
    shaft[:3, :5] = 2
    assert save_review(opened, 0, shaft, 0, "")[0].changed_pixels == 15
    assert save_review(opened, 1, np.where(shaft == 2, 2, 0).astype(np.uint8), 0, "")[0].status == "corrected"


def test_a_save_keeps_the_rows_of_others_and_adds_up_the_seconds(opened, folder):
    rows = [Review("video_000010", "correct", 1, "unsure, in pieces"), Review("video_000000", "correct", 2, "jumps")]
    write_reviews(folder, rows)
    first, version = save_review(opened, 0, PREDICTED, 3, "")
    second, _ = save_review(opened, 0, None, 4.5, version)
    assert (second.reason, second.rank, second.seconds) == ("jumps", 2, 7.5) and first.seconds == 3
    assert list(read_reviews(folder).values()) == [rows[0], second]


def test_the_second_of_two_people_is_told_and_overwrites_nothing(opened, folder):
    _, read_by_both = starting_mask(opened, 0)
    _, version = save_review(opened, 0, columns(0, 7, SIZE), 1, read_by_both)
    before = folder_bytes(folder)
    with pytest.raises(Conflict) as told:
        save_review(open_for_review(folder), 0, PREDICTED, 1, read_by_both)
    assert folder_bytes(folder) == before
    assert (told.value.version, told.value.review.status) == (version, "corrected")
    assert save_review(opened, 0, PREDICTED, 1, told.value.version)[0].status == "accepted"


def test_a_new_choice_of_frames_is_no_conflict(opened, folder):
    _, version = starting_mask(opened, 0)
    write_reviews(folder, [Review("video_000000", "correct", 1, "jumps")])
    assert save_review(opened, 0, PREDICTED, 1, version)[0].purpose == "correct"


def test_saves_at_the_same_time_lose_no_row(folder):
    def save(index: int) -> None:
        save_review(open_for_review(folder), index, PREDICTED, 1, "")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save, range(4)))
    assert len(read_reviews(folder)) == 4


def test_who_holds_the_reviews_for_long_is_named(opened, folder):
    with lock_reviews(folder), pytest.raises(LockedError, match="reviewed"), lock_reviews(folder, patience_s=0):
        pass


@pytest.mark.parametrize("full_at", [1, 2])
def test_a_full_disk_changes_nothing(opened, folder, monkeypatch, full_at):
    _, version = save_review(opened, 0, PREDICTED, 1, "")
    before, calls = folder_bytes(folder), []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(UserError, match="No space left"):
        save_review(opened, 0, columns(0, 9, SIZE), 1, version)
    assert folder_bytes(folder) == before


def test_a_server_killed_between_mask_and_table_loses_neither(opened, folder, monkeypatch):
    replace = Path.replace

    def killed(self, target):
        if Path(target).name == "review.csv":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save_review(opened, 0, columns(0, 9, SIZE), 1, "")
    monkeypatch.undo()
    ids, version = starting_mask(open_for_review(folder), 0)
    assert (ids == columns(0, 9, SIZE)).all()
    with pytest.raises(Conflict):
        save_review(opened, 0, PREDICTED, 1, "")
    assert save_review(opened, 0, ids, 1, version)[0].status == "corrected"


def test_an_unusable_frame_keeps_the_mask_that_was_drawn_before(opened):
    _, version = save_review(opened, 0, columns(0, 9, SIZE), 1, "")
    save_review(opened, 0, None, 1, version)
    assert (starting_mask(opened, 0)[0] == columns(0, 9, SIZE)).all()


def test_a_table_that_is_broken_by_hand_meanwhile_is_kept_as_it_is(opened, folder):
    save_review(opened, 0, PREDICTED, 1, "")
    table = folder / "review.csv"
    table.write_text(table.read_text().replace("accepted", "fine"))
    before = folder_bytes(folder)
    with pytest.raises(UserError, match=r"review.csv, line 2.*'fine'"):
        save_review(opened, 1, PREDICTED, 1, "")
    assert folder_bytes(folder) == before


def test_the_audit_is_blind(folder):
    drawn = Review("video_000010", "audit", rank=3, reason="drawn", stratum="1", probability=0.5)
    write_audit_sample(folder, AuditSample(population={"1": 2}, names=["video_000010"]))
    write_reviews(folder, [drawn, Review("video_000000", "correct", 1, "jumps")])
    opened = open_for_review(folder, blank_audit=True)
    assert not starting_mask(opened, 2)[0].any() and starting_mask(opened, 0)[0].any()
    assert starting_mask(open_for_review(folder), 2)[0].any()
    save_review(opened, 2, columns(0, 9, SIZE), 1, "")
    assert (starting_mask(opened, 2)[0] == columns(0, 9, SIZE)).all()
    listed = store.describe_frames(opened)
    told = ("purpose", "rank", "reason", "status", "changed_pixels")
    assert [listed[2][key] for key in told] == ["audit", 0, "", "corrected", 0]
    assert [listed[0][key] for key in told] == ["correct", 1, "jumps", "open", 0]
    assert {key for item in listed for key in item} == {*told, "index", "name", "time_s", "seconds", "version"}


@pytest.mark.parametrize("part", ["frames", "masks"])
def test_a_folder_without_frames_or_masks_is_refused(tmp_path, part):
    parts = {"frames": "png", "masks": "png"}
    del parts[part]
    with pytest.raises(UserError, match=f"no {part}.*again with --"):
        open_for_review(write_reviewable(tmp_path / "video", parts=parts))


@pytest.mark.parametrize("path", ["frames/video_000005.png", "masks/video_000010.png", "reviewed/video_000000.png"])
def test_a_file_of_another_size_is_named(opened, folder, path):
    save_review(opened, 0, PREDICTED, 1, "")
    save_image(folder / path, np.zeros((20, 31), np.uint8))
    with pytest.raises(UserError, match=f"30x20.*{path} 31x20"):
        open_for_review(folder)


def test_a_folder_that_a_run_is_writing_is_refused_and_one_that_ended_early_is_not(tmp_path):
    folder = write_reviewable(tmp_path / "video", complete=False)
    with sole_writer(folder), pytest.raises(LockedError, match="is writing"):
        open_for_review(folder)
    assert len(open_for_review(folder).generated.rows) == 4


@pytest.mark.parametrize("scale", [1, 6])
def test_a_mask_is_carried_to_the_place_of_its_instrument(scale):
    """The picture moves 6 pixels right and 4 down, so the mask does; large frames have their flow at 480 rows."""
    height, width = 100 * scale, 150 * scale
    large = np.kron(texture((120, 170)), np.ones((scale, scale), np.uint8))
    first, second = (
        large[y * scale : y * scale + height, x * scale : x * scale + width] for y, x in ((10, 12), (6, 6))
    )
    mask = np.zeros((height, width), np.uint8)
    mask[40 * scale : 60 * scale, 50 * scale : 90 * scale] = 1
    moved = np.roll(mask, (4 * scale, 6 * scale), (0, 1))
    carried, trusted = carry_mask(mask, *(np.repeat(frame[..., None], 3, 2) for frame in (first, second)))
    assert (carried != moved).sum() < 0.05 * mask.sum() and trusted[moved > 0].mean() > 0.9


def test_a_thumbnail_is_small_and_not_distorted(tmp_path):
    path = save_image(tmp_path / "a.jpg", np.zeros((480, 854, 3), np.uint8))
    (tmp_path / "b.jpg").write_bytes(thumbnail(path))
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.size == (160, 90)
