"""Draw what is shown, show it in a window or elsewhere, and obey keys."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import cv2
import numpy as np

from surgseg.labels import Scheme
from surgseg.overlay import Painter

NOTICE = "Research use: not for clinical decisions"
KEYS = {"o": "overlay on or off", "+": "threshold up", "-": "threshold down", "s": "snapshot", "q": "end"}
_STEP = 0.05  # of the threshold, for each key
_FONT, _WHITE, _GRAY = cv2.FONT_HERSHEY_SIMPLEX, (255, 255, 255), (160, 160, 160)
_PROBE_S = 30  # seconds
_PROBE = "import cv2, av; cv2.namedWindow('surgseg'); cv2.waitKey(1); cv2.destroyAllWindows()"


@dataclass
class Controls:
    """What the user sets with `KEYS`; threads read it at any time. `threshold` None: each pixel's most probable class,
    until the first change."""

    threshold: float | None
    overlay: bool = True
    snapshot: bool = False  # wanted of the next picture
    ended: bool = False

    def press(self, key: str) -> None:
        if key == "o":
            self.overlay = not self.overlay
        elif key in ("+", "=", "-"):
            step = _STEP if key != "-" else -_STEP
            self.threshold = round(min(max((self.threshold or 0.5) + step, _STEP), 1 - _STEP), 4)
        elif key == "s":
            self.snapshot = True
        elif key in ("q", "\x1b"):
            self.ended = True


class Screen:
    """Draw pictures and show them; this one shows them nowhere.

    The mask and its frame come together: a picture is drawn from one prediction. Below the frame is a strip with
    `NOTICE`, the threshold and the age of the frame when it was drawn.
    """

    def __init__(self, scheme: Scheme, size: tuple[int, int]):
        self._paint = Painter(scheme)
        self._size = size  # (H, W) of the newest frame
        self.draw_gap()  # the first text takes longer

    def draw(self, found, overlay: bool, age_s: float) -> np.ndarray:
        """Return the picture, (H', W, 3) uint8 RGB, of a `Predicted` frame."""
        image = found.frame.image
        self._size = image.shape[:2]
        rule = "most probable class" if found.threshold is None else f"threshold {found.threshold:.2f}"
        state = rule if overlay else "overlay off"
        return with_strip(self._paint(image, found.ids) if overlay else image, f"{state}   {1000 * age_s:.0f} ms")

    def draw_gap(self) -> np.ndarray:
        """Return the picture of a source that is silent: no frame, no mask."""
        height, width = self._size
        picture = np.zeros((height, width, 3), np.uint8)
        scale = width / 500
        (text_width, _), _ = cv2.getTextSize("NO SIGNAL", _FONT, scale, 2)
        cv2.putText(picture, "NO SIGNAL", ((width - text_width) // 2, height // 2), _FONT, scale, _WHITE, 2)
        return with_strip(picture, "")

    def show(self, picture: np.ndarray) -> None:
        """Show (H', W, 3) uint8 RGB. It returns when the picture is shown."""

    def read_keys(self, controls: Controls) -> None:
        """Obey the keys that were pressed since the last call."""

    def close(self) -> None:
        """Show nothing any more."""


class Window(Screen):
    """A window of OpenCV; use it in the main thread."""

    TITLE = "Instrument segmentation (research use)"

    def __init__(self, scheme: Scheme, size: tuple[int, int]):
        super().__init__(scheme, size)
        cv2.namedWindow(self.TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.resizeWindow(self.TITLE, size[1], size[0])
        self._key = -1

    def show(self, picture: np.ndarray) -> None:
        cv2.imshow(self.TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self._key = max(self._key, cv2.waitKey(1))  # the window is painted here

    def read_keys(self, controls: Controls) -> None:
        key, self._key = max(self._key, cv2.waitKey(1)), -1
        if key >= 0:
            controls.press(chr(key & 255))
        if cv2.getWindowProperty(self.TITLE, cv2.WND_PROP_VISIBLE) < 1:  # closed with the mouse
            controls.ended = True

    def close(self) -> None:
        cv2.destroyAllWindows()


def with_strip(picture: np.ndarray, state: str) -> np.ndarray:
    """Return the (H, W, 3) picture with a black strip below it: `NOTICE` on the left, `state` on the right.

    The strip's height depends on the width alone, so that pictures of one source have one size.
    """
    width = picture.shape[1]
    (length, _), _ = cv2.getTextSize(f"{NOTICE}   most probable class   10000 ms", _FONT, 1.0, 1)
    scale = min(0.55, 0.96 * width / length)
    strip = np.zeros((max(round(50 * scale), 8), width, 3), np.uint8)
    base = round(0.68 * len(strip))
    cv2.putText(strip, NOTICE, (round(0.02 * width), base), _FONT, scale, _WHITE, 1, cv2.LINE_AA)
    (length, _), _ = cv2.getTextSize(state, _FONT, scale, 1)
    cv2.putText(strip, state, (round(0.98 * width) - length, base), _FONT, scale, _GRAY, 1, cv2.LINE_AA)
    return np.concatenate([picture, strip])


def can_open_window() -> bool:
    """Whether OpenCV can open a window here. Tried in another process: without a display its Qt ends the process, and
    the wheel "headless" has no windows."""
    try:
        done = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, timeout=_PROBE_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
