"""Make a prepared folder of a tool's annotations: the frames linked, new masks, manifest, audit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
from tqdm import tqdm

from surgseg.annotations.task import Task, upright_size
from surgseg.console import quiet
from surgseg.data.audit import make_audit
from surgseg.data.convert import place_frame
from surgseg.data.dataset import number_of, videos_of
from surgseg.data.manifest import with_splits, write_manifest
from surgseg.data.pairs import Problem, describe_problems
from surgseg.data.shapes import Annotated, Drawing, paint
from surgseg.data.sources import data_kind
from surgseg.files import UserError, atomic_folder, list_some, natural_key, read_json, write_json
from surgseg.frames import check_same_size, under_names
from surgseg.labels import VOID, write_scheme
from surgseg.masks import read_mask, write_mask
from surgseg.predicted import mask_hash, predicted_masks

_SHOWN = 50  # faults of each kind in an error
_COUNTED = ("data", "class_scheme", "frames", "instrument_free_frames", "void_frames", "videos", "splits", "sizes")


@dataclass
class Corrected:
    """What an import wrote: names of its frames, of those that were left out, and of masks still as predicted.

    `overlaps` are the pixels in shapes of several classes, of each frame that has some.
    """

    names: list[str]
    left_out: list[str]
    predicted: list[str]
    overlaps: dict[str, int]


def write_corrected(
    items: list[Annotated],
    task: Task,
    output: Path,
    table: dict[str, int | None],
    *,
    allow_missing: bool = False,
    empty_frames: bool = False,
    reviewed: bool = False,
    video_pattern: str | None = None,
    as_written: Callable[[np.ndarray], np.ndarray] = lambda ids: ids,
) -> Corrected:
    """Paint the annotated images of `items` and write them as the prepared folder `output`, which must not exist.

    `table` is a `label_table`. Frames without annotation are faults, unless `allow_missing` leaves them out;
    `empty_frames`: an image that the tool's file names without annotation shows class 0 alone. Unless `reviewed`, a
    mask that a model predicted stays predicted if nobody has changed it: `as_written` makes of a mask what the tool's
    file holds of it. Raises `UserError` with all faults; then nothing is written.
    """
    result = Corrected([], [], [], {})
    before = {} if reviewed else {name: task.masks[name] for name in _predicted_names(task)}
    rows, predicted = [], {}
    with atomic_folder(output) as folder:
        for name, ids in paint_frames(items, task, table, result, allow_missing, empty_frames):
            if name in before and mask_hash(ids) == mask_hash(
                as_written(read_mask(before[name], task.scheme.num_classes))
            ):
                predicted[name] = mask_hash(ids)
            frame = task.frames[name]
            place_frame(frame.read_bytes(), frame, folder / "frames" / f"{name}{frame.suffix}", False)
            write_mask(folder / "masks" / f"{name}.png", ids, task.scheme)
            rows.append({"name": name, "height": ids.shape[0], "width": ids.shape[1], **_fractions(ids, task)})
        _write_lists(folder, task, rows, predicted, video_pattern)
    result.names, result.predicted = [row["name"] for row in rows], list(predicted)
    return result


def paint_frames(
    items: list[Annotated],
    task: Task,
    table: dict[str, int | None],
    result: Corrected,
    allow_missing: bool,
    empty_frames: bool,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and (H, W) uint8 class ids of each annotated frame; fill `left_out` and `overlaps` of `result`.

    The options are those of `write_corrected`. Raises `UserError` with all faults after the last frame.
    """
    annotated, problems = _match_frames(items, task, empty_frames)
    result.left_out += [name for name in task.frames if name not in annotated]
    if not allow_missing:
        problems += [Problem("frame without annotation", name, "") for name in result.left_out]
    labels: dict[str, list[str]] = {}
    for name in tqdm([name for name in task.frames if name in annotated], unit="frame", disable=quiet()):
        ids = _read_ids(annotated[name], task.frames[name], table, labels, problems, result.overlaps)
        if ids is not None and not problems and not labels:
            yield name, ids
    _raise_faults(problems, labels, table)
    if not annotated:
        raise UserError("no frame has an annotation")


def _match_frames(items: list[Annotated], task: Task, empty_frames: bool) -> tuple[dict[str, Annotated], list[Problem]]:
    """The annotated images by the name of their frame, and the images that are no frame or come twice."""
    found, problems = {}, []
    for item in items:
        if item.name in found:
            problems.append(Problem("second annotation of an image", item.file, f"also {found[item.name].file}"))
        found[item.name] = item
    matched = under_names(task.frames, found)
    problems += [
        Problem("image that is no frame", matched[name].file, "") for name in matched if name not in task.frames
    ]
    return {name: item for name, item in matched.items() if item.read or empty_frames}, problems


