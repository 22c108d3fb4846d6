"""The learning rate of each step. A schedule is a function of this file and an entry of `SCHEDULES`."""

from __future__ import annotations

import math

from surgseg.files import find_named
from surgseg.training.config import TrainConfig


def learning_rate(step: int, total: int, config: TrainConfig) -> float:
    """The rate of step `step` (from 0) of `total`. Raises `UserError` for a schedule that is not in `SCHEDULES`."""
    return config.learning_rate * find_named("schedule", config.schedule, SCHEDULES)(step, total, config.warmup)


def cosine(step: int, total: int, warmup: float) -> float:
    """Linear warm-up over the share `warmup` of all steps, then half a cosine down to 1 % of the rate."""
    first = max(1, round(warmup * total))
    if step < first:
        return (step + 1) / first
    progress = (step - first) / max(1, total - first)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


def constant(step: int, total: int, warmup: float) -> float:
    """The rate itself, without warm-up."""
    return 1.0


SCHEDULES = {"cosine": cosine, "constant": constant}
