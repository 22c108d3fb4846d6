"""Cuts: found in drawn frames, or read from a list."""

import numpy as np
import pytest

from surgseg.files import UserError, write_bytes
from surgseg.frames import encode_frame
from surgseg.generate.cuts import Cuts, close_pairs, cuts_of, find_cuts, read_cuts
from tests.folders import read_folder, texture

SIZE = (120, 160)
WIDE = {seed: texture((120, 420), seed) for seed in (1, 2)}


def look(scene: int, place: int = 0, gain: float = 1.0) -> np.ndarray:
    """(H, W, 3) uint8: a scene, with the camera moved by `place` pixels."""
    picture = 40 + 0.5 * WIDE[scene][:, 100 + place : 260 + place]
    return np.repeat(np.clip(gain * picture, 0, 255).astype(np.uint8)[..., None], 3, 2)


def found(tmp_path, frames, rate=25.0, times=None):
    paths = [tmp_path / f"{index:03d}.jpg" for index in range(len(frames))]
    for path, frame in zip(paths, frames):
        write_bytes(path, encode_frame(frame))
    return find_cuts(paths, times or [index / rate for index in range(len(frames))])


@pytest.mark.parametrize("rate", [25.0, 5.0])
def test_another_scene_begins_a_shot_also_while_the_camera_moves(tmp_path, rate):
    frames = [look(1, 4 * i) for i in range(6)] + [look(2, 4 * i) for i in range(6)]
    assert found(tmp_path, frames, rate) == [6]


def test_time_that_was_cut_out_of_one_scene_is_a_cut(tmp_path):
    assert found(tmp_path, [look(1, i) for i in range(8)] + [look(1, 30 + i) for i in range(8)]) == [8]


def test_moving_is_no_cut_however_it_begins_and_ends(tmp_path):
    places = [0, 0, 0, 2, 6, 14, 26, 38, 50, 58, 62, 64, 64, 64]  # 12 pixels are 7.5 % of the width
    assert found(tmp_path, [look(1, place) for place in places]) == []


