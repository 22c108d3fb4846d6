import errno
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from surgseg import files
from surgseg.files import UserError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"cannot write .*mask\.png: No space left"):
        files.write_bytes(tmp_path / "mask.png", b"x")
    assert not list(tmp_path.iterdir())


def test_a_folder_without_write_permission_is_a_user_error(tmp_path, monkeypatch):
    def denied(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.tempfile, "mkstemp", denied)
    with pytest.raises(UserError, match="Permission denied"):
        files.write_text(tmp_path / "a.txt", "x")


def test_a_file_in_the_way_of_a_folder_is_a_user_error(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="cannot create folder"):
        files.write_text(tmp_path / "out" / "a.txt", "x")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_threads_writing_at_once_keep_the_permissions(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: files.write_text(tmp_path / f"{i}.txt", "x"), range(200)))
    (tmp_path / "plain.txt").write_text("x")
    expected = stat.S_IMODE((tmp_path / "plain.txt").stat().st_mode)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {expected}


def test_undefined_scores_are_null_in_json(tmp_path):
    files.write_json(tmp_path / "m.json", {"iou": float("nan"), "path": Path("a"), 1: (1, 2)})
    assert json.loads((tmp_path / "m.json").read_text()) == {"iou": None, "path": "a", "1": [1, 2]}


def test_broken_json_and_missing_columns_name_the_file(tmp_path):
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "a.csv").write_text("name,video\nx,y\n")
    with pytest.raises(UserError, match=r"a\.json is not valid JSON"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"a\.csv has no column frame"):
        files.read_csv(tmp_path / "a.csv", ["name", "frame"])
    with pytest.raises(UserError, match="cannot read"):
        files.read_json(tmp_path / "none.json")


def test_csv_rows_survive(tmp_path):
    rows = [{"name": "a, b", "video": 'say "x"'}, {"name": "ü", "video": ""}]
    files.write_csv(tmp_path / "t.csv", ["name", "video"], rows)
    assert files.read_csv(tmp_path / "t.csv") == rows


def test_numbers_in_names_sort_as_numbers():
    names = ["video10", "video2", "video1_b", "video1"]
    assert sorted(names, key=files.natural_key) == ["video1", "video1_b", "video2", "video10"]


def test_long_lists_are_shortened():
    assert files.list_some("abc", 2) == "a, b and 1 more"
    assert files.list_some("ab", 2) == "a, b"


@pytest.mark.parametrize("name", ["._frame.png", ".DS_Store", "Thumbs.db", "__MACOSX", "desktop.ini"])
def test_operating_system_files_are_no_data(name):
    assert files.is_hidden(name)
    assert not files.is_hidden("frame_1_endo.png")


def test_an_output_folder_is_checked_without_being_made(tmp_path):
    files.check_folder(tmp_path / "new" / "deeper")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        files.check_folder(tmp_path / "file" / "deeper")


def test_a_folder_has_one_writer_at_a_time(tmp_path):
    with files.sole_writer(tmp_path / "out"):
        with pytest.raises(files.LockedError, match="another process is writing"), files.sole_writer(tmp_path / "out"):
            pass
        with files.sole_writer(tmp_path / "other"):
            pass
    with files.sole_writer(tmp_path / "out"):
        pass
    assert not list(tmp_path.iterdir()), "the lock leaves nothing behind"


def test_a_disk_without_locks_is_said(tmp_path, monkeypatch, capsys):
    fcntl = pytest.importorskip("fcntl")

    def without_locks(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", without_locks)
    with files.sole_writer(tmp_path / "out"):
        assert "no file locks" in capsys.readouterr().err
