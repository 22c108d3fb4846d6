"""Numbering frames across damage, without a decoder."""

from __future__ import annotations

from surgseg.video.timeline import Timeline


def test_undamaged_frames_count_up_whatever_their_times():
    timeline = Timeline(10)
    for pts in (0, 10, 45, 46):
        timeline.packet(pts)
    assert [timeline.frame(pts, pts == 0, False) for pts in (0, 10, 45, 46)] == [
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
    assert silent.frame(2, False, False) == (1, False)
    assert damaged.frame(2, False, False) == (2, True)
    assert (silent.lost, damaged.lost) == (0, 1)


def test_a_late_error_belongs_to_the_packet_it_came_from():
    timeline = Timeline(1, delay=2, exact=True)
    for pts in range(6):  # packet 1 is damaged; its error comes when packet 3 is sent; packet 2 is a keyframe
        timeline.packet(pts)
        if pts == 3:
            timeline.error()
    assert timeline.frame(0, True, False) == (0, False)
    assert timeline.frame(2, True, False) == (2, False)
    assert timeline.frame(3, False, False) == (3, False)


def test_a_keyframe_sent_before_the_damage_does_not_end_it():
    timeline = Timeline(1, exact=True)
    for pts in (0, 4, 2, 1):
        timeline.packet(pts)
    timeline.packet(8)
    timeline.error()
    assert timeline.frame(0, True, False) == (0, False)
    timeline.packet(6)
    for pts in (1, 2, 4):
        timeline.frame(pts, False, False)
    assert timeline.frame(6, False, False) == (4, True)


def test_after_a_hole_the_gap_is_counted_in_frames():
    timeline = Timeline(10)
    timeline.packet(0)
    timeline.frame(0, True, False)
    timeline.packet(50, hole=True)
    assert timeline.frame(50, False, False) == (5, True)
    assert timeline.lost == 4


def test_a_corrupt_keyframe_is_suspect_itself():
    timeline = Timeline(10)
    timeline.packet(0)
    assert timeline.frame(0, True, True) == (0, True)
