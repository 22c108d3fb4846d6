"""Accuracy as seen: a mask that comes late is scored against the truth of the time at which it is on the screen."""

from __future__ import annotations

import numpy as np
import pytest

from surgseg.evaluation.as_seen import as_seen_lines, find_truth, score_as_seen
from surgseg.files import UserError, write_json
from surgseg.labels import SCHEMES, write_scheme
from surgseg.masks import write_mask
from surgseg.video.inputs import VideoSource
from surgseg.video.reader import Frame
from tests.folders import columns, write_folder
from tests.helpers import noise_frame, save_image

BINARY = SCHEMES["binary"]
FILM = VideoSource("film.mp4")


def frames(count: int, size=(10, 10)):
    """Frame i is of level i and due at second i."""
    return [Frame(index, float(index), np.full((*size, 3), index, np.uint8), False) for index in range(count)]


def moving(index: int) -> np.ndarray:
    """An instrument of two columns that moves by one column a frame."""
    return columns(index, index + 2)


@pytest.fixture
def truth(tmp_path):
    for index in range(4):
        write_mask(tmp_path / "masks" / f"op_{index:06d}.png", moving(index), BINARY)
    return find_truth(tmp_path, BINARY, FILM, False)


def predict(image):
    return moving(int(image[0, 0, 0]))


def score(truth, seen_at, until=3.0):
    return score_as_seen(frames(6), truth, seen_at, until, predict, BINARY)


def test_a_mask_of_the_frame_before_costs_accuracy_and_an_empty_screen_counts(truth):
    def seen_at(second):  # the screen is one frame late, and empty at first
        return moving(int(second) - 1) if second >= 1 else None

    found = score(truth, seen_at)
    assert found["frames"] == 4
    assert found["offline"]["instrument_union"]["dice"] == 1
    assert found["as_seen"]["instrument_union"]["dice"] == pytest.approx(2 * 3 * 10 / (3 * 20 + 4 * 20))
    assert found["as_seen"]["per_frame"]["mean_dice"] == pytest.approx((0 + 3 * 0.5) / 4)
    assert [line.split() for line in as_seen_lines(found)][1:] == [
        ["as", "seen", "0.4286", "0.2727"],
        ["offline,", "without", "latency", "1.0000", "1.0000"],
    ]


def test_frames_after_the_end_of_the_run_do_not_count(truth):
    assert score(truth, lambda second: None, until=1.5)["frames"] == 2
    with pytest.raises(UserError, match="no frame with a mask came before the end"):
        score({5: truth[0]}, lambda second: None, until=1.5)


def test_masks_of_another_size_are_named(truth):
    with pytest.raises(UserError, match=r"op_000000.png is 10x10, its frame 14x12"):
        score_as_seen(frames(1, (12, 14)), truth, lambda second: None, 3.0, predict, BINARY)


def test_masks_belong_to_images_by_name_and_to_frames_of_a_film_by_number(tmp_path):
    for name in ("b_7", "a_9"):
        save_image(tmp_path / "frames" / f"{name}.png", noise_frame(0))
        write_mask(tmp_path / "masks" / f"{name}.png", moving(0), BINARY)
    images = find_truth(tmp_path / "masks", BINARY, VideoSource(tmp_path / "frames", images=True), False)
    assert {index: path.stem for index, path in images.items()} == {0: "a_9", 1: "b_7"}
    with pytest.raises(UserError, match=r"several videos \(a, b\)"):
        find_truth(tmp_path, BINARY, FILM, False)
    (tmp_path / "masks" / "b_7.png").unlink()
    assert list(find_truth(tmp_path, BINARY, FILM, False)) == [9]


def test_masks_of_other_classes_are_refused(tmp_path, truth):
    write_scheme(tmp_path / "classes.json", BINARY)
    assert len(find_truth(tmp_path, BINARY, FILM, False)) == 4
    with pytest.raises(
        UserError, match="has the classes background, instrument, the weights background, grasper, l-hook"
    ):
        find_truth(tmp_path, SCHEMES["grasper-hook"], FILM, False)


def test_predicted_masks_are_no_truth_unless_reviewed(tmp_path):
    folder = write_folder(tmp_path / "generated", [moving(0), moving(1)], step=1)
    with pytest.raises(UserError, match=r"all 2 masks .* are predictions of a model"):
        find_truth(folder, BINARY, FILM, False)
    assert len(find_truth(folder, BINARY, FILM, True)) == 2
    write_mask(folder / "masks" / "video_000001.png", moving(5), BINARY)  # corrected by a person
    assert list(find_truth(folder, BINARY, FILM, False)) == [1]


def test_masks_that_match_no_frame_are_named(tmp_path):
    write_mask(tmp_path / "mask.png", moving(0), BINARY)
    write_json(tmp_path / "other.json", {})
    with pytest.raises(UserError, match="no mask has the number of a frame"):
        find_truth(tmp_path, BINARY, FILM, False)
