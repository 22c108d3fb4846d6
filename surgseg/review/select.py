"""Choose the frames of a generated folder that a person is to look at: for the audit, and to correct."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from surgseg.files import UserError, list_some
from surgseg.generate.folder import Generated
from surgseg.review.sample import (
    RESERVE,
    bursts_of,
    draw_audit,
    enlarge_audit,
    inclusion,
    population_of,
    strata_of,
)
from surgseg.review.suspicion import Features
from surgseg.reviews import AuditSample, Review


class Selection(NamedTuple):
    """The rows of `review.csv` by name, the audit, the names added to each, and notes for the person in words.

    `short`: fewer frames than asked for.
    """

    reviews: dict[str, Review]
    audit: AuditSample
    to_audit: list[str]
    to_correct: list[str]
    notes: list[str]
    short: bool


def choose_to_correct(
    features: Features,
    budget: int,
    seed: int = 0,
    how: str = "suspicion",
    chosen: Sequence[int] = (),
    forbidden: Iterable[int] = (),
) -> list[tuple[int, str]]:
    """Choose at most `budget` frames: return the index and the reason of each, the first one first.

    `suspicion`: the frame with the highest suspicion times distance in `look` to the nearest chosen one, one after the
    other. `random`: in an order that depends on `seed` alone. Near copies of a chosen frame, frames decoded after
    damage, those `chosen` before and the `forbidden` ones are left out.
    """
    allowed = np.array([not row.suspect for row in features.rows])
    allowed[list(forbidden)] = False
    suspicion, distance = features.suspicion() + 1e-3, np.full(len(allowed), np.inf)
    if how == "random":
        suspicion = np.random.default_rng(seed).permutation(len(allowed)) + 1.0

    def take(index: int) -> None:
        allowed[features.near_copies([index])] = False
        np.minimum(distance, np.linalg.norm(features.look - features.look[index], axis=1), out=distance)

    for index in chosen:
        take(index)
    found = []
    while len(found) < budget and allowed.any():
        scores = suspicion if how == "random" or np.isinf(distance[0]) else suspicion * distance
        index = int(np.where(allowed, scores, -1).argmax())
        found.append((index, features.reason(index) if how == "suspicion" else "chosen at random"))
        take(index)
    return found


def select(
    generated: Generated,
    features: Features,
    reviews: dict[str, Review],
    audit: AuditSample,
    *,
    budget: int,
    count: int,
    seed: int = 0,
    how: str = "suspicion",
) -> Selection:
    """Draw the audit, or enlarge it to `count` frames, then add `budget` frames to correct; change no reviewed row.

    `reviews` and `audit` are those of the folder ({} and an empty one at first). Raises `UserError` for an audit drawn
    after frames were reviewed that belong to it or look like it.
    """
    _check_names(generated, reviews)
    notes: list[str] = []
    drawn_before = set(audit.names)
    if audit.names:
        audit = enlarge_audit(audit, strata_of(generated, audit), count)
        picked = _choose_trainable(features, reviews, audit, budget, seed, how)
    else:
        audit, picked, reserve = _draw_and_choose(generated, features, reviews, budget, count, seed, how)
        _check_unseen(generated, reviews, audit)
        if count and reserve < RESERVE:
            notes.append(
                f"the reserve for a larger audit is {reserve} times the audit, not {RESERVE} times: a larger one "
                "leaves too few frames to correct, or less than half of all to train"
            )
    never = set(audit.never_train)
    open_ones = {name for name, row in reviews.items() if row.purpose != "audit" and row.status == "open"}
    if open_ones & never:
        notes.append(f"{len(open_ones & never)} open frames left the queue: they belong to the audit or look like it")
    kept = {name: row for name, row in reviews.items() if name not in open_ones & never}
    rows = _audit_rows(generated, audit, kept)
    rows.update((name, row) for name, row in kept.items() if name not in rows)
    last = max((row.rank for row in reviews.values() if row.purpose == "correct"), default=0)
    for rank, (index, reason) in enumerate(picked, last + 1):
        name = features.rows[index].name
        rows[name] = Review(name, "correct", rank, reason)
    if len(audit.names) < count:
        notes.append(f"the audit has {len(audit.names)} of {count} frames: no more could be drawn")
    if len(picked) < budget:
        notes.append(
            f"{len(picked)} of {budget} frames to correct were found: the others never train because of the audit, or "
            "look like a frame chosen before"
        )
    to_audit = [name for name in audit.names if name not in drawn_before]
    to_correct = [features.rows[index].name for index, _ in picked]
    return Selection(rows, audit, to_audit, to_correct, notes, len(audit.names) < count or len(picked) < budget)


def _draw_and_choose(
    generated: Generated, features: Features, reviews, budget: int, count: int, seed: int, how: str
) -> tuple[AuditSample, list[tuple[int, str]], int]:
    """Draw a new audit and choose frames to correct. Return both, and the frames in reserve for each of the audit.

    The reserve is the largest with which half of the frames may train and enough can be chosen, else there is none.
    """
    for reserve in range(RESERVE if count else 0, -1, -1):
        audit = draw_audit(population_of(generated), count, seed, reserve) if count else AuditSample()
        audit = replace(audit, never_train=_never_train(generated, features, audit))
        picked = _choose_trainable(features, reviews, audit, budget, seed, how)
        if len(picked) == budget and len(audit.never_train) <= len(generated.rows) / 2:
            break
    return audit, picked, reserve


def _choose_trainable(
    features: Features, reviews, audit: AuditSample, budget: int, seed: int, how: str
) -> list[tuple[int, str]]:
    places = {row.name: index for index, row in enumerate(features.rows)}
    never = {places[name] for name in audit.never_train}
    before = [places[name] for name, row in reviews.items() if row.purpose != "audit" and places[name] not in never]
    return choose_to_correct(features, budget, seed, how, before, never)


def _audit_rows(generated: Generated, audit: AuditSample, reviews: dict[str, Review]) -> dict[str, Review]:
    """Return the rows of the audit in its order; those that were there keep what came of them."""
    if not audit.names:
        return {}
    drawn = inclusion(audit, strata_of(generated, audit))
    rows = {}
    for rank, name in enumerate(audit.names, 1):
        stratum, probability = drawn[name]
        row = reviews.get(name, Review(name, "audit"))
        rows[name] = replace(row, purpose="audit", rank=rank, reason="", stratum=stratum, probability=probability)
    return rows


def _never_train(generated: Generated, features: Features, audit: AuditSample) -> list[str]:
    """Return the names of the audit and its reserve, the other frames of their bursts, and near copies of all these."""
    kept = {*audit.names, *(name for names in audit.reserve.values() for name in names)}
    bursts = [burst for burst in bursts_of(generated) if kept & {generated.rows[index].name for index in burst}]
    indices = [index for burst in bursts for index in burst]
    return [row.name for row, copy in zip(features.rows, features.near_copies(indices)) if copy] if indices else []


def _check_names(generated: Generated, reviews: dict[str, Review]) -> None:
    unknown = reviews.keys() - {row.name for row in generated.rows}
    if unknown:
        raise UserError(
            f"{generated.folder}: review.csv names frames that the folder lacks ({list_some(sorted(unknown), 3)}): it "
            "was generated again; move review.csv, review.json and reviewed/ away"
        )


def _check_unseen(generated: Generated, reviews: dict[str, Review], audit: AuditSample) -> None:
    """Raise `UserError` if frames of a new audit were reviewed before it was drawn: they may have trained a model."""
    never = set(audit.never_train)
    seen = [name for name, row in reviews.items() if row.status != "open" and name in never]
    if seen:
        raise UserError(
            f"{generated.folder}: {len(seen)} reviewed frames ({list_some(seen, 3)}) belong to the new audit or look "
            "like it, and may have trained a model; draw the audit before anything is reviewed, in a folder generated "
            "for it (then --audit 0 here)"
        )
