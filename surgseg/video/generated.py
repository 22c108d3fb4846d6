"""The generated folder: the one owner of its format - write it, check it, read it.

    frames/<name>_<frame:06d>.jpg   masks/<same>.png   classes.json   frames.csv   run.json

`run.json` is written first and says `"complete": false` until the run ends; a row enters `frames.csv` when its
image and mask are on the disk. So a folder is readable whenever its run stops.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from surgseg.files import UserError, is_hidden, list_some, make_folder, read_csv, read_json, write_bytes, write_json
from surgseg.frames import encode_frame
from surgseg.labels import Scheme, read_scheme, write_scheme
from surgseg.masks import encode_mask
from surgseg.scores.statistics import frame_statistics

SCHEMA = "surgseg.generated/1"
FRAME_FORMATS = ("jpg", "png", "none")
MIN_COMPONENT_AREA = 0.0005  # of the frame's area; smaller specks are not counted as components
_DERIVED = ("mask_statistics.json", "figures/mask_statistics.png")  # what analyses say of a run goes with it
_OWN = ("classes.json", "frames.csv", "run.json")  # run.json goes last and comes first: it says whose the rest is


@dataclass(frozen=True)
class FrameRow:
    """One line of `frames.csv`; see `scores.statistics.frame_statistics` for the four measures."""

    name: str
    frame: int
    time_s: float
    coverage: float
    mean_confidence: float
    uncertainty: float
    components: int
    suspect: bool


COLUMNS = tuple(field.name for field in fields(FrameRow))


@dataclass(frozen=True)
class Generated:
    """A validated generated folder: its class scheme, its rows in order of time, and `run.json`."""

    folder: Path
    scheme: Scheme
    rows: list[FrameRow]
    run: dict

    @property
    def synthetic(self) -> str:
        """What a figure must carry: 'SYNTHETIC' for synthetic video, 'SYNTHETIC WEIGHTS', or nothing."""
        if self.run.get("video_data") == "synthetic":
            return "SYNTHETIC"
        return "SYNTHETIC WEIGHTS" if self.run.get("weights_data") == "synthetic" else ""

    def mask_path(self, row: FrameRow) -> Path:
        return self.folder / "masks" / f"{row.name}.png"

    def frame_path(self, row: FrameRow) -> Path | None:
        """The frame's image; None where the run was told to keep none."""
        suffix = self.run["frame_format"]
        return None if suffix == "none" else self.folder / "frames" / f"{row.name}.{suffix}"


# ------------------------------------------------------------------------------------------------- writing


def check_name(name: str) -> str:
    """A name that can stand in a file name everywhere; `UserError` otherwise."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"--name {name!r}: use letters, digits, dot, hyphen and underscore only")
    return name


def check_target(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that a new run may not write into.

    An earlier generated run needs `overwrite`; images or tables that no generated run wrote are refused always.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; --output-dir needs a folder")
    present = [name for name in _OWN if (folder / name).exists()]
    images = [path.relative_to(folder).as_posix() for path in _images(folder)]
    if not present and not images:
        return
    own = {path.relative_to(folder).as_posix() for path in _own_images(folder)}
    foreign = [name for name in images if name not in own] if _is_run(folder) else present + images
    if foreign:
        raise UserError(
            f"{folder} holds files that no generated run wrote ({list_some(foreign, 3)}); choose another --output-dir"
        )
    if not overwrite:
        raise UserError(f"{folder} already holds a generated run; use --overwrite or another --output-dir")


def _images(folder: Path) -> list[Path]:
    return [path for part in ("frames", "masks") if (folder / part).is_dir() for path in (folder / part).iterdir()]


def _is_run(folder: Path) -> bool:
    path = folder / "run.json"
    return path.is_file() and isinstance(run := read_json(path), dict) and run.get("schema") == SCHEMA


def _own_images(folder: Path) -> list[Path]:
    """Files in frames/ and masks/ that the run in `folder` wrote, those it was killed over included."""
    if not _is_run(folder):
        return []
    name = re.escape(str(read_json(folder / "run.json").get("name")))
    whole, partial = rf"{name}_\d{{6,}}\.(jpg|png)", rf"\.{name}_\d{{6,}}\.(jpg|png)\..*\.part\.(jpg|png)"
    return [path for path in _images(folder) if re.fullmatch(f"{whole}|{partial}", path.name)]


class GeneratedWriter:
    """Write a generated folder, frame by frame.

    `begin` clears an earlier run (after `check_target`), `store` may be called from several threads, `commit` takes
    its rows in order from one; `finish` closes the folder. `run` is everything else that `run.json` shall say.
    """

    def __init__(self, folder: Path | str, scheme: Scheme, name: str, frame_format: str = "jpg", overwrite=False):
        self.folder, self.scheme, self.name = Path(folder), scheme, check_name(name)
        self.frame_format, self.overwrite = frame_format, overwrite
        self.rows_written = self.detected = self.suspects = 0
        self.last_time_s = 0.0
        self._table = None

    def begin(self, run: dict) -> None:
        """Create the folder, with `run.json` first."""
        check_target(self.folder, self.overwrite)
        for path in [*_own_images(self.folder), *(self.folder / name for name in (*_OWN[:2], *_DERIVED))]:
            path.unlink(missing_ok=True)
        for part in ("masks",) if self.frame_format == "none" else ("frames", "masks"):
            make_folder(self.folder / part)
        self._write_run(run, complete=False, stopped=None)
        write_scheme(self.folder / "classes.json", self.scheme)
        try:
            self._table = (self.folder / "frames.csv").open("w", newline="", encoding="utf-8")
            self._append(list(COLUMNS))
        except OSError as error:
            raise UserError(f"cannot write {self.folder / 'frames.csv'}: {error.strerror or error}") from error

    def store(self, frame, ids: np.ndarray, probability: np.ndarray) -> FrameRow:
        """Measure one frame (`video.reader.Frame`), write its image and mask, and return its row."""
        name = f"{self.name}_{frame.index:06d}"
        ids = np.ascontiguousarray(ids, np.uint8)
        measures = frame_statistics(ids, probability, self.scheme.instrument_ids, MIN_COMPONENT_AREA)
        if self.frame_format != "none":
            data = encode_frame(frame.image, f".{self.frame_format}")
            write_bytes(self.folder / "frames" / f"{name}.{self.frame_format}", data)
        write_bytes(self.folder / "masks" / f"{name}.png", encode_mask(ids, self.scheme))
        return FrameRow(name=name, frame=frame.index, time_s=frame.time_s, suspect=frame.suspect, **measures)

    def commit(self, row: FrameRow) -> None:
        """Add a stored frame's row to `frames.csv`."""
        values = asdict(row)
        values["time_s"] = f"{row.time_s:.6f}"
        for measure in ("coverage", "mean_confidence", "uncertainty"):
            values[measure] = f"{values[measure]:.8g}"
        values["suspect"] = int(row.suspect)
        try:
            self._append([values[column] for column in COLUMNS])
        except OSError as error:
            raise UserError(f"cannot write {self.folder / 'frames.csv'}: {error.strerror or error}") from error
        self.rows_written += 1
        self.last_time_s = row.time_s
        self.detected += row.coverage > 0
        self.suspects += row.suspect

    def _append(self, values: list) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values)
        self._table.write(line.getvalue())
        self._table.flush()

    def finish(self, run: dict, complete: bool, stopped: str | None) -> None:
        """Close the table and write the final `run.json`; `stopped`: why the run ended before its time."""
        if self._table is not None:
            self._table.close()
            self._write_run(run, complete, stopped)

    def _write_run(self, run: dict, complete: bool, stopped: str | None) -> None:
        state = {
            "schema": SCHEMA,
            "complete": complete,
            "stopped": stopped,
            "name": self.name,
            "frame_format": self.frame_format,
            "min_component_area": MIN_COMPONENT_AREA,
            "frames_written": self.rows_written,
            "frames_suspect": self.suspects,
        }
        write_json(self.folder / "run.json", {**state, **run})


