"""Write a generated folder, or go on with one that an earlier run left unfinished; see `video/generated.py`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from surgseg.analysis.statistics import count_components
from surgseg.files import UserError, is_hidden, list_some, make_folder, remove_leftovers, write_bytes, write_json
from surgseg.frames import encode_frame
from surgseg.generate.folder import (
    COLUMNS,
    DERIVED,
    MIN_COMPONENT_AREA,
    OVERLAY_VIDEO,
    OWN,
    SCHEMA,
    FrameRow,
    csv_line,
    images_of,
    own_image,
    read_generated,
    read_run,
)
from surgseg.generate.overlay import SEGMENT, OverlayVideo, keep_segments, remove_segments, whole_segments
from surgseg.labels import Scheme, write_scheme
from surgseg.masks import encode_mask
from surgseg.overlay import Painter

_FINISHED = {  # keys of run.json that say what was asked for, in a user's words
    "fingerprint": "another video",
    "weights_sha256": "other weights",
    "threshold": "threshold",
    "sampling": "sampling",
    "image_rate": "--image-rate",
    "name": "--name",
    "parts": "--frame-format or --save",
    "overlay_video": "--save video",
}
_UNFINISHED = {**_FINISHED, "batch_size": "--batch-size", "backend": "backend", "decoder": "decoder version"}


@dataclass(frozen=True)
class Earlier:
    """What an earlier run has left: the rows that stay (`size`: bytes of frames.csv that hold them)."""

    rows: int = 0
    size: int = 0
    detected: int = 0
    suspects: int = 0
    last_frame: int = -1
    last_time_s: float = 0.0
    sessions: int = 0
    finished: dict | None = None  # its run.json, where it needs nothing more


class Stored(NamedTuple):
    """A frame whose files are on the disk, and its picture for the overlay video (None: not asked for)."""

    row: FrameRow
    picture: np.ndarray | None


def check_target(folder: Path) -> None:
    """Refuse a folder that holds images or tables which no generated run wrote."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; --output-dir needs a folder")
    run = read_run(folder)
    if run is not None:
        own = own_image(str(run.get("name")))
        foreign = [path for path in images_of(folder) if not own.fullmatch(path.name)]
    else:
        foreign = [folder / name for name in OWN if (folder / name).exists()] + list(images_of(folder))
    foreign = [path for path in foreign if not is_hidden(path.name)]
    if foreign:
        names = list_some((path.relative_to(folder).as_posix() for path in foreign), 3)
        raise UserError(f"{folder} holds files that no generated run wrote ({names}); choose another --output-dir")


def look_back(folder: Path, asked: dict, overwrite: bool) -> Earlier:
    """What of `folder` a run that asks for `asked` (the keys of `_UNFINISHED`) can keep.

    Raises `UserError` for a foreign folder, and for one of another video or other settings unless `overwrite`.
    """
    check_target(folder)
    run = read_run(folder)
    if run is None or overwrite:
        return Earlier()
    complete = bool(run.get("complete")) and (folder / "frames.csv").is_file()
    keys = _FINISHED if complete else _UNFINISHED
    different = [key for key in keys if run.get(key) != asked[key]]
    if "fingerprint" in different:
        raise UserError(f"{folder} holds a run of another video; choose another --output-dir, or --overwrite")
    if different:
        shown = list_some(f"{keys[key]}: {_short(run.get(key))} there, {_short(asked[key])} now" for key in different)
        state = "a finished" if complete else "an unfinished"
        raise UserError(f"{folder} holds {state} run with other settings ({shown}); repeat those, or use --overwrite")
    sessions = run.get("timing", {}).get("sessions", 1)
    if complete:
        try:
            read_generated(folder)
        except UserError as error:
            raise UserError(f"{error}; --overwrite makes it again") from error
        return Earlier(rows=run["frames_written"], sessions=sessions, finished=run)
    return _rows_to_keep(folder, run, sessions)


