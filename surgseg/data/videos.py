"""Which frames are of one video: by a pattern, or guessed from names; and which videos look like parts of one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from surgseg.files import UserError, list_some, natural_key, nfc

_FRAME_WORD = re.compile(r"(?:frame|frm|img|image|still)[_\-. ]*$", re.IGNORECASE)
_VIDEO_WORD = re.compile(r"(?:op|video|vid|case|patient|pat|seq|sequence|surgery|procedure)[_\-. ]*$", re.IGNORECASE)
_PARTS = (  # how recorders and people name the files of one recording; the groups are what the files share
    re.compile(r"(.+?)[_\-. ]*(?:part|pt|teil|segment|seg|chapter|file|disc|cd)[_\-. ]*\d+", re.IGNORECASE),
    re.compile(r"(G[HXLP])\d\d(\d{4})", re.IGNORECASE),  # GoPro: GH010123 and GH020123 are two chapters of 0123
    re.compile(r"(.*\d)[_\-. ]+\d{1,6}"),
    re.compile(r"(.*\d)[a-h]", re.IGNORECASE),
)
_SPLIT_FOLDERS = ("train", "training", "val", "valid", "validation", "test", "testing")
_ASK = "give --video-pattern, a regular expression whose one group is the video, such as '(op[0-9]+)'"
_MOST_PARTS = 20  # more files with one beginning are a data set, such as cholec80_01 to cholec80_80


def compile_pattern(text: str) -> re.Pattern:
    """Compile a --video-pattern. Raises `UserError` unless it is a regular expression with one group."""
    try:
        pattern = re.compile(nfc(text))
    except re.error as error:
        raise UserError(f"--video-pattern {text!r} is no regular expression: {error}") from error
    if pattern.groups != 1:
        raise UserError(f"--video-pattern {text!r} has {pattern.groups} groups: put the video, and only it, into (...)")
    return pattern


def video_by_pattern(pattern: re.Pattern, name: str) -> str:
    """The group of `pattern` in `name` (a path in its folder, without suffix) or in its last part."""
    match = pattern.search(name) or pattern.search(name.rpartition("/")[2])
    if not match or not match.group(1):
        raise UserError(f"--video-pattern {pattern.pattern!r} finds no video in {name}")
    return match.group(1)


def check_folders(folders: Iterable[str], or_else: str = "") -> None:
    """Raise `UserError` if folders that were taken for videos are named as the parts of a data set."""
    wrong = sorted({folder for folder in folders if folder.lower() in _SPLIT_FOLDERS})
    if wrong:
        raise UserError(f"folders named {list_some(wrong)} are parts of a data set, not videos; {_ASK}{or_else}")


def check_guesses(videos: Mapping[str, str], or_else: str = "") -> None:
    """Raise `UserError` if the videos guessed from file names may be wrong.

    `videos` maps a name without suffix and known ending ("op1_000012") to its guess: the name without its trailing
    number. `or_else` is another way out than --video-pattern, for the error.
    """
    doubt = _doubt(videos)
    if doubt:
        raise UserError(f"the file names do not tell which frames are of one video: {doubt}; {_ASK}{or_else}")


def _doubt(videos: Mapping[str, str]) -> str:
    """What is doubtful about the guesses, "" if nothing is."""
    shapes = defaultdict(list)  # by the name with its digits replaced
    for name in videos:
        shapes[re.sub(r"\d+", "#", name)].append(re.split(r"(\d+)", name))
    mixed = ["".join(names[0]) for shape, names in shapes.items() if "#" in shape and not shape.endswith("#")]
    if len(mixed) > 1:
        return f"{list_some(mixed, 3)} differ in more than a number"
    for shape, names in shapes.items():
        example = "".join(names[0])
        last = len(names[0]) - 2
        varied = [place for place in range(1, last + 1, 2) if len({name[place] for name in names}) > 1]
        if not shape.endswith("#"):
            if len(varied) > 1:
                return f"{example} holds several numbers, none of them at its end"
            continue
        before = [place for place in varied if place < last]
        if before and (
            _VIDEO_WORD.search(names[0][last - 1]) or any(_FRAME_WORD.search(names[0][place - 1]) for place in before)
        ):
            return f"the last number of {example} seems to be the video, not the frame"
    count = len(set(videos.values()))
    if count >= 5 and len(videos) < 2 * count:
        return f"most of {count} videos ({list_some(dict.fromkeys(videos.values()), 3)}) would have one frame"
    return ""


def parts_of_one(videos: Iterable[str]) -> list[list[str]]:
    """Groups of videos whose names look like parts of one operation: OP7_01 and OP7_02, case3a and case3b."""
    groups = defaultdict(list)
    for video in sorted(set(videos), key=natural_key):
        match = next(filter(None, (part.fullmatch(video) for part in _PARTS)), None)
        if match:
            groups[match.groups()].append(video)
    return [group for group in groups.values() if 2 <= len(group) <= _MOST_PARTS]


def warn_of_divided(assignment: Mapping[str, str]) -> str:
    """A warning that names the parts of one operation that an assignment of videos divides; "" if it divides none."""
    divided = [group for group in parts_of_one(assignment) if len({assignment[video] for video in group}) > 1]
    if not divided:
        return ""
    shown = list_some((" ".join(f"{video} ({assignment[video]})" for video in group) for group in divided), 4)
    return (
        f"WARNING: these videos look like parts of one operation, and the split divides them: {shown}.\n"
        "  If they are, the scores are too good. Join them with --video-pattern, in a preparation into a new\n"
        "  folder or a training with --frame-dir, or name all of them in --val-videos, or all in --test-videos."
    )
