"""The learning rate of each step. A schedule is a function in this file and an entry of `SCHEDULES`."""

from __future__ import annotations

import math

from surgseg.files import find_named
from surgseg.training.config import TrainConfig


def learning_rate(step: int, total: int, config: TrainConfig) -> float:
    """The rate of step `step` (from 0) of `total`. Raises `UserError` for a schedule that is not in `SCHEDULES`."""
    return config.learning_rate * find_named("schedule", config.schedule, SCHEDULES)(step, total, config.warmup)


def cosine(step: int, total: int, warmup: float) -> float:
    """Factor of the rate: linear warm-up over the share `warmup` of all steps, then half a cosine down to 0.01."""
    warmup_steps = max(1, round(warmup * total))
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total - warmup_steps)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


def constant(step: int, total: int, warmup: float) -> float:
    """Factor of the rate: 1 in all steps, without warm-up."""
    return 1.0


SCHEDULES = {"cosine": cosine, "constant": constant}
