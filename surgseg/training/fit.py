"""One training, from prepared data to a saved weights file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from models import backbone_of, parameter_count
from surgseg.checkpoint import Checkpoint, default_threshold, load_checkpoint, save_checkpoint
from surgseg.data.cache import Cache, open_cache
from surgseg.data.dataset import Prepared
from surgseg.data.leaks import describe_near_copies, near_copies
from surgseg.data.seen import inherited_frames, split_record
from surgseg.data.splits import Split
from surgseg.devices import out_of_memory, usable_precision
from surgseg.files import UserError, remove_leftovers
from surgseg.scores.report import epoch_block
from surgseg.training.ancestors import read_ancestors, warn_of_ancestors
from surgseg.training.choices import check_run, choose
from surgseg.training.config import ModelConfig, TrainConfig
from surgseg.training.history import write_history
from surgseg.training.loop import CTRL_C, Trainer
from surgseg.training.losses import measure_class_weights
from surgseg.training.machine import Machine, peak_memory, reset_peak_memory
from surgseg.training.mixing import Mixture, find_mixture, without_copies_of_audit
from surgseg.training.progress import Curves, summary_writer
from surgseg.training.resume import (
    StateWriter,
    find_resumable,
    fingerprint,
    identity_of,
    recorded_options,
    remove_state,
    resume_path,
)
from surgseg.training.split import check_labels, pseudo_labels
from surgseg.training.start import resolve_init_from, start_model


@dataclass(frozen=True)
class TrainedRun:
    """A training that has finished, or `stopped` early. `stopped` is the reason, or None.

    If the run was finished before, only the first process has its checkpoint.
    """

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
    def batch_size(self) -> int:
        """Frames of a forward pass of the training, over all processes."""
        return self.checkpoint.training["settings"]["batch_size"]

    @property
    def stopped(self) -> str | None:
        return None if self.checkpoint is None else self.checkpoint.training["stopped"]

    @property
    def advice(self) -> str:
        """How to continue a run that Ctrl-C stopped; "" for any other run."""
        state = resume_path(self.weights_path)
        return (
            f"\nThe same command with --resume continues from {state}."
            if self.stopped == CTRL_C and state.is_file()
            else ""
        )


def fit(
    prepared: Prepared,
    split: Split,
    model: ModelConfig,
    train: TrainConfig,
    machine: Machine,
    *,
    weights_path: Path,
    history_path: Path,
    record: dict[str, Any],
    resume: str = "no",
    tensorboard: Path | None = None,
    facts: dict[str, Any] | None = None,
) -> TrainedRun:
    """Open the cache, train, save the weights. Print the original study's lines after each epoch.

    `record` (run metadata) is stored with the weights. The history is a CSV table, or JSON that begins with `facts`
    if `history_path` ends in .json. The state is saved beside the weights after each epoch; `resume` ("no", "may",
    "must": see `find_resumable`) continues from it, and `finish` removes it. With "may" or "must" a finished run is
    loaded, not trained again. Raises `UserError` for unusable data or options.
    """
    model = resolve_init_from(model)
    check_run(model, train, machine)
    if model.init_from is not None and model.init_from.resolve() == weights_path.resolve():
        raise UserError(f"--init-from {model.init_from}: the run would overwrite this file; give another --output-dir")
    if machine.processes.first:
        remove_leftovers(weights_path, resume_path(weights_path))
    if tensorboard is not None:
        summary_writer()  # report a missing package before the work
    for _ in machine.processes.in_turn():  # the first process downloads weights and builds the cache
        started = start_model(model, prepared)
        cache = open_cache(prepared.samples, model.image_size, prepared.scheme, machine.cache_dir, model.view)
    split = without_copies_of_audit(split, prepared.samples, cache.frames)
    mixture = find_mixture(prepared.samples, split.parts["train"], train.mix_share)
    warning = check_labels(cache.masks, split, prepared.scheme)
    if warning and machine.processes.first:
        print(warning, file=sys.stderr)
    num_classes = prepared.scheme.num_classes
    class_weights = measure_class_weights(cache.masks, split.parts["train"], num_classes, train.class_weights)
    threshold = default_threshold(prepared.scheme)

    def identified(train: TrainConfig) -> tuple[dict, dict]:
        settings = {**asdict(train), "class_weights": class_weights, "threshold": threshold}
        return settings, identity_of(model, settings, split, prepared.scheme, cache)

    def recorded(chosen: TrainConfig, names: list[str]) -> dict[str, Any]:
        return recorded_options(weights_path, identified(chosen)[1], names) if resume != "no" else {}

    given, rows = train, split.parts["train"]
    train = machine.processes.from_first(
        lambda: choose(given, model, machine, started, cache, prepared.scheme, rows, recorded)
    )
    settings, identity = identified(train)
    start, state = machine.processes.from_first(lambda: find_resumable(weights_path, identity, resume))
    if start == "finished":
        print(f"{weights_path} is of this run, which has finished: it is not trained again.")
        checkpoint = load_checkpoint(weights_path) if machine.processes.first else None
        return TrainedRun(checkpoint, weights_path, history_path)
    train = replace(train, precision=usable_precision(machine.device, train.precision))  # another GPU may resume
    trainer = _make_trainer(started.network, cache, prepared, model, train, machine, class_weights, mixture)
    ancestors, inherited = read_ancestors(model)
    describe_run(model, trainer, split, cache, started.origin)
    if ancestors and machine.processes.first:
        warn_of_ancestors(ancestors, inherited, prepared, split, cache)
    machine.processes.wait()  # the search for copies can take longer than a step may
    if state is not None:
        trainer.restore(state)
        print(f"Resumed after epoch {len(trainer.history)} of {train.epochs}.")
    reset_peak_memory(machine.device)
    start_facts = {**(facts or {}), "arch": model.arch, "data": prepared.data, "pretraining": started.origin}
    kept = _train(trainer, split, weights_path, history_path, identity, start_facts, tensorboard)
    checkpoint = Checkpoint(
        model=trainer.averaged,
        arch=model.arch,
        model_args=model.model_args,
        scheme=prepared.scheme,
        image_size=model.image_size,
        threshold=threshold,
        view=model.view,
        metrics=_chosen_metrics(trainer),
        training={
            **record,
            "data": prepared.data,
            "split": split_record(split, prepared.samples),
            "ancestors": ancestors,
            "pseudo_labels": pseudo_labels(split, prepared.samples),
            "start": started.origin,
            "epochs": len(trainer.history),
            "history": trainer.history,
            "chosen_epoch": trainer.best_epoch,
            "stopped": trainer.stopped,
            "settings": settings,
            "peak_memory": peak_memory(machine.device),  # since the start or the last resume
            "fingerprint": fingerprint(identity),
        },
    )
    if machine.processes.first and trainer.history:  # without a finished epoch, nothing is replaced
        hashes = inherited_frames(cache.frames, split.parts["train"], inherited)
        checkpoint.trained_frames = torch.from_numpy(hashes)
        try:
            save_checkpoint(weights_path, checkpoint)
        except UserError as error:
            command = "the same command" + " with --resume" * (resume == "no")
            advice = f"{command} continues after epoch {kept}" if kept else "train again: no epoch could be kept"
            raise UserError(f"{error}; free some space, then {advice}") from error
    return TrainedRun(checkpoint, weights_path, history_path)


def finish(run: TrainedRun) -> None:
    """Remove the resumable state of a finished run. Call it when all results are written."""
    if run.stopped is None:
        remove_state(run.weights_path, of=run.checkpoint.training.get("fingerprint"))


def _make_trainer(
    network,
    cache: Cache,
    prepared: Prepared,
    model: ModelConfig,
    train: TrainConfig,
    machine: Machine,
    class_weights,
    mixture: Mixture | None,
) -> Trainer:
    try:
        return Trainer(
            network,
            cache,
            prepared.scheme,
            machine.device,
            train,
            architecture=model.architecture,
            class_weights=class_weights,
            processes=machine.processes,
            cache_device=machine.cache_device,
            compiled=machine.compiled,
            mixture=mixture,
        )
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise UserError("out of memory before the first step: try --cache-device cpu, or a smaller model") from error


def _train(
    trainer: Trainer, split: Split, weights_path: Path, history_path: Path, identity: dict, facts: dict, tensorboard
) -> int:
    """Train. After each epoch print its scores and save state, history and curves.

    Return the epochs of the last state that could be saved. On a disk that was full it is not the last epoch.
    """
    first = trainer.processes.first
    curves = Curves(tensorboard, len(trainer.history) + 1) if tensorboard and first else None

    def attempt(*writes: Callable[[], None]) -> None:
        for write in writes:
            try:
                write()
            except UserError as error:  # the training can finish without these files
                print(f"WARNING: {error}. The training continues.", flush=True)

    def on_epoch(row: dict) -> None:
        print(epoch_block(row, trainer.config.epochs), flush=True)
        if first:
            attempt(
                states.wait,
                lambda: states.save(trainer.state()),
                lambda: write_history(history_path, trainer.history, {**facts, "chosen_epoch": trainer.best_epoch}),
                lambda: curves.add(row) if curves is not None else None,
            )

    with StateWriter(resume_path(weights_path), identity, len(trainer.history)) as states:
        trainer.run(split.parts["train"], split.parts["val"], on_epoch)
        attempt(states.wait)
    if curves is not None:
        curves.close()
    return states.kept


def describe_run(model: ModelConfig, trainer: Trainer, split: Split, cache: Cache, origin: str) -> None:
    """Print the model, the settings and the machine; warn of near copies."""
    train, count = trainer.config, trainer.processes.count
    print(f"Model: {model.arch}, {parameter_count(trainer.model):,} parameters, start: {origin}")
    many = f"{count} processes, " if count > 1 else ""
    print(
        f"Input {model.image_size[0]}x{model.image_size[1]} (height x width), view {model.view}, "
        f"batch {train.batch_size}, "
        f"learning rate {train.learning_rate:g}, "
        f"{many}device {trainer.device.type}, {train.precision}, cache {trainer.feed.place}"
    )
    if (train.backbone_rate != 1 or train.freeze_backbone) and not backbone_of(trainer.model):
        print(f"{model.architecture.label} has no backbone_parts(): all of it learns, at one rate.")
    elif train.backbone_rate != 1 or train.freeze_backbone:
        frozen = f", frozen for {train.freeze_backbone} epochs" if train.freeze_backbone else ""
        print(f"Backbone: {train.backbone_rate:g} times that rate{frozen}")
    if not len(split.parts["val"]):
        print("No validation part: the schedule is fixed, and the last averaged weights are saved.")
    if trainer.processes.first:
        warning = describe_near_copies(near_copies(cache.frames, split.parts, cache.names))
        if warning:
            print(warning)


def _chosen_metrics(trainer: Trainer) -> dict[str, Any]:
    """Validation scores of the epoch whose weights are saved."""
    row = trainer.history[trainer.best_epoch - 1] if trainer.best_epoch else {}
    return {key: row[key] for key in ("val_loss", "val_iou", "val_dice", "val_accuracy") if key in row}