def _short(value) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {item}" for key, item in value.items() if item is not None) or "none"
    return str(value)[:12] if isinstance(value, str) and len(value) > 40 else str(value)


def _rows_to_keep(folder: Path, run: dict, sessions: int) -> Earlier:
    """Whole lines from the first on whose files are all there; with an overlay video, those of whole segments."""
    table = folder / "frames.csv"
    found = Earlier(sessions=sessions)
    limit = SEGMENT * whole_segments(folder) if run["overlay_video"] else None
    rows, size, detected, suspects = 0, 0, 0, 0
    for line in table.open("rb") if table.is_file() else ():
        size += len(line)
        if size == len(line):  # the first line is the header
            if line != csv_line(list(COLUMNS)).encode():
                break
            continue
        row = _parse(line)
        files = [] if row is None else [folder / part / f"{row.name}.{end}" for part, end in run["parts"].items()]
        if row is None or rows == limit or not all(path.is_file() and path.stat().st_size for path in files):
            break
        rows, detected, suspects = rows + 1, detected + (row.coverage > 0 and not row.suspect), suspects + row.suspect
        if limit is None or rows % SEGMENT == 0:
            found = Earlier(rows, size, detected, suspects, row.frame, row.time_s, sessions)
    return found


def _parse(line: bytes) -> FrameRow | None:
    """A whole line of `frames.csv`; None where a run was killed within it."""
    if not line.endswith(b"\n"):
        return None
    try:
        return FrameRow.parse(dict(zip(COLUMNS, next(csv.reader([line.decode()])))))
    except (KeyError, TypeError, ValueError):
        return None


