"""Leave out what nobody asks for: whole groups of pictures between two sampled places are not decoded.

A group begins with a keyframe. Frames of a group that are shown before its keyframe (leading ones) refer to the group
before, so that one is decoded too. In files whose packets are frames, each with its time, numbers stay exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import av

_LONGEST = 2000  # packets that are held to see where their group ends; a longer group is decoded
Item = tuple[av.Packet, bool]  # a packet, and whether bytes before it belong to no packet


class Jump(NamedTuple):
    """Groups were left out: the next packet begins a group, whose first frame has the number `index`."""

    index: int


def leave_gaps(items: Iterable[Item], wanted_from: Callable[[], float]) -> Iterator[Item | Jump]:
    """The items, with a `Jump` in place of groups whose frames all lie before `wanted_from()`, a time stamp.

    It is asked for each group when those before it have been sent to the decoder, which may still hold some of
    their frames: it must not promise more than it knows of the frames it has seen.
    """
    index = 0  # of the group's first frame
    left_out: list[Item] = []  # the latest group
    for group in _groups(items):
        if _whole(group) and max(packet.pts for packet, _ in group) < wanted_from():
            left_out = group
        elif left_out:
            if any(_leads(item, group) for item in group):
                sent = [item for item in left_out if not _leads(item, left_out)]
                yield Jump(index - _frames(sent))
                yield from sent
            else:
                yield Jump(index)
            yield from group
            left_out = []
        else:
            yield from group
        index += _frames(group)
    if left_out:
        yield Jump(index)


def _groups(items: Iterable[Item]) -> Iterator[list[Item]]:
    group: list[Item] = []
    for item in items:
        if group and (item[0].is_keyframe or len(group) == _LONGEST):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _whole(group: list[Item]) -> bool:
    """Whether it is a group from its keyframe to its end, all of whose times are known."""
    known = all(packet.pts is not None for packet, _ in group)
    return known and group[0][0].is_keyframe and len(group) < _LONGEST


def _leads(item: Item, group: list[Item]) -> bool:
    """Whether a frame is shown before the keyframe of its group."""
    pts, key = item[0].pts, group[0][0].pts
    return pts is not None and key is not None and pts < key


def _frames(group: list[Item]) -> int:
    return sum(not packet.is_discard for packet, _ in group)
