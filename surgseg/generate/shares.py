"""Name several videos, and divide them into shares."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from surgseg.files import UserError
from surgseg.generate.folder import read_run
from surgseg.video.inputs import VideoSource


def number_videos(sources: Sequence[VideoSource], output_dir: Path, prefix: str) -> list[str]:
    """Return a name `prefix`_01, `prefix`_02, ... for each video.

    A video that has a folder of an earlier run in `output_dir` keeps its name. Others get the next free number, so
    that videos can be added later.
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
        except OSError:  # an unreadable file: generate reports it
            found = None
        names.append(found or next(free))
    return names


def parse_share(share: str) -> tuple[int, int]:
    """Return (K - 1, N) of "K/N". Raises `UserError` for other text."""
    number, _, count = share.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise UserError(f"--share {share}: K/N is needed, with K from 1 to N")
    return int(number) - 1, int(count)


def share_out(sizes: Sequence[int], count: int) -> list[int]:
    """Return the share of each video, from 0: the largest first, each to the share with the fewest bytes so far."""
    loads, owner = [0] * count, [0] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        owner[index] = min(range(count), key=lambda share: (loads[share], share))
        loads[owner[index]] += sizes[index]
    return owner
