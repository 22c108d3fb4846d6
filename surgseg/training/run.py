"""One training run from data to a saved weights file: what every training script shares."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from models import build_model, parameter_count
from surgseg.checkpoint import Checkpoint, default_threshold, init_from, load_tensors, save_checkpoint
from surgseg.data.cache import open_cache
from surgseg.data.dataset import Prepared
from surgseg.data.splits import Split
from surgseg.files import UserError, write_csv
from surgseg.pretraining import load_pretraining
from surgseg.scores.report import epoch_block
from surgseg.training.loop import HISTORY_FIELDS, Settings, Trainer
from surgseg.training.losses import measure_class_weights
from surgseg.video.predictor import best_precision

LEARNING_RATE = {"random": 1e-3, "pretrained": 3e-4}  # AdamW, peak after warm-up


@dataclass(frozen=True)
class Plan:
    """What to train and from where. `weights` None means ImageNet for a DeepLabV3 on real data, else none."""

    arch: str = "deeplabv3"
    base_channels: int = 64  # of the U-Net
    image_size: tuple[int, int] = (256, 256)
    weights: str | None = None
    init_from: Path | None = None
    learning_rate: float | None = None  # None: by how the model starts
    class_weights: str = "none"

    @property
    def model_args(self) -> dict[str, Any]:
        return {"base_channels": self.base_channels} if self.arch == "unet" else {}


@dataclass(frozen=True)
class Fitted:
    """A finished run, or one that `stopped` early for the reason given."""

    checkpoint: Checkpoint
    history: list[dict]
    chosen_epoch: int
    stopped: str | None
    weights_path: Path
    history_path: Path


def fit(
    prepared: Prepared,
    split: Split,
    plan: Plan,
    settings: Settings,
    *,
    device: torch.device,
    weights_path: Path,
    history_path: Path,
    cache_dir: Path,
    record: dict[str, Any],
) -> Fitted:
    """Cache, build, train and save; prints the study's lines epoch by epoch.

    `record` (run metadata) is stored with the weights. Raises `UserError` for unusable data or options.
    """
    plan = follow_start(plan)
    check_plan(plan, settings)
    model, started_from, pretrained = start_model(plan, prepared)
    cache = open_cache(prepared.samples, plan.image_size, prepared.scheme, cache_dir)
    rate = plan.learning_rate or LEARNING_RATE["pretrained" if pretrained else "random"]
    train, val = split.parts["train"], split.parts["val"]
    weights = measure_class_weights(cache.masks, train, prepared.scheme.num_classes, plan.class_weights)
    settings = replace(
        settings,
        learning_rate=rate,
        class_weights=weights,
        threshold=default_threshold(prepared.scheme),
        precision=best_precision(device) if settings.precision == "auto" else settings.precision,
    )
    print(f"Model: {plan.arch}, {parameter_count(model):,} parameters, start: {started_from}")
    print(f"Input {plan.image_size[0]}x{plan.image_size[1]} (height x width), learning rate {rate:g}, device {device}")
    if not len(val):
        print("No validation part: the schedule is fixed and the last averaged weights count.")

    trainer = Trainer(model, cache, prepared.scheme, device, settings)

    def on_epoch(row: dict) -> None:
        print(epoch_block(row, settings.epochs), flush=True)
        write_csv(history_path, HISTORY_FIELDS, trainer.history)

    trainer.run(train, val, on_epoch)
    checkpoint = Checkpoint(
        model=trainer.averaged,
        arch=plan.arch,
        model_args=plan.model_args,
        scheme=prepared.scheme,
        image_size=plan.image_size,
        threshold=settings.threshold,
        metrics=_chosen_metrics(trainer),
        training={
            **record,
            "data": prepared.data,
            "split": split.to_json(),
            "start": started_from,
            "epochs": len(trainer.history),
            "chosen_epoch": trainer.best_epoch,
            "stopped": trainer.stopped,
            "settings": asdict(settings),
        },
    )
    save_checkpoint(weights_path, checkpoint)
    return Fitted(checkpoint, trainer.history, trainer.best_epoch, trainer.stopped, weights_path, history_path)


def check_plan(plan: Plan, settings: Settings) -> None:
    """Refuse what would fail deep inside the loop. Raises `UserError`."""
    if settings.epochs < 1 or settings.batch_size < 1 or settings.accumulate < 1:
        raise UserError("--epochs, --batch-size and --accumulate must be at least 1")
    if plan.learning_rate is not None and not plan.learning_rate > 0:
        raise UserError(f"--lr {plan.learning_rate:g}: a learning rate above 0 is needed")
    if settings.seed < 0:
        raise UserError(f"--seed {settings.seed}: a seed of 0 or more is needed")
    if plan.init_from is not None and plan.weights not in (None, "none"):
        raise UserError("--init-from and --weights both say where to start: give one")
    if plan.arch == "deeplabv3" and settings.batch_size < 2:
        raise UserError("--batch-size 1: DeepLabV3's pooled batch normalisation needs at least 2; use --accumulate")
    smallest = 32  # the U-Net's deepest map is then 2x2, the DeepLabV3's 4x4
    if min(plan.image_size) < smallest:
        raise UserError(f"--image-size {plan.image_size[0]} {plan.image_size[1]}: at least {smallest} pixels a side")
    if plan.arch == "unet" and plan.base_channels < 1:
        raise UserError("--base-channels must be at least 1")


def follow_start(plan: Plan) -> Plan:
    """With `init_from`, the architecture and width are those of that file: nobody types them again."""
    if plan.init_from is None:
        return plan
    start = load_tensors(plan.init_from)
    width = start.get("model_args", {}).get("base_channels", plan.base_channels)
    return replace(plan, arch=start.get("arch", plan.arch), base_channels=width)


def start_model(plan: Plan, prepared: Prepared):
    """The model with its starting weights, where they come from in words, and whether they were trained before."""
    model = build_model(plan.arch, prepared.scheme.num_classes, **plan.model_args)
    if plan.init_from is not None:
        init_from(model, plan.init_from)
        return model, f"{plan.init_from.name} (--init-from)", True
    weights = plan.weights
    if weights is None:
        weights = "imagenet" if plan.arch == "deeplabv3" and prepared.data == "real" else "none"
    return model, load_pretraining(model, plan.arch, weights), weights != "none"


def _chosen_metrics(trainer: Trainer) -> dict[str, Any]:
    """Validation scores of the epoch whose weights are saved."""
    if not 0 < trainer.best_epoch <= len(trainer.history):
        return {}
    row = trainer.history[trainer.best_epoch - 1]
    return {key: row[key] for key in ("val_loss", "val_iou", "val_dice", "val_accuracy") if key in row}
