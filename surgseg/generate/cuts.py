"""Cuts of a film: between the frames before and after one, nothing that moves or flickers can be measured.

The change between two neighbours at most `MAX_STEP_S` apart is 1 - the correlation of small gray pictures of them, so
that more light alone changes nothing. A cut is a change of at least `CHANGE`

- that is `JUMP` times the largest of the `AROUND` changes before and after it (fast motion takes several frames), or
- in which optical flow does not follow the picture (another scene),

if the earlier picture does not come back within `RETURN_S` (so flashes and single damaged frames are no cuts). Cuts
between frames farther apart are not found.

A dissolve is a stretch of `LENGTHS` steps, at most `DISSOLVE_S` long, whose frames are mixtures of the picture before
it and the one after it, with evenly more of the later one. Flow must not follow from one of these two to the other, and
neither come back. Each frame of a dissolve, and the first one after it, begins a shot; so do frames that a conversion
of the frame rate mixed at a cut.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from surgseg.files import UserError, read_csv
from surgseg.flow import warp_between
from surgseg.frames import LIT, open_image
from surgseg.generate.folder import FrameRow, Generated
from surgseg.threads import ahead, cpu_count

MAX_STEP_S = 0.2  # between neighbours
RETURN_S = 0.5  # a scene that is back by then was not left
SIZE, SMALL = (160, 120), (16, 12)  # pixels, width and height: of the pictures for the flow, and for the change
# Measured in 12 synthetic videos of 4 shots of the same scene, 36 cuts: at 25, 12.5 and 5 frames a second a cut changes
# at least .031 and 14.7, 11.8 and 4.1 times as much as around it; without a cut at most 2.8, 2.1 and 3.1 times.
CHANGE, JUMP, AROUND = 0.025, 4.0, 4
FLAT = 2.0  # gray levels: a small picture with a smaller standard deviation is blank (light off, over-exposed)
# Least share of the lit pixels on which the flow there and back agrees. Measured: at least .79 between synthetic frames
# 0.24 s apart; in 25 real frames moved by 5 % of their width .93, by 10 % .88, by 15 % .29 (median .84). Different
# scenes: at most .21 in 360 pairs of real frames of four operations; .45 in 504 synthetic pairs, 99 % up to .34.
FOLLOWED = 0.35
LENGTHS, DISSOLVE_S = (2, 3, 4, 6, 9, 13, 18, 26, 37, 52), 1.05  # steps, one of which is near any length; seconds
# Change from before to after, at least; distance of the frames from mixtures and of their weights from even steps, at
# most, as shares. Measured at 25 frames a second: of 70 dissolves of 1 to 25 frames from one synthetic scene to another
# 67 are found, of 70 within one scene 11; none in 20 takes of moving camera, instruments and smoke, in 105 pans and
# zooms over 15 real frames, nor in 45 films of smoke that comes up over them.
MIXED_CHANGE, NO_MIXTURE, UNEVEN = 0.05, 0.2, 0.15
_ROUNDING = 1e-6  # seconds
_STEP_ROUNDING = 1.5e-3  # seconds: 6 frames at 29.97 a second take 0.2002 s, and containers round times to 1 ms


@dataclass(frozen=True)
class Cuts:
    """Where a film is cut. `frames`: source numbers of the first frame after each cut, ascending.

    `source`: "detected", "file", or "" where none could be looked for; then `reason` says why. `after_the_end`: how
    many cuts of the list lie after the last frame, as in a list of another film, or with times in another unit.
    """

    frames: tuple[int, ...] = ()
    source: str = ""
    reason: str = ""
    after_the_end: int = 0

    def shots(self, rows: Sequence[FrameRow]) -> np.ndarray:
        """Return (N,) int: how many cuts lie before each row. Rows of different numbers are in different shots."""
        return np.searchsorted(self.frames, [row.frame for row in rows], side="right")

    def to_json(self) -> dict:
        return {**asdict(self), "source": self.source or None, "reason": self.reason or None}


def close_pairs(times: Sequence[float], shots: Sequence[int] | None = None) -> list[int]:
    """Return the indices i where frame i + 1 follows i by at most `MAX_STEP_S`, in the same one of the `shots` (N,).

    `times` in seconds, ascending.
    """
    steps = np.diff(np.asarray(times, np.float64))
    close = (steps > 0) & (steps <= MAX_STEP_S + _STEP_ROUNDING)
    return np.flatnonzero(close if shots is None else close & (np.diff(shots) == 0)).tolist()


def cuts_of(generated: Generated, rows: Sequence[FrameRow], path: Path | None = None) -> Cuts:
    """Return the cuts among `rows`: those of the list `path`, or else those that are found in the frames.

    Where a film was joined from parts, each part begins with a cut: how long the pause was is not known. Raises
    `UserError` as `read_cuts`.
    """
    parts = (generated.run.get("video") or {}).get("parts") or []
    joints = [part["first_frame"] for part in parts]
    if path is not None:
        found, source, reason = read_cuts(path, rows), "file", ""
    elif generated.run["parts"].get("frames") is None:
        found, source, reason = [], "", "the run kept no frames (--frame-format jpg keeps them)"
    elif not close_pairs([row.time_s for row in rows]):
        found, source, reason = [], "", f"no two frames are at most {MAX_STEP_S:g} s apart"
    else:
        firsts = find_cuts([generated.frame_path(row) for row in rows], [row.time_s for row in rows])
        found, source, reason = [rows[first].frame for first in firsts], "detected", ""
    inside = {frame for frame in (*found, *joints) if rows[0].frame < frame <= rows[-1].frame}
    return Cuts(tuple(sorted(inside)), source, reason, sum(frame > rows[-1].frame for frame in found))


def read_cuts(path: Path, rows: Sequence[FrameRow]) -> list[int]:
    """Read a CSV file with the column `frame` (number from 0 of the first frame after each cut) or `time_s`.

    A time is that of the first of the `rows` at or after it. Raises `UserError` for another format.
    """
    lines, found = read_csv(path), []
    text = path.read_text(encoding="utf-8-sig").strip()
    if not text:
        raise UserError(f"{path} is empty; for a film without cuts write its first line alone: frame")
    columns = lines[0] if lines else text.split(",")
    column = next((name for name in ("frame", "time_s") if name in columns), None)
    if column is None:
        raise UserError(f"{path} is no list of cuts: its first line must be frame or time_s, then one cut in each line")
    for number, line in enumerate(lines, 2):
        try:
            value = int(line[column]) if column == "frame" else float(line[column])
            if None in line or not value >= 0:
                raise ValueError
        except (TypeError, ValueError):
            more = " (more values than the first line has)" * (None in line)
            raise UserError(f"{path}, line {number}: {line[column]!r} is no {column} of a cut{more}") from None
        later = (row.frame for row in rows if row.time_s >= value - _ROUNDING)
        found.append(value if column == "frame" else next(later, math.inf))
    return found


def find_cuts(paths: Sequence[Path], times: Sequence[float]) -> list[int]:
    """Return the indices of the frames (image files, at `times` in seconds) that begin a new shot."""
    firsts = close_pairs(times)
    wanted = sorted({*firsts, *(first + 1 for first in firsts)})
    with ThreadPoolExecutor(cpu_count()) as pool:
        jobs = ahead(pool, lambda index: _small(_read_gray(paths[index])), wanted, 32)
        shown = tqdm(jobs, "Looking for cuts", len(wanted), unit="frame", disable=not sys.stderr.isatty())
        small = dict(zip(wanted, shown))
    changes = {first: _change_between(small[first], small[first + 1]) for first in firsts}

    def returns(first: int, last: int) -> bool:
        """Whether the picture before is seen again soon after, or the one after was seen soon before."""
        least = _change_between(small[first], small[last]) / JUMP
        after = itertools.takewhile(lambda index: times[index] - times[last] < RETURN_S, range(last + 1, len(times)))
        before = itertools.takewhile(lambda index: times[first] - times[index] < RETURN_S, range(first - 1, -1, -1))
        again = [_change_between(small[first], small[index]) for index in after if index in small]
        again += [_change_between(small[index], small[last]) for index in before if index in small]
        return min(again, default=math.inf) <= least

    def is_cut(first: int) -> bool:
        if changes[first] < CHANGE or returns(first, first + 1):
            return False
        near = [changes[index] for index in range(first - AROUND, first + AROUND + 1) if index in changes]
        if len(near) > AROUND and changes[first] >= JUMP * sorted(near)[-2]:
            return True
        return not same_scene(_read_gray(paths[first]), _read_gray(paths[first + 1]))

    def is_dissolve(first: int, last: int) -> bool:
        if times[last] - times[first] > DISSOLVE_S or not all(step in changes for step in range(first, last)):
            return False
        return _is_mixing([small[index] for index in range(first, last + 1)]) and not returns(first, last)

    found = {first + 1 for first in firsts if is_cut(first)}
    one_scene = np.zeros(len(times), int)  # flow follows from this frame, or an earlier one, to the frame of this index
    for length in reversed(LENGTHS):
        for first in range(0, len(times) - length, max(length // 4, 1)):
            last = first + length
            if one_scene[first] >= last or not is_dissolve(first, last):
                continue
            if same_scene(_read_gray(paths[first]), _read_gray(paths[last])):
                one_scene[first:] = np.maximum(one_scene[first:], last)
            else:
                found.update(range(first + 1, last + 1))
    return sorted(found)


def _is_mixing(small: Sequence[np.ndarray]) -> bool:
    """Return whether the pictures go evenly from the first to the last one, each a mixture of these two."""
    if _change_between(small[0], small[-1]) < MIXED_CHANGE:
        return False
    whole, parts = small[-1] - small[0], np.array(small[1:-1]) - small[0]
    weights = parts @ whole / (whole @ whole)
    even = np.abs(weights - np.arange(1, len(small) - 1) / (len(small) - 1)).max() <= UNEVEN
    return even and np.linalg.norm(parts - np.outer(weights, whole), axis=1).max() <= NO_MIXTURE * np.linalg.norm(whole)


def same_scene(earlier: np.ndarray, later: np.ndarray) -> bool:
    """Return whether optical flow follows one gray picture, (H, W) uint8, to another; two blank ones are the same."""
    blank = [_is_blank(_small(picture)) for picture in (earlier, later)]
    lit = np.maximum(earlier, later) >= LIT
    if any(blank) or not lit.any():
        return all(blank)
    return bool(warp_between(earlier, later).trusted[lit].mean() >= FOLLOWED)


def _read_gray(path: Path) -> np.ndarray:
    with open_image(path, str(path)) as image:
        image.draft("L", (1, SIZE[1]))  # a JPEG is decoded at a fraction of its size, which takes a third of the time
        return cv2.resize(np.asarray(image.convert("L")), SIZE, interpolation=cv2.INTER_AREA)


def _small(picture: np.ndarray) -> np.ndarray:
    """(192,) float32: gray levels, with mean 0."""
    values = cv2.resize(picture, SMALL, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    return values - values.mean()


def _is_blank(small: np.ndarray) -> bool:
    return small.std() < FLAT


def _change_between(first: np.ndarray, second: np.ndarray) -> float:
    """Return 1 - correlation of two `_small` pictures (0-2); 1 if one of them is blank, 0 if both are."""
    if _is_blank(first) or _is_blank(second):
        return float(_is_blank(first) != _is_blank(second))
    return 1 - float(first @ second) / float(np.linalg.norm(first) * np.linalg.norm(second))
