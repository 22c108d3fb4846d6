"""Write a generated folder, or continue an unfinished one; `folder.py` defines the format."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Callable, NamedTuple

import cv2
import numpy as np

from surgseg.files import UserError, make_folder, remove_leftovers, write_bytes, write_json
from surgseg.frames import encode_frame
from surgseg.generate.earlier import Earlier
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
    read_run,
)
from surgseg.generate.overlay import OverlayVideo
from surgseg.labels import Scheme, write_scheme
from surgseg.masks import count_components, encode_mask, read_mask
from surgseg.overlay import Painter
from surgseg.predict import Measures
from surgseg.predicted import mask_hash
from surgseg.video.reader import Frame
from surgseg.video.writer import partial_path


class Stored(NamedTuple):
    """The row of a frame whose files are on the disk, and its picture for the overlay video (None without one)."""

    row: FrameRow
    picture: np.ndarray | None


class GeneratedWriter:
    """Write a generated folder, frame by frame: `begin`, then `store` and `commit` of each frame, then `finish`.

    `store` may be called from several threads, `commit` in the order of the frames from one thread. `earlier` is the
    result of `find_earlier`. `parts` maps folders of images to their suffix. The overlay video is drawn anew from its
    first frame: `earlier_frames()` gives the frames of the rows that stay. `trained` gives that column of a frame.
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
        earlier_frames: Callable[[], Iterable[Frame]] = tuple,
        trained: Callable[[Frame], str] = lambda frame: "",
    ):
        self.folder, self.scheme, self.name, self.parts = Path(folder), scheme, name, parts
        self.earlier, self.earlier_frames, self.trained = earlier or Earlier(), earlier_frames, trained
        self.rows_written, self.detected = self.earlier.rows, self.earlier.detected
        self.suspects, self.last_time_s = self.earlier.suspects, self.earlier.last_time_s
        self.frames_compared, self.frames_trained = self.earlier.compared, self.earlier.trained
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
        """Create the folder, or continue after the rows that stay.

        `run` has the entries of `run.json` except those of `_write_run`.
        """
        previous = read_run(self.folder)
        make_folder(self.folder)
        names = {str(previous.get("name")) if previous else self.name, self.name}
        if not self.earlier.rows:  # before run.json, so that a kill never leaves it beside files of another run
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
            self._video = OverlayVideo(self.folder, run.get("video_data") == "synthetic")
            for frame in itertools.islice(self.earlier_frames(), self.earlier.rows):
                mask = self.folder / "masks" / f"{self._stem(frame)}.{self.parts['masks']}"
                picture = self._paint(frame.image, read_mask(mask, self.scheme.num_classes))
                self._video.write(picture, frame.time_s)

    def _stem(self, frame: Frame) -> str:
        return f"{self.name}_{frame.index:06d}"

    def _clear(self, names: set[str]) -> None:
        """Remove images of runs called `names` after the rows that stay, the overlay video, analyses and leftovers."""
        patterns = [own_image(name) for name in names]
        for path in list(images_of(self.folder)):
            matches = [match for pattern in patterns if (match := pattern.fullmatch(path.name))]
            if matches and (path.name.startswith(".") or int(matches[0][1]) > self.earlier.last_frame):
                path.unlink(missing_ok=True)
        for name in (OVERLAY_VIDEO, *DERIVED):
            (self.folder / name).unlink(missing_ok=True)
        partial_path(self.folder / OVERLAY_VIDEO).unlink(missing_ok=True)
        remove_leftovers(*(self.folder / name for name in OWN))

    def store(self, frame: Frame, ids: np.ndarray, measures: Measures, probability: np.ndarray | None) -> Stored:
        """Write the images of one frame.

        `ids` (H, W) uint8, `measures` of this frame, `probability` (H, W) uint8 in 255ths, or None if not saved.
        """
        name = self._stem(frame)
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
        row = FrameRow(
            name,
            frame.index,
            frame.time_s,
            **measures._asdict(),
            components=components,
            suspect=frame.suspect,
            mask_hash=mask_hash(ids),
            trained=self.trained(frame),
        )
        return Stored(row, picture if self.overlay_video else None)

    def commit(self, stored: Stored) -> None:
        """Add a stored frame to the overlay video and to `frames.csv`."""
        row = stored.row
        if self._video is not None:
            self._video.write(stored.picture, row.time_s)
        self._append(row.line())
        self.rows_written += 1
        self.last_time_s = round(row.time_s, 6)  # the value that a continued run reads from the table
        self.detected += row.coverage > 0 and not row.suspect
        self.suspects += row.suspect
        self.frames_compared += row.trained != ""
        self.frames_trained += row.trained == "1"

    def _append(self, line: str) -> None:
        try:
            self._table.write(line.encode())
            self._table.flush()
        except OSError as error:
            raise UserError(f"cannot write {self.folder / 'frames.csv'}: {error.strerror or error}") from error

    def finish(self, run: dict, stopped: str | None = None) -> dict:
        """Close the table, write the final `run.json` and return it. `stopped` is the reason for an early end."""
        if self._table is None:
            return {}
        try:
            self._table.close()
        except OSError as error:  # the disk is full
            if not stopped:
                raise UserError(f"cannot write {self.folder / 'frames.csv'}: {error.strerror or error}") from error
        if self._video is not None and stopped:
            self._video.abandon()
        elif self._video is not None:
            self._video.finish()
        return self._write_run(run, complete=not stopped, stopped=stopped)

    def _write_run(self, run: dict, complete: bool, stopped: str | None) -> dict:
        written = {
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
            "frames_compared": self.frames_compared,
            "frames_trained": self.frames_trained,
            **run,
            "timing": {**run.get("timing", {}), "sessions": self.earlier.sessions + 1},
        }
        write_json(self.folder / "run.json", written)
        return written
