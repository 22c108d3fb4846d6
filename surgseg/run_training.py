"""A whole training: weights, scores and figures of a split, or of each fold of a cross-validation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surgseg import console
from surgseg.data.dataset import Prepared, Sample
from surgseg.data.splits import Split
from surgseg.evaluation.folders import earlier_predictions
from surgseg.figures.evaluated import evaluate_and_draw
from surgseg.figures.training import draw_training_loss
from surgseg.files import check_folder, read_json, write_json
from surgseg.scores.report import heading, metrics_block
from surgseg.study.folds import folds_block, summarise_folds
from surgseg.training.config import ModelConfig, TrainConfig
from surgseg.training.fit import TrainedRun, finish, fit
from surgseg.training.machine import Machine
from surgseg.training.split import describe_split


@dataclass(frozen=True)
class Output:
    """The folders of results, figures and predictions."""

    results: Path
    figures: Path
    predictions: Path

    def of_fold(self, fold: int) -> Output:
        name = f"fold_{fold}"
        predictions = self.predictions.with_name(f"{self.predictions.name}_{name}")
        return Output(self.results / name, self.figures / name, predictions)


@dataclass(frozen=True)
class Training:
    """What is trained, where, and how it is scored. `arguments` are stored with the results.

    `old_test` is the test part of the data that are mixed in. `tolerances` (pixels) are those of the surface scores.
    """

    prepared: Prepared
    model: ModelConfig
    train: TrainConfig
    machine: Machine
    arguments: dict[str, Any]
    resume: bool = False
    tensorboard: bool = False
    void: str = "ignore"
    tolerances: Sequence[float] = ()
    old_test: Sequence[Sample] = ()

    def record(self) -> dict[str, Any]:
        return console.run_metadata(self.arguments, self.machine.device)

    def frames_at_once(self, trained: TrainedRun) -> int:
        """Return the frames of a forward pass in one process."""
        return max(1, trained.batch_size // self.machine.processes.count)


def train_folds(training: Training, splits: dict[int | None, Split], output: Output) -> int:
    """Train and evaluate on each split; write the scores of all folds if there are several. Return the exit status.

    `splits` are those of `choose_folds`.
    """
    if len(splits) == 1:
        return train_and_evaluate(training, *splits.values(), output, "must")
    processes, metrics = training.machine.processes, []
    for fold, split in splits.items():
        print(heading(f"FOLD {fold} OF {len(splits)}"))
        fold_output = output.of_fold(fold)
        status = train_and_evaluate(training, split, fold_output, "may")
        if processes.from_first(lambda status=status: status):
            return status
        if processes.first:
            metrics.append(read_json(fold_output.results / "metrics.json"))
    if processes.first:
        summary, path = summarise_folds(list(splits.values()), metrics), output.results / "folds.json"
        write_json(path, {**summary, "run": console.run_metadata(training.arguments)})
        print(folds_block(summary), f"\nWritten:\n  {path}")
    return 0


def train_and_evaluate(training: Training, split: Split, output: Output, resume: str) -> int:
    """Train on a split, score, and draw the figures; `training.resume` means `resume` of `fit`. Return the exit status.

    After fine-tuning with a new procedure, compare with the weights before it, also on the samples `training.old_test`.
    """
    prepared, machine = training.prepared, training.machine
    console.seed_everything(training.train.seed)
    print(f"Data: {prepared.root} ({prepared.data}), {len(prepared.samples)} frames, {len(prepared.videos)} videos")
    print(describe_split(split, prepared.samples))
    earlier_predictions(output.predictions)  # refuse unusable folders before the training
    for folder in (output.results, output.figures):
        check_folder(folder)
    tensorboard = output.results / "tensorboard" if training.tensorboard else None
    started = time.perf_counter()
    trained = fit(
        prepared,
        split,
        training.model,
        training.train,
        machine,
        weights_path=output.results / "instrument_segmentation_model.pth",
        history_path=output.results / "history.csv",
        record=training.record(),
        resume=resume if training.resume else "no",
        tensorboard=tensorboard,
    )
    if not machine.processes.first:
        return 0
    if not trained.history:
        print(f"Stopped ({trained.stopped}) before the first epoch ended: nothing was written.")
        return console.PARTIAL
    print(f"Training took {time.perf_counter() - started:.0f} s; weights of epoch {trained.chosen_epoch} kept.")
    figure = draw_training_loss(
        trained.history,
        output.figures / "training_loss.png",
        chosen_epoch=trained.chosen_epoch,
        synthetic=prepared.data == "synthetic",
    )
    written = [trained.weights_path, trained.weights_path.with_suffix(".json"), trained.history_path, figure]
    if tensorboard:
        written.append(tensorboard)
    if trained.stopped:
        print(f"Stopped early ({trained.stopped}): the weights are saved, but not scored.{trained.advice}")
    else:
        written += evaluate(training, split, trained, output)
        if training.model.init_from and (training.old_test or any(sample.role for sample in prepared.samples)):
            written.append(compare_with_start(training, trained))
        finish(trained)
    print("\nWritten:", *(f"  {path}" for path in written), sep="\n")
    return console.PARTIAL if trained.stopped else 0


def compare_with_start(training: Training, trained: TrainedRun) -> Path:
    """Score the weights before and after a fine-tuning, print which to use, return the file written."""
    from surgseg.review.adaptation import measure_adaptation  # imports scipy.stats, which other trainings do not need

    path = trained.weights_path.with_name("adaptation.json")
    audit = [sample for sample in training.prepared.samples if sample.role == "audit"]
    shared = {"void": training.void, "path": path, "batch_size": training.frames_at_once(trained)}
    start, old_test = training.model.init_from, list(training.old_test)
    print(measure_adaptation(start, trained.checkpoint, audit, old_test, training.machine.device, **shared))
    return path


def evaluate(training: Training, split: Split, trained: TrainedRun, output: Output) -> list[Path]:
    """Score the test part, or the validation part if there is no test part. Return the files written."""
    part = split.scored_part
    if part is None:
        print("Neither a test nor a validation part: nothing was scored.")
        return []
    metrics, written = evaluate_and_draw(
        trained.checkpoint,
        [training.prepared.samples[index] for index in split.parts[part]],
        training.machine.device,
        output.results / "metrics.json",
        output.figures,
        batch_size=training.frames_at_once(trained),
        pred_dir=output.predictions,
        void=training.void,
        prepared=training.prepared,
        part=part,
        tolerances=training.tolerances,
        run=training.record(),
    )
    print(metrics_block("EVALUATION METRICS", metrics))
    return written
