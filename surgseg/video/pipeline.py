"""Decode -> predict -> write, each in its own thread, joined by bounded queues: memory does not grow with length.

Decoding has a thread, prediction the caller's (so that Ctrl-C arrives there), writing a small pool. A stage that
fails ends the others; rows already on the disk stay, in order.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Callable

import numpy as np

from surgseg.video.generated import FrameRow, GeneratedWriter
from surgseg.video.reader import Frame

_WRITERS = 2
_WAIT = 0.1  # seconds between two looks at the stop signal


@dataclass
class Outcome:
    """What a run did: busy seconds of each stage (`write`: summed over its threads) and why it stopped early."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("decode", "predict", "write"), 0.0))
    stopped: str | None = None


def run_pipeline(
    frames: Iterable[Frame],
    predict: Callable,
    writer: GeneratedWriter,
    run: Callable[[], dict],
    *,
    batch_size: int = 4,
    max_frames: int | None = None,
    progress: Callable[[GeneratedWriter], None] = lambda writer: None,
) -> Outcome:
    """Predict and write every frame of `frames`, which all have one size.

    `predict` takes (N, H, W, 3) uint8 RGB and returns (ids (N, H, W) uint8, probability (N, H, W) float32); `run()`
    is what `run.json` says of the video, asked for when the first frame has come. Ctrl-C ends the run with
    `stopped="Ctrl-C"`; an error in a stage ends all stages and is raised here. Frames written before stay.
    """
    outcome = Outcome()
    started = time.perf_counter()
    pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="write")
    decoder = _Decoder(frames, 2 * batch_size, max_frames, outcome.seconds)
    waiting: deque[Future] = deque()
    lock = threading.Lock()

    def store(*item) -> FrameRow:
        begun = time.perf_counter()
        row = writer.store(*item)
        with lock:
            outcome.seconds["write"] += time.perf_counter() - begun
        return row

    def settle(limit: int) -> None:
        while len(waiting) > limit:
            row = waiting[0].result()
            waiting.popleft()  # before the commit: Ctrl-C between the two must not write a row twice
            writer.commit(row)
            progress(writer)

    try:
        for number, batch in enumerate(decoder.batches(batch_size)):
            begun = time.perf_counter()
            ids, probability = predict(np.stack([frame.image for frame in batch]))
            outcome.seconds["predict"] += time.perf_counter() - begun
            if number == 0:
                writer.begin(run())
            for index, frame in enumerate(batch):
                waiting.append(pool.submit(store, frame, np.asarray(ids[index]), np.asarray(probability[index])))
            settle(batch_size + _WRITERS)
        settle(0)
    except KeyboardInterrupt:
        outcome.stopped = "Ctrl-C"
    finally:
        decoder.stop()
        _finish_writing(waiting, writer)
        pool.shutdown()
    outcome.seconds["total"] = time.perf_counter() - started
    return outcome


def _finish_writing(waiting: deque[Future], writer: GeneratedWriter) -> None:
    """After an early end: write what is predicted already (a batch or two), up to the first that fails."""
    for future in waiting:
        try:
            writer.commit(future.result())
        except Exception:  # the first error is on its way to the caller already
            break
    for future in waiting:
        future.cancel()
    waiting.clear()


class _Decoder:
    """A thread that fills a bounded queue with frames; it ends on `stop`, whatever it is waiting for."""

    def __init__(self, frames: Iterable[Frame], depth: int, max_frames: int | None, seconds: dict[str, float]):
        self._queue: queue.Queue = queue.Queue(depth)
        self._stopping = threading.Event()
        self._seconds = seconds
        self._thread = threading.Thread(target=self._work, args=(frames, max_frames), name="decode", daemon=True)
        self._thread.start()

    def _work(self, frames: Iterable[Frame], max_frames: int | None) -> None:
        try:
            begun = time.perf_counter()
            for count, frame in enumerate(frames, 1):
                self._seconds["decode"] += time.perf_counter() - begun
                if not self._put(frame) or count == max_frames:
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
        """Consecutive frames in lists of `size`, the last one shorter; an error of the decoder comes after them."""
        batch: list[Frame] = []
        while True:
            try:
                item = self._queue.get(timeout=_WAIT)  # Windows delivers Ctrl-C only between two waits
            except queue.Empty:
                continue
            if isinstance(item, Frame):
                batch.append(item)
                if len(batch) == size:
                    yield batch
                    batch = []
                continue
            if batch:
                yield batch
            if item is not None:
                raise item
            return

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
