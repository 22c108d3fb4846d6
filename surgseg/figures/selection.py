"""Which frames a figure shows: the rules, and their words, which stand in the figure and in the JSON beside it."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surgseg.files import UserError, check_named

SELECTIONS = ("spread", "random", "largest", "smallest", "uncertain")  # of a generated folder
DISTANCES = (80, 40, 20, 10, 5, 2, 1, 0)  # frames; 80 are one clip of CholecSeg8k


@dataclass(frozen=True)
class ExampleRule:
    """How scored frames are ranked: figure's name, the rule in words, the column that ranks (highest first or not),
    and whether only frames that show an instrument count."""

    figure: str
    words: str
    column: str
    highest: bool
    with_instrument: bool


EXAMPLE_RULES = {
    "spread": ExampleRule("segmentation_results", "spread from the lowest to the highest IoU", "iou", False, False),
    "best": ExampleRule("best_segmentation_results", "highest IoU first", "iou", True, True),
    "challenging": ExampleRule("challenging_segmentation_results", "lowest IoU first", "iou", False, True),
    "impressive": ExampleRule(
        "impressive_segmentation_results", "highest true coverage (ground truth) first", "coverage", True, True
    ),
}


@dataclass(frozen=True)
class Choice:
    """Chosen rows of a frame table, how many there were to choose from, and what kept them apart."""

    rule: str
    rows: list[dict[str, str]]
    candidates: int
    per_video: int
    distance: int

    @property
    def words(self) -> str:
        """The rule as a figure states it, two lines: what ranks the frames, and what keeps them apart."""
        rule = EXAMPLE_RULES[self.rule]
        kind = "scored frames" if self.rows and self.rows[0]["iou"] else "frames, none with a score"
        kind = "frames with an instrument" if rule.with_instrument else kind
        apart = f"at most {self.per_video} of a video"
        if self.distance > 1 and self.per_video > 1:
            apart += f", those at least {self.distance} frames apart"
        return f"{len(self.rows)} of {self.candidates} {kind}: {rule.words}\n({apart})"


def choose_examples(rows: Sequence[dict[str, str]], rule: str, count: int = 5) -> Choice:
    """Choose at most `count` rows of a frame table (`name, video, iou, coverage`) by one of `EXAMPLE_RULES`.

    Neighbouring frames of a video are near-copies, so a row is passed over where its video has ceil(count / videos)
    rows already or a chosen one within 80 frames (by the number that ends its name). Where that leaves too few, the
    distance is halved again and again, and at last a video may give more. Frames without a score are chosen only
    where (for `spread`) there are no others; no row at all where none can be.
    """
    ranked = _ranked(rows, EXAMPLE_RULES[rule])
    count = min(count, len(ranked))
    videos = len({row["video"] for row in ranked})
    share = -(-count // max(videos, 1))
    targets = _outside_in(count, len(ranked)) if rule == "spread" else [0] * count
    chosen, limit, distance = [], share, 0
    for limit, distance in itertools.product((share, count), DISTANCES):
        chosen = _pick(ranked, targets, limit, distance)
        if len(chosen) == count:
            break
    return Choice(rule, [ranked[index] for index in sorted(chosen)], len(ranked), limit, distance)


def _ranked(rows: Sequence[dict[str, str]], rule: ExampleRule) -> list[dict[str, str]]:
    scored = [row for row in rows if row["iou"]]
    if rule.with_instrument:
        scored = [row for row in scored if float(row["coverage"] or 0) > 0]
    elif not scored:
        scored = list(rows)
    sign = -1 if rule.highest else 1
    return sorted(scored, key=lambda row: sign * float(row[rule.column] or 0))


def _outside_in(count: int, ranks: int) -> list[int]:
    """`count` ranks spread over 0..ranks-1, lowest and highest first, so that these two are always shown."""
    places = [round(place) for place in np.linspace(0, ranks - 1, count)] if count else []
    return [*places[:1], *places[1:][-1:], *places[1:-1]]


def _pick(ranked: list[dict[str, str]], targets: list[int], limit: int, distance: int) -> list[int]:
    """For each target rank, the rank next to it that is free and keeps apart from those chosen."""
    chosen: list[int] = []
    per_video: Counter = Counter()
    places = [(row["video"], frame_number(row["name"])) for row in ranked]
    for target in targets:
        for rank in sorted(range(len(ranked)), key=lambda rank: abs(rank - target)):
            video, number = places[rank]
            near = any(places[other][0] == video and abs(places[other][1] - number) < distance for other in chosen)
            if rank not in chosen and per_video[video] < limit and not near:
                chosen.append(rank)
                per_video[video] += 1
                break
    return chosen


def frame_number(name: str) -> int:
    """The number that ends a frame's name; 0 where there is none."""
    found = re.search(r"(\d+)\D*$", name)
    return int(found.group(1)) if found else 0


@dataclass(frozen=True)
class Selected:
    """Chosen rows of a generated folder's table, the rule in words, and the seed where chance chose."""

    rows: list
    words: str
    seed: int | None = None


def select_frames(rows: Sequence, rule: str, count: int, seed: int = 0) -> Selected:
    """Choose `count` rows (objects with `coverage`, `uncertainty`, in order of time) by one of `SELECTIONS`.

    Fewer rows than `count`: all of them, and the words say so. Raises `UserError` where `smallest` finds no
    instrument in any frame.
    """
    check_named("selection", rule, SELECTIONS)
    rows = list(rows)
    shown = [row for row in rows if row.coverage > 0]
    pool = shown if rule == "smallest" else rows
    if not pool:
        raise UserError(f"no instrument in any of {len(rows)} frames, so there is no smallest: take another --select")
    taken = min(count, len(pool))
    of = f"{taken} of {len(pool)} frames"
    if taken < count:
        of = f"{'the only frame' if taken == 1 else f'all {taken} frames'} ({count} were asked for)"
    if rule == "spread":
        places = np.linspace(0, len(pool) - 1, taken) if taken > 1 else [(len(pool) - 1) / 2]
        return Selected([pool[round(place)] for place in places], f"{of}, spread evenly over the video")
    if rule == "random":
        places = np.sort(np.random.default_rng(seed).choice(len(pool), taken, replace=False))
        return Selected([pool[place] for place in places], f"{of}, drawn at random (seed {seed})", seed)
    if rule == "largest":
        return Selected(_first(pool, taken, lambda row: -row.coverage), f"{of}: the largest coverage first")
    if rule == "uncertain":
        return Selected(_first(pool, taken, lambda row: -row.uncertainty), f"{of}: the highest uncertainty first")
    empty = len(rows) - len(shown)
    words = f"{of} with an instrument, the smallest coverage first; {empty} without"
    return Selected(_first(pool, taken, lambda row: row.coverage), words)


def _first(rows: list, count: int, key) -> list:
    return sorted(rows, key=key)[:count]


def synthetic_mark(data: str | None, weights_data: str | None = None) -> str:
    """What a figure must carry: 'SYNTHETIC' for synthetic frames, 'SYNTHETIC WEIGHTS', or nothing."""
    if data == "synthetic":
        return "SYNTHETIC"
    return "SYNTHETIC WEIGHTS" if weights_data == "synthetic" else ""


def example_records(choice: Choice) -> list[dict[str, Any]]:
    """The chosen frames as the JSON beside a figure lists them; scores that are undefined are null."""
    scores = ("iou", "dice", "coverage", "predicted_coverage")
    return [
        {
            "name": row["name"],
            "video": row["video"],
            **{key: float(row[key]) if row.get(key) else None for key in scores},
        }
        for row in choice.rows
    ]