def _predicted_names(task: Task) -> list[str]:
    predicted = predicted_masks(task.masks.values())
    return [name for name, path in task.masks.items() if path in predicted]


def _read_ids(
    item: Annotated, frame: Path, table: dict, labels: dict, problems: list[Problem], overlaps: dict[str, int]
) -> np.ndarray | None:
    """(H, W) uint8 class ids of one image; None if something is wrong, which goes into `labels` or `problems`."""
    try:
        size = upright_size(frame)
        drawing = item.read() if item.read else Drawing(size, [])
        check_same_size(size, drawing.size)
    except UserError as error:
        problems.append(Problem("bad file", item.file, str(error).replace(f"{item.file}: ", "", 1)))
        return None
    if unknown := dict.fromkeys(shape.label for shape in drawing.shapes if shape.label not in table):
        for label in unknown:
            labels.setdefault(label, []).append(item.file)
        return None
    ids, overlap, wrong = paint(drawing, table)
    problems += [Problem("bad shape", item.file, what) for what in wrong]
    if overlap:
        overlaps[item.name] = overlap
    return None if wrong else ids


def _raise_faults(problems: list[Problem], labels: dict[str, list[str]], table: dict) -> None:
    unknown = [
        Problem("unknown label", repr(label), f"{len(files)} files: {list_some(files, 3)}")
        for label, files in labels.items()
    ]
    if not problems and not unknown:
        return
    advice = ""
    if unknown:
        known = list_some([label for label, class_id in table.items() if class_id is not None], 20)
        advice += (
            f"\n  the labels are {known}: map others with --label OTHER=CLASS, or leave them out with --ignore-labels"
        )
    if any(problem.kind == "frame without annotation" for problem in problems):
        advice += (
            "\n  frames without annotation: --allow-missing leaves them out; --empty-frames takes those that the "
            "tool's file names for frames without an instrument"
        )
    count = len(problems) + len(unknown)
    faults = describe_problems(unknown + problems, _SHOWN)
    raise UserError(f"{count} faults, nothing written:\n{faults}{advice}")


def _fractions(ids: np.ndarray, task: Task) -> dict[str, str]:
    void = int((ids == VOID).sum())
    instrument = int(np.isin(ids, task.scheme.instrument_ids).sum())
    share = instrument / (ids.size - void) if void < ids.size else 0
    return {"instrument_fraction": f"{share:.6f}", "void_fraction": f"{void / ids.size:.6f}"}


def _write_lists(folder: Path, task: Task, rows: list[dict], predicted: dict[str, str], pattern: str | None) -> None:
    """Write classes.json, audit.json, manifest.csv. Videos, numbers and parts are those of the task's manifest."""
    names = [row["name"] for row in rows]
    if task.rows:
        places = [{key: task.rows[name][key] for key in ("video", "clip", "frame")} for name in names]
    else:
        videos = videos_of(names, pattern, task.root.absolute().name)
        places = [{"video": video, "clip": "", "frame": number_of(name)} for name, video in zip(names, videos)]
    prescribed = {name: row["split"] for name, row in task.rows.items() if row["split"]}
    rows = with_splits([{**row, **place} for row, place in zip(rows, places)], prescribed, predicted)
    write_scheme(folder / "classes.json", task.scheme)
    audit = make_audit({}, rows, task.scheme, data_kind(task.frame_dir))
    kept = {key: audit[key] for key in _COUNTED}  # the other tables count source codes, which there are none of
    source = task.root / "audit.json"
    licences = read_json(source).get("licences", []) if source.is_file() else []
    write_json(folder / "audit.json", {**kept, "licences": licences, "predicted_masks": predicted})
    write_manifest(folder, sorted(rows, key=lambda row: natural_key(row["name"])))


def report_corrected(result: Corrected, folder: Path, data_root: Path) -> None:
    """Print what was written to `folder`, what to know of it, and the command that trains on `data_root`."""
    print(f"{len(result.names)} frames with {'new reviewed ' * (folder != data_root)}masks")
    if result.left_out:
        print(f"{len(result.left_out)} frames without annotation, left out: {list_some(result.left_out)}")
    if result.overlaps:
        pixels = sum(result.overlaps.values())
        print(
            f"{pixels} pixels of {len(result.overlaps)} frames lie in shapes of several classes; the later one counts"
        )
    if result.predicted:
        print(
            f"WARNING: {len(result.predicted)} masks are unchanged predictions of a model, and count as predicted; "
            "if a person has checked all masks, give --masks-reviewed",
            file=sys.stderr,
        )
    print(f"  {folder}")
    print(f"next: python instrument_segmentation.py --data-root {data_root}")
