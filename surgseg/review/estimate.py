"""How good a model is on all frames of a folder, estimated from the frames of the audit.

The audit is a stratified simple random sample without replacement, so every interval here follows from the way the
frames were drawn, not from a model of them. Variances are those of linearised residuals with finite population
correction: of a combined ratio (Cochran, Sampling Techniques, 1977, 6.11), and of the same ratio with the model's own
expected overlap as auxiliary variable (difference estimator: Särndal, Swensson, Wretman, Model Assisted Survey
Sampling, 1992, 6.3). Proportions have the intervals of Korn and Graubard (Survey Methodology 24, 1998).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special, stats

LEVEL = 0.95


@dataclass(frozen=True)
class Design:
    """How n frames were drawn: `stratum` (n,) int, the stratum of each from 0; `population` (H,) int, the frames of
    each stratum. Raises ValueError for strata from which no variance follows: one frame drawn of several."""

    stratum: np.ndarray
    population: np.ndarray

    def __post_init__(self):
        few = (self.taken < 2) & (self.population > self.taken)
        if few.any() or (self.taken > self.population).any():
            raise ValueError("a stratum needs two sampled frames or all of its frames, and no more than it has")

    @property
    def taken(self) -> np.ndarray:
        return np.bincount(self.stratum, minlength=len(self.population))

    @property
    def weights(self) -> np.ndarray:
        """How many frames of the population each sampled frame stands for."""
        return (self.population / np.maximum(self.taken, 1))[self.stratum]

    def deviations(self, values: np.ndarray) -> np.ndarray:
        """Return the (H,) sample variances of (n,) values within the strata; 0 for a stratum of one frame."""
        count, size = np.maximum(self.taken, 1), len(self.population)
        means = np.bincount(self.stratum, values, size) / count
        return np.bincount(self.stratum, (values - means[self.stratum]) ** 2, size) / np.maximum(count - 1, 1)

    def variance(self, values: np.ndarray, taken: np.ndarray | None = None) -> float:
        """Return the estimated variance of the weighted total of (n,) values, had `taken` (H,) frames been drawn."""
        taken = np.maximum(self.taken if taken is None else taken, 1)
        shares = self.population * (self.population - taken) / taken
        return float(shares @ self.deviations(values))

    def freedom(self, values: np.ndarray) -> float:
        """Return the degrees of freedom of `variance` by Satterthwaite's formula (Cochran, 1977, 5.16): at most the
        sampled frames less the strata, fewer where one stratum has most of the variance."""
        shares = self.population * (self.population - self.taken) / np.maximum(self.taken, 1) * self.deviations(values)
        if not shares.any():
            return self.most_freedom
        return float(shares.sum() ** 2 / (shares**2 / np.maximum(self.taken - 1, 1)).sum())

    @property
    def most_freedom(self) -> int:
        return max(int(self.taken.sum() - np.count_nonzero(self.taken)), 1)


class Auxiliary(NamedTuple):
    """Predictions of the numerator and denominator of a ratio: `above` and `below` (n,) of the sampled frames, and
    their `totals` (above, below) over all frames of the population."""

    above: np.ndarray
    below: np.ndarray
    totals: tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval from `low` to `high`; NaN where the sample does not define it. The variance of the
    value is that of the weighted total of `residuals` (n,)."""

    value: float
    low: float
    high: float
    residuals: np.ndarray


def estimate_ratio(
    design: Design, above: np.ndarray, below: np.ndarray, auxiliary: Auxiliary | None = None
) -> Estimate:
    """Estimate a ratio of two totals over the population, such as the pooled Dice, from (n,) values of the sample.

    With `auxiliary` it is the difference estimator. The interval is Student's t on the logit scale, so that it stays
    within 0-1 and is longer on the side of .5.
    """
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    totals = (0.0, 0.0)
    if auxiliary is not None:
        above, below, totals = above - auxiliary.above, below - auxiliary.below, auxiliary.totals
    total_above, total_below = totals[0] + design.weights @ above, totals[1] + design.weights @ below
    if total_below <= 0:
        return Estimate(math.nan, math.nan, math.nan, np.zeros(len(above)))
    value = min(max(total_above / total_below, 0.0), 1.0)  # few frames may correct the expected overlap beyond 0 or 1
    residuals = (above - value * below) / total_below
    return Estimate(value, *_logit_interval(value, design.variance(residuals), design.freedom(residuals)), residuals)


