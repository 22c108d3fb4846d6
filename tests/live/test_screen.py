"""Keys, the window of OpenCV, and the page."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from surgseg.labels import SCHEMES
from surgseg.live import screen
from surgseg.live.page import Page
from surgseg.live.screen import Controls, Window, can_open_window
from surgseg.web import make_app

SAME = {"Host": "localhost:8000", "Origin": "http://localhost:8000"}


def picture(level: int) -> np.ndarray:
    return np.full((24, 40, 3), level, np.uint8)


def page(threshold=0.5) -> Page:
    return Page(SCHEMES["binary"], (24, 40), Controls(threshold))


def test_keys_change_what_they_name():
    controls = Controls(0.5)
    for key in "+=o?":
        controls.press(key)
    assert controls == Controls(0.6, overlay=False)
    for key in "-" * 30 + "os":
        controls.press(key)
    assert controls == Controls(0.05, snapshot=True)
    controls.press("\x1b")
    assert controls.ended
    most_probable = Controls(None)
    most_probable.press("-")
    assert most_probable.threshold == 0.45


def test_a_window_shows_rgb_obeys_keys_and_ends_when_it_is_closed(monkeypatch):
    shown, keys, visible = [], [ord("o"), -1, -1], [1.0]
    monkeypatch.setattr(cv2, "namedWindow", lambda *given: None)
    monkeypatch.setattr(cv2, "resizeWindow", lambda *given: None)
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", lambda wait: keys.pop(0) if keys else -1)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *given: visible[0])
    window, controls = Window(SCHEMES["binary"], (24, 40)), Controls(0.5)
    window.show(np.dstack([picture(9)[..., 0], picture(0)[..., 0], picture(0)[..., 0]]))
    window.read_keys(controls)
    assert tuple(shown[0][0, 0]) == (0, 0, 9) and not controls.overlay and not controls.ended
    visible[0] = 0.0
    window.read_keys(controls)
    assert controls.ended


@pytest.mark.parametrize(
    ("code", "possible"),
    [
        ("pass", True),
        ("raise SystemExit(1)", False),
        ("import os; os.abort()", False),
        ("import time; time.sleep(9)", False),
    ],
)
def test_whether_a_window_opens_is_tried_in_another_process(monkeypatch, code, possible):
    monkeypatch.setattr(screen, "_PROBE", code)
    monkeypatch.setattr(screen, "_PROBE_S", 0.5 if "sleep" in code else 30)
    assert can_open_window() is possible


def test_a_slow_viewer_gets_the_newest_picture():
    live = page()
    for level in (10, 20, 30):
        live.show(picture(level))
    parts = live.stream()
    head, _, body = next(parts).partition(b"\r\n\r\n")
    assert b"image/jpeg" in head and f"Content-Length: {len(body) - 2}".encode() in head
    assert abs(int(cv2.imdecode(np.frombuffer(body, np.uint8), 1)[5, 5, 0]) - 30) < 3
    waiting = threading.Thread(target=lambda: [None for _ in parts], daemon=True)
    waiting.start()
    live.close()  # ends the viewers, so that the page shows that there is no signal
    waiting.join(10)
    assert not waiting.is_alive()


def test_the_page_obeys_keys_and_tells_the_state():
    live = page()
    client = make_app(live.routes, "token").test_client()
    shown = client.get("/token/", headers=SAME)
    assert shown.status_code == 200 and "Research use: not for clinical decisions" in shown.text
    for key, status in (("o", 200), ("%2B", 200), ("x", 404), ("s", 200)):
        assert client.post(f"/token/keys/{key}", headers=SAME).status_code == status
    state = client.get("/token/state", headers=SAME).json
    assert (state["overlay"], state["threshold"]) == (False, 0.55) and live._controls.snapshot
    assert client.get("/token/keys/q", headers=SAME).status_code == 405 and not live._controls.ended


def test_the_state_tells_that_the_program_hangs(monkeypatch):
    live = page()
    client = make_app(live.routes, "token").test_client()
    live._looked -= 60
    assert client.get("/token/state", headers=SAME).json["silent_s"] >= 60
    live.read_keys(Controls(0.5))
    assert client.get("/token/state", headers=SAME).json["silent_s"] < 60
