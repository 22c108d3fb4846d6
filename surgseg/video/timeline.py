"""Match decoded frames to packets, to find each frame's source index and whether damage may have changed it.

A decoder reports an error some packets late, returns frames in display order, and after damage returns wrong frames
without an error until the next keyframe. Packets are numbered in the order in which they are sent. A frame is matched
to its packet by time stamp, so that damage is attributed to the right frames.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import NamedTuple

_REMEMBERED = 64  # keyframes and damaged packets that are remembered: more than a decoder holds


class Place(NamedTuple):
    """A frame's source index, and the number of its packet in the order in which packets are sent."""

    index: int
    number: int


class Timeline:
    """Number the frames of one stream, count the lost ones, and tell which frames are suspect.

    `interval`: nominal ticks between frames (None: unknown). `delay`: packets between damage and its error (the
    decoder's frame threads minus one). `counted`: presentation time stamps are useless (AVI), so frames are counted;
    `slot` is then the decoding stamp of the last frame, which shows the frames that a recorder dropped. `exact`: every
    packet of the file is delivered even if its content is damaged (mp4), so no gap is guessed. `steady`: the format
    or codec has a fixed frame rate (MPEG-2), so a gap of three frames is damage. `complete`: every packet of the codec
    gives a frame (HEVC), so a packet without one is damage.
    """

    def __init__(self, interval: float | None, delay=0, *, counted=False, exact=False, steady=False, complete=False):
        self.interval, self.delay = interval, delay
        self.counted, self.exact, self.steady, self.complete = counted, exact, steady, complete
        self.slot, self.slot_step = None, 1
        self._slots: deque[tuple[int, int]] | None = deque() if counted else None  # (decoding stamp, packet number)
        self.next_index = 0
        self.lost = 0
        self.damaged = 0
        self._sent = 0
        self._sent_to: int | None = None  # decoding stamp; later packets are shown after it
        self._pending: list[tuple[int, int]] = []  # (time stamp, packet number), not yet decoded
        self._damage: list[float] = []  # numbers of damaged packets since the last undamaged keyframe
        self._doubts: deque[float] = deque(maxlen=_REMEMBERED)  # numbers of damaged packets and of those before them
        self._keys: deque[Place] = deque(maxlen=_REMEMBERED)  # undamaged keyframes
        self._errors = 0  # since the last frame
        self._last: int | None = None
        self.begins = False  # no frame has come since a jump

    def packet(self, pts: int | None, corrupt: bool = False, hole: bool = False, dts: int | None = None) -> None:
        """Record a packet that is sent to the decoder; `hole`: bytes of the file before it belong to no packet."""
        if self._slots is not None and dts is not None:
            self._slots.append((dts, self._sent))
        if pts is None:
            self.counted |= self._sent == 0
        else:
            heapq.heappush(self._pending, (pts, self._sent))
        if corrupt or hole:
            self.damaged += 1
            self._hurt(self._sent if corrupt else self._sent - 0.5)
        self._sent += 1
        self._sent_to = dts

    def error(self) -> None:
        """Record an error of the decoder or the demuxer."""
        self.damaged += 1
        self._errors += 1
        self._hurt(max(self._sent - 1 - self.delay, 0))

    def _hurt(self, number: float) -> None:
        """Mark a packet as damaged and the one before as doubtful: a decoder may notice damage late."""
        self._damage.append(number)
        self._doubts.extend((number, number - 1))

    def frame(self, pts: int | None, key: bool, corrupt: bool) -> Place | None:
        """Return the place of a decoded frame; None for one that comes too late, which counts as lost."""
        if self.counted or pts is None:
            missing, number = self._errors, self.next_index + self._errors
            if key and self._damage and self._slots and pts is not None:
                missing = max(missing, self._sent_before(pts))
            before = self.slot
            for _ in range(min(missing + 1, len(self._slots or ()))):
                self.slot, number = self._slots.popleft()
            if before is not None:
                self.slot_step = self.slot - before
                missing = max(missing, self.slot_step - 1) if self._damage else missing
            if self._last is not None and self.interval:
                self._last += int(self.interval)
        else:
            if self._last is not None and pts < self._last:
                self.lost += not self._damage  # after damage it is already counted as missing
                return None
            missing, number = self._match(pts, corrupt)
            self._last = pts
        self._errors = 0
        index = self.next_index + missing
        self.next_index = index + 1
        self.lost += missing if self._damage or not self.begins else 0  # a decoder may drop frames where it starts
        self.begins = False
        place = Place(index, number)
        if corrupt:
            self.damaged += 1
            self._hurt(number)
        elif key:
            self._keys.append(place)
            self._damage = [damage for damage in self._damage if damage >= number]
        return place

    def _sent_before(self, pts: int) -> int:
        """Return the number of packets before a keyframe's that gave no frame and never will."""
        while self._pending and self._pending[0][0] < pts:
            heapq.heappop(self._pending)
        if not self._pending or self._pending[0][0] != pts:
            return 0
        return sum(number < self._pending[0][1] for _, number in self._slots)

    def suspect(self, place: Place) -> bool:
        """Whether damage lies between the last undamaged keyframe and this frame, in the order of the packets."""
        keys = (key.number for key in self._keys if key.number <= place.number and key.index <= place.index)
        since = max(keys, default=-1)
        return any(since <= doubt <= place.number for doubt in self._doubts)

    def settled(self, place: Place) -> bool:
        """Whether all packets before this frame's, and the one after it, are decoded: `suspect` is then final."""
        if self.counted:
            return self.next_index > place.index + 1
        behind = place.number + 1
        return self._sent > behind and not any(number <= behind for _, number in self._pending)

    def _match(self, pts: int, corrupt: bool) -> tuple[int, int]:
        """Return (frames missing before this one, its packet number).

        Without damage no frame counts as missing: a packet may hold one field only, or no frame.
        """
        skipped, early, number = 0, 0, self._sent - 1
        known = pts if self._sent_to is None or self._last is None else max(self._sent_to, self._last)
        while self._pending and self._pending[0][0] <= pts:
            stamp, order = heapq.heappop(self._pending)
            if stamp == pts:
                number = order
            else:
                skipped += self._last is None or stamp > self._last
                early += stamp > known
        if self.exact and self.interval and self._damage:
            # a decoder may then return a frame before those that precede it are sent
            skipped += max(round((pts - known) / self.interval) - 1 - early, 0)
        gap, silent = 0, skipped
        if self.interval and self._last is not None and not self.exact:
            steps = (pts - self._last) / self.interval
            gap = max(round(steps) - 1, 0)
            if abs(steps - round(steps)) < 0.1:  # regular intervals: packets with a damaged stamp do not count
                skipped = gap
        unexplained = (self.steady and gap >= 2) or (self.complete and silent)
        if unexplained and not self._damage:
            self.damaged += 1
            self._hurt(number - 0.5)
        return (max(skipped, gap) if self._damage or corrupt or self.begins else 0), number

    def jump(self, index: int) -> None:
        """Record a `Jump`: the next packet is a keyframe, and the first frame of its group has the index `index`."""
        self.finish()
        self.next_index, self._last, self.begins = index, None, True

    def finish(self) -> None:
        """Record the end of the stream: packets after damage that gave no frame are lost frames."""
        missing = self._errors if self.counted else len(self._pending) if self._damage else 0
        self.next_index += missing
        self.lost += missing
        self._pending, self._errors = [], 0
