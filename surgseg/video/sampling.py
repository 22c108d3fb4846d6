"""Choose frames of a video: every N-th or spread over it, single or in bursts, between two times."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass

from surgseg.files import UserError, check_named

SAMPLES = ("every", "spread")
STEP = 30  # frames, of `every`
SPREAD_FRAMES = 500  # of `spread`, as in the original study


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are taken.

    `every`: frames with source index modulo `step` < `burst`. `spread`: `max_frames` frames in bursts of `burst`, one
    burst in the middle of each of equal parts of the time. Times are seconds from the video's first frame, without
    `end_s`; None: to the end.
    """

    mode: str = "every"
    step: int | None = STEP
    max_frames: int | None = None
    burst: int = 1
    start_s: float = 0.0
    end_s: float | None = None

    def __post_init__(self):
        check_named("sampling", self.mode, SAMPLES)

    def describe(self) -> dict:
        """The fields in plain types, for `run.json`."""
        return asdict(self)

    def expected(self, frames: int | None, rate: float | None) -> int | None:
        """Estimate how many frames are taken of a video of `frames` frames; None where that is unknown."""
        if not frames:
            return self.max_frames
        first, last = 0, frames
        if rate:
            first = _frames_before(self.start_s, rate)
            last = min(frames, _frames_before(self.end_s, rate)) if self.end_s is not None else frames
        if self.mode == "spread":
            return min(max(last - first, 0), self.max_frames // self.burst * self.burst)
        available = max(self._chosen_below(last) - self._chosen_below(first), 0)
        return min(available, self.max_frames or available)

    def _chosen_below(self, index: int) -> int:
        """The number of frames below a source index that `every` takes."""
        return index // self.step * self.burst + min(index % self.step, self.burst)


ALL_FRAMES = Sampling(step=1)


def _frames_before(time_s: float, rate: float) -> int:
    return math.ceil(time_s * rate - 1e-6)


def choose_sampling(mode: str, step, max_frames, burst: int, start_s: float | None, end_s: float | None) -> Sampling:
    """Return the `Sampling` of a script's options. Raises `UserError` for contradictions."""
    for option, value in (("--frame-step", step), ("--max-frames", max_frames), ("--burst", burst)):
        if value is not None and value < 1:
            raise UserError(f"{option} {value}: at least 1 is needed")
    if end_s is not None and end_s <= (start_s or 0.0):
        raise UserError(f"--end {end_s:g} s is not after --start {start_s or 0:g} s")
    if mode == "every":
        if burst > (step or STEP):
            raise UserError(f"--burst {burst} is more than --frame-step {step or STEP}: every frame is --frame-step 1")
        return Sampling(mode, step or STEP, max_frames, burst, start_s or 0.0, end_s)
    if step is not None:
        raise UserError("--frame-step belongs to --sample every; --sample spread takes --max-frames")
    if burst > (max_frames or SPREAD_FRAMES):
        raise UserError(f"--burst {burst} is more than --max-frames {max_frames or SPREAD_FRAMES}")
    return Sampling(mode, None, max_frames or SPREAD_FRAMES, burst, start_s or 0.0, end_s)


def seconds(text: str) -> float:
    """Parse '90', '1:30' or '0:01:30.5' as seconds; ValueError for anything else."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d*)?", text):
        raise ValueError(text)
    total = 0.0
    for part in text.split(":"):
        total = 60 * total + float(part)
    return total


class Sampler:
    """Decide for each frame of a video, in order, whether the sample contains it.

    Only `spread` needs `length_s` of the whole video; it takes the frame that is shown at each of its times. `rate`, in
    frames a second, gives the time for which the first frame is shown. `done`: no later frame is selected.
    """

    def __init__(self, sampling: Sampling, length_s: float | None = None, rate: float | None = None):
        self.sampling = sampling
        self.selected = 0
        self.done = False
        self._left = 0  # frames still to take of the current burst
        self._shown = 1 / rate if rate else 0.0  # seconds for which a frame is shown: the shortest step so far
        self._last: float | None = None
        self._targets: list[float] = []  # seconds, in descending order
        if sampling.mode == "spread":
            if length_s is None:
                raise UserError("how long this video is cannot be told: take --sample every instead of spread")
            end = length_s if sampling.end_s is None else min(sampling.end_s, length_s)
            places = sampling.max_frames // sampling.burst
            part = max(end - sampling.start_s, 0.0) / places
            self._targets = [sampling.start_s + (place + 0.5) * part for place in reversed(range(places))]

    def selects(self, index: int, time_s: float) -> bool:
        """Return whether the sample contains the frame with this source index and time. Call once for each frame."""
        sampling = self.sampling
        if self.done or time_s < sampling.start_s:
            return False
        if sampling.end_s is not None and time_s >= sampling.end_s:
            self.done = True
            return False
        if not (index % sampling.step < sampling.burst if sampling.mode == "every" else self._in_burst(time_s)):
            return False
        self.selected += 1
        self.done = self.done or self.selected == sampling.max_frames
        return True

    @property
    def wanted_from(self) -> float:
        """Seconds; by the frames seen so far, no frame that ends earlier will be selected."""
        if self.sampling.mode == "every":
            return self.sampling.start_s
        if self._left > 0:
            return -math.inf
        return self._targets[-1] if self._targets else math.inf

    @property
    def leaves_gaps(self) -> bool:
        """Whether the sample leaves long gaps, which decoding may skip."""
        return self.sampling.mode == "spread" or self.sampling.start_s > 0

    def _in_burst(self, time_s: float) -> bool:
        if self._last is not None:
            self._shown = min(self._shown or math.inf, time_s - self._last)
        self._last, begins = time_s, False
        while self._targets and max(time_s + self._shown - 1e-6, time_s + 1e-6) > self._targets[-1]:
            self._targets.pop()
            begins = True
        if begins:
            self._left = self.sampling.burst
        self._left -= 1
        self.done = self._left <= 0 and not self._targets
        return self._left >= 0
