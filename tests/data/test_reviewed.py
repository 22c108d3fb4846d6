"""A reviewed generated folder as training data."""

import json

import pytest

from surgseg.data.dataset import mark_predicted
from surgseg.data.reviewed import load_data_root
from surgseg.files import UserError
from surgseg.training.split import SplitConfig, choose_split
from tests.folders import write_folder
from tests.reviewed_folders import name_of, sample_name, write_reviewed


def roles(prepared) -> dict[str, str]:
    return {sample.name: sample.role for sample in prepared.samples}


def test_each_frame_has_the_role_that_its_review_gives(tmp_path, capsys):
    found = load_data_root(write_reviewed(tmp_path / "new", unusable=(2,)))
    # 2 is unusable, 9 near the audit
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
    assert roles(found) == {sample_name(index): role for index, role in expected.items()}
    assert {sample.mask.parent.name for sample in found.samples if sample.role != "pseudo"} == {"reviewed"}
    assert {sample.part for sample in found.samples if sample.role == "audit"} == {"test"}
    told = capsys.readouterr().out
    assert "2 frames reviewed" in told and "1 frames unusable" in told and "1 frames in the reserve" in told


def test_reviewed_masks_are_truth_also_where_they_equal_the_prediction(tmp_path):
    folder = write_reviewed(tmp_path / "new")
    (folder / "reviewed" / f"{name_of(0)}.png").write_bytes((folder / "masks" / f"{name_of(0)}.png").read_bytes())
    found = mark_predicted(load_data_root(folder))
    assert {sample.predicted for sample in found.samples if sample.role == "reviewed"} == {False}
    assert {sample.predicted for sample in found.samples if sample.role == "pseudo"} == {True}


def test_frames_of_the_audit_that_nobody_reviewed_are_not_used(tmp_path):
    found = load_data_root(write_reviewed(tmp_path / "new", done=(0, 7)))
    assert sample_name(7) in roles(found) and sample_name(8) not in roles(found)


def test_a_generated_folder_that_nobody_reviewed_is_no_training_data(tmp_path):
    with pytest.raises(UserError, match="nobody has reviewed"):
        load_data_root(write_folder(tmp_path / "new", [5, 6]))


def test_an_unfinished_folder_is_refused(tmp_path):
    folder = write_reviewed(tmp_path / "new")
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "complete": False}))
    with pytest.raises(UserError, match="not finished"):
        load_data_root(folder)


def test_a_frame_that_is_missing_is_named(tmp_path):
    folder = write_reviewed(tmp_path / "new")
    (folder / "frames" / f"{name_of(3)}.png").unlink()
    with pytest.raises(UserError, match=name_of(3)):
        load_data_root(folder)


def test_a_folder_of_reviewed_folders_is_read_whole_though_their_frames_have_the_same_names(tmp_path):
    for name in ("a", "b"):
        write_reviewed(tmp_path / name, audit=(7, 8) if name == "a" else (0, 1), done=(0, 1, 7, 8))
    found = load_data_root(tmp_path)
    assert found.videos == ["a", "b"] and found.root == tmp_path
    assert {name for name, role in roles(found).items() if role == "audit"} == {
        sample_name(7, "a"), sample_name(8, "a"), sample_name(0, "b"), sample_name(1, "b")
    }  # fmt: skip
    split = choose_split(SplitConfig(), found.samples)
    assert {found.samples[index].role for index in split.parts["test"]} == {"audit"}
    assert "audit" not in {found.samples[index].role for index in split.parts["train"]}
