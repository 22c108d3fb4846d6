"""The live picture as a page in a browser: newest frame as MJPEG, keys as buttons."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from surgseg.frames import encode_frame
from surgseg.labels import Scheme
from surgseg.live.screen import KEYS, Controls, Screen

_QUALITY = 85  # of JPEG
_TEMPLATE = Path(__file__).with_name("page.html")


class Page(Screen):
    """A screen whose pictures `routes` serves. A picture counts as shown when it is handed to the viewers.

    A viewer that is slow gets the newest picture, not those before.
    """

    def __init__(self, scheme: Scheme, size: tuple[int, int], controls: Controls):
        super().__init__(scheme, size)
        self._controls = controls
        self._picture, self._number, self._closed = b"", 0, False
        self._looked = time.monotonic()
        self._changed = threading.Condition()

    def show(self, picture: np.ndarray) -> None:
        data = encode_frame(picture, ".jpg", _QUALITY)
        with self._changed:
            self._picture, self._number = data, self._number + 1
            self._changed.notify_all()

    def read_keys(self, controls: Controls) -> None:
        """Only note that the showing thread is alive: requests press the keys."""
        self._looked = time.monotonic()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def stream(self) -> Iterator[bytes]:
        """Yield the parts of a multipart response, each the newest JPEG, until the screen is closed."""
        number = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda seen=number: self._closed or self._number > seen)
                if self._closed:
                    return
                data, number = self._picture, self._number
            yield b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data)

    def routes(self, pages) -> None:
        """Add the pages to a Flask blueprint."""
        from flask import Response, abort, render_template_string

        @pages.get("/")
        def index():
            return render_template_string(_TEMPLATE.read_text(encoding="utf-8"), keys=KEYS)

        @pages.get("/stream")
        def stream():
            return Response(self.stream(), mimetype="multipart/x-mixed-replace; boundary=frame")

        @pages.get("/state")
        def state():
            controls = self._controls
            silent_s = time.monotonic() - self._looked
            return {"silent_s": silent_s, "overlay": controls.overlay, "threshold": controls.threshold}

        @pages.post("/keys/<key>")
        def press(key: str):
            if key not in KEYS:
                abort(404)
            self._controls.press(key)
            return state()
