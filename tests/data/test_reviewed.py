"""A reviewed generated folder as training data."""

import json

import pytest

from surgseg.data.dataset import mark_predicted
from surgseg.data.reviewed import load_data_root
from surgseg.files import UserError
from tests.folders import write_folder
from tests.reviewed_folders import name_of, write_reviewed


def roles(prepared) -> dict[str, str]:
    return {sample.name: sample.role for sample in prepared.samples}


def test_each_frame_has_the_role_that_its_review_gives(tmp_path, capsys):
    found = load_data_root(write_reviewed(tmp_path / "g", unusable=(2,)))
    expected = {
        0: "reviewed",
        1: "reviewed",
        3: "pseudo",
        4: "pseudo",
        5: "pseudo",
        6: "pseudo",
        7: "audit",
        8: "audit",
    }
    assert roles(found) == {name_of(index): role for index, role in expected.items()}  # 2 is unusable, 9 near the audit
    assert {sample.mask.parent.name for sample in found.samples if sample.role != "pseudo"} == {"reviewed"}
    assert {sample.part for sample in found.samples if sample.role == "audit"} == {"test"}
    told = capsys.readouterr().out
    assert "2 frames reviewed" in told and "1 frames unusable" in told and "1 frames in the reserve" in told


def test_reviewed_masks_are_truth_also_where_they_equal_the_prediction(tmp_path):
    folder = write_reviewed(tmp_path / "g")
    (folder / "reviewed" / f"{name_of(0)}.png").write_bytes((folder / "masks" / f"{name_of(0)}.png").read_bytes())
    found = mark_predicted(load_data_root(folder))
    assert {sample.predicted for sample in found.samples if sample.role == "reviewed"} == {False}
    assert {sample.predicted for sample in found.samples if sample.role == "pseudo"} == {True}


def test_frames_of_the_audit_that_nobody_reviewed_are_not_used(tmp_path):
    found = load_data_root(write_reviewed(tmp_path / "g", done=(0, 7)))
    assert name_of(8) not in roles(found)


def test_a_generated_folder_that_nobody_reviewed_is_no_training_data(tmp_path):
    with pytest.raises(UserError, match="nobody has reviewed"):
        load_data_root(write_folder(tmp_path / "g", [5, 6]))


def test_an_unfinished_folder_is_refused(tmp_path):
    folder = write_reviewed(tmp_path / "g")
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "complete": False}))
    with pytest.raises(UserError, match="not finished"):
        load_data_root(folder)


def test_a_frame_that_is_missing_is_named(tmp_path):
    folder = write_reviewed(tmp_path / "g")
    (folder / "frames" / f"{name_of(3)}.png").unlink()
    with pytest.raises(UserError, match=name_of(3)):
        load_data_root(folder)


def test_a_folder_of_reviewed_folders_is_read_whole(tmp_path):
    for name in ("a", "b"):
        write_reviewed(tmp_path / name, name=name)
    found = load_data_root(tmp_path)
    assert len(found.samples) == 18 and found.videos == ["a", "b"] and found.root == tmp_path