class GeneratedWriter:
    """Write a generated folder, frame by frame.

    `begin` makes room (after `look_back`, whose answer is `earlier`), `store` may be called from several threads,
    `commit` takes what it returns in order from one; `finish` closes the folder. `parts` maps folders of images to
    their suffix. `run` is everything else that `run.json` shall say.
    """

    def __init__(
        self,
        folder: Path | str,
        scheme: Scheme,
        name: str,
        parts: dict[str, str],
        *,
        overlay_video: bool = False,
        earlier: Earlier | None = None,
    ):
        self.folder, self.scheme, self.name, self.parts = Path(folder), scheme, name, parts
        self.earlier = earlier or Earlier()
        self.rows_written, self.detected = self.earlier.rows, self.earlier.detected
        self.suspects, self.last_time_s = self.earlier.suspects, self.earlier.last_time_s
        self.overlay_video = overlay_video
        self._video: OverlayVideo | None = None
        self._paint = Painter(scheme) if overlay_video or "overlays" in parts else None
        self._instrument = np.zeros(256, np.uint8)
        self._instrument[scheme.instrument_ids] = 1
        self._table = None

    @property
    def begun(self) -> bool:
        return self._table is not None

    def begin(self, run: dict) -> None:
        """Create the folder, `run.json` first, or take an unfinished run's place behind its last whole row."""
        previous = read_run(self.folder)
        make_folder(self.folder)
        names = {str(previous.get("name")) if previous else self.name, self.name}
        if not self.earlier.rows:  # wherever this is killed, run.json is that of the images, and of no older table
            (self.folder / "frames.csv").unlink(missing_ok=True)
            self._clear(names)
        self._write_run(run, complete=False, stopped=None)
        try:
            self._table = (self.folder / "frames.csv").open("r+b" if self.earlier.rows else "wb")
            self._table.truncate(self.earlier.size)
            self._table.seek(self.earlier.size)
        except OSError as error:
            raise UserError(f"cannot write {self.folder / 'frames.csv'}: {error.strerror or error}") from error
        self._clear(names)
        for part in self.parts:
            make_folder(self.folder / part)
        write_scheme(self.folder / "classes.json", self.scheme)
        if not self.earlier.rows:
            self._append(csv_line(list(COLUMNS)))
        if self.overlay_video:
            self._video = OverlayVideo(self.folder, run.get("video_data") == "synthetic", self.rows_written)

    def _clear(self, names: set[str]) -> None:
        """Remove what earlier runs called `names` wrote behind the rows that stay, and what was said of them."""
        patterns = [own_image(name) for name in names]
        for path in list(images_of(self.folder)):
            matches = [match for pattern in patterns if (match := pattern.fullmatch(path.name))]
            if matches and (path.name.startswith(".") or int(matches[0][1]) > self.earlier.last_frame):
                path.unlink(missing_ok=True)
        for name in (OVERLAY_VIDEO, *DERIVED):
            (self.folder / name).unlink(missing_ok=True)
        remove_leftovers(*(self.folder / name for name in (OVERLAY_VIDEO, *OWN)))
        keep_segments(self.folder, self.earlier.rows // SEGMENT if self.overlay_video else 0)

    def store(self, frame, ids: np.ndarray, measures: np.ndarray, probability: np.ndarray | None) -> Stored:
        """Write one frame's images.

        `frame` is a `video.reader.Frame`, `ids` (H, W) uint8, `measures` its coverage, confidence and uncertainty,
        `probability` (H, W) uint8 in 255ths where that is kept.
        """
        name = f"{self.name}_{frame.index:06d}"
        components = count_components(cv2.LUT(ids, self._instrument), MIN_COMPONENT_AREA)
        picture = None if self._paint is None else self._paint(frame.image, ids)
        for part, suffix in self.parts.items():
            if part == "masks":
                data = encode_mask(ids, self.scheme)
            elif part == "probabilities":
                data = cv2.imencode(".png", probability)[1].tobytes()  # gray
            else:
                data = encode_frame(frame.image if part == "frames" else picture, f".{suffix}")
            write_bytes(self.folder / part / f"{name}.{suffix}", data)
        row = FrameRow(name, frame.index, frame.time_s, *(float(m) for m in measures), components, frame.suspect)
        return Stored(row, picture if self.overlay_video else None)

    def commit(self, stored: Stored) -> None:
        """Add a stored frame to `frames.csv`, and to the overlay video."""
        row = stored.row
        if self._video is not None:
            self._video.write(stored.picture, row.time_s)
        self._append(row.line())
        self.rows_written += 1
        self.last_time_s = round(row.time_s, 6)  # as a run that goes on reads it from the table
        self.detected += row.coverage > 0 and not row.suspect
        self.suspects += row.suspect

    def _append(self, line: str) -> None:
        try:
            self._table.write(line.encode())
            self._table.flush()
        except OSError as error:
            raise UserError(f"cannot write {self.folder / 'frames.csv'}: {error.strerror or error}") from error

    def finish(self, run: dict, stopped: str | None = None) -> dict:
        """Close the table, write the final `run.json` and return it; `stopped`: why the run ended before its time."""
        if self._table is None:
            return {}
        try:
            self._table.close()
        except OSError as error:  # a line that found no room
            if not stopped:
                raise UserError(f"cannot write {self.folder / 'frames.csv'}: {error.strerror or error}") from error
        if self._video is not None and stopped:
            self._video.abandon()
        elif self._video is not None:
            self._video.finish()
        written = self._write_run(run, complete=not stopped, stopped=stopped)
        if not stopped:
            remove_segments(self.folder)
        return written

    def _write_run(self, run: dict, complete: bool, stopped: str | None) -> dict:
        state = {
            "schema": SCHEMA,
            "complete": complete,
            "stopped": stopped,
            "name": self.name,
            "parts": self.parts,
            "overlay_video": self.overlay_video,
            "min_component_area": MIN_COMPONENT_AREA,
            "frames_written": self.rows_written,
            "frames_detected": self.detected,
            "frames_suspect": self.suspects,
        }
        timing = {**run.get("timing", {}), "sessions": self.earlier.sessions + 1}
        written = {**state, **run, "timing": timing}
        write_json(self.folder / "run.json", written)
        return written
