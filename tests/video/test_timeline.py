"""Numbering frames across damage, without a decoder."""

from __future__ import annotations

from surgseg.video.timeline import Timeline


def show(timeline, pts, key=False, corrupt=False):
    """(index, suspect) of a frame, as far as is known when it comes out."""
    place = timeline.frame(pts, key, corrupt)
    return place.index, timeline.suspect(place)


def test_undamaged_frames_count_up_whatever_their_times():
    timeline = Timeline(10)
    for pts in (0, 10, 45, 46):
        timeline.packet(pts)
    assert [show(timeline, pts, pts == 0) for pts in (0, 10, 45, 46)] == [
        (0, False),
        (1, False),
        (2, False),
        (3, False),
    ]
    timeline.finish()
    assert timeline.lost == 0


def test_a_packet_without_a_frame_is_lost_only_after_an_error():
    silent, damaged = Timeline(None), Timeline(None)
    for timeline in (silent, damaged):
        for pts in (0, 1, 2):
            timeline.packet(pts)
            if timeline is damaged and pts == 1:
                timeline.error()
        timeline.frame(0, True, False)
    assert show(silent, 2, False, False) == (1, False)
    assert show(damaged, 2, False, False) == (2, True)
    assert (silent.lost, damaged.lost) == (0, 1)


def test_a_late_error_belongs_to_the_packet_it_came_from_and_makes_the_one_before_doubtful():
    timeline = Timeline(1, delay=2, exact=True)
    for pts in range(7):  # packet 2 is damaged; its error comes when packet 4 is sent; packet 3 is a keyframe
        timeline.packet(pts)
        if pts == 4:
            timeline.error()
    found = [show(timeline, pts, pts in (0, 3)) for pts in (0, 1, 3, 4)]
    assert found == [(0, False), (1, True), (3, False), (4, False)]


def test_a_frame_waits_for_those_sent_before_it_and_shares_their_damage():
    timeline = Timeline(1, exact=True)
    for pts in (0, 3, 1, 2, 6, 4, 5):
        timeline.packet(pts)
    first = timeline.frame(0, True, False)
    second, third = timeline.frame(1, False, False), timeline.frame(2, False, False)
    assert not timeline.settled(second) and not timeline.suspect(second)
    fourth = timeline.frame(3, False, True)  # damaged, and what 1 and 2 were predicted from
    assert timeline.settled(first) and timeline.settled(second)
    assert [timeline.suspect(place) for place in (second, third, fourth)] == [True, True, True]


def test_frames_shown_before_a_keyframe_do_not_begin_with_it():
    timeline = Timeline(1, exact=True)  # open groups: 4 and 5 are sent after keyframe 6 and lean on 3
    for pts in (0, 3, 1, 2, 6, 4, 5, 7):
        timeline.packet(pts)
    timeline.frame(0, True, False)
    timeline.frame(1, False, False)
    timeline.frame(2, False, False)
    timeline.frame(3, False, True)
    leading = timeline.frame(4, False, False), timeline.frame(5, False, False)
    key, following = timeline.frame(6, True, False), timeline.frame(7, False, False)
    assert [timeline.suspect(place) for place in (*leading, key, following)] == [True, True, False, False]


def test_a_packet_without_a_frame_is_damage_where_every_packet_shows_one():
    timeline = Timeline(1, exact=True, complete=True)
    for pts in range(4):
        timeline.packet(pts)
    assert show(timeline, 0, True) == (0, False)
    assert show(timeline, 2) == (2, True)
    assert timeline.lost == timeline.damaged == 1


def test_a_frame_handed_out_early_after_damage_keeps_places_for_those_not_yet_sent():
    timeline = Timeline(1, exact=True)
    for pts, dts in ((0, -2), (3, -1), (1, 0)):
        timeline.packet(pts, dts=dts)
    timeline.frame(0, True, False)
    timeline.error()
    assert timeline.frame(3, False, False).index == 3  # 2 has not been sent
    timeline.packet(2, dts=1)
    timeline.packet(4, dts=2)
    assert timeline.frame(2, False, False) is None
    assert timeline.frame(4, False, False).index == 4
    assert timeline.lost == 2


def test_counted_frames_take_the_slot_of_their_packet():
    timeline = Timeline(1, counted=True)
    for pts, dts in ((1, 0), (2, 1), (6, 5)):  # the recorder dropped three
        timeline.packet(pts, dts=dts)
    slots = []
    for pts in (2, 1, 6):
        timeline.frame(pts, pts == 2, False)
        slots.append(timeline.slot)
    assert slots == [0, 1, 5] and timeline.next_index == 3 and timeline.lost == 0


def test_a_keyframe_sent_before_the_damage_does_not_end_it():
    timeline = Timeline(1, exact=True)
    for pts in (0, 4, 2, 1):
        timeline.packet(pts)
    timeline.packet(8)
    timeline.error()
    assert show(timeline, 0, True, False) == (0, False)
    timeline.packet(6)
    for pts in (1, 2, 4):
        timeline.frame(pts, False, False)
    assert show(timeline, 6, False, False) == (4, True)


def test_after_a_hole_the_gap_is_counted_in_frames():
    timeline = Timeline(10)
    timeline.packet(0)
    timeline.frame(0, True, False)
    timeline.packet(50, hole=True)
    assert show(timeline, 50, False, False) == (5, True)
    assert timeline.lost == 4


def test_a_corrupt_keyframe_is_suspect_itself():
    timeline = Timeline(10)
    timeline.packet(0)
    assert show(timeline, 0, True, True) == (0, True)
