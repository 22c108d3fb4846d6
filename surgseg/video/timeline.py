"""Which frame of the source is this, and can it be trusted? Bookkeeping between packets and decoded frames.

A decoder reports an error some packets late, hands frames out in display order, and after damage delivers wrong
frames as if nothing had happened until the next keyframe. Packets are numbered in the order they are sent; a
frame is matched to its packet by time stamp, so that damage is placed where it was.
"""

from __future__ import annotations

import heapq
from collections import deque


class Timeline:
    """Numbers the frames of one stream, counts what is lost, and says which frames are suspect.

    `interval`: nominal ticks between frames (None: unknown). `delay`: packets between damage and its error (the
    decoder's frame threads less one). `counted`: presentation time stamps are of no use (AVI), count instead; `slot`
    is then the decoding stamp of the last frame, for it tells which frames a recorder dropped. `exact`: every
    packet of the file is delivered even where its content is damaged (mp4), so no gap has to be guessed. `steady`:
    the format has one frame rate by law (MPEG program stream), so a gap of three frames is damage in itself.
    """

    def __init__(self, interval: float | None, delay=0, *, counted=False, exact=False, steady=False):
        self.interval, self.delay = interval, delay
        self.counted, self.exact, self.steady = counted, exact, steady
        self.slot, self.slot_step = None, 1
        self._slots: deque[int] | None = deque() if counted else None  # of packets not yet decoded
        self.next_index = 0
        self.lost = 0
        self.damaged = 0
        self._sent = 0
        self._sent_to: int | None = None  # decoding stamp: packets to come are shown later than this
        self._pending: list[tuple[int, int]] = []  # (time stamp, packet number), not yet decoded
        self._damage: list[float] = []  # numbers of damaged packets since the last sound keyframe
        self._key = -1.0  # packet number of that keyframe
        self._errors = 0  # since the last frame
        self._last: int | None = None

    def packet(self, pts: int | None, corrupt: bool = False, hole: bool = False, dts: int | None = None) -> None:
        """A packet goes to the decoder; `hole`: bytes of the file before it belonged to no packet."""
        if self._slots is not None and dts is not None:
            self._slots.append(dts)
        if pts is None:
            self.counted |= self._sent == 0
        else:
            heapq.heappush(self._pending, (pts, self._sent))
        if corrupt or hole:
            self.damaged += 1
            self._damage.append(self._sent if corrupt else self._sent - 0.5)
        self._sent += 1
        self._sent_to = dts

    def error(self) -> None:
        """The decoder (or the demuxer) refused data."""
        self.damaged += 1
        self._errors += 1
        self._damage.append(max(self._sent - 1 - self.delay, 0))

    def frame(self, pts: int | None, key: bool, corrupt: bool) -> tuple[int, bool] | None:
        """(source index, suspect) of a decoded frame; None for one that comes after its turn, counted as lost."""
        if self.counted or pts is None:
            missing, number = self._errors, self.next_index + self._errors
            for _ in range(min(missing + 1, len(self._slots or ()))):
                before, self.slot = self.slot, self._slots.popleft()
                self.slot_step = 1 if before is None else self.slot - before
        else:
            if self._last is not None and pts < self._last:
                self.lost += not self._damage  # after damage it has been counted as missing already
                return None
            missing, number = self._match(pts, corrupt)
            self._last = pts
        self._errors = 0
        index = self.next_index + missing
        self.next_index = index + 1
        self.lost += missing
        if corrupt:
            self.damaged += 1
            self._damage.append(number)
        if key and not corrupt:
            self._key = number
            self._damage = [place for place in self._damage if place >= number]
        return index, any(self._key <= place <= number for place in self._damage)

    def _match(self, pts: int, corrupt: bool) -> tuple[int, int]:
        """(frames missing before this one, its packet number). Without damage nothing counts as missing: a packet
        may hold one field, or nothing to show."""
        skipped, early, number = 0, 0, self._sent - 1
        while self._pending and self._pending[0][0] <= pts:
            stamp, order = heapq.heappop(self._pending)
            if stamp == pts:
                number = order
            else:
                skipped += self._last is None or stamp > self._last
                early += self._sent_to is not None and stamp > self._sent_to
        if self.exact and self.interval and self._sent_to is not None and pts > self._sent_to and self._damage:
            # after damage a decoder may hand a frame out before those that precede it have been sent
            skipped += max(round((pts - self._sent_to) / self.interval) - 1 - early, 0)
        gap = 0
        if self.interval and self._last is not None and not self.exact:
            steps = (pts - self._last) / self.interval
            gap = max(round(steps) - 1, 0)
            if abs(steps - round(steps)) < 0.1:  # a regular grid: packets whose stamp damage made up do not count
                skipped = gap
        if self.steady and gap >= 2 and not self._damage:
            self.damaged += 1
            self._damage.append(number - 0.5)
        return (max(skipped, gap) if self._damage or corrupt else 0), number

    def finish(self) -> None:
        """The stream has ended: what was sent after damage and never came back is lost."""
        missing = self._errors if self.counted else len(self._pending) if self._damage else 0
        self.next_index += missing
        self.lost += missing
        self._pending, self._errors = [], 0
