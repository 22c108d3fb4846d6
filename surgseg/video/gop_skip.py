"""Skip groups of pictures that lie between two sampled frames: they are not decoded.

A group begins with a keyframe at which decoding can start. Frames of a group that are shown before its keyframe
(leading frames) refer to the group before, so that group is decoded too. Frame indices stay exact in formats whose
packets are frames with time stamps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import av

_IDR, _SEI, _RECOVERY_POINT = 5, 6, 6  # two types of H.264 units, and the type of a message in an SEI unit
_LONGEST = 2000  # packets of a group that are held in memory; a longer group is decoded
Item = tuple[av.Packet, bool]  # a packet, and whether bytes before it belong to no packet


class Jump(NamedTuple):
    """Groups were skipped: the next packet begins a group whose first frame has the index `index`."""

    index: int


def leave_gaps(
    items: Iterable[Item], wanted_from: Callable[[], float], starts: Callable[[av.Packet], bool]
) -> Iterator[Item | Jump]:
    """Yield the items, with a `Jump` in place of groups whose frames all lie before `wanted_from()`, a time stamp.

    `starts` tells whether decoding can start at a packet. `wanted_from` is called for each group after the groups
    before it are sent to the decoder, which may still hold some of their frames.
    """
    index = 0  # of the group's first frame
    skipped: list[Item] = []  # the last group, if it was skipped
    for group in _groups(items, starts):
        if _whole(group, starts) and max(packet.pts for packet, _ in group) < wanted_from():
            skipped = group
        elif skipped:
            if any(_leads(item, group) for item in group):
                sent = [item for item in skipped if not _leads(item, skipped)]
                yield Jump(index - _frames(sent))
                yield from sent
            else:
                yield Jump(index)
            yield from group
            skipped = []
        else:
            yield from group
        index += _frames(group)
    if skipped:
        yield Jump(index)


def _groups(items: Iterable[Item], starts: Callable[[av.Packet], bool]) -> Iterator[list[Item]]:
    group: list[Item] = []
    for item in items:
        if group and (starts(item[0]) or len(group) == _LONGEST):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _whole(group: list[Item], starts: Callable[[av.Packet], bool]) -> bool:
    """Whether a group is complete, from its keyframe to its end, and all its times are known."""
    known = all(packet.pts is not None for packet, _ in group)
    return known and len(group) < _LONGEST and starts(group[0][0])


def _leads(item: Item, group: list[Item]) -> bool:
    """Whether a frame is shown before the keyframe of its group."""
    pts, key = item[0].pts, group[0][0].pts
    return pts is not None and key is not None and pts < key


def _frames(group: list[Item]) -> int:
    return sum(not packet.is_discard for packet, _ in group)


def starts_h264(data: bytes, extradata: bytes | None) -> bool:
    """Return whether decoding can start at a keyframe: an IDR picture, or a recovery point after 0 frames.

    A keyframe of H.264 may only begin a gradual refresh (ITU-T H.264, 7.4.1.2.4 and D.2.8). `data` is a packet of
    length-prefixed units, as in mp4 and Matroska, `extradata` their avcC record.
    """
    size = (extradata[4] & 3) + 1 if extradata and extradata[0] == 1 else 4
    place = 0
    while place + size < len(data):
        length = int.from_bytes(data[place : place + size], "big")
        unit = data[place + size : place + size + length]
        kind = unit[0] & 31 if unit else 0
        if kind == _IDR or (kind == _SEI and _recovers_at_once(unit[1:])):
            return True
        place += size + length
    return False


def _recovers_at_once(messages: bytes) -> bool:
    """Whether a unit of messages holds a recovery point after 0 frames (coded as one set bit)."""
    place = 0
    while place + 2 < len(messages):
        header = []
        for _ in ("kind", "size"):  # each a sum of bytes that ends with one below 255
            value = 0
            while place < len(messages) and messages[place] == 255:
                value, place = value + 255, place + 1
            if place == len(messages):
                return False
            header.append(value + messages[place])
            place += 1
        kind, size = header
        if kind == _RECOVERY_POINT:
            return place < len(messages) and bool(messages[place] & 128)
        place += size
    return False
