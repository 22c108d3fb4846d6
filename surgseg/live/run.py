"""Show the newest frame with its own mask: a thread captures, one predicts, and the caller's thread shows and keeps.

The caller's thread shows because windows need the main thread on macOS, and because it receives Ctrl-C.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import Callable, NamedTuple

import numpy as np

from surgseg.live.capture import Capture, Captured
from surgseg.live.latency import report_line, summarise_latency
from surgseg.live.screen import Controls, Screen
from surgseg.live.slot import Slot
from surgseg.predict import Measures, Predictor
from surgseg.view import NO_PICTURE, View, view_of

_TICK_S = 0.1  # between two looks at keys and signal while no frame comes


class Predicted(NamedTuple):
    """A frame, its (H, W) uint8 class ids, its measures, the threshold used, and when prediction began and ended."""

    frame: Captured
    ids: np.ndarray
    measures: Measures
    threshold: float | None
    begun: float
    done: float


class Shown(NamedTuple):
    """What was shown: the picture, (H', W', 3) uint8 RGB, the prediction on it (None: no signal), and when, in seconds
    of the source. `stages_ms`: those of `STAGES`."""

    picture: np.ndarray
    second: float
    prediction: Predicted | None = None
    stages_ms: Sequence[float] = ()


Predict = Callable[[np.ndarray, "float | None"], "tuple[np.ndarray, Measures]"]


def predict_with(predictor: Predictor, asked: str | list[int] = "full", view: View | None = None) -> Predict:
    """Return the only way of a live frame to the network: (image, threshold) -> ((H, W) uint8 ids, its measures).

    `asked` is a view that `parse_view` returns. `view` is the one that was found already; otherwise, and for frames of
    another size, it is found in the first frame that shows a picture.
    """
    views = {} if view is None else {view.frame: view}

    def view_in(image: np.ndarray) -> View:
        size = image.shape[:2]
        if size in views:
            return views[size]
        found = view_of(asked, [image])
        if found.reason != NO_PICTURE:
            views[size] = found
        return found

    def predict(image: np.ndarray, threshold: float | None) -> tuple[np.ndarray, Measures]:
        predictor.threshold = threshold
        found = predictor.submit([image], None if asked == "full" else view_in(image)).result()
        return found.ids[0], found.measures.of_frame(0)

    return predict


class Live:
    """A run: `capture` -> `predict(image, threshold)` -> `screen`, then each of `keepers` gets what was `Shown`."""

    def __init__(
        self,
        capture: Capture,
        predict: Predict,
        screen: Screen,
        controls: Controls,
        keepers: Sequence[Callable[[Shown], None]] = (),
        *,
        report_s: float = 0.0,
        budget_ms: float | None = None,
        report: Callable[[str], None] = functools.partial(print, flush=True),
    ):
        self.capture, self.predict, self.screen = capture, predict, screen
        self.controls, self.keepers = controls, keepers
        self.report_s, self.budget_ms, self.report = report_s, budget_ms, report
        self.results: Slot[Predicted] = Slot(capture.waits)
        self.stages: list[Sequence[float]] = []  # milliseconds of each shown frame
        self.discarded = self.gaps = 0  # frames predicted into a gap; gaps shown
        self.gap_s = 0.0
        self._error: BaseException | None = None
        self._reported = (0, 0, 0, 0.0)  # captured, shown, dropped, second of the last report
        self._thread = threading.Thread(target=self._predict_all, name="predict", daemon=True)

    @property
    def dropped(self) -> int:
        return self.capture.slot.dropped + self.results.dropped + self.discarded

    def _predict_all(self) -> None:
        try:
            while not self.capture.slot.ended:
                frame = self.capture.slot.take()
                if frame is None:
                    break
                begun, threshold = self.capture.clock(), self.controls.threshold
                ids, measures = self.predict(frame.image, threshold)
                self.results.put(Predicted(frame, ids, measures, threshold, begun, self.capture.clock()))
        except BaseException as error:
            self._error = error
        finally:
            self.results.close()

    def run(self) -> None:
        """Show until the source ends, the user ends it, or a stage fails: that error is raised here."""
        self._thread.start()
        gap_since = None
        try:
            while not self.results.ended and not self.controls.ended:
                found = self.results.take(_TICK_S)
                if self.capture.has_gap:  # also a mask that was predicted meanwhile belongs to the time before
                    self.discarded += found is not None
                    if gap_since is None:
                        gap_since, self.gaps = self.capture.clock(), self.gaps + 1
                        self._show_gap()
                elif found is not None:
                    if gap_since is not None:
                        self.gap_s, gap_since = self.gap_s + self.capture.clock() - gap_since, None
                    self._show(found)
                self.screen.read_keys(self.controls)
                self._report_when_due()
        finally:
            if gap_since is not None:
                self.gap_s += self.capture.clock() - gap_since
            self.capture.stop()
            self.results.close()
            self._thread.join(10)
            left = self.capture.captured - len(self.stages) - self.dropped  # in work when the run ended
            self.discarded += max(left, 0)
        for error in (self._error, self.capture.error):
            if error is not None:
                raise error

    def _show(self, found: Predicted) -> None:
        frame = found.frame
        picture = self.screen.draw(found, self.controls.overlay, self.capture.clock() - frame.arrived)
        self.screen.show(picture)
        now = self.capture.clock()
        times = (frame.arrived, frame.ready, found.begun, found.done, now)
        stages = tuple(1000 * (later - earlier) for earlier, later in zip(times, times[1:]))
        self.stages.append(stages)
        self._keep(Shown(picture, now - self.capture.origin, found, stages))

    def _show_gap(self) -> None:
        picture = self.screen.draw_gap()
        self.screen.show(picture)
        if self.capture.origin is not None:
            self._keep(Shown(picture, self.capture.clock() - self.capture.origin))

    def _keep(self, shown: Shown) -> None:
        for keep in self.keepers:
            keep(shown)

    def summary(self) -> dict:
        """The entries of the JSON about frames, latency and gaps."""
        found = summarise_latency(self.stages, self.capture.captured, self.dropped, self.budget_ms)
        return {**found, "gaps": {"count": self.gaps, "seconds": self.gap_s, "source_lost": self.capture.lost}}

    def _report_when_due(self) -> None:
        captured, shown, dropped, second = self._reported
        now = 0.0 if self.capture.origin is None else self.capture.clock() - self.capture.origin
        if not self.report_s or now < second + self.report_s:
            return
        self._reported = (self.capture.captured, len(self.stages), self.dropped, now)
        counts = self._reported[0] - captured, self._reported[2] - dropped
        self.report(report_line(summarise_latency(self.stages[shown:], *counts, self.budget_ms), now))
