"""Read a public data set as it was downloaded: one set alone, with its videos and its published parts."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from surgseg.data.pairs import Found, Pair, Reader
from surgseg.data.readers import READERS
from surgseg.data.readers.trees import find, in_order
from surgseg.data.set_labels import SetLabels, set_scheme
from surgseg.data.sources import SourceFile
from surgseg.data.splits import PARTS
from surgseg.data.videos import check_guesses, compile_pattern, video_by_pattern
from surgseg.files import IMAGE_SUFFIXES, UserError, list_some, natural_key
from surgseg.labels import SCHEMES, Scheme, load_scheme

SUFFIXES = (*IMAGE_SUFFIXES, ".json", ".avi")  # of all files that a reader may need
EDGES = ("trocar", "clip", "needle", "suture")  # what data sets count differently
SPLITS = ("published", "video")
_PART = re.compile(r"[ _-](head|body|wrist|shaft|clasper|manipulator)$", re.IGNORECASE)  # of an instrument


def read_release(
    name: str, files: list[SourceFile], root_name: str, split: str = "published", video_pattern: str | None = None
) -> Found:
    """Read the data set `name` of `READERS`.

    `split`: "published" keeps the set's parts, if more than one is there; "video" leaves them out, so that the
    preparation divides the videos. `video_pattern` finds the video in the path of a frame. Raises `UserError` if there
    is nothing of this set, something of another one, a video in two parts, or names that do not tell the videos.
    """
    others = _other_sets(name, files, root_name)
    try:
        found = READERS[name].read(files, root_name)
    except UserError as error:
        hint = f"; these look like files of {' and '.join(others)}" if others else ""
        raise UserError(f"{error}{hint}") from error
    if others:
        shown = list_some((f"{other} ({example})" for other, example in others.items()), 3)
        raise UserError(f"this folder holds files of other data sets too: {shown}; give the folder of {name} alone")
    pairs = found.pairs
    if video_pattern is not None or any(not pair.video for pair in pairs):
        pairs = in_order(_with_videos(pairs, video_pattern))
    if missing := _missing_parts(READERS[name], pairs):
        print(f"Warning: no frame of {list_some(missing)}, which {name} publishes as a part", file=sys.stderr)
    return replace(found, pairs=_with_parts(pairs, split))


def release_scheme(reader: Reader, name: str | None) -> Scheme:
    """The class scheme of that name (None: the default) for a reader's data set."""
    if reader.labels is not None:
        return set_scheme(reader.labels, name)
    return load_scheme(name or reader.scheme)


def table_of_sets() -> str:
    """The public data sets as a Markdown table."""
    head = ["--dataset", "data set", "licence", "instrument", *EDGES, "published parts", "tried on the real set"]
    rows = [head, ["---"] * len(head)]
    for name, reader in READERS.items():
        if reader.edges:
            names, tried = ", ".join(_instruments(reader.labels)), "yes" if reader.tried else "no"
            rows.append([name, reader.label, reader.licence, names, *reader.edges, reader.split, tried])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _instruments(labels: SetLabels | None) -> Iterable[str]:
    """The names of the instruments, once for all parts of one."""
    if labels is None:  # CholecSeg8k
        return [item.name for item in SCHEMES["grasper-hook"].classes if item.instrument]
    return dict.fromkeys(_PART.sub("", name) for name in labels.instrument)


def _other_sets(name: str, files: list[SourceFile], root_name: str) -> dict[str, str]:
    """The other sets that have masks among the files, with the name of one."""
    found = {other: find(files, reader.masks, root_name) for other, reader in READERS.items() if reader.masks}
    return {other: next(iter(masks.values()))[0].name for other, masks in found.items() if masks and other != name}


def _with_videos(pairs: list[Pair], pattern: str | None) -> list[Pair]:
    """Give videos by the pattern, else guess them: the name of a frame without its last number."""
    if pattern is not None:
        compiled = compile_pattern(pattern)
        videos = [video_by_pattern(compiled, pair.frame.name.rpartition(".")[0]) for pair in pairs]
    else:
        videos = [re.sub(r"\d+$", "", pair.frame.stem).strip("-_. ") for pair in pairs]
        check_guesses({pair.frame.stem: video for pair, video in zip(pairs, videos)})
        if not all(videos):
            raise UserError("the names of the frames do not tell their videos: give --video-pattern")
    return [replace(pair, video=re.sub(r"[^\w.-]+", "-", video)) for pair, video in zip(pairs, videos)]


def _missing_parts(reader: Reader, pairs: list[Pair]) -> list[str]:
    """The published parts of which there is no pair; [] for a set without parts."""
    found = {pair.split for pair in pairs}
    return [part for part in reader.split.split(", ") if part in PARTS and part not in found]


def _with_parts(pairs: list[Pair], split: str) -> list[Pair]:
    parts = defaultdict(set)
    for pair in pairs:
        parts[pair.video].add(pair.split)
    if split == "video" or len({pair.split for pair in pairs}) < 2:
        return [replace(pair, split="") for pair in pairs]
    divided = sorted((video for video, own in parts.items() if len(own) > 1), key=natural_key)
    if divided:
        raise UserError(
            f"the published parts divide {len(divided)} videos ({list_some(divided, 5)}), so scores would be too good: "
            "give --split video for a split by video"
        )
    return pairs
