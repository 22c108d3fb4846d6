import dataclasses

import pytest

from surgseg.files import UserError
from surgseg.reviews import (
    AuditSample,
    Review,
    read_audit_sample,
    read_reviews,
    reviewed_path,
    write_audit_sample,
    write_reviews,
)

CORRECT = Review("v_000010", "correct", 1, "the model is unsure, and the mask is in pieces")
DRAWN = Review("v_000020", "audit", stratum="time 1, coverage 2", probability=0.25)
AUDIT = AuditSample(
    seed=3, population={"time 1, coverage 2": 4}, names=["v_000020"], reserve={"time 1, coverage 2": ["a"]}
)


@pytest.fixture
def folder(tmp_path):
    write_audit_sample(tmp_path, AUDIT)
    return tmp_path


def test_rows_and_audit_come_back_as_they_were_written(folder):
    write_reviews(folder, [CORRECT, DRAWN])
    assert read_reviews(folder) == {"v_000010": CORRECT, "v_000020": DRAWN}
    assert read_audit_sample(folder) == AUDIT


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"purpose": "train"}, "purpose 'train'"),
        ({"status": "done"}, "status 'done'"),
        ({"name": "../v_000010"}, "no name of a frame"),
        ({"seconds": float("nan")}, "no number from 0 on"),
        ({"purpose": "audit", "probability": 0.0}, "probability of inclusion"),
        ({"status": "corrected"}, "are missing in"),
    ],
)
def test_a_table_edited_by_hand_is_refused(folder, changes, told):
    write_reviews(folder, [dataclasses.replace(CORRECT, **changes), DRAWN])
    with pytest.raises(UserError, match=told):
        read_reviews(folder)


def test_a_frame_cannot_leave_the_audit_by_hand(folder):
    write_reviews(folder, [CORRECT, dataclasses.replace(DRAWN, purpose="correct")])
    with pytest.raises(UserError, match="disagree on the frames of the audit"):
        read_reviews(folder)


def test_a_reviewed_mask_makes_a_status_valid(folder):
    reviewed_path(folder, "v_000010").parent.mkdir()
    reviewed_path(folder, "v_000010").touch()
    write_reviews(folder, [dataclasses.replace(CORRECT, status="empty"), DRAWN])
    assert read_reviews(folder)["v_000010"].has_mask
