"""The three threads together: the newest frame, its own mask, gaps, errors of a stage, what is kept."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.live.capture import GAP_S, Capture
from surgseg.live.run import Live
from surgseg.live.screen import Controls, Screen
from surgseg.predict import Measures

BINARY = SCHEMES["binary"]
TINT = np.array(BINARY.classes[1].colour)


def image(level: int, size=(24, 40)) -> np.ndarray:
    """A frame whose left columns, as many as its gray level, are an instrument to `mark`."""
    return np.full((*size, 3), level, np.uint8)


def mark(picture: np.ndarray, threshold=None) -> tuple[np.ndarray, Measures]:
    ids = np.zeros(picture.shape[:2], np.uint8)
    ids[:, : picture[0, 0, 0]] = 1
    return ids, Measures(float(ids.mean()), 1.0, 0.0)


class Kept(list):
    """A screen of its own and a keeper: the pictures shown, and what was kept."""

    def __init__(self):
        super().__init__()
        self.screen = Screen(BINARY, (24, 40))
        self.screen.show = self.append
        self.shown = []

    def live(self, capture: Capture, predict=mark, **options) -> Live:
        controls = options.pop("controls", Controls(0.5))
        return Live(capture, predict, self.screen, controls, [self.shown.append], **options)


def numbers(kept: Kept) -> list[int]:
    return [shown.prediction.frame.index for shown in kept.shown if shown.prediction]


def test_a_slow_consumer_shows_the_newest_frame_and_counts_the_dropped_ones():
    predicting, sent = threading.Event(), threading.Event()
    kept = Kept()

    def work(capture):
        capture.put(image(0), capture.clock())
        assert predicting.wait(10)
        for level in range(1, 8):
            capture.put(image(level), capture.clock())
        sent.set()

    def slow(picture, threshold):
        predicting.set()
        assert sent.wait(10)
        return mark(picture)

    capture = Capture(work)
    live = kept.live(capture, slow)
    capture.start()
    live.run()
    assert numbers(kept)[-1] == 7 and len(numbers(kept)) <= 2
    assert live.summary()["frames"] == {
        "captured": 8, "shown": len(numbers(kept)), "dropped": 8 - len(numbers(kept))
    }  # fmt: skip
    assert live.capture.slot.dropped == 6


def test_each_picture_shows_the_mask_of_its_own_frame():
    kept = Kept()

    def work(capture):
        for level in range(1, 9):
            capture.put(image(level), capture.clock())

    capture = Capture(work, waits=True)
    live = kept.live(capture)
    capture.start()
    live.run()
    assert numbers(kept) == list(range(8)) and live.dropped == 0
    for level, picture in enumerate(kept, 1):
        tinted = np.abs(picture[:24].astype(int) - (level + TINT) / 2).max(2) <= 1
        assert (tinted == (np.arange(40) < level)).all()


def test_the_overlay_can_be_hidden_and_the_threshold_reaches_the_network():
    kept, used, controls = Kept(), [], Controls(0.5)

    def predict(picture, threshold):
        used.append(threshold)
        return mark(picture)

    def work(capture):
        capture.put(image(9), capture.clock())

    for key in "o+":
        controls.press(key)
    capture = Capture(work, waits=True)
    live = kept.live(capture, predict, controls=controls)
    capture.start()
    live.run()
    assert (kept[0][:24] == 9).all() and used == [0.55] and kept.shown[0].prediction.threshold == 0.55


def test_a_gap_shows_no_signal_even_if_a_mask_comes_late():
    now, kept = [0.0], Kept()
    predicting, silent, seen = threading.Event(), threading.Event(), threading.Event()

    def work(capture):
        capture.put(image(30), capture.clock())
        assert predicting.wait(10)
        now[0] = GAP_S + 1
        silent.set()
        assert seen.wait(10)  # the gap
        while live.discarded == 0 and not capture.stopping.wait(0.001):
            pass

    def slow(picture, threshold):
        predicting.set()
        assert silent.wait(10)
        return mark(picture)

    def keep(shown):
        if shown.prediction is None:
            seen.set()

    capture = Capture(work, clock=lambda: now[0])
    live = kept.live(capture, slow)
    live.keepers.append(keep)
    capture.start()
    live.run()
    assert [shown.prediction for shown in kept.shown] == [None] and (live.gaps, live.discarded) == (1, 1)
    assert (kept[0] == kept[0][..., :1]).all() and kept[0][:24].max() > 100  # gray text on black: no mask
    assert live.summary()["frames"] == {"captured": 1, "shown": 0, "dropped": 1}


@pytest.mark.parametrize("stage", ["capture", "predict", "show", "keep"])
def test_an_error_of_a_stage_ends_the_run_and_is_raised(stage):
    kept = Kept()

    def fail(*given):
        raise UserError("the disk is full")

    def work(capture):
        for level in range(3):
            capture.put(image(level), capture.clock())
        if stage == "capture":
            fail()
        capture.stopping.wait(10)

    capture = Capture(work)
    live = kept.live(capture, fail if stage == "predict" else mark)
    if stage == "show":
        kept.screen.show = fail
    if stage == "keep":
        live.keepers.append(fail)
    capture.start()
    with pytest.raises(UserError, match="the disk is full"):
        live.run()
    frames = live.summary()["frames"]
    assert frames["captured"] == frames["shown"] + frames["dropped"]
    assert not [thread for thread in threading.enumerate() if thread.name in ("capture", "predict")]


def test_the_user_ends_the_run_and_no_frame_is_left_uncounted():
    controls, kept = Controls(0.5), Kept()

    def work(capture):
        while not capture.stopping.wait(0.001):
            capture.put(image(1), capture.clock())

    capture = Capture(work)
    live = kept.live(capture, controls=controls)
    live.keepers.append(lambda shown: controls.press("q"))
    capture.start()
    live.run()
    frames = live.summary()["frames"]
    assert frames["shown"] == 1 and frames["captured"] == frames["shown"] + frames["dropped"]


def test_stages_add_up_to_the_latency_and_reports_cover_their_own_time():
    now, lines, kept = [0.0], [], Kept()

    def predict(picture, threshold):
        now[0] += 0.020
        return mark(picture)

    def show(picture):
        now[0] += 0.003

    def work(capture):
        for _ in range(2):
            capture.put(image(1), capture.clock() - 0.005)

    capture = Capture(work, waits=True, clock=lambda: now[0])
    live = kept.live(capture, predict, report_s=0.02, budget_ms=1000.0, report=lines.append)
    kept.screen.show = show
    capture.start()
    live.run()
    first = live.stages[0]
    assert first[0] == pytest.approx(5) and first[2] >= 20 - 1e-6 and first[3] >= 3 - 1e-6
    assert lines and "1000 ms kept by 100.00%" in lines[0]
