"""Take the screenshot of the review's page that the documentation shows, on frames drawn by this project.

python -m tests.review_screenshot docs/figures/review.png
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from surgseg.files import write_bytes
from surgseg.review.page import review_routes
from surgseg.review.store import open_for_review
from surgseg.reviews import Review, write_reviews
from surgseg.synthetic.scenes import draw_frame
from surgseg.web import serving
from tests.browser import ReviewPage, start_browser
from tests.folders import write_folder

SIZE, NUMBERS = (480, 854), [25 * index for index in range(8)]
REASONS = ("no sure core", "coverage differs from the frames before and after", "touches no border", "unlike others")


def write_drawn_folder(folder: Path) -> Path:
    """A generated folder of drawn frames; a disc of tissue in each mask is predicted wrongly."""
    images, codes = zip(*(draw_frame(1, 2, number, SIZE) for number in NUMBERS))
    masks = [np.isin(frame, (31, 32)).astype(np.uint8) for frame in codes]
    for mask in masks:
        cv2.circle(mask, (350, 165), 26, 1, -1)
    probabilities = [cv2.GaussianBlur(255 * mask, (0, 0), 3) for mask in masks]
    write_folder(folder, masks, images=list(images), numbers=NUMBERS, probabilities=probabilities)
    names = [f"video_{number:06d}" for number in NUMBERS]
    status = [{"status": "corrected", "seconds": 21.0, "time": "2026-01-01T00:00:00+00:00"}, {}, {}, {}]
    rows = [Review(names[2 * rank], "correct", rank + 1, REASONS[rank], **status[rank]) for rank in range(4)]
    write_bytes(folder / "reviewed" / f"{names[0]}.png", (folder / "masks" / f"{names[0]}.png").read_bytes())
    write_reviews(folder, rows)
    return folder


def main(target: Path) -> None:
    driver = start_browser()
    try:
        with tempfile.TemporaryDirectory() as place:
            folder = write_drawn_folder(Path(place) / "operation")
            with serving(review_routes(open_for_review(folder)), 0) as address:
                page = ReviewPage(driver, folder)
                page.open(address)
                page.wait_for_prediction()
                page.until("[...document.images].every(image => image.complete)")
                page.set_size(26)
                page.press("e")
                page.drag((325, 160), (340, 148), (356, 156))  # takes away a part of the disc
                picture = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
                picture.quantize(256).save(target, optimize=True)
    finally:
        driver.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
