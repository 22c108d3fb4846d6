"""Capture frames in a thread of their own and hand on the newest one: a file at its clock, a camera, a stream."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import Callable, NamedTuple

import numpy as np

from surgseg.files import UserError
from surgseg.live.slot import Slot

GAP_S = 1.0  # without a frame for so long, there is no signal
_WAIT_S = 0.1  # between two looks at the stop signal, since Windows delivers Ctrl-C only between two waits


class Captured(NamedTuple):
    """A frame: its number from 0, its second in the source, (H, W, 3) uint8 RGB, and two times of the clock.

    `arrived`: when this machine had it, undecoded; of a file, when it was due. `ready`: when it was decoded.
    """

    index: int
    time_s: float
    image: np.ndarray
    arrived: float
    ready: float


class SourceLost(Exception):
    """A camera or stream gives no more frames. It may be opened again."""


class Capture:
    """A capture thread and its slot. `work(capture)` calls `put` with each frame until it ends or `stopping` is set.

    `waits`: each frame waits until the one before was taken (as fast as possible); else the newest one wins.
    """

    def __init__(
        self, work: Callable[[Capture], None], *, waits: bool = False, clock: Callable[[], float] = time.perf_counter
    ):
        self.slot: Slot[Captured] = Slot(waits)
        self.clock, self.waits = clock, waits
        self.captured = self.lost = 0  # frames; times that the source was lost
        self.origin: float | None = None  # the clock at second 0 of the source
        self.stopping = threading.Event()
        self.error: BaseException | None = None
        self._alive_until = clock()
        self._counting = threading.Lock()
        self._thread = threading.Thread(target=self._run, args=(work,), name="capture", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self, work: Callable[[Capture], None]) -> None:
        try:
            work(self)
        except BaseException as error:
            self.error = error
        finally:
            self.slot.close()

    def put(self, image: np.ndarray, arrived: float, index: int | None = None, time_s: float | None = None) -> None:
        """Hand on a frame. `index` and `time_s` are counted here where the source does not tell."""
        ready = self.clock()
        self.expect(arrived if time_s is None else ready)  # a decoder may hold back a frame until after the gap
        with self._counting:
            if self.origin is None:
                self.origin = arrived - (time_s or 0.0)
            index = self.captured if index is None else index
            time_s = arrived - self.origin if time_s is None else time_s
            self.captured += 1
            self.slot.put(Captured(index, time_s, image, arrived, ready))

    def expect(self, due: float) -> None:
        """State that no frame comes before the time `due`: until then its absence is no gap."""
        self._alive_until = max(self._alive_until, due)

    @property
    def has_gap(self) -> bool:
        """Whether the source is silent, so that what it showed last must not stay on the screen."""
        return not self.waits and not self.slot.closed and self.clock() - self._alive_until > GAP_S

    def first(self, timeout: float) -> Captured:
        """Wait for the first frame. Raises `UserError` if none comes."""
        frame = self.slot.take(timeout)
        if frame is not None:
            return frame
        if self.error is not None:
            raise self.error
        ended = "it ended" if self.slot.closed else f"none came in {timeout:g} seconds"
        raise UserError(f"--source gives no frames: {ended}")

    def restart_count(self) -> None:
        """Begin to count frames and seconds now; a frame that waits is not counted."""
        with self._counting:
            self.slot.take(0)
            self.captured = self.slot.dropped = 0
            self.origin = self.clock()

    def stop(self) -> None:
        self.stopping.set()
        self.slot.close()
        if self._thread.is_alive():  # a read that hangs in a driver is left to the end of the process
            self._thread.join(2 * GAP_S)


def replay(open_reader: Callable, *, fast: bool = False, wait: Callable | None = None) -> Callable[[Capture], None]:
    """Return the work of a capture: the frames of a file, each at its second, or with `fast` as soon as it is decoded.

    `open_reader()` gives a `VideoReader` or its like. `wait(capture, until)` waits until the clock says `until`.
    """
    wait = wait or _wait

    def work(capture: Capture) -> None:
        with open_reader() as reader:
            start = None
            for frame in reader:
                start = capture.clock() - frame.time_s if start is None else start
                arrived = capture.clock() if fast else start + frame.time_s
                if not fast:
                    capture.expect(arrived)
                    wait(capture, arrived)
                if capture.stopping.is_set():
                    return
                capture.put(frame.image, arrived, frame.index, frame.time_s)

    return work


def _wait(capture: Capture, until: float) -> None:
    while (left := until - capture.clock()) > 0 and not capture.stopping.is_set():
        capture.stopping.wait(min(left, _WAIT_S))


def follow(
    frames: Callable[[Capture], Iterator[tuple[np.ndarray, float]]], name: str, reconnect: float
) -> Callable[[Capture], None]:
    """Return the work of a capture: the frames of a camera or stream, which is opened again `reconnect` seconds after
    it was lost (0: never).

    `frames(capture)` opens it and yields (image, arrived). It raises `SourceLost` if it cannot, or at the end. The work
    raises `UserError` if the source was never there, and `SourceLost` if it is gone and `reconnect` is 0.
    """

    def work(capture: Capture) -> None:
        had, told = False, False
        while not capture.stopping.is_set():
            try:
                for image, arrived in frames(capture):
                    if told:
                        print(f"{name} is back", file=sys.stderr)
                    had, told = True, False
                    capture.put(image, arrived)
                    if capture.stopping.is_set():
                        return
                reason = "it ended"
            except SourceLost as lost:
                reason = str(lost)
            if not had:
                raise UserError(f"{name}: {reason}")
            if capture.stopping.is_set():
                return
            if not reconnect:
                raise SourceLost(f"{name}: {reason}")
            if not told:
                capture.lost += 1
                print(f"{name}: {reason}; trying again every {reconnect:g} s", file=sys.stderr)
            told = True
            capture.stopping.wait(reconnect)

    return work
