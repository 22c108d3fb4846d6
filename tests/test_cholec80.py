"""Cholec80's phase and tool files: their format, its variations, and everything that is no such file."""

from pathlib import Path

import numpy as np
import pytest

from surgseg.analysis.presence import agreement
from surgseg.cholec80 import NO_PHASE, check_length, phases_at, read_phases, read_tools, tools_at
from surgseg.files import UserError
from tests.folders import TOOLS, write_phases, write_tools


def file_of(folder: Path, text, name="a.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_phase_file_names_the_phase_of_every_frame(tmp_path):
    track = read_phases(write_phases(tmp_path / "p.txt", ["Preparation"] * 3 + ["ClippingCutting"] * 2))
    assert track.step == 1 and track.rate == 25 and track.end_s == 5 / 25
    assert phases_at(track, [0, 2 / 25, 3 / 25, 4 / 25]) == ["Preparation"] * 2 + ["ClippingCutting"] * 2


def test_a_tool_file_speaks_of_its_own_frames_and_is_drawn_half_a_second_around_them(tmp_path):
    track = read_tools(write_tools(tmp_path / "t.txt", [{"Grasper"}, {"Hook", "Grasper"}, set()]))
    assert track.tools == TOOLS[:-1] and track.step == 25 and track.end_s == 3
    in_view, near, exact = tools_at(track, [0, 0.44, 0.56, 1.4, 2.0, 2.4, 9.0])
    assert near.tolist() == [True] * 6 + [False] and exact.tolist() == [True, *[False] * 3, True, False, False]
    assert in_view[:, 0].tolist() == [True, True, True, True, False, False, False]
    assert in_view[:, 2].tolist() == [False, False, True, True, False, False, False]


@pytest.mark.parametrize(
    ("step", "rate", "counted"), [(1, 25, 40), (5, 25, 40), (25, 25, 40), (30, 25, 7), (1, 30, 40)]
)
def test_a_perfect_detector_agrees_everywhere_however_frames_are_sampled(tmp_path, step, rate, counted):
    """The tool comes and goes at any frame of the video, and the file has the truth of every 25th."""
    changes = np.sort(np.random.default_rng(0).choice(np.arange(1, 1000), 60, replace=False))
    truth = np.searchsorted(changes, np.arange(1000), side="right") % 2 == 1
    track = read_tools(write_tools(tmp_path / "t.txt", [{"Hook"} if shown else set() for shown in truth[::25]]))
    times = np.round(np.arange(0, int(40 * rate), step) / rate, 6)
    predicted = truth[np.minimum(np.round(times * 25).astype(int), 999)]
    in_view, _, exact = tools_at(track, times)
    found = agreement(predicted[exact], in_view.any(1)[exact])
    assert found["sensitivity"] == found["specificity"] == 1 and exact.sum() == counted


def test_times_before_the_first_and_after_the_last_row_have_no_phase(tmp_path):
    track = read_phases(write_phases(tmp_path / "p.txt", ["A", "A", "B"], first=100))
    assert phases_at(track, [0, 3.9, 100 / 25, 102 / 25, 4.5]) == [NO_PHASE, NO_PHASE, "A", "B", NO_PHASE]


def test_a_hole_in_the_file_is_not_filled(tmp_path):
    track = read_tools(file_of(tmp_path, "Frame\tHook\n0\t1\n25\t1\n50\t1\n500\t1\n525\t1\n"))
    assert tools_at(track, [1.0, 10.0, 20.0])[1].tolist() == [True, False, True]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\t", b"  "),
        lambda text: text.replace(b"Frame\tPhase", b"frame\tphase"),
        lambda text: text + b"\n\n",
        lambda text: text.rstrip(b"\n"),
        lambda text: text.replace(b"\t", b" \t "),
    ],
    ids=["BOM", "CRLF", "spaces", "lower case", "blank lines", "no last newline", "spaced tabs"],
)
def test_other_editors_files_read_the_same(tmp_path, change):
    text = write_phases(tmp_path / "p.txt", ["A", "A", "B"]).read_bytes()
    track = read_phases(file_of(tmp_path, change(text)))
    assert track.frames.tolist() == [0, 1, 2] and track.values.tolist() == ["A", "A", "B"]
    tools = write_tools(tmp_path / "t.txt", [{"Hook"}, set()]).read_bytes()
    found = read_tools(file_of(tmp_path, change(tools)))
    assert found.frames.tolist() == [0, 25] and found.values.any(1).tolist() == [True, False]


def test_the_specimen_bag_is_no_instrument_unless_asked_for(tmp_path):
    path = write_tools(tmp_path / "t.txt", [{"SpecimenBag"}, {"Hook", "SpecimenBag"}])
    assert tools_at(read_tools(path), [0, 1])[0].any(1).tolist() == [False, True]
    bag = read_tools(path, ["specimenbag"])
    assert bag.tools == ("SpecimenBag",) and tools_at(bag, [0, 1])[0].tolist() == [[True], [True]]


