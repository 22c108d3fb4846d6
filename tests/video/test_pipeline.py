"""The stages together: order, errors in each of them, Ctrl-C, bounded queues."""

from __future__ import annotations

import csv
import threading
import time

import numpy as np
import pytest

from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.video.generated import read_generated
from surgseg.video.generated_writer import GeneratedWriter
from surgseg.video.pipeline import run_pipeline
from surgseg.video.reader import Frame


def frames(count, made=None):
    for index in range(count):
        if made is not None:
            made.append(index)
        yield Frame(index, index / 25, np.full((16, 24, 3), index % 200, np.uint8), False)


def predict(images):
    ids = np.zeros(images.shape[:3], np.uint8)
    ids[:, 4:8, 4:10] = 1
    return ids, ids.astype(np.float32)


def rows(folder):
    with (folder / "frames.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def run(tmp_path, source, predict=predict, writer=GeneratedWriter, **options):
    target = writer(tmp_path / "out", SCHEMES["binary"], "video")
    outcome = run_pipeline(source, predict, target, dict, **options)
    target.finish({}, outcome.stopped is None, outcome.stopped)
    return outcome


def no_thread_left():
    return not [thread for thread in threading.enumerate() if thread.name.startswith(("decode", "write"))]


def test_rows_come_in_order_with_their_measures(tmp_path):
    outcome = run(tmp_path, frames(23), batch_size=4)
    generated = read_generated(tmp_path / "out")
    assert [row.frame for row in generated.rows] == list(range(23))
    assert all(row.coverage == pytest.approx(24 / (16 * 24)) and row.components == 1 for row in generated.rows)
    assert outcome.stopped is None and set(outcome.seconds) == {"decode", "predict", "write", "total"}
    assert no_thread_left()


def test_max_frames_ends_the_run(tmp_path):
    run(tmp_path, frames(50), max_frames=7, batch_size=4)
    assert len(rows(tmp_path / "out")) == 7


def test_decoding_never_runs_far_ahead(tmp_path):
    made, ahead = [], []

    def slow(images):
        time.sleep(0.02)
        ahead.append(len(made) - images[0, 0, 0, 0])
        return predict(images)

    run(tmp_path, frames(60, made), slow, batch_size=2)
    assert max(ahead) <= 2 * 2 + 2 + 2  # the queue, a batch in work, one frame in each hand


def test_an_error_while_decoding_comes_after_the_frames_before_it(tmp_path):
    def broken():
        yield from frames(10)
        raise UserError("the disk is gone")

    with pytest.raises(UserError, match="the disk is gone"):
        run(tmp_path, broken(), batch_size=4)
    assert len(rows(tmp_path / "out")) == 10
    assert no_thread_left()


def test_an_error_while_predicting_ends_all_stages(tmp_path):
    calls = []

    def failing(images):
        calls.append(len(images))
        if len(calls) == 3:
            raise UserError("out of memory")
        return predict(images)

    with pytest.raises(UserError, match="out of memory"):
        run(tmp_path, frames(1000), failing, batch_size=4)
    assert [int(row["frame"]) for row in rows(tmp_path / "out")] == list(range(len(rows(tmp_path / "out"))))
    assert no_thread_left()


def test_an_error_while_writing_ends_all_stages(tmp_path):
    class FullDisk(GeneratedWriter):
        def store(self, frame, ids, probability):
            if frame.index == 9:
                raise UserError("cannot write: no space left on device")
            return super().store(frame, ids, probability)

    with pytest.raises(UserError, match="no space left"):
        run(tmp_path, frames(1000), writer=FullDisk, batch_size=4)
    assert [int(row["frame"]) for row in rows(tmp_path / "out")] == list(range(9))
    assert no_thread_left()


def test_ctrl_c_leaves_a_readable_folder(tmp_path):
    calls = []

    def interrupted(images):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return predict(images)

    outcome = run(tmp_path, frames(1000), interrupted, batch_size=4)
    generated = read_generated(tmp_path / "out")
    assert outcome.stopped == "Ctrl-C" and generated.run["complete"] is False
    assert 0 < len(generated.rows) <= 12
    assert no_thread_left()


def test_a_source_without_frames_writes_nothing(tmp_path):
    def nothing():
        raise UserError("not one frame can be decoded")
        yield

    with pytest.raises(UserError, match="not one frame"):
        run(tmp_path, nothing())
    assert not (tmp_path / "out").exists()