def to_iou(dice: Estimate) -> Estimate:
    """Return the pooled IoU, D / (2 - D), of an estimated pooled Dice."""
    value, low, high = (score / (2 - score) for score in (dice.value, dice.low, dice.high))
    return Estimate(value, low, high, dice.residuals * 2 / (2 - dice.value) ** 2)


def estimate_difference(design: Design, first: Estimate, second: Estimate) -> Estimate:
    """Estimate second - first of two models on the same frames; the interval is Student's t."""
    value, residuals = second.value - first.value, second.residuals - first.residuals
    half = _t_quantile(design.freedom(residuals)) * math.sqrt(design.variance(residuals))
    return Estimate(value, value - half, value + half, residuals)


def estimate_share(design: Design, hits: np.ndarray, among: np.ndarray) -> Estimate:
    """Estimate the share of the population's frames `among` (n,) bool that are `hits` (n,) bool, such as sensitivity.

    The interval is that of Clopper and Pearson for the effective number of frames: those `among`, divided by the design
    effect. Where all or none of them are hits the sample shows no variance, and their own number counts.
    """
    among = np.asarray(among, bool)
    hits, n = np.asarray(hits, bool) & among, int(among.sum())
    if not n:
        return Estimate(math.nan, math.nan, math.nan, np.zeros(len(among)))
    count = design.weights @ among
    value = float(design.weights @ hits / count)
    residuals = (hits - value * among) / count
    if (design.taken == design.population).all():
        return Estimate(value, value, value, residuals)
    variance = design.variance(residuals)
    if 0 < value < 1 and n > 1 and variance > 0:
        frames = len(among)
        simple = value * (1 - value) / (n - 1)  # the variance of as many frames drawn from one large stratum
        n *= simple / variance * (_t_quantile(frames - 1) / _t_quantile(design.most_freedom)) ** 2
    tail = (1 - LEVEL) / 2
    low = float(stats.beta.ppf(tail, n * value, n * (1 - value) + 1)) if value > 0 else 0.0
    high = float(stats.beta.ppf(1 - tail, n * value + 1, n * (1 - value))) if value < 1 else 1.0
    return Estimate(value, low, high, residuals)


def frames_to_halve(design: Design, estimate: Estimate) -> int | None:
    """Return how many more frames, in the shares of the strata so far, make the interval half as wide.

    None if it has no width, or no sample shows how wide it is.
    """
    taken, population = design.taken, design.population
    goal = _half_width(design, estimate, taken) / 2
    if not goal > 0:
        return None
    for more in range(1, int((population - taken).sum()) + 1):
        larger = np.minimum(population, taken * (taken.sum() + more) // taken.sum())
        if _half_width(design, estimate, larger) <= goal:
            return more
    return None


def _half_width(design: Design, estimate: Estimate, taken: np.ndarray) -> float:
    freedom = design.freedom(estimate.residuals) * taken.sum() / design.taken.sum()
    return _t_quantile(freedom) * math.sqrt(design.variance(estimate.residuals, taken))


def _logit_interval(value: float, variance: float, freedom: float) -> tuple[float, float]:
    if variance <= 0 or not 0 < value < 1:
        return value, value
    half = _t_quantile(freedom) * math.sqrt(variance) / (value * (1 - value))
    middle = math.log(value / (1 - value))
    low, high = (float(special.expit(end)) for end in (middle - half, middle + half))
    return low, high


def _t_quantile(freedom: float) -> float:
    return float(special.stdtrit(freedom, (1 + LEVEL) / 2))
