"""One training run from data to a saved weights file: what every training script shares."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from models import build_model, parameter_count
from surgseg.checkpoint import Checkpoint, default_threshold, init_from, load_checkpoint, load_tensors, save_checkpoint
from surgseg.data.cache import Cache, open_cache
from surgseg.data.dataset import Prepared
from surgseg.data.leaks import describe_near_copies, near_copies
from surgseg.data.splits import Split
from surgseg.devices import best_precision, out_of_memory
from surgseg.files import UserError, remove_leftovers
from surgseg.pretraining import default_weights, load_pretraining
from surgseg.scores.report import epoch_block
from surgseg.training.batches import least_frames
from surgseg.training.distributed import Processes
from surgseg.training.history import write_history
from surgseg.training.loop import CTRL_C, Settings, Trainer
from surgseg.training.losses import measure_class_weights
from surgseg.training.memory import peak_memory, reset_peak
from surgseg.training.progress import Curves, summary_writer
from surgseg.training.resume import fingerprint, identity_of, look_back, remove_state, resume_path, save_state

LEARNING_RATE = {"random": 1e-3, "pretrained": 3e-4}  # AdamW, peak after warm-up
IMAGE_SIZE = (256, 256)
BACKBONE_RATE = 0.1  # of a model that goes on from trained weights


@dataclass(frozen=True)
class Plan:
    """What to train and from where. `weights` None means ImageNet for a DeepLabV3 on real data, else none."""

    arch: str = "deeplabv3"
    base_channels: int = 64  # of the U-Net
    image_size: tuple[int, int] | None = None  # None: that of `init_from`, otherwise 256x256
    weights: str | None = None
    init_from: Path | None = None
    learning_rate: float | None = None  # None: by how the model starts
    backbone_rate: float | None = None  # None: lower with `init_from`
    class_weights: str = "none"

    @property
    def model_args(self) -> dict[str, Any]:
        return {"base_channels": self.base_channels} if self.arch == "unet" else {}


@dataclass(frozen=True)
class Machine:
    """Where a run computes, and how it shares the work: speed, not what is trained."""

    device: torch.device
    cache_dir: Path
    processes: Processes = field(default_factory=Processes)
    cache_device: str = "auto"
    compiled: bool = False


@dataclass(frozen=True)
class Fitted:
    """A finished run, or one that `stopped` early for the reason given. Only the first process holds a loaded one."""

    checkpoint: Checkpoint | None
    weights_path: Path
    history_path: Path

    @property
    def history(self) -> list[dict]:
        return self.checkpoint.training["history"]

    @property
    def chosen_epoch(self) -> int:
        return self.checkpoint.training["chosen_epoch"]

    @property
    def stopped(self) -> str | None:
        return None if self.checkpoint is None else self.checkpoint.training["stopped"]

    @property
    def advice(self) -> str:
        """How a run that was interrupted goes on; nothing for one that would stop again."""
        state = resume_path(self.weights_path)
        return f"\nThe same command with --resume goes on from {state}." if self.stopped == CTRL_C else ""


def fit(
    prepared: Prepared,
    split: Split,
    plan: Plan,
    settings: Settings,
    machine: Machine,
    *,
    weights_path: Path,
    history_path: Path,
    record: dict[str, Any],
    resume: str = "no",
    tensorboard: Path | None = None,
    facts: dict[str, Any] | None = None,
) -> Fitted:
    """Cache, build, train and save; prints the study's lines epoch by epoch.

    `record` (run metadata) is stored with the weights. The history is a CSV table, or JSON that begins with `facts`
    where `history_path` ends so. After each epoch the whole state is saved beside the weights;
    `resume` ("no", "may", "must") goes on from there, `finish` removes it. A finished run that may be resumed is
    returned as it is. Raises `UserError` for unusable data or options.
    """
    plan = follow_start(plan)
    check_plan(plan, settings, machine)
    if plan.init_from is not None and plan.init_from.resolve() == weights_path.resolve():
        raise UserError(f"--init-from {plan.init_from}: the run would write over its own start; give --output-dir")
    if machine.processes.first:
        remove_leftovers(weights_path, resume_path(weights_path))
    if tensorboard is not None:
        summary_writer()  # missing: said before the work
    for _ in machine.processes.in_turn():  # the first may download, and builds the cache
        model, started_from, pretrained = start_model(plan, prepared)
        cache = open_cache(prepared.samples, plan.image_size, prepared.scheme, machine.cache_dir)
    settings = resolve_settings(settings, plan, prepared, split, cache, machine.device, pretrained=pretrained)
    identity = identity_of(plan, settings, split, prepared.scheme, cache)
    start, state = machine.processes.from_first(lambda: look_back(weights_path, identity, resume))
    if start == "finished":
        print(f"{weights_path} is this run, finished: not trained again.")
        checkpoint = load_checkpoint(weights_path) if machine.processes.first else None
        return Fitted(checkpoint, weights_path, history_path)
    try:
        trainer = Trainer(
            model,
            cache,
            prepared.scheme,
            machine.device,
            settings,
            processes=machine.processes,
            cache_device=machine.cache_device,
            compiled=machine.compiled,
        )
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise UserError("out of memory before the first step: try --cache-device cpu, or a smaller model") from error
    describe(plan, settings, split, cache, trainer, started_from)
    if state is not None:
        trainer.restore(state)
        print(f"Resumed after epoch {len(trainer.history)} of {settings.epochs}.")
    curves = Curves(tensorboard, len(trainer.history) + 1) if tensorboard and machine.processes.first else None
    start_facts = {**(facts or {}), "arch": plan.arch, "data": prepared.data, "pretraining": started_from}

    def on_epoch(row: dict) -> None:
        print(epoch_block(row, settings.epochs), flush=True)
        if not machine.processes.first:
            return
        for write in (
            lambda: save_state(resume_path(weights_path), trainer.state(), identity),
            lambda: write_history(history_path, trainer.history, {**start_facts, "chosen_epoch": trainer.best_epoch}),
            lambda: curves.add(row) if curves is not None else None,
        ):
            try:
                write()
            except UserError as error:  # hours of training are worth more than these files
                print(f"WARNING: {error}. Training goes on.", flush=True)

    watched = reset_peak(machine.device)
    trainer.run(split.parts["train"], split.parts["val"], on_epoch)
    peak = peak_memory(machine.device) if watched else None
    if curves is not None:
        curves.close()
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
            "history": trainer.history,
            "chosen_epoch": trainer.best_epoch,
            "stopped": trainer.stopped,
            "settings": asdict(settings),
            "peak_memory": peak,  # since the last resumption
            "fingerprint": fingerprint(identity),
        },
    )
    if machine.processes.first and trainer.history:  # an unfinished first epoch replaces nothing
        try:
            save_checkpoint(weights_path, checkpoint)
        except UserError as error:
            raise UserError(f"{error}; make room, then the same command with --resume writes it") from error
    return Fitted(checkpoint, weights_path, history_path)


def resolve_settings(
    settings: Settings, plan: Plan, prepared: Prepared, split: Split, cache: Cache, device: torch.device, *, pretrained
) -> Settings:
    """What the plan, the data and the device decide: rates, class weights, threshold, precision."""
    rate = plan.learning_rate or LEARNING_RATE["pretrained" if pretrained else "random"]
    backbone_rate = plan.backbone_rate
    if backbone_rate is None:
        backbone_rate = BACKBONE_RATE if plan.init_from else 1.0
    return replace(
        settings,
        learning_rate=rate,
        backbone_rate=backbone_rate,
        class_weights=measure_class_weights(
            cache.masks, split.parts["train"], prepared.scheme.num_classes, plan.class_weights
        ),
        threshold=default_threshold(prepared.scheme),
        precision=training_precision(device) if settings.precision == "auto" else settings.precision,
    )


def training_precision(device: torch.device) -> str:
    """bf16 wherever the device computes in it, processors with AVX512-BF16 too; otherwise float32."""
    if device.type != "cpu":
        return best_precision(device)
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)  # torch has no public name for it
    return "bf16" if native() else "float32"


def describe(plan: Plan, settings: Settings, split: Split, cache: Cache, trainer: Trainer, started_from: str) -> None:
    """Print what is about to be trained, on what, and what looks wrong about it."""
    print(f"Model: {plan.arch}, {parameter_count(trainer.model):,} parameters, start: {started_from}")
    device, count = trainer.device, trainer.processes.count
    many = f"{count} processes, " if count > 1 else ""
    print(
        f"Input {plan.image_size[0]}x{plan.image_size[1]} (height x width), learning rate {settings.learning_rate:g}, "
        f"{many}device {device.type}, {settings.precision}, cache {trainer.feed.place}"
    )
    if settings.backbone_rate != 1 or settings.freeze_backbone:
        frozen = f", frozen for {settings.freeze_backbone} epochs" if settings.freeze_backbone else ""
        print(f"Backbone: {settings.backbone_rate:g} times that rate{frozen}")
    if not len(split.parts["val"]):
        print("No validation part: the schedule is fixed and the last averaged weights count.")
    if trainer.processes.first:
        warning = describe_near_copies(near_copies(cache.frames, split.parts, cache.names))
        if warning:
            print(warning)


def finish(fitted: Fitted) -> None:
    """Remove the resumable state of a run whose results are all written."""
    if fitted.stopped is None:
        remove_state(fitted.weights_path, of=fitted.checkpoint.training.get("fingerprint"))


def check_plan(plan: Plan, settings: Settings, machine: Machine) -> None:
    """Refuse what would fail deep inside the loop. Raises `UserError`."""
    if settings.epochs < 1 or settings.batch_size < 1 or settings.accumulate < 1:
        raise UserError("--epochs, --batch-size and --accumulate must be at least 1")
    for option, value in (("--lr", plan.learning_rate), ("--backbone-rate", plan.backbone_rate)):
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"{option} {value:g}: a number above 0 is needed")
    if not 0 <= settings.ema_decay < 1:
        raise UserError(f"--ema-decay {settings.ema_decay:g}: 0 or more, and below 1, is needed")
    if settings.seed < 0:
        raise UserError(f"--seed {settings.seed}: a seed of 0 or more is needed")
    if not 0 <= settings.freeze_backbone < settings.epochs:
        raise UserError(
            f"--freeze-backbone {settings.freeze_backbone}: a number of epochs from 0 to {settings.epochs - 1} is "
            "needed, since the backbone learns in the rest of --epochs"
        )
    if plan.init_from is not None and plan.weights not in (None, "none"):
        raise UserError("--init-from and --weights both say where to start: give one")
    count = machine.processes.count
    pooled = plan.arch == "deeplabv3" and not settings.freeze_norm
    least = least_frames(machine.processes, machine.device, pooled=pooled)
    if settings.batch_size < least:
        reason = "DeepLabV3 normalises over 2 frames and more; --freeze-norm does without" if pooled else "one each"
        who = "" if count == 1 else f" for {count} processes"
        raise UserError(f"--batch-size {settings.batch_size}: at least {least} is needed{who} ({reason})")
    smallest = 32  # the U-Net's deepest map is then 2x2, the DeepLabV3's 4x4
    if min(plan.image_size) < smallest:
        raise UserError(f"--image-size {plan.image_size[0]} {plan.image_size[1]}: at least {smallest} pixels a side")
    if plan.arch == "unet" and plan.base_channels < 1:
        raise UserError("--base-channels must be at least 1")


def follow_start(plan: Plan) -> Plan:
    """With `init_from`, architecture, width and size are those of that file: nobody types them again."""
    if plan.init_from is None:
        return replace(plan, image_size=plan.image_size or IMAGE_SIZE)
    start = load_tensors(plan.init_from)
    return replace(
        plan,
        arch=start.get("arch", plan.arch),
        base_channels=start.get("model_args", {}).get("base_channels", plan.base_channels),
        image_size=plan.image_size or tuple(start.get("image_size", IMAGE_SIZE)),
    )


def start_model(plan: Plan, prepared: Prepared):
    """The model with its starting weights, where they come from in words, and whether they were trained before."""
    model = build_model(plan.arch, prepared.scheme.num_classes, **plan.model_args)
    if plan.init_from is not None:
        init_from(model, plan.init_from)
        return model, f"{plan.init_from.name} (--init-from)", True
    weights = plan.weights or default_weights(plan.arch, prepared.data)
    return model, load_pretraining(model, plan.arch, weights), weights != "none"


def _chosen_metrics(trainer: Trainer) -> dict[str, Any]:
    """Validation scores of the epoch whose weights are saved."""
    if not 0 < trainer.best_epoch <= len(trainer.history):
        return {}
    row = trainer.history[trainer.best_epoch - 1]
    return {key: row[key] for key in ("val_loss", "val_iou", "val_dice", "val_accuracy") if key in row}
