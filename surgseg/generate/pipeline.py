"""Decode -> predict -> write at the same time, joined by bounded queues, so that memory does not grow.

One thread decodes, the caller's thread predicts (it receives Ctrl-C), and a pool of threads writes. On a GPU the next
batch is sent before the result of the last one is read. An error in one stage ends all stages; rows on the disk stay.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Callable

import cv2
import numpy as np

from surgseg.generate.writer import GeneratedWriter, Stored
from surgseg.predict import Pending
from surgseg.threads import cpu_count
from surgseg.video.reader import Frame

_WRITERS = min(max(2, cpu_count()), 16)
_IN_FLIGHT = 2  # batches at the predictor whose results are not read yet
_QUEUE_BYTES = 256 << 20  # limit of the decoded frames that wait for prediction
_WAIT = 0.1  # seconds between two checks of the stop signal


@dataclass
class Outcome:
    """Busy seconds of each stage (`write`: sum over its threads), and the reason it stopped early, or None."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("decode", "predict", "write"), 0.0))
    stopped: str | None = None


def run_pipeline(
    frames: Iterable[Frame],
    submit: Callable[[Sequence[np.ndarray]], Pending],
    writer: GeneratedWriter,
    run: Callable[[], dict],
    *,
    batch_size: int = 4,
    written: int = 0,
    stop_reading: Callable[[], None] = lambda: None,
    progress: Callable[[GeneratedWriter], None] = lambda writer: None,
) -> Outcome:
    """Predict and write every frame of `frames`, which all have the same size.

    `submit` is `Predictor.submit`. A batch is `batch_size` consecutive frames. An earlier run wrote the first `written`
    frames of the first batch: they are predicted and not written again. `run()` returns what `run.json` says of the
    video; it is called after the first frame is decoded. `stop_reading` ends `frames` early, from another thread.

    Ctrl-C ends the run with `stopped="Ctrl-C"`. An error in a stage ends all stages and is raised here.
    """
    outcome = Outcome()
    started = time.perf_counter()
    cv2_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the pool already runs one frame on each core
    pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="write")
    decoder = _Decoder(frames, 2 * batch_size, outcome.seconds, stop_reading)
    predicting: deque[tuple[list[Frame], Pending]] = deque()
    waiting: deque[Future] = deque()
    lock = threading.Lock()
    committing = False

    def store(*item) -> Stored:
        begun = time.perf_counter()
        stored = writer.store(*item)
        with lock:
            outcome.seconds["write"] += time.perf_counter() - begun
        return stored

    def read_back(limit: int) -> None:
        nonlocal written
        while len(predicting) > limit:
            batch, pending = predicting.popleft()
            begun = time.perf_counter()
            ids, measures, probability = pending.result()
            outcome.seconds["predict"] += time.perf_counter() - begun
            for index, frame in enumerate(batch):
                if written:
                    written -= 1
                    continue
                kept = None if probability is None else probability[index]
                waiting.append(pool.submit(store, frame, ids[index], measures.of_frame(index), kept))
            settle(batch_size + _WRITERS)

    def settle(limit: int) -> None:
        nonlocal committing
        while len(waiting) > limit:
            stored = waiting[0].result()
            committing = True  # after Ctrl-C within commit, the row may be written or not: write no row after it
            waiting.popleft()
            writer.commit(stored)
            committing = False
            progress(writer)

    try:
        for batch in decoder.batches(batch_size):
            if not writer.begun:
                writer.begin(run())
            begun = time.perf_counter()
            predicting.append((batch, submit([frame.image for frame in batch])))
            outcome.seconds["predict"] += time.perf_counter() - begun
            read_back(_IN_FLIGHT - 1)
        read_back(0)
        settle(0)
        if decoder.error is not None:  # the frames decoded before the error are written now
            raise decoder.error
    except KeyboardInterrupt:
        outcome.stopped = "Ctrl-C"
    finally:
        decoder.stop()
        _finish_writing(waiting, None if committing else writer)
        pool.shutdown()
        cv2.setNumThreads(cv2_threads)
    outcome.seconds["total"] = time.perf_counter() - started
    return outcome


def _finish_writing(waiting: deque[Future], writer: GeneratedWriter | None) -> None:
    """Write what is already predicted when the run ends early (a batch or two), up to the first failure."""
    for future in waiting if writer is not None else ():
        try:
            writer.commit(future.result())
        except Exception:  # the caller already gets the first error
            break
    for future in waiting:
        future.cancel()
    waiting.clear()


class _Decoder:
    """A thread that fills a bounded queue with frames until `stop` ends it."""

    def __init__(self, frames: Iterable[Frame], depth: int, seconds: dict[str, float], stop_reading: Callable):
        self._depth = depth
        self._queue: queue.Queue = queue.Queue(depth)
        self.error: BaseException | None = None
        self._stopping = threading.Event()
        self._seconds = seconds
        self._stop_reading = stop_reading
        self._thread = threading.Thread(target=self._work, args=(frames,), name="decode", daemon=True)
        self._thread.start()

    def _work(self, frames: Iterable[Frame]) -> None:
        try:
            begun = time.perf_counter()
            for frame in frames:
                self._seconds["decode"] += time.perf_counter() - begun
                self._queue.maxsize = max(2, min(self._depth, _QUEUE_BYTES // frame.image.nbytes))
                if not self._put(frame):
                    break
                begun = time.perf_counter()
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, item) -> bool:
        while not self._stopping.is_set():
            try:
                self._queue.put(item, timeout=_WAIT)
                return True
            except queue.Full:
                continue
        return False

    def batches(self, size: int) -> Iterator[list[Frame]]:
        """Yield lists of `size` consecutive frames, the last one shorter. An error ends them; it is in `error`."""
        batch: list[Frame] = []
        while True:
            try:
                item = self._queue.get(timeout=_WAIT)  # short, since Windows delivers Ctrl-C only between two waits
            except queue.Empty:
                continue
            if isinstance(item, Frame):
                batch.append(item)
                if len(batch) == size:
                    yield batch
                    batch = []
                continue
            if batch and item is None:  # not after an error: the next run predicts this batch whole
                yield batch
            self.error = item
            return

    def stop(self) -> None:
        self._stopping.set()
        while self._thread.is_alive():
            self._stop_reading()  # otherwise it may decode a long time to the next sampled frame
            self._thread.join(_WAIT)
