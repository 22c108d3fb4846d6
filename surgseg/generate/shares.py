"""Several videos: the name of each, and how they are shared out between processes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from surgseg.generate.folder import read_run
from surgseg.video.inputs import VideoSource


def number_videos(sources: Sequence[VideoSource], output_dir: Path, prefix: str) -> list[str]:
    """A name `prefix`_01, `prefix`_02, ... for each video.

    A video keeps the number of its folder in `output_dir`, if an earlier run made one; otherwise it gets the next free
    number. So videos may be added.
    """
    known: dict[str, str] = {}  # fingerprint -> name
    for folder in output_dir.glob(f"{prefix}_*") if output_dir.is_dir() else ():
        run = read_run(folder) if re.fullmatch(r"\d+", folder.name[len(prefix) + 1 :]) else None
        if run is not None:
            known[run.get("fingerprint", "")] = folder.name
    taken = set(known.values())
    digits = max(2, len(str(len(sources))))
    free = (name for number in itertools.count(1) if (name := f"{prefix}_{number:0{digits}d}") not in taken)
    names: list[str] = []
    for source in sources:
        try:
            found = known.pop(source.fingerprint(), None)
        except OSError:  # it cannot be read: its turn will say so
            found = None
        names.append(found or next(free))
    return names


def share_out(sizes: Sequence[int], count: int) -> list[int]:
    """The process of each video: the largest first, each to the process with the fewest bytes so far."""
    loads, owner = [0] * count, [0] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        owner[index] = min(range(count), key=lambda process: (loads[process], process))
        loads[owner[index]] += sizes[index]
    return owner
