"""Define, read and validate the format of a generated folder.

    frames/<name>_<frame:06d>.jpg   masks/<same>.png   overlays/<same>.jpg   probabilities/<same>.png
    overlay.mp4   classes.json   frames.csv   run.json

`generate/writer.py` writes it. `run.json` is written first and says `"complete": false` until the run ends. A row
enters `frames.csv` when its files are on the disk. So the folder is readable whenever the run stops.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from surgseg.files import UserError, is_hidden, list_some, read_csv, read_json
from surgseg.labels import Scheme, read_scheme
from surgseg.predict import Measures
from surgseg.reviews import TABLE, Review, count_reviewed, read_reviews, reviewed_path

SCHEMA = "surgseg.generated/2"
IMAGE_PARTS = ("frames", "masks", "overlays", "probabilities")  # folders with one image per frame
OVERLAY_VIDEO = "overlay.mp4"
MIN_COMPONENT_AREA = 0.0005  # fraction of the frame; smaller regions are not counted as components
DERIVED = (  # results of analyses; they are removed when the run changes
    "mask_statistics.json", "mask_statistics_frames.csv", "figures/mask_statistics.png", "figures/visual_analysis.png",
    "figures/visual_analysis.json", "figures/sampling_rate.png",
)  # fmt: skip
OWN = ("classes.json", "frames.csv", "run.json")


@dataclass(frozen=True)
class FrameRow:
    """One line of `frames.csv`; its columns are these fields.

    `frame` is the index in the source from 0, `time_s` its time in seconds. `coverage`, `mean_confidence` and
    `uncertainty` are those of `predict.Measures`. `components` counts connected regions of instrument above
    MIN_COMPONENT_AREA. `suspect`: the frame was decoded after damage and before the next keyframe. `mask_hash` is that
    of `predicted.mask_hash` for the predicted mask. `trained`: 1 if the frame looks like one that trained the weights,
    0 if not, "" if it was not compared. Folders of earlier versions lack the last two columns.
    """

    name: str
    frame: int
    time_s: float
    coverage: float
    mean_confidence: float
    uncertainty: float
    components: int
    suspect: bool
    mask_hash: str = ""
    trained: str = ""

    def line(self) -> str:
        """Return the row as a line of `frames.csv`."""
        measures = {key: f"{getattr(self, key):.8g}" for key in Measures._fields}
        values = {**asdict(self), **measures, "time_s": f"{self.time_s:.6f}", "suspect": int(self.suspect)}
        return csv_line(list(values.values()))

    @classmethod
    def parse(cls, row: dict[str, str]) -> FrameRow:
        """Return the row of a `csv.DictReader` dict. Raises ValueError, KeyError or TypeError if it is not valid."""
        given = [field for field in fields(cls) if field.name in row or field.name not in ADDED]
        found = cls(**{field.name: _READ[field.type](row[field.name]) for field in given})
        if not all(0 <= getattr(found, key) <= 1 for key in Measures._fields):
            raise ValueError("coverage, confidence or uncertainty outside 0..1")
        if not re.fullmatch("([0-9a-f]{8})?", found.mask_hash) or found.trained not in ("", "0", "1"):
            raise ValueError("mask_hash or trained is cut off")
        if not math.isfinite(found.time_s) or min(found.frame, found.components) < 0:
            raise ValueError("time_s is no number of seconds, or frame or components are negative")
        return found


_READ = {"str": str, "int": int, "float": float, "bool": {"0": False, "1": True}.__getitem__}  # by type of the field
COLUMNS = tuple(field.name for field in fields(FrameRow))
ADDED = ("mask_hash", "trained")  # columns that folders of earlier versions lack


def check_name(name: str) -> str:
    """Return `name`. Raises `UserError` if some operating system does not allow it in a file name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"--name {name!r}: use letters, digits, dot, hyphen and underscore only")
    return name