# ------------------------------------------------------------------------------------------------- reading


def read_generated(folder: Path | str) -> Generated:
    """Read and validate a generated folder; whatever disagrees is listed in one `UserError`.

    An unfinished run is read as far as it came; `run["complete"]` says so.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    missing = [name for name in _OWN if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder} is not a generated folder: {list_some(missing)} missing; generate_masks_from_model.py writes one"
        )
    run = read_json(folder / "run.json")
    if not isinstance(run, dict) or run.get("schema") != SCHEMA or run.get("frame_format") not in FRAME_FORMATS:
        raise UserError(f"{folder / 'run.json'} was not written by this version of generate_masks_from_model.py")
    rows = _read_rows(folder / "frames.csv", whole=bool(run.get("complete")))
    if not rows:
        raise UserError(f"{folder} holds no frames: its frames.csv is empty")
    generated = Generated(folder, read_scheme(folder / "classes.json"), rows, run)
    problems = _problems(generated)
    if problems:
        raise UserError(f"{folder} does not agree with its frames.csv: {'; '.join(problems)}")
    return generated


def _read_rows(path: Path, whole: bool) -> list[FrameRow]:
    raw = read_csv(path, COLUMNS)
    if raw and not whole and not path.read_bytes().endswith(b"\n"):
        raw = raw[:-1]  # the run was killed within this line
    rows = []
    for number, row in enumerate(raw, 2):
        try:
            numbers = {key: float(row[key]) for key in ("time_s", "coverage", "mean_confidence", "uncertainty")}
            counts = {key: int(row[key]) for key in ("frame", "components")}
            suspect = {"0": False, "1": True}[row["suspect"]]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}, line {number}: not a row of frames ({error!r})") from error
        if not all(0 <= numbers[key] <= 1 for key in ("coverage", "mean_confidence", "uncertainty")):
            raise UserError(f"{path}, line {number}: coverage, confidence or uncertainty outside 0..1")
        rows.append(FrameRow(name=row["name"], suspect=suspect, **numbers, **counts))
    return rows


def _problems(generated: Generated) -> list[str]:
    run, rows, folder = generated.run, generated.rows, generated.folder
    problems = []
    names = {row.name for row in rows}
    if any(later.frame <= earlier.frame for earlier, later in zip(rows, rows[1:])) or len(names) < len(rows):
        problems.append("frame numbers do not ascend")
    if run.get("complete") and run.get("frames_written") != len(rows):
        problems.append(f"run.json counts {run.get('frames_written')} frames, the table {len(rows)}")
    parts = [("masks", "png")] + ([] if run["frame_format"] == "none" else [("frames", run["frame_format"])])
    for part, suffix in parts:
        present = set()
        if (folder / part).is_dir():
            present = {path.name for path in (folder / part).iterdir() if not is_hidden(path.name)}
        expected = {f"{name}.{suffix}" for name in names}
        if expected - present:
            problems.append(f"missing in {part}/: {list_some(sorted(expected - present), 4)}")
        if present - expected and run.get("complete"):
            problems.append(f"not in the table, but in {part}/: {list_some(sorted(present - expected), 4)}")
    return problems
