"""Train and evaluate instrument segmentation: weights, curves, scores, native-size predictions.

  python instrument_segmentation.py                                   # data/full_dataset or data/sample_frames
  python instrument_segmentation.py --data-root data/full_dataset --split sp-tcn
  python instrument_segmentation.py --data-root data --test-videos op1 --arch unet --image-size 192 256
  python instrument_segmentation.py --preset demo                     # small U-Net on the synthetic stream
  python instrument_segmentation.py --init-from mine.pth --epochs 5 --freeze-backbone 2     # fine-tune
  torchrun --nproc-per-node 4 instrument_segmentation.py --batch-size 16                    # four GPUs

The best epoch is chosen on the validation part; the test part is scored once, at the end, at native size.
After Ctrl-C or a crash, the same command with --resume goes on after the last finished epoch.
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
    options.add_training_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--output-dir", type=Path, default=Path("outputs"), help="results (default: outputs)")
    output.add_argument("--figure-dir", type=Path, metavar="DIR", help="figures (default: OUTPUT_DIR/figures)")
    output.add_argument(
        "--save-preds",
        type=Path,
        default=Path("data/preds"),
        metavar="DIR",
        help="folder of the native-size test predictions (default: data/preds)",
    )
    output.add_argument(
        "--resume", action="store_true", help="go on after the last finished epoch of this run (default: off)"
    )
    output.add_argument(
        "--tensorboard", action="store_true", help="curves in OUTPUT_DIR/tensorboard; needs tensorboard (default: off)"
    )
    console.add_void_option(output)
    return parser


def main(argv: list[str] | None = None) -> int:
    return console.report_errors(run, argv)


@dataclass(frozen=True)
class Output:
    """Folders that a training writes into: results, figures, predictions."""

    results: Path
    figures: Path
    predictions: Path

    def of_fold(self, fold: int) -> Output:
        name = f"fold_{fold}"
        beside = self.predictions.with_name(f"{self.predictions.name}_{name}")
        return Output(self.results / name, self.figures / name, beside)


def run(argv: list[str] | None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    from surgseg.scores.report import heading
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
        return train_folds(args, prepared, options.machine_of(args, device, processes))


def train_folds(args: argparse.Namespace, prepared, machine) -> int:
    """Train and evaluate; with --folds every fold, each in folders of its own, and their scores together."""
    from surgseg.files import read_json, write_json
    from surgseg.scores.report import heading
    from surgseg.study.folds import folds_block, summarise_folds
    from surgseg.training.split import SplitConfig, choose_folds

    output = Output(args.output_dir, args.figure_dir or args.output_dir / "figures", args.save_preds)
    splits = choose_folds(options.config_of(SplitConfig, args), prepared.samples)
    if len(splits) == 1:
        return train_and_evaluate(args, prepared, machine, *splits.values(), output, "must")
    metrics = []
    for fold, split in splits.items():
        print(heading(f"FOLD {fold} OF {len(splits)}"))
        own = output.of_fold(fold)
        status = train_and_evaluate(args, prepared, machine, split, own, "may")
        if machine.processes.from_first(lambda status=status: status):
            return status
        if machine.processes.first:
            metrics.append(read_json(own.results / "metrics.json"))
    if machine.processes.first:
        summary = summarise_folds(list(splits.values()), metrics)
        write_json(args.output_dir / "folds.json", {**summary, "run": console.run_metadata(vars(args))})
        print(folds_block(summary), f"\nWritten:\n  {args.output_dir / 'folds.json'}")
    return 0


def train_and_evaluate(args: argparse.Namespace, prepared, machine, split, output: Output, resume: str) -> int:
    """One training on a split, scored and drawn; `resume` says what --resume means here. Returns the exit status."""
    from surgseg.evaluation import earlier_predictions
    from surgseg.files import check_folder
    from surgseg.training.config import ModelConfig, TrainConfig
    from surgseg.training.fit import finish, fit
    from surgseg.training.split import describe_split

    console.seed_everything(args.seed)
    print(f"Data: {prepared.root} ({prepared.data}), {len(prepared.samples)} frames, {len(prepared.videos)} videos")
    print(describe_split(split, prepared.samples))
    earlier_predictions(output.predictions)  # a folder that cannot be written is refused before the training
    for folder in (output.results, output.figures):
        check_folder(folder)
    started = time.perf_counter()
    trained = fit(
        prepared,
        split,
        options.config_of(ModelConfig, args),
        options.config_of(TrainConfig, args),
        machine,
        weights_path=output.results / "instrument_segmentation_model.pth",
        history_path=output.results / "history.csv",
        record=console.run_metadata(vars(args), machine.device),
        resume=resume if args.resume else "no",
        tensorboard=output.results / "tensorboard" if args.tensorboard else None,
    )
    if not machine.processes.first:
        return 0
    if not trained.history:
        print(f"Stopped ({trained.stopped}) before the first epoch ended: nothing was written.")
        return console.PARTIAL
    print(f"Training took {time.perf_counter() - started:.0f} s; weights of epoch {trained.chosen_epoch} kept.")
    weights = trained.weights_path
    written = [weights, weights.with_suffix(".json"), *draw_history(trained, prepared.data, output)]
    written += [output.results / "tensorboard"] if args.tensorboard else []
    if trained.stopped:
        print(f"Stopped early ({trained.stopped}): what was trained is saved, nothing was scored.{trained.advice}")
    else:
        written += evaluate(args, prepared, split, trained, machine, output)
        finish(trained)
    print("\nWritten:", *(f"  {path}" for path in written), sep="\n")
    return console.PARTIAL if trained.stopped else 0


def draw_history(trained, data: str, output: Output) -> list[Path]:
    """History and loss curve."""
    from surgseg.figures.training import draw_training_loss

    path = output.figures / "training_loss.png"
    chosen = trained.chosen_epoch
    figure = draw_training_loss(trained.history, path, chosen_epoch=chosen, synthetic=data == "synthetic")
    return [trained.history_path, figure]


def evaluate(args: argparse.Namespace, prepared, split, trained, machine, output: Output) -> list[Path]:
    """Score the test part (or, without one, the validation part) at native size; returns the files written."""
    from surgseg.evaluation import evaluate_samples
    from surgseg.figures.examples import ImageFiles, write_examples
    from surgseg.figures.selection import synthetic_mark
    from surgseg.files import read_csv
    from surgseg.scores.report import metrics_block

    part = split.scored_part
    if part is None:
        print("Neither a test nor a validation part: nothing was scored.")
        return []
    samples = [prepared.samples[index] for index in split.parts[part]]
    metrics_path = output.results / "metrics.json"
    metrics = evaluate_samples(
        trained.checkpoint,
        samples,
        machine.device,
        batch_size=max(1, args.batch_size // machine.processes.count),
        pred_dir=output.predictions,
        metrics_path=metrics_path,
        void=args.void,
        data=prepared.data,
        part=part,
        run=console.run_metadata(vars(args), machine.device),
    )
    print(metrics_block("EVALUATION METRICS", metrics))
    print(f"Scored on the {part} part at native size, {prepared.data} data.")
    if part == "val":
        print("There is no test part: these frames chose the epoch, so the scores are optimistic.")
    table = metrics_path.with_name("metrics_frames.csv")
    figures = write_examples(
        "spread",
        read_csv(table),
        ImageFiles.of_samples(samples, output.predictions),
        prepared.scheme,
        output.figures,
        data=prepared.data,
        mark=synthetic_mark(prepared.data),
    )
    return [metrics_path, table, *figures, output.predictions]


if __name__ == "__main__":
    raise SystemExit(main())
