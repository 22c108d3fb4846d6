"""Which frames a figure shows: the selection rules, and their wording in the figure and in the JSON beside it."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surgseg.files import UserError, check_named
from surgseg.reviews import Review

SELECTIONS = ("spread", "random", "largest", "smallest", "uncertain", "queue")  # of a generated folder
DISTANCES = (80, 40, 20, 10, 5, 2, 1, 0)  # frames; 80 are one clip of CholecSeg8k


@dataclass(frozen=True)
class ExampleRule:
    """How scored frames are ranked: name of the figure, the rule in words, the column to rank by, whether its highest
    values come first, and whether only frames with an instrument count."""

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
    """Chosen rows of a frame table, the number of candidates, the most rows of a video, and the least distance of two
    rows of a video in frames."""

    rule: str
    rows: list[dict[str, str]]
    candidates: int
    per_video: int
    distance: int

    @property
    def words(self) -> str:
        """The rule as a figure states it, in two lines: the ranking, then the limits per video."""
        rule = EXAMPLE_RULES[self.rule]
        kind = "scored frames" if self.rows and self.rows[0]["iou"] else "frames, none with a score"
        kind = "frames with an instrument" if rule.with_instrument else kind
        apart = f"at most {self.per_video} of each video"
        if self.distance > 1 and self.per_video > 1:
            apart += f", at least {self.distance} frames apart"
        return f"{len(self.rows)} of {self.candidates} {kind}: {rule.words}\n({apart})"


def choose_examples(rows: Sequence[dict[str, str]], rule: str, count: int = 5) -> Choice:
    """Choose at most `count` rows of a frame table (`name, video, iou, coverage`) by one of `EXAMPLE_RULES`.

    Neighbouring frames of a video are near-copies. Therefore a row is skipped if its video already has
    ceil(count / videos) chosen rows, or one within 80 frames (by the number at the end of the name). If too few rows
    are left, the distance is reduced step by step (`DISTANCES`), then the limit per video is dropped. Frames without
    a score are chosen only by `spread`, and only if no frame has a score.
    """
    ranked = _ranked(rows, EXAMPLE_RULES[rule])
    count = min(count, len(ranked))
    videos = len({row["video"] for row in ranked})
    share = -(-count // max(videos, 1))
    targets = _evenly_spaced(count, len(ranked)) if rule == "spread" else [0] * count
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


def _evenly_spaced(count: int, ranks: int) -> list[int]:
    """`count` evenly spaced ranks of 0..ranks-1; the lowest and the highest come first, so that both are chosen."""
    targets = [round(rank) for rank in np.linspace(0, ranks - 1, count)]
    return [*targets[:1], *targets[1:][-1:], *targets[1:-1]]


def _pick(ranked: list[dict[str, str]], targets: list[int], limit: int, distance: int) -> list[int]:
    """For each target rank, choose the nearest free rank within the limits of `choose_examples`."""
    chosen: list[int] = []
    per_video: Counter = Counter()
    frames = [(row["video"], frame_number(row["name"])) for row in ranked]
    for target in targets:
        for rank in sorted(range(len(ranked)), key=lambda rank: abs(rank - target)):
            video, number = frames[rank]
            near = any(frames[other][0] == video and abs(frames[other][1] - number) < distance for other in chosen)
            if rank not in chosen and per_video[video] < limit and not near:
                chosen.append(rank)
                per_video[video] += 1
                break
    return chosen


def frame_number(name: str) -> int:
    """The number at the end of a frame's name; 0 if there is none."""
    found = re.search(r"(\d+)\D*$", name)
    return int(found.group(1)) if found else 0


@dataclass(frozen=True)
class Selected:
    """Chosen rows of a generated folder's table, the rule in words, and the seed of a random choice."""

    rows: list
    words: str
    seed: int | None = None


def select_frames(
    rows: Sequence, rule: str, count: int, seed: int = 0, reviews: Mapping[str, Review] | None = None
) -> Selected:
    """Choose `count` rows (objects with `name`, `coverage`, `uncertainty`, in order of time) by one of `SELECTIONS`.

    If there are fewer rows, all are chosen, and the words say so. `queue` takes the frames to correct of `reviews`.
    Raises `UserError` if there are none, and if `smallest` finds no frame with an instrument.
    """
    check_named("selection", rule, SELECTIONS)
    rows = list(rows)
    shown = [row for row in rows if row.coverage > 0]
    pool = shown if rule == "smallest" else rows
    ranks = {name: review.rank for name, review in (reviews or {}).items() if review.purpose == "correct"}
    if rule == "queue":
        pool = [row for row in rows if row.name in ranks]
        if not pool:
            raise UserError("--select queue: no frame is to be corrected; select_frames.py chooses some")
    if not pool:
        raise UserError(f"no instrument in any of {len(rows)} frames, so none has the smallest: use another --select")
    taken = min(count, len(pool))
    of = f"{taken} of {len(pool)} frames"
    if taken < count:
        of = f"{'the only frame' if taken == 1 else f'all {taken} frames'} ({count} requested)"
    if rule == "spread":
        places = np.linspace(0, len(pool) - 1, taken) if taken > 1 else [(len(pool) - 1) / 2]
        return Selected([pool[round(place)] for place in places], f"{of}, spread evenly over the video")
    if rule == "random":
        places = np.sort(np.random.default_rng(seed).choice(len(pool), taken, replace=False))
        return Selected([pool[place] for place in places], f"{of}, drawn at random (seed {seed})", seed)
    without = len(rows) - len(shown)
    ranking = {
        "largest": (lambda row: -row.coverage, ": the largest coverage first"),
        "uncertain": (lambda row: -row.uncertainty, ": the highest uncertainty first"),
        "queue": (lambda row: ranks[row.name], " to correct, in the order of select_frames.py"),
        "smallest": (
            lambda row: row.coverage,
            f" with an instrument, the smallest coverage first; {without} without one",
        ),
    }
    key, words = ranking[rule]
    return Selected(sorted(pool, key=key)[:taken], of + words)


def synthetic_mark(data: str | None, weights_data: str | None = None) -> str:
    """The mark that a figure must carry: 'SYNTHETIC' for synthetic frames, 'SYNTHETIC WEIGHTS', or ''."""
    if data == "synthetic":
        return "SYNTHETIC"
    return "SYNTHETIC WEIGHTS" if weights_data == "synthetic" else ""


def example_records(choice: Choice) -> list[dict[str, Any]]:
    """The chosen frames as the JSON beside a figure lists them; undefined scores are null."""
    keys = ("iou", "dice", "coverage", "predicted_coverage")
    return [
        {"name": row["name"], "video": row["video"], **{key: float(row[key]) if row.get(key) else None for key in keys}}
        for row in choice.rows
    ]
