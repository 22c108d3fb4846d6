"""The annotation tools' formats: how each is written and read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np

from surgseg.annotations.coco import write_coco
from surgseg.annotations.cvat import read_cvat, write_cvat
from surgseg.annotations.labelme import as_polygons, write_labelme
from surgseg.annotations.task import Task
from surgseg.data.coco import read_coco
from surgseg.data.labelme import read_labelme
from surgseg.data.shapes import Annotated
from surgseg.data.sources import SourceFile, open_source


class Format(NamedTuple):
    """`suffix` is that of the written file, "" for a folder. `read` takes the files with one of `read_suffixes`.

    `as_written` makes of (H, W) class ids what is left of them in the file.
    """

    suffix: str
    write: Callable[[Task, Path], None]
    read: Callable[[list[SourceFile]], list[Annotated]]
    read_suffixes: tuple[str, ...]
    as_written: Callable[[np.ndarray], np.ndarray] = lambda ids: ids


FORMATS = {
    "cvat": Format(".zip", write_cvat, read_cvat, (".png", ".txt")),
    "coco": Format(".json", write_coco, read_coco, (".json",)),
    "labelme": Format("", write_labelme, read_labelme, (".json",), as_polygons),
}


@contextlib.contextmanager
def open_annotations(path: Path, suffixes: tuple[str, ...]) -> Iterator[list[SourceFile]]:
    """Yield the files of those suffixes in a folder or zip, or the one file. Nothing is unpacked: a zip's names are
    compared with those of the frames, and never become paths. Raises `UserError` as `open_source` does."""
    if path.is_file() and path.name.lower().endswith(suffixes):
        yield [SourceFile(path.name, "", path=path)]
        return
    with open_source(path, suffixes) as (files, _):
        yield files
