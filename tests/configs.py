"""Training configs as `start.resolve` leaves them, for tests of what lies below it."""

from surgseg.training.config import TrainConfig


def resolved(**options) -> TrainConfig:
    return TrainConfig(**{"learning_rate": 1e-3, "backbone_rate": 1.0, "precision": "float32", **options})
