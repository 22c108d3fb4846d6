"""Train a segmentation model and score it: weights, curves, scores, predictions at native size.

  python instrument_segmentation.py                       # data/full_dataset or data/sample_frames
  python instrument_segmentation.py --data-root data/full_dataset --split sp-tcn
  python instrument_segmentation.py --data-root data --test-videos op1 --image-size 192 256
  python instrument_segmentation.py --preset demo         # small U-Net on synthetic frames
  python instrument_segmentation.py --init-from mine.pth --epochs 5 --freeze-backbone 2  # fine-tune
  torchrun --nproc-per-node 4 instrument_segmentation.py --batch-size 16                 # four GPUs

The best epoch is chosen on the validation part. The test part is scored once, at the end, at native
size. After Ctrl-C or a crash, the same command with --resume continues after the last finished
epoch. Without any prepared data, the script runs the demo.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from surgseg import console
from surgseg.training import options


def build_parser() -> argparse.ArgumentParser:
    parser = console.make_parser(__doc__)
    parser.add_argument(
        "--preset",
        choices=["demo"],
        help="demo: synthetic frames and a small U-Net, minutes on a CPU; other options override it (default: none)",
    )
    options.add_data_options(parser)
    options.add_split_options(parser)
    options.add_model_options(parser)
    options.add_adaptation_options(parser)
    options.add_training_options(parser)
    options.add_result_options(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    return console.report_errors(run, argv)


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


def run(argv: list[str] | None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    from surgseg.scores.report import heading
    from surgseg.training.compose import compose
    from surgseg.training.config import ModelConfig, TrainConfig
    from surgseg.training.distributed import joined

    device = console.resolve_device(args.device)
    with joined(device) as processes:
        print(heading("LAPAROSCOPIC INSTRUMENT SEGMENTATION"))
        prepared = None if args.preset else options.load_data(args)
        if prepared is None:
            from surgseg.synthetic.demo import demo_options, make_demo_data

            if args.preset is None:
                print("No data in data/full_dataset or data/sample_frames: running the demo on synthetic frames.")
            parser.set_defaults(**demo_options())
            args = parser.parse_args(argv)
            for _ in processes.in_turn():
                make_demo_data(args.data_root)
            prepared = options.load_data(args)
        model, train = (options.config_of(kind, args) for kind in (ModelConfig, TrainConfig))
        labels = args.output_dir / "pseudo_labels"
        for _ in processes.in_turn():
            prepared, old_test = compose(prepared, model.init_from, train.pseudo_labels, args.mix_with, labels, device)
        return train_folds(args, prepared, options.machine_of(args, device, processes), old_test)


def train_folds(args: argparse.Namespace, prepared, machine, old_test=()) -> int:
    """Train and evaluate, with --folds once per fold; write the scores of all folds. Return the exit status.

    `old_test` is the test part of --mix-with.
    """
    from surgseg.files import read_json, write_json
    from surgseg.scores.report import heading
    from surgseg.study.folds import folds_block, summarise_folds
    from surgseg.training.split import SplitConfig, choose_folds

    output = Output(args.output_dir, args.figure_dir or args.output_dir / "figures", args.save_preds)
    splits = choose_folds(options.config_of(SplitConfig, args), prepared.samples)
    if len(splits) == 1:
        return train_and_evaluate(args, prepared, machine, *splits.values(), output, "must", old_test)
    metrics = []
    for fold, split in splits.items():
        print(heading(f"FOLD {fold} OF {len(splits)}"))
        fold_output = output.of_fold(fold)
        status = train_and_evaluate(args, prepared, machine, split, fold_output, "may")
        if machine.processes.from_first(lambda status=status: status):
            return status
        if machine.processes.first:
            metrics.append(read_json(fold_output.results / "metrics.json"))
    if machine.processes.first:
        summary = summarise_folds(list(splits.values()), metrics)
        write_json(args.output_dir / "folds.json", {**summary, "run": console.run_metadata(vars(args))})
        print(folds_block(summary), f"\nWritten:\n  {args.output_dir / 'folds.json'}")
    return 0


def train_and_evaluate(
    args: argparse.Namespace, prepared, machine, split, output: Output, resume: str, old_test=()
) -> int:
    """Train on a split, score, and draw the figures; --resume means `resume` of `fit`. Return the exit status.

    After fine-tuning with a new procedure, compare with the weights before it, also on the samples `old_test`.
    """
    from surgseg.evaluation.folders import earlier_predictions
    from surgseg.figures.training import draw_training_loss
    from surgseg.files import check_folder
    from surgseg.training.config import ModelConfig, TrainConfig
    from surgseg.training.fit import finish, fit
    from surgseg.training.split import describe_split

    console.seed_everything(args.seed)
    print(f"Data: {prepared.root} ({prepared.data}), {len(prepared.samples)} frames, {len(prepared.videos)} videos")
    print(describe_split(split, prepared.samples))
    earlier_predictions(output.predictions)  # refuse unusable folders before the training
    for folder in (output.results, output.figures):
        check_folder(folder)
    tensorboard = output.results / "tensorboard" if args.tensorboard else None
    model = options.config_of(ModelConfig, args)
    started = time.perf_counter()
    trained = fit(
        prepared,
        split,
        model,
        options.config_of(TrainConfig, args),
        machine,
        weights_path=output.results / "instrument_segmentation_model.pth",
        history_path=output.results / "history.csv",
        record=console.run_metadata(vars(args), machine.device),
        resume=resume if args.resume else "no",
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
        written += evaluate(args, prepared, split, trained, machine, output)
        if model.init_from and (old_test or any(sample.role for sample in prepared.samples)):
            written.append(compare_with_start(model.init_from, prepared, old_test, trained, machine, args.void))
        finish(trained)
    print("\nWritten:", *(f"  {path}" for path in written), sep="\n")
    return console.PARTIAL if trained.stopped else 0


def compare_with_start(start: Path, prepared, old_test: list, trained, machine, void: str) -> Path:
    """Score the weights before and after a fine-tuning, print which to use, return the file written."""
    from surgseg.review.adaptation import measure_adaptation

    path = trained.weights_path.with_name("adaptation.json")
    audit = [sample for sample in prepared.samples if sample.role == "audit"]
    size = max(1, trained.batch_size // machine.processes.count)
    shared = {"void": void, "path": path, "batch_size": size}
    print(measure_adaptation(start, trained.checkpoint, audit, old_test, machine.device, **shared))
    return path


def evaluate(args: argparse.Namespace, prepared, split, trained, machine, output: Output) -> list[Path]:
    """Score the test part, or the validation part if there is no test part. Return the files written."""
    from surgseg.figures.evaluated import evaluate_and_draw
    from surgseg.scores.report import metrics_block

    part = split.scored_part
    if part is None:
        print("Neither a test nor a validation part: nothing was scored.")
        return []
    metrics, written = evaluate_and_draw(
        trained.checkpoint,
        [prepared.samples[index] for index in split.parts[part]],
        machine.device,
        output.results / "metrics.json",
        output.figures,
        batch_size=max(1, trained.batch_size // machine.processes.count),
        pred_dir=output.predictions,
        void=args.void,
        prepared=prepared,
        part=part,
        tolerances=args.tolerance,
        run=console.run_metadata(vars(args), machine.device),
    )
    print(metrics_block("EVALUATION METRICS", metrics))
    return written


if __name__ == "__main__":
    raise SystemExit(main())