@pytest.mark.parametrize("length", [1, 3, 10])
def test_a_flash_and_a_light_that_fails_for_a_moment_are_no_cuts(tmp_path, length):
    for gain in (5, 0):
        frames = [look(1, i // 4, gain if 8 <= i < 8 + length else 1) for i in range(26)]
        assert found(tmp_path, frames) == []


def test_a_damaged_frame_and_more_light_are_no_cuts(tmp_path):
    assert found(tmp_path, [look(1 + (i == 8), i) for i in range(16)]) == []
    assert found(tmp_path, [look(1, i, 1 + 0.6 * (i >= 8)) for i in range(16)]) == []


def test_a_small_step_between_still_frames_is_no_cut_and_a_scene_that_stays_away_was_left(tmp_path):
    assert found(tmp_path, [look(1)] * 8 + [look(1, 1)] * 8) == []
    assert found(tmp_path, [look(1)] * 8 + [look(2)] * 18 + [look(1)] * 8) == [8, 26], "it is back after 0.72 s"


def test_scenes_with_black_between_them_are_cut_twice(tmp_path):
    frames = [look(1, i) for i in range(6)] + [look(1, 0, 0)] * 4 + [look(2, i) for i in range(6)]
    assert found(tmp_path, frames) == [6, 10]


def dissolve(length, first=1, second=2):
    """Ten frames of one scene, `length` mixtures with steadily more of the other, ten frames of that one."""
    weights = [*[0] * 10, *[(i + 1) / (length + 1) for i in range(length)], *[1] * 10]
    before, after = look(first).astype(float), look(second, 8).astype(float)
    return [((1 - weight) * before + weight * after).round().astype(np.uint8) for weight in weights]


@pytest.mark.parametrize("length", [1, 2, 8, 25])
def test_each_frame_of_a_dissolve_and_the_first_after_it_begin_a_shot(tmp_path, length):
    frames = found(tmp_path, dissolve(length))
    assert frames[0] in range(10 - length // 8, 11) and frames[-1] in range(10 + length, 11 + length + length // 4)
    assert frames == list(range(frames[0], frames[-1] + 1))


def test_a_scene_that_fades_out_and_in_again_and_one_that_dissolves_into_itself_are_not_left(tmp_path):
    fade = dissolve(4)[:16]
    assert found(tmp_path, fade + fade[::-1]) == []
    assert found(tmp_path, dissolve(8, 1, 1)) == [], "flow follows by 8 pixels"


def test_a_dissolve_over_more_than_a_second_or_with_frames_left_out_is_not_looked_for(tmp_path):
    frames = dissolve(25)
    assert found(tmp_path, frames, rate=20) == []
    assert found(tmp_path, dissolve(2), times=[i / 25 + 0.3 * (i > 10) for i in range(22)]) == []


def test_frames_far_apart_are_not_looked_at(tmp_path):
    assert found(tmp_path, [look(1), look(1), look(2), look(2)], times=[0, 0.1, 4, 4.1]) == []
    assert found(tmp_path, [look(1), look(1), look(2)], times=[0, 0.1, 0.2]) == [2], "a burst that holds a cut"


def test_frames_of_two_shots_are_no_neighbours():
    assert close_pairs([0, 0.04, 0.08, 0.12], [0, 0, 1, 1]) == [0, 2]


@pytest.mark.parametrize(
    "text, after",
    [
        ("frame\n60\n30\n", 0),
        ("time_s\r\n0\r\n1.2000004\r\n2.39\r\n", 0),
        ("\ufefftime_s\n2.39\n1.2\n1.2\n4.81\n30\n", 2),
        ("shot,frame\na,30\nb,60\nc,999\nd,121\n", 2),
    ],
)
def test_a_list_names_the_first_frame_or_time_after_each_cut(tmp_path, text, after):
    rows = read_folder(tmp_path / "out", [10] * 5)  # frames 0, 30, ... 120, each 1.2 s
    (tmp_path / "cuts.csv").write_bytes(text.encode())
    cuts = cuts_of(rows, rows.rows, tmp_path / "cuts.csv")
    assert cuts == Cuts((30, 60), "file", after_the_end=after) and cuts.shots(rows.rows).tolist() == [0, 1, 2, 2, 2]


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "empty"),
        ("30\n60\n", "first line must be frame or time_s"),
        ("30\n", "first line must be frame or time_s"),
        ("time_s\n3,6\n", "line 2: '3' is no time_s of a cut .more values"),
        ("frame\n30\n1.5\n", "line 3: '1.5' is no frame"),
        ("time_s\nnan\n", "line 2: 'nan' is no time_s"),
        ("frame\n-3\n", "line 2"),
    ],
)
def test_a_list_in_another_format_is_refused_with_its_line(tmp_path, text, said):
    (tmp_path / "cuts.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        read_cuts(tmp_path / "cuts.csv", [])


def test_a_cut_before_the_last_frame_lies_inside(tmp_path):
    rows = read_folder(tmp_path / "out", [10] * 5)
    (tmp_path / "cuts.csv").write_text("frame\n0\n120\n")
    assert cuts_of(rows, rows.rows, tmp_path / "cuts.csv") == Cuts((120,), "file")


def test_a_list_without_a_cut_says_that_there_is_none(tmp_path):
    (tmp_path / "cuts.csv").write_text("frame\n")
    assert read_cuts(tmp_path / "cuts.csv", []) == []


def test_joined_parts_begin_with_a_cut_and_why_no_others_are_known_is_said(tmp_path):
    parts = [{"first_frame": 0, "start_s": 0.0}, {"first_frame": 2, "start_s": 0.08}]
    folder = read_folder(tmp_path / "out", [10] * 4, step=1, video={"duration_s": 0.16, "parts": parts})
    cuts = cuts_of(folder, folder.rows)
    assert cuts.frames == (2,) and not cuts.source and "kept no frames" in cuts.reason
    apart = read_folder(tmp_path / "apart", [10, 10], images=[look(1)[:10, :10]] * 2)
    assert not cuts_of(apart, apart.rows).source and "0.2 s apart" in cuts_of(apart, apart.rows).reason
