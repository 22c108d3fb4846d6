"""The stages together: order, the grid of batches, errors in each of them, Ctrl-C, bounded queues."""

from __future__ import annotations

import csv
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from surgseg.files import UserError
from surgseg.generate import pipeline
from surgseg.generate.folder import read_generated
from surgseg.generate.pipeline import run_pipeline
from surgseg.generate.writer import GeneratedWriter
from surgseg.labels import SCHEMES
from surgseg.predict import Measures, Prediction
from surgseg.video.reader import Frame


def frames(count, made=None, size=(16, 24)):
    for index in range(count):
        if made is not None:
            made.append(index)
        yield Frame(index, index / 25, np.full((*size, 3), index % 200, np.uint8), False)


class Batch:
    """What `submit` gives: the same 24 pixels of instrument in every frame."""

    def __init__(self, images):
        ids = np.zeros((len(images), *images[0].shape[:2]), np.uint8)
        ids[:, 4:8, 4:10] = 1
        measures = Measures(*(np.full(len(images), value) for value in (24 / ids[0].size, 1.0, 0.0)))
        self.prediction = Prediction(ids, measures, None)

    def result(self):
        return self.prediction


def rows(folder):
    with (folder / "frames.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def indices(folder):
    return [int(row["frame"]) for row in rows(folder)]


def run(tmp_path, source, submit=Batch, writer=GeneratedWriter, **options):
    target = writer(tmp_path / "out", SCHEMES["binary"], "video", {"masks": "png"})
    outcome = run_pipeline(source, submit, target, dict, **options)
    target.finish({}, outcome.stopped)
    return outcome


def no_thread_left():
    return not [thread for thread in threading.enumerate() if thread.name.startswith(("decode", "write"))]


def test_rows_come_in_order_with_their_measures(tmp_path):
    seen = []
    outcome = run(tmp_path, frames(23), batch_size=4, progress=lambda writer: seen.append(writer.rows_written))
    generated = read_generated(tmp_path / "out")
    assert [row.frame for row in generated.rows] == list(range(23))
    assert all(row.coverage == pytest.approx(24 / (16 * 24)) and row.components == 1 for row in generated.rows)
    assert outcome.stopped is None and set(outcome.seconds) == {"decode", "predict", "write", "total"}
    assert seen == list(range(1, 24))
    assert no_thread_left()


def test_rows_come_in_order_whichever_is_stored_first(tmp_path):
    class Uneven(GeneratedWriter):
        def store(self, frame, *rest):
            time.sleep(0.03 if frame.index % 3 == 0 else 0)
            return super().store(frame, *rest)

    run(tmp_path, frames(12), writer=Uneven, batch_size=4)
    assert indices(tmp_path / "out") == list(range(12))


def test_a_run_that_goes_on_predicts_the_same_batches_and_writes_each_frame_once(tmp_path):
    def grid(source, **options):
        batches = []
        run(
            tmp_path,
            source,
            lambda images: batches.append([int(i[0, 0, 0]) for i in images]) or Batch(images),
            **options,
        )
        return batches

    whole = grid(frames(11), batch_size=4)
    assert whole == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    after_six = (frame for frame in frames(11) if frame.index >= 4)  # six rows are written: begin with a whole batch
    assert grid(after_six, batch_size=4, written=2) == whole[1:]
    assert indices(tmp_path / "out") == [6, 7, 8, 9, 10]


def test_decoding_never_runs_far_ahead(tmp_path):
    made, ahead = [], []

    def slow(images):
        time.sleep(0.02)
        ahead.append(len(made) - int(images[0][0, 0, 0]))
        return Batch(images)

    run(tmp_path, frames(60, made), slow, batch_size=2)
    assert max(ahead) <= 2 * 2 + 2 + 2  # the queue, a batch in work, one frame in each hand


def test_large_frames_wait_in_smaller_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "_QUEUE_BYTES", 3 * 16 * 24 * 3)  # room for three frames
    made, ahead = [], []

    def slow(images):
        time.sleep(0.02)
        ahead.append(len(made) - int(images[0][0, 0, 0]))
        return Batch(images)

    run(tmp_path, frames(64, made), slow, batch_size=16)
    assert max(ahead) <= 3 + 16 + 2  # a queue of frames by their number alone would hold 32


def test_at_most_two_batches_are_in_flight(tmp_path):
    flying, most = [], []

    class Flying(Batch):
        def result(self):
            flying.remove(self)
            return super().result()

    def submit(images):
        flying.append(Flying(images))
        most.append(len(flying))
        return flying[-1]

    run(tmp_path, frames(30), submit, batch_size=3)
    assert max(most) == 2 and not flying


