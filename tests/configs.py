"""Training configs as `choices.choose` leaves them, for tests of what lies below it."""

from surgseg.training.config import TrainConfig


def resolved(**options) -> TrainConfig:
    return TrainConfig(
        **{"learning_rate": 1e-3, "backbone_rate": 1.0, "batch_size": 4, "precision": "float32", **options}
    )
