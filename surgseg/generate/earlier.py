"""Find what an earlier run left in a generated folder, and how much of it a new run can keep."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from surgseg.files import UserError, is_hidden, list_some
from surgseg.generate.folder import COLUMNS, OWN, FrameRow, csv_line, images_of, own_image, read_generated, read_run
from surgseg.reviews import MASKS, RECORD, TABLE

_FINISHED = {  # keys of run.json that must be equal, and what an error message calls them
    "fingerprint": "another video",
    "weights_sha256": "other weights",
    "threshold": "threshold",
    "view": "--view",
    "sampling": "sampling",
    "image_rate": "--image-rate",
    "name": "--name",
    "parts": "--frame-format or --save",
    "overlay_video": "--save video",
}
_UNFINISHED = {**_FINISHED, "batch_size": "--batch-size", "backend": "backend", "decoder": "decoder version"}


@dataclass(frozen=True)
class Earlier:
    """What a new run keeps of an earlier one: the first `rows` rows, which are the first `size` bytes of frames.csv."""

    rows: int = 0
    size: int = 0
    detected: int = 0
    suspects: int = 0
    last_frame: int = -1
    last_time_s: float = 0.0
    sessions: int = 0
    compared: int = 0
    trained: int = 0
    finished: dict | None = None  # its run.json if it is complete


def check_target(folder: Path) -> None:
    """Raise `UserError` for a file, and for a folder with images or tables that no generated run wrote."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; --output-dir needs a folder")
    run = read_run(folder)
    if run is None:
        foreign = [folder / name for name in OWN if (folder / name).exists()] + list(images_of(folder))
    else:
        own = own_image(str(run.get("name")))
        foreign = [path for path in images_of(folder) if not own.fullmatch(path.name)]
    foreign = [path for path in foreign if not is_hidden(path.name)]
    if foreign:
        names = list_some((path.relative_to(folder).as_posix() for path in foreign), 3)
        raise UserError(f"{folder} holds files that no generated run wrote ({names}); choose another --output-dir")


def find_earlier(folder: Path, asked: dict, overwrite: bool) -> Earlier:
    """Return what a run with the settings `asked` (the keys of `_UNFINISHED`) can keep of `folder`.

    Raises `UserError` as `check_target`, without `overwrite` for a run of another video or with other settings, and
    where frames that a person has reviewed would be replaced.
    """
    check_target(folder)
    run = read_run(folder)
    reviewed = [name for name in (TABLE, RECORD, MASKS) if (folder / name).exists()]
    if reviewed and (run is None or overwrite):
        raise UserError(
            f"{folder} holds a review ({list_some(reviewed)}) of the frames that are there now, so no other run is "
            "written into it: choose another --output-dir"
        )
    if run is None or overwrite:
        return Earlier()
    run.setdefault("view", "full")  # runs of earlier versions
    complete = bool(run.get("complete")) and (folder / "frames.csv").is_file()
    keys = _FINISHED if complete else _UNFINISHED
    different = [key for key in keys if run.get(key) != asked[key]]
    if "fingerprint" in different:
        instead = "" if reviewed else ", or --overwrite"
        raise UserError(f"{folder} holds a run of another video; choose another --output-dir{instead}")
    if different:
        shown = list_some(
            f"{keys[key]}: {_shortened(run.get(key))} there, {_shortened(asked[key])} now" for key in different
        )
        state = "a finished" if complete else "an unfinished"
        instead = "choose another --output-dir" if reviewed else "use --overwrite"
        raise UserError(f"{folder} holds {state} run with other settings ({shown}); repeat those, or {instead}")
    sessions = run.get("timing", {}).get("sessions", 1)
    if not complete:
        return _find_rows(folder, run, sessions)
    try:
        read_generated(folder)
    except UserError as error:
        what = "put the files back, because it holds a review" if reviewed else "--overwrite makes it again"
        raise UserError(f"{error}; {what}") from error
    return Earlier(rows=run["frames_written"], sessions=sessions, finished=run)


def _shortened(value) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {item}" for key, item in value.items() if item is not None) or "none"
    return str(value)[:12] if isinstance(value, str) and len(value) > 40 else str(value)


def _find_rows(folder: Path, run: dict, sessions: int) -> Earlier:
    """Return the rows from the first on that are whole and whose files all exist.

    Keeps no row if the overlay video cannot be drawn again, for which it needs the masks.
    """
    nothing = Earlier(sessions=sessions)
    table, header = folder / "frames.csv", csv_line(list(COLUMNS)).encode()
    lines = table.read_bytes().splitlines(keepends=True) if table.is_file() else []
    if lines[:1] != [header] or (run["overlay_video"] and "masks" not in run["parts"]):
        return nothing
    found = replace(nothing, size=len(header))
    for line in lines[1:]:
        row = _parse(line)
        files = [] if row is None else [folder / part / f"{row.name}.{end}" for part, end in run["parts"].items()]
        if row is None or not all(path.is_file() and path.stat().st_size for path in files):
            break
        detected = found.detected + (row.coverage > 0 and not row.suspect)
        suspects = found.suspects + row.suspect
        compared, trained = found.compared + (row.trained != ""), found.trained + (row.trained == "1")
        size = found.size + len(line)
        found = Earlier(found.rows + 1, size, detected, suspects, row.frame, row.time_s, sessions, compared, trained)
    return found if found.rows else nothing


def _parse(line: bytes) -> FrameRow | None:
    """Return the row of a line of `frames.csv`; None if a run was killed before the line was whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        return FrameRow.parse(dict(zip(COLUMNS, next(csv.reader([line.decode()])))))
    except (KeyError, TypeError, ValueError):
        return None