def test_writing_never_falls_far_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "_WRITERS", 2)
    stored, behind = [], []

    class Slow(GeneratedWriter):
        def store(self, frame, *rest):
            time.sleep(0.01)
            stored.append(frame.index)
            return super().store(frame, *rest)

    def submit(images):
        behind.append(int(images[0][0, 0, 0]) - len(stored))
        return Batch(images)

    run(tmp_path, frames(60), submit, Slow, batch_size=4)
    assert max(behind) <= 4 + 2 + 2 * 4  # what may wait to be stored, and two batches in flight


def test_an_error_while_decoding_comes_after_the_frames_before_it(tmp_path):
    def broken():
        yield from frames(10)
        raise UserError("the disk is gone")

    with pytest.raises(UserError, match="the disk is gone"):
        run(tmp_path, broken(), batch_size=4)
    assert len(rows(tmp_path / "out")) == 8, "whole batches only: a run that goes on repeats the rest in its batch"
    assert no_thread_left()


@pytest.mark.parametrize("place", ["submit", "result"])
def test_an_error_while_predicting_ends_all_stages(tmp_path, place):
    calls = []

    def fail(where):
        if place == where:
            calls.append(1)
            if len(calls) == 3:
                raise UserError("out of memory")

    class Failing(Batch):
        def result(self):
            fail("result")
            return super().result()

    def submit(images):
        fail("submit")
        return Failing(images)

    with pytest.raises(UserError, match="out of memory"):
        run(tmp_path, frames(1000), submit, batch_size=4)
    found = indices(tmp_path / "out")
    assert found == list(range(len(found))) and len(found) in (4, 8)
    assert no_thread_left()


def test_an_error_while_storing_ends_all_stages(tmp_path):
    class FullDisk(GeneratedWriter):
        def store(self, frame, *rest):
            if frame.index == 9:
                raise UserError("cannot write: no space left on device")
            return super().store(frame, *rest)

    with pytest.raises(UserError, match="no space left"):
        run(tmp_path, frames(1000), writer=FullDisk, batch_size=4)
    assert indices(tmp_path / "out") == list(range(9))
    assert no_thread_left()


def test_an_error_before_the_first_frame_is_written_ends_all_stages(tmp_path):
    class Refused(GeneratedWriter):
        def begin(self, run):
            raise UserError("cannot create folder")

    with pytest.raises(UserError, match="cannot create folder"):
        run(tmp_path, frames(1000), writer=Refused)
    assert not (tmp_path / "out").exists() and no_thread_left()


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("error", [UserError, KeyboardInterrupt])
def test_no_row_follows_one_whose_writing_broke_off(tmp_path, error, before):
    class Broken(GeneratedWriter):
        def commit(self, stored):
            broken = stored.row.frame == 5
            if broken and before:
                raise error("within the row")
            super().commit(stored)
            if broken:
                raise error("within the row")

    if error is UserError:
        with pytest.raises(UserError, match="within the row"):
            run(tmp_path, frames(100), writer=Broken, batch_size=4)
    else:
        assert run(tmp_path, frames(100), writer=Broken, batch_size=4).stopped == "Ctrl-C"
    assert indices(tmp_path / "out") == list(range(5 if before else 6))
    assert no_thread_left()


def test_ctrl_c_leaves_a_readable_folder(tmp_path):
    calls = []

    def interrupted(images):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return Batch(images)

    outcome = run(tmp_path, frames(1000), interrupted, batch_size=4)
    generated = read_generated(tmp_path / "out")
    assert outcome.stopped == "Ctrl-C" and generated.run["complete"] is False
    assert generated.run["stopped"] == "Ctrl-C"
    assert [row.frame for row in generated.rows] == list(range(8))  # the third batch is not back yet
    assert no_thread_left()


def test_ctrl_c_does_not_wait_for_the_next_frame_that_is_taken():
    class Film:
        """An endless film of which nothing is taken; it ends where it is told to."""

        read, stopped = 0, False

        def __iter__(self):
            while not self.stopped:
                self.read += 1
                time.sleep(0.001)
            return
            yield

        def stop(self):
            self.stopped = True

    film = Film()
    decoder = pipeline._Decoder(film, 4, {"decode": 0.0}, film.stop)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(decoder.stop).result(timeout=5)
    assert film.read > 0 and no_thread_left()


def test_a_source_without_frames_writes_nothing(tmp_path):
    def nothing():
        raise UserError("not one frame can be decoded")
        yield

    with pytest.raises(UserError, match="not one frame"):
        run(tmp_path, nothing())
    assert not (tmp_path / "out").exists()