def test_chosen_tools_are_the_only_ones_that_count(tmp_path):
    path = write_tools(tmp_path / "t.txt", [{"Grasper"}, {"Hook"}])
    track = read_tools(path, ["hook", "Clipper"])
    assert track.tools == ("Hook", "Clipper") and tools_at(track, [0, 1])[0].tolist() == [[False] * 2, [True, False]]
    assert read_tools(path, ["Hook", "hook"]).tools == ("Hook",), "once, however often it is named"
    with pytest.raises(UserError, match=r"t\.txt has no tool Scalpel; it lists Grasper, Bipolar"):
        read_tools(path, ["Hook", "Scalpel"])


def test_another_rate_puts_the_rows_elsewhere(tmp_path):
    path = write_phases(tmp_path / "p.txt", ["A"] * 10 + ["B"] * 10)
    assert phases_at(read_phases(path, 10.0), [0.5, 1.5]) == ["A", "B"]
    assert phases_at(read_phases(path, 25.0), [0.5]) == ["B"]
    assert read_phases(path, 10.0).end_s == 2
    for rate in (0.0, -25.0, 1000.0, float("nan")):
        with pytest.raises(UserError, match="--annotation-rate"):
            read_phases(path, rate)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "not in Cholec80's format"),
        ("\n\n", "not in Cholec80's format"),
        ("Frame\n0\n", "not in Cholec80's format"),
        ("0\tA\n1\tA\n", "not in Cholec80's format"),
        ("Frame\tPhase\n", "no rows"),
        ("Frame\tGrasper\n0\t1\n", "is no phase file"),
        ("Frame\tPhase\tSurgeon\n0\tA\tB\n", "is no phase file"),
        ("Frame\tPhase\n0\tA\n1\n", "line 3"),
        ("Frame\tPhase\n0\tA\n1\tA\tB\n", "line 3"),
        ("Frame Phase\n0 Calot Triangle Dissection\n", "line 2"),
        ("Frame\tPhase\n0\tA\nx\tA\n", "line 3"),
        ("Frame\tPhase\n-1\tA\n", "line 2"),
        ("Frame\tPhase\n1.5\tA\n", "line 2"),
        ("Frame\tPhase\n\u00b2\tA\n", "line 2"),
        ("Frame\tPhase\n1\tA\n0\tA\n", "do not ascend"),
        ("Frame\tPhase\n1\tA\n1\tB\n", "do not ascend"),
        (b"Frame\tPhase\n0\t\xff\xfe\n", "no text file"),
        ("Frame\tPhase\n0\tA\n".encode("utf-16"), "no text file"),
    ],
)
def test_what_is_no_phase_file_is_refused_with_its_name(tmp_path, text, message):
    path = file_of(tmp_path, text)
    with pytest.raises(UserError, match=message) as caught:
        read_phases(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("Frame\tPhase\n0\tA\n", "is a phase file"),
        ("Frame\tGrasper\tHook\n0\t1\n", "line 2: 2 values"),
        ("Frame\tGrasper\tHook\n0\t1\t0\n25\t1\t0\t1\n", "line 3: 2 values"),
        ("Frame\tGrasper\tHook\n0\t1\t2\n", "line 2"),
        ("Frame\tGrasper\tHook\n0\t1\t\n", "line 2"),
        ("Frame\tGrasper\n25\t1\n0\t1\n", "do not ascend"),
    ],
)
def test_what_is_no_tool_file_is_refused_with_its_name(tmp_path, text, message):
    path = file_of(tmp_path, text)
    with pytest.raises(UserError, match=message) as caught:
        read_tools(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*nothing"):
        read_phases(tmp_path / "nothing")
    with pytest.raises(UserError, match="cannot read"):
        read_tools(tmp_path)


def test_a_line_number_counts_blank_lines_too(tmp_path):
    with pytest.raises(UserError, match="line 5"):
        read_phases(file_of(tmp_path, "Frame\tPhase\n0\tA\n\n\nx\tB\n"))
    with pytest.raises(UserError, match="line 4"):
        read_tools(file_of(tmp_path, "Frame\tHook\n0\t1\n\n25\t7\n"))


def test_an_annotation_of_another_length_is_another_video_s(tmp_path):
    track = read_phases(write_phases(tmp_path / "p.txt", ["A"] * 250))  # 10 s
    check_length(track, {"video": {"duration_s": 10.0}})
    check_length(track, {"video": {"duration_s": 11.9}})
    for length in (12.1, 7.9, 1000.0):
        with pytest.raises(UserError, match=rf"p\.txt covers 10\.0 s .* video lasts {length:.1f} s"):
            check_length(track, {"video": {"duration_s": length}})


def test_of_a_long_video_one_percent_is_no_other_length(tmp_path):
    track = read_tools(write_tools(tmp_path / "t.txt", [set()] * 1000))
    check_length(track, {"video": {"duration_s": 1009.0}})
    with pytest.raises(UserError, match="another video"):
        check_length(track, {"video": {"duration_s": 1011.0}})


def test_where_the_video_s_length_is_unknown_nothing_is_refused(tmp_path):
    track = read_phases(write_phases(tmp_path / "p.txt", ["A"]))
    for run in ({}, {"video": None}, {"video": {"duration_s": None}}):
        check_length(track, run)


def test_values_are_those_of_the_nearest_row(tmp_path):
    track = read_phases(write_phases(tmp_path / "p.txt", list("ABCD"), step=10))
    assert track.nearest(np.array([0, 4, 6, 14, 16, 35]) / 25).tolist() == [0, 0, 1, 1, 2, 3]
