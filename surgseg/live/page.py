"""The live picture as a page in a browser: newest frame as MJPEG, keys as buttons. Choose between page and window."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from surgseg.files import UserError
from surgseg.frames import encode_frame
from surgseg.labels import Scheme
from surgseg.live.screen import KEYS, Controls, Screen, Window, can_open_window
from surgseg.web import serving

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


@contextlib.contextmanager
def open_screen(
    scheme: Scheme, size: tuple[int, int], controls: Controls, port: int | None, *, to_files: bool
) -> Iterator[Screen]:
    """Open a page at `port`; without a port a window, or no screen if only `to_files` is possible. Close it at the end.

    `size` (H, W) of a frame. Raises `UserError` where nothing can be shown.
    """
    with contextlib.ExitStack() as stack:
        if port is not None:
            screen = Page(scheme, size, controls)
            address = stack.enter_context(serving(screen.routes, port))
            print(f"Open {address} in a browser on this machine", flush=True)
        elif can_open_window():
            screen = Window(scheme, size)
        elif to_files:
            print("OpenCV has no window here: the result goes into files only; --serve shows a page")
            screen = Screen(scheme, size)
        else:
            why = "no display, or a headless wheel"
            raise UserError(f"OpenCV has no window here ({why}): use --serve, --record or --csv")
        stack.callback(screen.close)
        yield screen
