"""Which frames of a video are taken."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgseg.files import UserError
from surgseg.video.sampling import SPREAD_FRAMES, STEP, Sampler, Sampling, choose_sampling, seconds

RATE = 25.0


def times(count, rate=RATE):
    return [index / rate for index in range(count)]


def take(sampling, stamps, length_s=None, rate=RATE):
    """Indices taken, as a reader asks for them; nothing is asked once the sampler is done."""
    sampler = Sampler(sampling, length_s or (stamps[-1] + 1 / RATE if stamps else 1.0), rate)
    taken = []
    for index, time_s in enumerate(stamps):
        if sampler.selects(index, time_s):
            taken.append(index)
        if sampler.done:
            assert not any(sampler.selects(later, stamps[later]) for later in range(index + 1, len(stamps)))
            break
    return taken


def test_every_takes_each_step_th_frame():
    assert take(Sampling(step=7), times(30)) == [0, 7, 14, 21, 28]
    assert take(Sampling(step=1), times(4)) == [0, 1, 2, 3]


def test_every_takes_bursts_at_the_beginning_of_each_step():
    assert take(Sampling(step=10, burst=3), times(25)) == [0, 1, 2, 10, 11, 12, 20, 21, 22]


def test_every_between_two_times_keeps_to_the_source_indices():
    assert take(Sampling(step=10, start_s=0.5, end_s=1.6), times(100)) == [20, 30]  # frames 13 to 39
    assert take(Sampling(step=10, burst=2, start_s=0.44), times(30)) == [11, 20, 21]


def test_end_is_excluded_and_ends_the_reading():
    sampler = Sampler(Sampling(step=1, end_s=0.08))
    assert [sampler.selects(index, index / 25) for index in range(3)] == [True, True, False]
    assert sampler.done


def test_max_frames_ends_the_reading_with_the_last_frame():
    sampler = Sampler(Sampling(step=2, max_frames=2))
    assert [sampler.selects(index, index / 25) for index in range(3)] == [True, False, True]
    assert sampler.done and not sampler.selects(4, 0.16)


def test_spread_takes_the_middle_of_equal_parts():
    assert take(Sampling("spread", None, 5), times(100)) == [10, 30, 50, 70, 90]
    assert take(Sampling("spread", None, 4, start_s=1.0, end_s=3.0), times(100)) == [31, 43, 56, 68]


def test_spread_takes_bursts_from_there():
    assert take(Sampling("spread", None, 6, burst=3), times(100)) == [25, 26, 27, 75, 76, 77]
    assert take(Sampling("spread", None, 7, burst=3), times(100)) == [25, 26, 27, 75, 76, 77]  # whole bursts only


@pytest.mark.parametrize("count, wanted", [(1, 1), (10, 10), (10, 11), (10, 400), (100, 100)])
def test_spread_over_fewer_frames_than_asked_for_takes_them_all(count, wanted):
    assert take(Sampling("spread", None, wanted), times(count)) == list(range(count))


def test_spread_without_a_rate_may_miss_the_first_frame_alone():
    assert take(Sampling("spread", None, 10), times(10), rate=None) == list(range(1, 10))


def test_spread_is_even_in_time_where_the_rate_varies():
    stamps = [index / 25 for index in range(50)] + [2 + index / 5 for index in range(40)]  # 2 s and 8 s
    taken = take(Sampling("spread", None, 10), stamps, length_s=10.0, rate=None)
    assert len(taken) == 10
    assert all(abs(stamps[index] - (place + 0.5)) <= 0.2 for place, index in enumerate(taken))


def test_spread_is_done_with_its_last_frame_and_survives_a_length_that_is_too_great():
    sampler = Sampler(Sampling("spread", None, 2), 4.0, rate=RATE)
    taken = [index for index, time_s in enumerate(times(100)) if sampler.selects(index, time_s)]
    assert taken == [25, 75] and sampler.done
    assert take(Sampling("spread", None, 4), times(50), length_s=4.0) == [12, 37]


def test_spread_over_nothing_takes_nothing_and_an_unknown_length_is_an_error():
    assert take(Sampling("spread", None, 4, start_s=9.0), times(50)) == []
    with pytest.raises(UserError, match="--sample every"):
        Sampler(Sampling("spread", None, 4), None)


def test_a_gap_in_the_video_costs_only_the_places_inside_it():
    stamps = times(100)
    kept = [index for index in range(100) if not 40 <= index < 60]
    sampler = Sampler(Sampling("spread", None, 10), 4.0, rate=RATE)
    assert [index for index in kept if sampler.selects(index, stamps[index])] == [5, 15, 25, 35, 60, 65, 75, 85, 95]


samplings = st.builds(
    Sampling,
    mode=st.sampled_from(["every", "spread"]),
    step=st.integers(3, 12),
    max_frames=st.integers(3, 60),
    burst=st.integers(1, 3),
    start_s=st.sampled_from([0.0, 0.3, 1.0]),
    end_s=st.sampled_from([None, 1.5, 2.0, 50.0]),
)
steps = st.lists(st.sampled_from([0.02, 0.04, 0.04, 0.04, 0.2]), max_size=120)


@settings(deadline=None)
@given(samplings, steps, st.sampled_from([None, RATE]))
def test_the_sample_keeps_to_its_limits_whatever_the_times(sampling, gaps, rate):
    stamps = [sum(gaps[:index]) for index in range(len(gaps) + 1)]
    everything = take(sampling, stamps, rate=rate)
    assert len(everything) <= sampling.max_frames
    assert all(sampling.start_s <= stamps[index] < (sampling.end_s or 1e9) for index in everything)


@settings(deadline=None)
@given(samplings, st.integers(1, 150))
def test_expected_is_right_for_a_constant_rate(sampling, count):
    found = len(take(sampling, times(count)))
    if sampling.mode == "every":
        assert found == sampling.expected(count, RATE)
    else:  # bursts that run into each other or into the end take less
        assert found <= sampling.expected(count, RATE)
        assert sampling.burst > 1 or found == sampling.expected(count, RATE)


def test_expected_without_a_known_length_is_the_limit():
    assert Sampling(max_frames=9).expected(None, RATE) == 9
    assert Sampling().expected(0, None) is None
    assert Sampling(step=10).expected(95, None) == 10


def test_an_unknown_mode_is_refused():
    with pytest.raises(UserError, match="unknown sampling 'random': use every, spread"):
        Sampling("random")


def test_options_become_a_sampling_with_its_defaults():
    assert choose_sampling("every", None, None, 1, None, None) == Sampling("every", STEP)
    assert choose_sampling("spread", None, None, 5, 1.0, 9.0) == Sampling("spread", None, SPREAD_FRAMES, 5, 1.0, 9.0)
    described = choose_sampling("every", 2, 3, 1, None, None).describe()
    assert described == {"mode": "every", "step": 2, "max_frames": 3, "burst": 1, "start_s": 0.0, "end_s": None}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("every", 0, None, 1, None, None), "--frame-step 0"),
        (("every", None, 0, 1, None, None), "--max-frames 0"),
        (("every", None, None, 0, None, None), "--burst 0"),
        (("every", 5, None, 6, None, None), "--burst 6 is more"),
        (("spread", 5, None, 1, None, None), "--frame-step belongs"),
        (("spread", None, 4, 5, None, None), "--burst 5 is more"),
        (("every", None, None, 1, 5.0, 5.0), "not after"),
        (("every", None, None, 1, None, 0.0), "not after"),
    ],
)
def test_contradictions_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        choose_sampling(*arguments)


@pytest.mark.parametrize(
    "text, value", [("90", 90), ("1:30", 90), ("0:01:30.5", 90.5), ("100:00:00", 360000), ("2.", 2)]
)
def test_seconds_are_read_as_people_write_them(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1:2:3:4", "1,5", ":30", "nan", "1e3", "1:30 "])
def test_other_texts_are_no_time(text):
    with pytest.raises(ValueError):
        seconds(text)