def csv_line(values: list) -> str:
    """Return `values` as one line of CSV."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


@dataclass(frozen=True)
class Generated:
    """A validated generated folder: class scheme, rows in order of time, and `run.json`.

    `reviews`, by name, if reviewed masks are preferred to the predicted ones, else None.
    """

    folder: Path
    scheme: Scheme
    rows: list[FrameRow]
    run: dict
    reviews: dict[str, Review] | None = None

    @property
    def synthetic(self) -> str:
        """The mark for figures: 'SYNTHETIC' for synthetic video, 'SYNTHETIC WEIGHTS', or ''."""
        if self.run.get("video_data") == "synthetic":
            return "SYNTHETIC"
        return "SYNTHETIC WEIGHTS" if self.run.get("weights_data") == "synthetic" else ""

    def path(self, part: str, row: FrameRow) -> Path | None:
        """Return the image of a frame in one of `IMAGE_PARTS`; None if the run did not save that part."""
        suffix = self.run["parts"].get(part)
        return self.folder / part / f"{row.name}.{suffix}" if suffix else None

    def is_reviewed(self, row: FrameRow) -> bool:
        """Whether the mask of a frame is its reviewed one."""
        return self.reviews is not None and row.name in self.reviews and self.reviews[row.name].has_mask

    def count_reviewed(self, rows: Sequence[FrameRow]) -> dict[str, int] | None:
        """Return where the masks of the rows come from, as `reviews.count_reviewed`; None without `reviews`."""
        return None if self.reviews is None else count_reviewed(self.reviews, [row.name for row in rows])

    def mask_path(self, row: FrameRow) -> Path | None:
        return reviewed_path(self.folder, row.name) if self.is_reviewed(row) else self.path("masks", row)

    def frame_path(self, row: FrameRow) -> Path | None:
        return self.path("frames", row)


def read_run(folder: Path) -> dict | None:
    """Return `run.json` of a generated folder; None if it is missing or of another program."""
    path = folder / "run.json"
    run = read_json(path) if path.is_file() else None
    return run if isinstance(run, dict) and run.get("schema") == SCHEMA and _known_parts(run.get("parts")) else None


def _known_parts(parts) -> bool:
    return isinstance(parts, dict) and all(
        key in IMAGE_PARTS and value in ("jpg", "png") for key, value in parts.items()
    )


def _valid_facts(run: dict) -> bool:
    """Return whether the entries of sampling and video that analyses read have the right types or are absent."""
    sampling, video = (run.get(key) or {} for key in ("sampling", "video"))
    if not (isinstance(sampling, dict) and isinstance(video, dict)):
        return False
    length = video.get("duration_s")
    return isinstance(sampling.get("burst", 1), int) and (length is None or isinstance(length, (int, float)))


def images_of(folder: Path) -> Iterator[Path]:
    """Yield every path in the folders of `IMAGE_PARTS`."""
    for part in IMAGE_PARTS:
        if (folder / part).is_dir():
            yield from (folder / part).iterdir()


def own_image(name: str) -> re.Pattern:
    """Return a pattern of the file names, finished or temporary, of a run called `name`. Group 1 is the frame."""
    name = re.escape(name)
    return re.compile(rf"\.?{name}_(\d{{6,}})\.(?:jpg|png)(?:\..*\.part\.(?:jpg|png))?")


def read_generated(folder: Path | str, *, prefer_reviewed: bool = False) -> Generated:
    """Read and validate a generated folder. Raises one `UserError` that lists all problems.

    Of an unfinished run (`run["complete"]` is false) the complete rows are read. With `prefer_reviewed` the mask of a
    frame is its reviewed one where there is one, and the frames that are marked unusable are left out; all else in the
    rows stays the model's. Raises `UserError` also as `read_reviews`, and if the run kept no masks.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    missing = [name for name in OWN if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder} is not a generated folder: {list_some(missing)} missing; generate_masks_from_model.py writes one"
        )
    run = read_run(folder)
    if run is None:
        raise UserError(f"{folder / 'run.json'} was not written by this version of generate_masks_from_model.py")
    if not _valid_facts(run):
        raise UserError(f"{folder / 'run.json'} was changed: its entries sampling or video are not valid")
    rows = _read_rows(folder / "frames.csv", whole=bool(run.get("complete")))
    if not rows:
        raise UserError(f"{folder} holds no frames: its frames.csv is empty")
    generated = Generated(folder, read_scheme(folder / "classes.json"), rows, run)
    problems = _problems(generated)
    if problems:
        raise UserError(f"{folder} does not agree with its frames.csv: {'; '.join(problems)}")
    return _with_reviews(generated) if prefer_reviewed else generated


def _with_reviews(generated: Generated) -> Generated:
    folder, reviews = generated.folder, read_reviews(generated.folder)
    if generated.run["parts"].get("masks") is None:
        raise UserError(f"{folder} keeps no predicted masks beside the reviewed ones (--save masks keeps them)")
    names = {row.name for row in generated.rows}
    if generated.run.get("complete") and (foreign := [name for name in reviews if name not in names]):
        raise UserError(f"{folder / TABLE} lists frames that {folder / 'frames.csv'} does not: {list_some(foreign, 4)}")
    reviews = {name: review for name, review in reviews.items() if name in names}
    rows = [row for row in generated.rows if row.name not in reviews or reviews[row.name].status != "unusable"]
    if not rows:
        raise UserError(f"all {len(names)} frames of {folder} are marked unusable in {TABLE}")
    return replace(generated, rows=rows, reviews=reviews)


def _read_rows(path: Path, whole: bool) -> list[FrameRow]:
    if not whole and b"\n" not in path.read_bytes():
        return []  # the run was killed before its header was written
    raw = read_csv(path, [name for name in COLUMNS if name not in ADDED])
    if raw and not whole and not path.read_bytes().endswith(b"\n"):
        raw = raw[:-1]  # the run was killed within this line
    rows = []
    for number, row in enumerate(raw, 2):
        try:
            rows.append(FrameRow.parse(row))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}, line {number}: not a row of frames ({error})") from error
    return rows


def _problems(generated: Generated) -> list[str]:
    run, rows, folder = generated.run, generated.rows, generated.folder
    problems = []
    names = {row.name for row in rows}
    pairs = list(zip(rows, rows[1:]))
    if any(later.frame <= earlier.frame for earlier, later in pairs) or len(names) < len(rows):
        problems.append("frame numbers do not ascend")
    if any(later.time_s < earlier.time_s for earlier, later in pairs):
        problems.append("times do not ascend")
    if run.get("complete") and run.get("frames_written") != len(rows):
        problems.append(f"run.json counts {run.get('frames_written')} frames, the table {len(rows)}")
    for part, suffix in run["parts"].items():
        paths = (folder / part).iterdir() if (folder / part).is_dir() else ()
        present = {path.name for path in paths if not is_hidden(path.name)}
        expected = {f"{name}.{suffix}" for name in names}
        if expected - present:
            problems.append(f"missing in {part}/: {list_some(sorted(expected - present), 4)}")
        if present - expected and run.get("complete"):
            problems.append(f"not in the table, but in {part}/: {list_some(sorted(present - expected), 4)}")
    if run.get("complete") and run.get("overlay_video") and not (folder / OVERLAY_VIDEO).is_file():
        problems.append(f"{OVERLAY_VIDEO} is missing")
    return problems
