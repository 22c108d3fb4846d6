"""Does an instrument probability of .8 come true in 8 of 10 pixels, and are uncertain frames the bad ones?

Probabilities are counted in 255ths, so 256 counts hold those of any number of pixels. Void never counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from surgseg.labels import VOID
from surgseg.scores.intervals import mean_interval

LEVELS = 256
BINS = 15  # of equal width, as in Guo et al. 2017
SHARES = tuple(tenths / 10 for tenths in range(10, 0, -1))  # of the frames that are kept


def count_probabilities(probability: np.ndarray, truth: np.ndarray, instrument_ids: Sequence[int]) -> np.ndarray:
    """Count the pixels of a frame at each probability: (2, 256) int64, rows other and instrument in `truth`.

    `probability` (H, W) uint8 of the union of the instrument classes in 255ths, `truth` (H, W) uint8 class ids.
    """
    row = np.zeros(256, np.uint16)
    row[list(instrument_ids)], row[VOID] = LEVELS, 2 * LEVELS
    places = row[truth] + probability
    return np.bincount(places.reshape(-1), minlength=3 * LEVELS)[: 2 * LEVELS].reshape(2, LEVELS)


def reliability(counts: np.ndarray) -> dict[str, Any]:
    """Return pixels, `ece`, `brier` and `bins` of (2, 256) counts; the scores are None without pixels.

    `ece` is the expected calibration error of the instrument probability (Naeini et al. 2015): the mean over pixels of
    |mean probability - share of instrument pixels| of its bin; `brier` the mean of (probability - truth)^2. Each of the
    `bins` has from, to, pixels and, unless it is empty, mean probability and share of instrument pixels.
    """
    levels = np.arange(LEVELS) / (LEVELS - 1)
    place = np.minimum(np.arange(LEVELS) * BINS // (LEVELS - 1), BINS - 1)
    pixels, instrument = counts.sum(0), counts[1]
    sums = [np.bincount(place, weights, BINS) for weights in (pixels, pixels * levels, instrument)]
    bins, gap, total = [], 0.0, int(pixels.sum())
    for index, (count, probability, positive) in enumerate(zip(*sums)):
        row = {"from": index / BINS, "to": (index + 1) / BINS, "pixels": int(count)}
        bins.append({**row, "probability": probability / count, "share": positive / count} if count else row)
        gap += abs(probability - positive)
    squares = float(counts[0] @ levels**2 + counts[1] @ (1 - levels) ** 2)
    ece, brier = (gap / total, squares / total) if total else (None, None)
    return {"pixels": total, "ece": ece, "brier": brier, "bins": bins}


def calibration(counts: np.ndarray, videos: Sequence[str], uncertainty: np.ndarray, dice: np.ndarray) -> dict[str, Any]:
    """Return `reliability` of all pixels and of each video, with intervals, and `risk` of N frames.

    `counts` (N, 2, 256), `uncertainty` and `dice` (N,). `brier_of_share` is the Brier score of a model that gives each
    pixel the share of instrument pixels: what the score is without any skill.
    """
    names, pooled = np.array(videos), reliability(counts.sum(0))
    share = float(counts[:, 1].sum() / pooled["pixels"]) if pooled["pixels"] else 0.0
    rows = {video: reliability(counts[names == video].sum(0)) for video in dict.fromkeys(videos)}
    per_video = {video: {key: row[key] for key in ("ece", "brier")} for video, row in rows.items()}
    return {
        **pooled,
        "brier_of_share": share * (1 - share),
        "per_video": per_video,
        "video_intervals": {key: mean_interval(row[key] for row in per_video.values()) for key in ("ece", "brier")},
        "risk": risk(uncertainty, 1 - dice),
    }


def risk(uncertainty: np.ndarray, errors: np.ndarray) -> dict[str, Any]:
    """Return the mean error of the frames that are kept if the most uncertain ones are left to a person.

    `uncertainty` and `errors` (N,); frames without an error (NaN) do not count. `kept` has the mean error for each of
    `SHARES`. `area` is the mean over all numbers of kept frames (AURC, Geifman and El-Yaniv 2017), `area_random` that
    of an order by chance, `area_best` that of the order by the errors themselves.
    """
    defined = ~np.isnan(errors)
    uncertainty, errors = uncertainty[defined], errors[defined]
    frames = len(errors)
    if not frames:
        return {"frames": 0, "kept": [], "area": None, "area_random": None, "area_best": None}
    numbers = np.arange(1, frames + 1)
    means = errors[np.argsort(uncertainty, kind="stable")].cumsum() / numbers
    kept = [max(1, round(share * frames)) for share in SHARES]
    return {
        "frames": frames,
        "kept": [{"share": share, "frames": n, "risk": float(means[n - 1])} for share, n in zip(SHARES, kept)],
        "area": float(means.mean()),
        "area_random": float(errors.mean()),
        "area_best": float((np.sort(errors).cumsum() / numbers).mean()),
    }


def best_threshold(counts: np.ndarray) -> tuple[float, float]:
    """Return (threshold, Dice) with the highest Dice of all pixels together, of (2, 256) counts with instrument pixels.

    It lies between two 255ths, so that no rounded probability changes sides. Of equal ones, the nearest to .5 is taken.
    """
    above = counts[:, ::-1].cumsum(1)[:, ::-1][:, 1:]  # pixels at least at the levels 1 to 255
    dice = 2 * above[1] / (above.sum(0) + counts[1].sum())
    thresholds = (np.arange(1, LEVELS) - 0.5) / (LEVELS - 1)
    best = min(np.flatnonzero(dice == dice.max()), key=lambda index: abs(thresholds[index] - 0.5))
    return float(thresholds[best]), float(dice[best])
