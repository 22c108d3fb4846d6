"""The configs of a training, as plain values. `options.py` makes them from a command line. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import ARCHITECTURES, Architecture
from surgseg.files import UserError, find_named

PRECISIONS = ("auto", "float32", "bf16", "fp16", "fastest")  # "auto" and "fastest" become one of the others
PLACES = ("auto", "cpu", "cuda")  # memory of the cache when training on a CUDA device
DEFAULT_VIEW = "auto"  # of view.RULES
SMALLEST = 32  # least height and width, pixels: the deepest feature map is then 2x2 (U-Net), 4x4 (DeepLabV3)


@dataclass(frozen=True)
class ModelConfig:
    """The model and its starting weights."""

    arch: str = "deeplabv3"
    base_channels: int = 64  # of the U-Net
    image_size: tuple[int, int] | None = None  # (height, width); None: that of `init_from`, otherwise 256x256
    weights: str | None = None  # a name of the architecture's pretraining, "none", or a file; None: by the kind of data
    view: str | None = None  # of view.RULES; None: that of `init_from`, otherwise DEFAULT_VIEW
    init_from: Path | None = None  # a weights file of this project, for fine-tuning

    @property
    def architecture(self) -> Architecture:
        """The architecture's record. Raises `UserError` for an unknown name."""
        return find_named("architecture", self.arch, ARCHITECTURES)

    @property
    def model_args(self) -> dict[str, Any]:
        """The arguments of the model's constructor besides the number of classes."""
        return {name: getattr(self, name) for name in self.architecture.options}


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained. `choices.choose` replaces None and "auto"; the result is stored with the weights."""

    epochs: int = 15
    batch_size: int | None = None  # frames of one forward pass, over all processes; None: by the memory
    accumulate: int = 1  # forward passes of one optimizer step
    learning_rate: float | None = None  # peak, of AdamW; None: by the starting weights
    backbone_rate: float | None = None  # factor of the learning rate; None: 1, lower with `init_from`
    freeze_backbone: int = 0  # first epochs in which the backbone is frozen
    freeze_norm: bool = False  # do not update the statistics of batch normalisation
    weight_decay: float = 1e-2
    warmup: float = 0.05  # share of all steps
    ema_decay: float = 0.99  # of the averaged weights, per step
    schedule: str = "cosine"  # of schedule.SCHEDULES
    loss: str = "ce+dice"  # of losses.LOSSES
    class_weights: str = "none"  # of losses.CLASS_WEIGHTS
    augment: str = "medium+border"  # of STRENGTHS
    precision: str = "auto"  # of PRECISIONS
    mix_share: float = 0.5  # of each batch, of the data that are mixed in
    pseudo_labels: tuple[float, float] | None = None  # the band of `pseudo.label`, for a reviewed folder; None: none
    seed: int = 0


@dataclass(frozen=True)
class Strength:
    """Half-widths of the ranges of random parameters; fields with the comment "probability" are probabilities."""

    flip: float = 0.5  # probability of a left-right flip
    rotate: float = 20.0  # degrees
    scale: float = 0.3  # zoom between 1 / (1 + scale) and 1 + scale
    shift: float = 0.15  # of the frame's height and width
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3
    cast: float = 0.1  # gain of each colour channel
    blur: float = 0.2  # probability; the standard deviation is 0.3 to 1.5 pixels
    border: float = 0.0  # probability of a dark border around the view of an endoscope, labelled background


STRENGTHS = {
    "none": None,
    "light": Strength(0.5, 7.0, 0.1, 0.05, 0.1, 0.1, 0.1, 0.03, 0.0),
    "medium": Strength(),
    "medium+border": Strength(border=0.3),
}


def check_config(model: ModelConfig, train: TrainConfig, least_batch: int, processes: int = 1) -> None:
    """Raise `UserError` for values that would fail later, in the training loop.

    `least_batch` is the fewest frames of a forward pass over all `processes`. `model.image_size` must not be None.
    """
    if train.epochs < 1 or train.accumulate < 1 or (train.batch_size is not None and train.batch_size < 1):
        raise UserError("--epochs, --batch-size and --accumulate must be at least 1")
    for option, value in (("--lr", train.learning_rate), ("--backbone-rate", train.backbone_rate)):
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"{option} {value:g}: a number above 0 is needed")
    if not 0 < train.mix_share < 1:
        raise UserError(f"--mix-share {train.mix_share:g}: a share between 0 and 1 is needed")
    if not 0 <= train.ema_decay < 1:
        raise UserError(f"--ema-decay {train.ema_decay:g}: 0 or more, and below 1, is needed")
    if train.seed < 0:
        raise UserError(f"--seed {train.seed}: a seed of 0 or more is needed")
    if not 0 <= train.freeze_backbone < train.epochs:
        raise UserError(
            f"--freeze-backbone {train.freeze_backbone}: a number of epochs from 0 to {train.epochs - 1} is needed, "
            "since the backbone learns in the rest of --epochs"
        )
    if model.init_from is not None and model.weights not in (None, "none"):
        raise UserError("--init-from and --weights both name starting weights: give one of them")
    if train.batch_size is not None and train.batch_size < least_batch:
        reason = "one each"
        if least_batch > processes:
            reason = f"{model.architecture.label} normalises over several frames, unless --freeze-norm is given"
        many = "" if processes == 1 else f" for {processes} processes"
        raise UserError(f"--batch-size {train.batch_size}: at least {least_batch} is needed{many} ({reason})")
    if min(model.image_size) < SMALLEST:
        raise UserError(f"--image-size {model.image_size[0]} {model.image_size[1]}: at least {SMALLEST} pixels a side")
    if model.base_channels < 1:
        raise UserError("--base-channels must be at least 1")
