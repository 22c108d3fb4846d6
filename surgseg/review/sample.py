"""Draw the frames of the audit: a simple random sample in each stratum of time and predicted coverage.

The population is the first frame of each sampled position of a generated folder (of each burst), without frames that
were decoded after damage. The model's predictions divide the population, they never decide which frame is drawn: so the
audit's numbers hold for the whole population (Cochran 1977, "Sampling Techniques", chapter 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from surgseg.files import UserError
from surgseg.generate.cuts import close_pairs
from surgseg.generate.folder import FrameRow, Generated
from surgseg.reviews import AuditSample

SEGMENTS = 4  # of time, at most
PER_SEGMENT = 8  # frames of the audit for each segment of time
LEAST = 2  # frames drawn in each stratum: one has no variance
RESERVE = (
    3  # frames of the reserve for each frame of the audit, at most: twice as narrow an interval needs so many more
)
WHOLE = "all frames"  # the stratum where there are no others


def bursts_of(generated: Generated) -> list[list[int]]:
    """Return the indices of the rows of each sampled position, in order of time. Without bursts each row is one."""
    size = (generated.run.get("sampling") or {}).get("burst") or 1
    followed, found = set(close_pairs([row.time_s for row in generated.rows])), []
    for index in range(len(generated.rows)):
        if index - 1 in followed and len(found[-1]) < size:
            found[-1].append(index)
        else:
            found.append([index])
    return found


def population_of(generated: Generated) -> list[FrameRow]:
    """Return the frames that the audit can draw: the first of each burst that was not decoded after damage."""
    rows = generated.rows
    first = (next((rows[index] for index in burst if not rows[index].suspect), None) for burst in bursts_of(generated))
    return [row for row in first if row is not None]


def stratify(population: Sequence[FrameRow], segments: int) -> dict[str, list[str]]:
    """Return the names in each stratum: `segments` of time with equally many frames, each in halves by coverage.

    One stratum for `segments` 0.
    """
    if not segments:
        return {WHOLE: [row.name for row in population]}
    strata = {}
    for number, part in enumerate(np.array_split(np.arange(len(population)), segments), 1):
        ordered = sorted(part, key=lambda index: population[index].coverage)
        halves = {"low": ordered[: len(ordered) // 2], "high": ordered[len(ordered) // 2 :]}
        for half, indices in halves.items():
            strata[f"time {number}/{segments}, coverage {half}"] = [population[index].name for index in sorted(indices)]
    return strata


def strata_of(generated: Generated, audit: AuditSample) -> dict[str, list[str]]:
    """Return the names of the whole population in each stratum of an audit.

    Raises `UserError` if the folder is no longer the one that the audit was drawn from.
    """
    strata = stratify(population_of(generated), len(audit.population) // 2)
    if {name: len(members) for name, members in strata.items()} != audit.population:
        raise UserError(f"{generated.folder} has changed since its audit was drawn: its strata hold other frames now")
    return strata


def allocate(count: int, sizes: Sequence[int], drawn: Sequence[int], limits: Sequence[int]) -> list[int]:
    """Share out `count` frames among strata in proportion to their `sizes`; return the number of each.

    Each gets at least `drawn` and at most `limits`. Frames are given one at a time to the stratum with the most frames
    for each one drawn (Webster's method), so that a larger `count` never takes a frame from a stratum.
    """
    shares = list(drawn)
    for _ in range(count - sum(shares)):
        open_ones = [h for h, limit in enumerate(limits) if shares[h] < limit]
        if not open_ones:
            break
        shares[max(open_ones, key=lambda h: sizes[h] / (shares[h] + 0.5))] += 1
    return shares


def draw_audit(population: Sequence[FrameRow], count: int, seed: int, reserve: int = RESERVE) -> AuditSample:
    """Draw `count` frames, or all if there are fewer; `never_train` is left empty.

    Each stratum is put in random order. The first ones are the audit; of the next ones up to `reserve` for each drawn
    are kept for a larger audit, so that it stays a simple random sample. Audit and reserve take at most half of a
    stratum, unless the audit alone takes more.
    """
    segments = max(count // PER_SEGMENT, int(count >= 2 * LEAST))
    strata = stratify(population, min(segments, len(population) // (2 * LEAST), SEGMENTS))
    rng = np.random.default_rng(seed)
    orders = {name: rng.permutation(members).tolist() for name, members in strata.items()}
    sizes = [len(members) for members in strata.values()]
    shares = allocate(count, sizes, [min(LEAST, size, count) for size in sizes], sizes)
    names, kept = [], {}
    for (stratum, order), share in zip(orders.items(), shares):
        names += order[:share]
        kept[stratum] = order[share : max(share, min((1 + reserve) * share, len(order) // 2))]
    return AuditSample(seed, dict(zip(strata, sizes)), rng.permutation(names).tolist(), kept)


def enlarge_audit(audit: AuditSample, strata: dict[str, list[str]], count: int) -> AuditSample:
    """Return the audit with `count` frames: with the next ones of its reserve, or all of it if that holds fewer.

    `strata` are those of `strata_of`.
    """
    drawn = [len(set(members) & set(audit.names)) for members in strata.values()]
    limits = [share + len(audit.reserve[stratum]) for share, stratum in zip(drawn, strata)]
    shares = allocate(count, list(audit.population.values()), drawn, limits)
    more = {stratum: share - before for stratum, share, before in zip(strata, shares, drawn)}
    added = [name for stratum, number in more.items() for name in audit.reserve[stratum][:number]]
    reserve = {stratum: audit.reserve[stratum][number:] for stratum, number in more.items()}
    names = audit.names + np.random.default_rng([audit.seed, len(added)]).permutation(added).tolist()
    return replace(audit, names=names, reserve=reserve)


def inclusion(audit: AuditSample, strata: dict[str, list[str]]) -> dict[str, tuple[str, float]]:
    """Return stratum and probability of inclusion (drawn / population of the stratum) of each frame of the audit."""
    drawn = {stratum: set(members) & set(audit.names) for stratum, members in strata.items()}
    return {name: (stratum, len(names) / len(strata[stratum])) for stratum, names in drawn.items() for name in names}
