"""Read Cholec80's annotations of phases and visible tools (Twinanda et al. 2017, "EndoNet", IEEE TMI 36(1)).

    video01-phase.txt    Frame<TAB>Phase                       a row for each frame, 25 a second
    video01-tool.txt     Frame<TAB>Grasper<TAB>Bipolar<TAB>... a row of 0 and 1 for one frame a second

A tool counts as present where at least half of its tip is visible, so a shaft alone is not annotated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surgseg.files import UserError, list_some

RATE = 25.0  # annotated frames per second of Cholec80
NO_PHASE = ""
_NOT_INSTRUMENTS = ("specimenbag",)
_SLACK_S, _SLACK_SHARE = 2.0, 0.01  # seconds, and share of the video, by which an annotation may differ in length


@dataclass(frozen=True)
class Track:
    """Annotation of a video at the frame numbers `frames` (N,).

    `values`: (N,) phase names, or (N, T) bool, a column for each of the `tools`. `rate`: frames per second.
    """

    path: Path
    frames: np.ndarray
    values: np.ndarray
    tools: tuple[str, ...] = ()
    rate: float = RATE

    @property
    def step(self) -> int:
        """Median number of frames between two rows; 1 for a single row."""
        return int(np.median(np.diff(self.frames))) if len(self.frames) > 1 else 1

    @property
    def end_s(self) -> float:
        """Time at which the annotation ends, in seconds from the beginning of the video."""
        return float((self.frames[-1] + self.step) / self.rate)

    def nearest(self, times: Sequence[float]) -> np.ndarray:
        """Return (M,) the index of the row nearest to each time (s); -1 where none is within half a step."""
        return self._within(times, self.step / 2 + 0.51)

    def exact(self, times: Sequence[float]) -> np.ndarray:
        """Return (M,) the index of the row of the frame at each time (s); -1 where that frame has none."""
        return self._within(times, 0.51)

    def _within(self, times: Sequence[float], reach: float) -> np.ndarray:
        wanted = np.asarray(times, np.float64) * self.rate
        after = np.clip(np.searchsorted(self.frames, wanted), 0, len(self.frames) - 1)
        before = np.maximum(after - 1, 0)
        closer = np.abs(self.frames[before] - wanted) <= np.abs(self.frames[after] - wanted)
        row = np.where(closer, before, after)
        return np.where(np.abs(self.frames[row] - wanted) <= reach, row, -1)


def read_phases(path: Path, rate: float = RATE) -> Track:
    """Read a phase file. Raises `UserError` where it is not in Cholec80's format."""
    frames, rows, header = _read_table(path, rate, "Phase")
    if [name.lower() for name in header[1:]] != ["phase"]:
        raise UserError(f"{path} is no phase file: its columns are {list_some(header)}, not Frame and Phase")
    for number, row in rows:
        if len(row) != 1:
            raise UserError(f"{path}, line {number}: one phase is needed, tab-separated from the frame number")
    return Track(path, frames, np.array([row[0] for _, row in rows], dtype=object), rate=rate)


def read_tools(path: Path, chosen: Sequence[str] | None = None, rate: float = RATE) -> Track:
    """Read a tool file; `chosen` names the columns that count (default: all but the specimen bag).

    Raises `UserError` where it is not in Cholec80's format, and for a column that it does not have.
    """
    frames, rows, header = _read_table(path, rate, "a column for each tool")
    names = header[1:]
    if [name.lower() for name in names] == ["phase"]:
        raise UserError(f"{path} is a phase file; a tool file has a column of 0 and 1 for each tool")
    lower = [name.lower() for name in names]
    unknown = [name for name in chosen or () if name.lower() not in lower]
    if unknown:
        raise UserError(f"{path} has no tool {list_some(unknown)}; it lists {list_some(names)}")
    wanted = list(dict.fromkeys(name.lower() for name in chosen or ()))
    wanted = wanted or [name for name in lower if name not in _NOT_INSTRUMENTS]
    table = np.zeros((len(rows), len(names)), bool)
    for index, (number, row) in enumerate(rows):
        if len(row) != len(names) or not set(row) <= {"0", "1"}:
            raise UserError(f"{path}, line {number}: {len(names)} values of 0 or 1 are needed")
        table[index] = [value == "1" for value in row]
    columns = [lower.index(name) for name in wanted]
    return Track(path, frames, table[:, columns], tuple(names[column] for column in columns), rate)


def _read_table(path: Path, rate: float, what: str) -> tuple[np.ndarray, list[tuple[int, list[str]]], list[str]]:
    """Return (frame numbers, [(line number, other columns)], header)."""
    if not 0 < rate < 1000:
        raise UserError(f"--annotation-rate {rate:g}: frames per second between 0 and 1000 are needed")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text file") from error
    table = [[cell.strip() for cell in (line.split("\t") if "\t" in line else line.split())] for line in lines]
    rows = [(number, row) for number, row in enumerate(table, 1) if any(row)]
    header = rows.pop(0)[1] if rows else [""]
    if header[0].lower() != "frame" or len(header) < 2:
        raise UserError(f"{path} is not in Cholec80's format: its first line must be Frame<TAB>{what}")
    frames = []
    for number, row in rows:
        if len(row) < 2 or not row[0].isdecimal():
            raise UserError(f"{path}, line {number}: a frame number and {what.lower()} are needed, tab-separated")
        frames.append(int(row[0]))
    if not frames:
        raise UserError(f"{path} holds no rows")
    if any(later <= earlier for earlier, later in zip(frames, frames[1:])):
        raise UserError(f"{path}: its frame numbers do not ascend")
    return np.array(frames), [(number, row[1:]) for number, row in rows], header


def check_length(track: Track, run: dict) -> None:
    """Raise `UserError` where an annotation is clearly longer or shorter than the video of `run` (a run.json)."""
    length = (run.get("video") or {}).get("duration_s")
    if not length:
        return
    if abs(track.end_s - length) > max(_SLACK_S, _SLACK_SHARE * length):
        raise UserError(
            f"{track.path} covers {track.end_s:.1f} s at {track.rate:g} frames a second, the video lasts "
            f"{length:.1f} s: is it of another video? (--annotation-rate gives the annotation's frames a second)"
        )


def phases_at(track: Track, times: Sequence[float]) -> list[str]:
    """Return the phase at each time (s); `NO_PHASE` where the file has no row for it."""
    return [NO_PHASE if row < 0 else str(track.values[row]) for row in track.nearest(times)]


def tools_at(track: Track, times: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (M, T) bool, the tools in view at each time (s), and (M,) bool twice: a row is near, a row is exact.

    Near: within half a step, for a picture. Exact: at this frame. Only these frames may be scored, since a tool can
    come or go within the second between two rows.
    """
    rows = track.nearest(times)
    return track.values[np.maximum(rows, 0)] & (rows >= 0)[:, None], rows >= 0, track.exact(times) >= 0
