"""The page of the review in a real browser, with mouse and keyboard: what it saves, pixel by pixel."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from surgseg.masks import read_mask
from surgseg.review.page import review_routes
from surgseg.review.store import open_for_review
from surgseg.reviews import AuditSample, Review, reviewed_path, write_audit_sample, write_reviews
from surgseg.web import serving
from tests.browser import ReviewPage, start_browser
from tests.folders import texture, write_folder

SIZE = (120, 160)
CENTRES = np.moveaxis(np.mgrid[: SIZE[0], : SIZE[1]][::-1], 0, -1) + 0.5  # (H, W, 2) x, y of the pixels
CHOSEN = (1, 3)  # frames to correct; frame 4 is of the audit


def scene(shift: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) image and (H, W) mask: two bars that move to the right over tissue; 255 in the last row."""
    mask = np.zeros(SIZE, np.uint8)
    mask[20:40, 10 + shift : 60 + shift] = 1
    mask[80:90, 100 + shift : 120 + shift] = mask[79, 99 + shift] = 1  # one pixel touches it at a corner
    moved = np.roll(texture((SIZE[0], SIZE[1]), 3), shift, 1)
    mask[-1] = 255
    return np.dstack([moved, moved // 2, moved // 2]), mask


SCENES = [scene(2 * index) for index in range(6)]
PREDICTED = [mask for _, mask in SCENES]


def make_folder(path: Path, scheme: str = "binary", chosen=CHOSEN, audit=(4,)) -> Path:
    """Six frames 0.04 s apart with probabilities: 200 on mask and void, 100 in a band under the first bar, else 0."""
    masks = [np.where((mask == 1) & (np.arange(SIZE[0]) > 60)[:, None], 2, mask) for mask in PREDICTED]
    masks = PREDICTED if scheme == "binary" else masks
    probabilities = [np.where(mask == 1, 200, 0).astype(np.uint8) for mask in PREDICTED]
    for probability in probabilities:
        probability[40:50, 10:60], probability[-1] = 100, 200
    write_folder(path, masks, images=[image for image, _ in SCENES], step=1, scheme=scheme, probabilities=probabilities)
    names = [f"video_{index:06d}" for index in range(6)]
    rows = [Review(names[index], "correct", rank, "fragment") for rank, index in enumerate(chosen, 1)]
    rows += [Review(names[index], "audit", rank, "drawn", "early", 0.5) for rank, index in enumerate(audit, 1)]
    write_audit_sample(path, AuditSample(population={"early": 6}, names=[names[index] for index in audit]))
    write_reviews(path, rows)
    return path


@pytest.fixture(scope="module")
def browser():
    driver = start_browser()
    yield driver
    driver.quit()


@contextlib.contextmanager
def reviewing(driver, folder: Path, **options):
    """Serve a folder and open it; yield the page. Strokes of the test before are forgotten."""
    with serving(review_routes(open_for_review(folder, **options)), 0) as address:
        page = ReviewPage(driver, folder)
        page.open(address)
        yield page
        page.ask("inStorage('readwrite', store => { unsaved.clear(); return store.clear(); })")


@pytest.fixture
def page(browser, tmp_path):
    with reviewing(browser, make_folder(tmp_path / "folder")) as found:
        yield found


def capsule(a, b, diameter: float) -> np.ndarray:
    """(H, W) bool: pixels whose centre is at most half the diameter from the line between two points."""
    line = b - a
    along = np.clip((CENTRES - a) @ line / max(line @ line, 1e-12), 0, 1)[..., None]
    return np.linalg.norm(CENTRES - a - along * line, axis=-1) <= diameter / 2


ENTER, UNDO = "\ue007", "z"


@pytest.mark.parametrize("kind", ["mouse", "pen", "touch"])
def test_a_stroke_is_saved_pixel_by_pixel(page, kind):
    page.set_size(15)
    stroke = page.drag((30, 60), (90, 70), (90, 100), kind=kind)
    page.press(ENTER)
    page.wait_for_frame(3)
    expected = PREDICTED[1].copy()
    expected[capsule(stroke[0], stroke[1], 15) | capsule(stroke[1], stroke[2], 15)] = 1
    np.testing.assert_array_equal(page.saved(1), expected)
    review = page.review(1)
    assert (review.status, review.changed_pixels) == ("corrected", (expected != PREDICTED[1]).sum())
    assert 0 < review.seconds < 10


def test_eraser_void_right_button_and_background_paint_what_they_say(page):
    expected = PREDICTED[1].copy()
    page.set_size(9)
    for key, button, value, place in (
        ("e", 0, 0, (20, 30)),
        ("v", 0, 255, (40, 30)),
        ("b", 2, 0, (55, 25)),
        ("0", 0, 0, (110, 85)),
    ):
        page.press(key)
        point = page.drag(place, button=button)[0]
        expected[capsule(point, point, 9)] = value
    np.testing.assert_array_equal(page.ids, expected)
    page.press(ENTER)
    page.wait_for_frame(3)
    np.testing.assert_array_equal(page.saved(1), expected)


def test_a_part_is_removed_or_kept_and_each_step_undone_and_done_again(page):
    first, second = PREDICTED[1].copy(), PREDICTED[1].copy()
    first[60:100], second[:60] = 0, 0
    page.press("c")
    page.click(110, 85)
    np.testing.assert_array_equal(page.ids, first)
    page.press(UNDO, "k")
    page.click(110, 85)
    page.press("y")  # nothing: what was undone before is gone
    np.testing.assert_array_equal(page.ids, second)
    page.press("n")
    assert set(np.unique(page.ids)) == {0, 255}
    page.press(UNDO, UNDO)
    np.testing.assert_array_equal(page.ids, PREDICTED[1])
    assert not page.ask("unsaved.size")
    page.press("y")
    np.testing.assert_array_equal(page.ids, second)
    page.press("y", "r")
    page.wait_for_prediction()
    page.press("r")
    np.testing.assert_array_equal(page.ids, PREDICTED[1])


def test_a_polygon_holds_the_pixels_whose_centres_lie_in_it(page):
    page.press("p")
    points = [page.click(*point) for point in ((70, 20), (130, 30), (120, 70), (100, 40), (80, 65))]
    assert page.review(1).status == "open"
    page.press(ENTER)  # closes it and does not accept
    expected = PREDICTED[1].copy()
    expected[Outline(points).contains_points(CENTRES.reshape(-1, 2)).reshape(SIZE)] = 1
    np.testing.assert_array_equal(page.ids, expected)
    page.press("e", "p")
    page.click(10, 10)
    page.press("\ue00c")  # Escape
    np.testing.assert_array_equal(page.ids, expected)


def test_thresholds_act_under_the_brush_and_on_the_whole_frame(page):
    page.wait_for_prediction()
    page.press("t", ",", ",", ",")  # 0.35: the band of 100/255 = 0.39 counts
    page.set_size(20)
    point = page.click(40, 45)
    expected = PREDICTED[1].copy()
    expected[40:50, 10:60] |= capsule(point, point, 20)[40:50, 10:60]
    np.testing.assert_array_equal(page.ids, expected)
    page.press("b", ",", ",", ",")
    expected[40:50, 10:60] = 1
    np.testing.assert_array_equal(page.ids, expected)
    page.press(
        *[
            ".",
        ]
        * 12
    )  # 0.95
    assert set(np.unique(page.ids)) == {0, 255}


def test_a_number_chooses_the_class(browser, tmp_path):
    with reviewing(browser, make_folder(tmp_path / "folder", "grasper-hook")) as page:
        expected = read_mask(tmp_path / "folder/masks/video_000001.png", 3).copy()
        page.set_size(11)
        page.press("e", "2")  # and takes the brush in hand
        point = page.click(80, 60)
        expected[capsule(point, point, 11)] = 2
        page.press(ENTER)
        page.wait_for_frame(3)
        np.testing.assert_array_equal(page.saved(1, classes=3), expected)


def test_the_mask_is_carried_to_the_next_frame_and_not_saved(page):
    page.press("c")
    page.click(110, 85)
    page.hold("\ue008", "\ue014")  # Shift, arrow to the right
    page.wait_for_frame(2)
    page.until("frame.note.includes('carried from video_000001')")
    carried = page.ids
    assert not carried[60:100, 60:].any(), "the removed part is removed here too"
    moved, expected = carried == 1, PREDICTED[2] == 1
    expected[60:100] = False
    assert (moved & expected).sum() / (moved | expected).sum() > 0.85
    assert page.ask("[...unsaved]") == [1, 2] and not reviewed_path(page.folder, "video_000002").exists()
    page.press(UNDO)
    np.testing.assert_array_equal(page.ids, PREDICTED[2])


def test_after_a_reload_the_work_goes_on_at_the_next_open_frame(page):
    page.press(ENTER)
    page.wait_for_frame(3)
    assert page.review(1).status == "accepted"
    page.driver.refresh()
    page.until("typeof frame !== 'undefined' && frame !== null")
    page.wait_for_frame(3)
    assert "1 of 2 done" in page.ask("document.getElementById('progress').textContent")
    page.press("n", ENTER)
    page.until("message.textContent.includes('No frame of this list is open')")
    assert page.review(3).status == "empty" and not (page.saved(3) == 1).any()


def test_time_counts_while_the_person_acts(page):
    page.ask("(acted = performance.now() - 29000, countTime(), acted = performance.now() - 31000, countTime())")
    page.press(ENTER)
    page.wait_for_frame(3)
    assert 29 <= page.review(1).seconds < 34


def test_an_unusable_frame_has_no_mask(page):
    page.press("u")
    page.wait_for_frame(3)
    assert page.review(1).status == "unusable" and not reviewed_path(page.folder, "video_000001").exists()


@contextlib.contextmanager
def running(folder: Path, port: int):
    """Serve a folder in a process of its own, and kill it; yield the address."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()

    def serve() -> None:
        with serving(review_routes(open_for_review(folder)), port) as address:
            there.send(address)
            time.sleep(60)

    process = fork.Process(target=serve, daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.kill()
        process.join()


def test_a_killed_program_loses_nothing_and_the_page_says_what_is_not_saved(browser, tmp_path):
    folder = make_folder(tmp_path / "folder")
    page = ReviewPage(browser, folder)
    with running(folder, 0) as address:
        page.open(address)
        page.press("n", ENTER)
        page.wait_for_frame(3)
        page.click(80, 60)
    stroke = page.ids
    page.press(ENTER)
    page.until("message.textContent.startsWith('NOT SAVED')")
    np.testing.assert_array_equal(page.ids, stroke)
    assert page.review(1).status == "empty" and page.review(3).status == "open"
    assert page.ask("!dispatchEvent(new Event('beforeunload', { cancelable: true }))"), "leaving must warn"
    with running(folder, int(re.search(r":(\d+)/", address)[1])) as address:
        page.open(address)
        page.wait_for_frame(3)
        np.testing.assert_array_equal(page.ids, stroke)
        assert "not saved" in page.ask("element('about').textContent")
        assert "not saved" in page.ask("rows.get(3).textContent") and "not saved" not in page.ask(
            "rows.get(1).textContent"
        )
        page.press(ENTER)
        page.until("message.textContent.includes('No frame of this list is open')")
        np.testing.assert_array_equal(page.saved(3), stroke)


@pytest.fixture
def tabs(page):
    """The same page in two tabs, and a function that goes to tab 0 or 1."""
    driver = page.driver
    page.wait_for_prediction()
    driver.switch_to.new_window("tab")
    other = ReviewPage(driver, page.folder)
    other.open(page.address)
    first, second = driver.window_handles
    yield page, lambda number: driver.switch_to.window((first, second)[number])
    driver.execute_script("unsaved.clear()")
    driver.close()
    driver.switch_to.window(first)


@pytest.mark.parametrize("choice", ["mine", "theirs"])
def test_the_second_of_two_tabs_is_told_and_decides_after_a_look(tabs, choice):
    page, go_to = tabs
    go_to(0)
    page.press("n", ENTER)
    page.wait_for_frame(3)
    go_to(1)
    page.press("c")
    page.click(110, 85)
    mine, theirs = page.ids, np.where(PREDICTED[1] == 1, 0, PREDICTED[1])
    page.press(ENTER)
    page.until("conflict !== null && !isBusy")
    np.testing.assert_array_equal(page.saved(1), theirs)
    bar = page.driver.find_element("id", "conflict")
    look, take_theirs, keep_mine = bar.find_elements("tag name", "button")
    assert "saved by another tab" in bar.text and not keep_mine.is_enabled() and not take_theirs.is_enabled()
    look.click()
    page.until("shown === 'theirs'")
    (keep_mine if choice == "mine" else take_theirs).click()
    if choice == "mine":
        page.wait_for_frame(3)
        np.testing.assert_array_equal(page.saved(1), mine)
    else:
        page.until("conflict === null && list.frames[1].status === 'empty'")
        np.testing.assert_array_equal(page.ids, theirs)
        assert not page.ask("unsaved.size")
        page.press(UNDO)
        np.testing.assert_array_equal(page.ids, mine)
        np.testing.assert_array_equal(page.saved(1), theirs)


@pytest.mark.parametrize("blank", [False, True])
def test_the_audit_is_blind(browser, tmp_path, blank):
    folder = make_folder(tmp_path / "folder", chosen=())
    with reviewing(browser, folder, blank_audit=blank) as page:
        assert page.ask("[tab, frame.index]") == ["audit", 4]
        text = page.ask("document.body.innerText")
        assert not any(word in text for word in ("drawn", "early", "0.5 ", "rank", "fragment"))
        np.testing.assert_array_equal(page.ids, np.zeros(SIZE) if blank else PREDICTED[4])
        if blank:
            page.press("x", "r")
            page.until("message.textContent === 'This frame has no prediction.'")
            assert not page.ids.any()


def test_the_page_fits_a_small_laptop_and_asks_no_other_machine(page):
    page.wait_for_prediction()
    assert page.ask("[innerWidth, document.documentElement.scrollHeight <= innerHeight]") == [1366, True]
    assert page.ask("element('right').scrollHeight <= element('right').clientHeight")
    names = page.driver.find_elements("css selector", "#right span")
    assert [name.text for name in names if page.ask("arguments[0].scrollWidth > arguments[0].clientWidth", name)] == []
    sources = page.ask("performance.getEntriesByType('resource').map(entry => entry.name)")
    own = (page.address, page.address.rsplit("/", 2)[0] + "/favicon.ico")
    assert len(sources) > 5 and all(source.startswith(own) for source in sources)
    page.press("?")
    assert page.driver.find_element("id", "help").is_displayed()


def test_frames_are_moved_and_zoomed_without_change(page):
    before = page.ask("[view.scale, view.left]")
    page.press("+", "+")
    page.hold(" ", "")
    assert page.ask("view.scale") > 1.5 * before[0]
    page.press("f", "\ue014")  # to the right
    page.wait_for_frame(3)
    assert page.ask("[view.scale, view.left]") == before and not page.ask("unsaved.size")
