"""A headless Chromium with the page of the review in it, used as a person uses it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from surgseg.masks import read_mask
from surgseg.reviews import Review, read_reviews, reviewed_path

try:
    from selenium import webdriver
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.pointer_input import PointerInput
except ImportError:
    webdriver = None

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


def start_browser():
    """Return a Selenium driver. Where something is missing the test is skipped; with SURGSEG_NEEDS_BROWSER it fails."""
    needed = {"selenium": webdriver, "Chromium": CHROMIUM, "chromedriver": DRIVER}
    missing = [name for name, found in needed.items() if not found]
    if missing:
        stop = pytest.fail if os.environ.get("SURGSEG_NEEDS_BROWSER") else pytest.skip
        stop(f"needs {', '.join(missing)} (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1366,768"):
        options.add_argument(f"--{switch}")
    return webdriver.Chrome(options, webdriver.chrome.service.Service(DRIVER))


class ReviewPage:
    """The page of one folder. Points are (x, y) in pixels of the frame, places (x, y) in pixels of the window."""

    def __init__(self, driver, folder: Path):
        self.driver, self.folder, self.address = driver, folder, ""

    def ask(self, script: str, *values):
        return self.driver.execute_script(f"return {script}", *values)

    def until(self, script: str, *values) -> None:
        ends = time.monotonic() + 8
        while not self.ask(script, *values):
            assert time.monotonic() < ends, f"{script} did not happen; the page says {self.message!r}"
            time.sleep(0.01)

    def open(self, address: str) -> None:
        self.address = address
        self.driver.get(address)
        self.until("typeof frame !== 'undefined' && frame !== null")

    def wait_for_frame(self, index: int) -> None:
        self.until("frame.index === arguments[0] && !isBusy", index)

    def wait_for_prediction(self) -> None:
        self.until("frame.predicted !== null && frame.probability !== null")

    def press(self, *keys: str) -> None:
        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def hold(self, key: str, then: str) -> None:
        ActionChains(self.driver, duration=0).key_down(key).send_keys(then).key_up(key).perform()

    def drag(self, *points: tuple[float, float], kind: str = "mouse", button: int = 0) -> list[np.ndarray]:
        """Draw along points; return where the pointer was: its places are whole pixels of the window."""
        box = "(box => [box.left + view.left, box.top + view.top, view.scale])(canvas.getBoundingClientRect())"
        left, top, scale = self.ask(box)
        places = [(round(left + scale * x), round(top + scale * y)) for x, y in points]
        builder = ActionBuilder(self.driver, mouse=PointerInput(kind, kind), duration=0)
        builder.pointer_action.move_to_location(*places[0]).pointer_down(button)
        for place in places[1:]:
            builder.pointer_action.move_to_location(*place)
        builder.pointer_action.pointer_up(button)
        builder.perform()
        return [np.array([(x - left) / scale, (y - top) / scale]) for x, y in places]

    def click(self, x: float, y: float) -> np.ndarray:
        return self.drag((x, y))[0]

    def set_size(self, size: int) -> None:
        self.ask("setSize(arguments[0])", size)

    @property
    def ids(self) -> np.ndarray:
        """(H, W) class ids on the canvas."""
        return np.array(self.ask("Array.from(frame.ids)"), np.uint8).reshape(self.ask("[frame.height, frame.width]"))

    @property
    def message(self) -> str:
        return self.ask("message.textContent")

    def saved(self, index: int, classes: int = 2) -> np.ndarray:
        return read_mask(reviewed_path(self.folder, f"video_{index:06d}"), classes)

    def review(self, index: int) -> Review:
        return read_reviews(self.folder)[f"video_{index:06d}"]
