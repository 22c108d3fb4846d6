"""Convert one pair of frame and mask to the two files of a prepared folder."""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surgseg.data.pairs import Pair, Problem
from surgseg.data.sources import check_whole
from surgseg.files import IMAGE_SUFFIXES, UserError, make_folder, write_bytes
from surgseg.frames import check_same_size, frame_size
from surgseg.labels import Scheme
from surgseg.masks import encode_mask, remap
from surgseg.predicted import mask_hash


@dataclass(frozen=True)
class Target:
    """Where a preparation writes, whether it copies frames, and its number of threads (None: all cores)."""

    root: Path
    frames: str = "frames"
    masks: str = "masks"
    copy: bool = False
    threads: int | None = None

    def frame_path(self, pair: Pair) -> Path:
        return self.root / self.frames / f"{pair.name}{pair.frame.suffix}"

    def mask_path(self, pair: Pair) -> Path:
        return self.root / self.masks / f"{pair.name}.png"


def prepare_pair(pair: Pair, scheme: Scheme, lookup: np.ndarray, settings: str, target: Target) -> dict | Problem:
    """Check one pair and write its two files. Return its record, or what is wrong with the source."""
    kind = "bad frame"
    try:
        frame = pair.frame.read()
        check_whole(frame, pair.frame.name)
        width, height, orientation = frame_size(frame, pair.frame.name)
        kind = "bad mask"
        ids, counts, mode = mask_to_ids(pair, lookup)
        kind = "size mismatch"
        check_same_size((width, height), ids.shape[::-1], orientation)
    except UserError as error:
        file = pair.mask.name if kind == "bad mask" else pair.frame.name
        return Problem(kind, file, str(error).replace(f"{file}: ", "", 1), pair.video)
    mask_bytes = encode_mask(ids, scheme)
    place_frame(frame, pair.frame.path, target.frame_path(pair), target.copy)
    write_bytes(target.mask_path(pair), mask_bytes)
    return {
        "name": pair.name,
        "video": pair.video,
        "clip": pair.clip,
        "frame": pair.number,
        "width": width,
        "height": height,
        "codes": {str(code): int(counts[code]) for code in counts.nonzero()[0]},
        "mode": mode,
        "orientation": orientation,
        "digest": digest(frame),
        "mask_digest": digest(mask_bytes),
        "split": pair.split,
        "numbered_by_order": pair.numbered_by_order,
        "sources": stamps(pair),
        "bytes": len(frame),
        "settings": settings,
        "predicted": mask_hash(ids) if pair.predicted else None,
    }


def mask_to_ids(pair: Pair, lookup: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Read and check a mask: ((H, W) uint8 class ids, (256,) pixels per source code, a word for the kind of file)."""
    data = pair.mask.read()
    check_whole(data, pair.mask.name)
    codes, mode = pair.read_codes(data, pair.mask.name)
    return (*remap(codes, lookup, pair.mask.name), mode)


def place_frame(data: bytes, source: Path | None, destination: Path, copy: bool) -> None:
    """Make the frame's file at `destination`: a hard link to `source` if possible and `copy` is false, else a copy.

    An older file there is replaced, not overwritten: it may be a hard link to an original. A file with the same stem
    and another image suffix is removed, since two frames of one name would be ambiguous.
    """
    make_folder(destination.parent)
    if copy or source is None or not _link(source, destination):
        write_bytes(destination, data)
    for suffix in IMAGE_SUFFIXES:
        if suffix != destination.suffix:
            destination.with_suffix(suffix).unlink(missing_ok=True)


def _link(source: Path, destination: Path) -> bool:
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        os.link(source.resolve(), temporary)  # link to the target of a symbolic link
        temporary.replace(destination)
    except OSError:
        return False
    finally:
        temporary.unlink(missing_ok=True)  # `replace` leaves it if both names are links to one file
    return True


def digest(data: bytes) -> str:
    """The first 32 hex digits of the SHA-256. They tell whether a file has changed since it was written."""
    return hashlib.sha256(data).hexdigest()[:32]


def stamps(pair: Pair) -> list[str]:
    """The names and stamps of a pair's source files. They tell whether the sources have changed."""
    return [pair.frame.name, pair.frame.stamp, pair.mask.name, pair.mask.stamp]
