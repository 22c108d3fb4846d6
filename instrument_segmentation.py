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
    parser = build_parser()
    args = parser.parse_args(argv)
    return console.report_errors(lambda given: run(given, parser, argv), args)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser, argv: list[str] | None) -> int:
    from surgseg.scores.report import heading
    from surgseg.study.folds import run_folds
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
        machine = options.machine_of(args, device, processes)
        if args.folds and args.fold is None:
            return run_folds(args, prepared, machine, train_and_evaluate)
        return train_and_evaluate(args, prepared, machine)


def train_and_evaluate(args: argparse.Namespace, prepared, machine) -> int:
    from surgseg.evaluation import earlier_predictions
    from surgseg.files import check_folder
    from surgseg.training.fit import finish, fit

    console.seed_everything(args.seed)
    split = options.make_split(args, prepared.samples)
    print(f"Data: {prepared.root} ({prepared.data}), {len(prepared.samples)} frames, {len(prepared.videos)} videos")
    print(options.describe_split(split, prepared.samples))
    earlier_predictions(args.save_preds)  # a folder that cannot be written is refused before the training
    for folder in (args.output_dir, figure_dir(args)):
        check_folder(folder)
    plan, settings = options.plan_and_settings(args)
    started = time.perf_counter()
    fitted = fit(
        prepared,
        split,
        plan,
        settings,
        machine,
        weights_path=args.output_dir / "instrument_segmentation_model.pth",
        history_path=args.output_dir / "history.csv",
        record=console.run_metadata(args, machine.device),
        resume="no" if not args.resume else "may" if args.folds and args.fold is None else "must",
        tensorboard=args.output_dir / "tensorboard" if args.tensorboard else None,
    )
    if not machine.processes.first:
        return 0
    if not fitted.history:
        print(f"Stopped ({fitted.stopped}) before the first epoch ended: nothing was written.")
        return console.PARTIAL
    print(f"Training took {time.perf_counter() - started:.0f} s; weights of epoch {fitted.chosen_epoch} kept.")
    weights = fitted.weights_path
    written = [weights, weights.with_suffix(".json"), *draw_history(args, fitted, prepared.data)]
    written += [args.output_dir / "tensorboard"] if args.tensorboard else []
    if fitted.stopped:
        print(f"Stopped early ({fitted.stopped}): what was trained is saved, nothing was scored.{fitted.advice}")
    else:
        written += evaluate(args, prepared, split, fitted, machine)
        finish(fitted)
    print("\nWritten:", *(f"  {path}" for path in written), sep="\n")
    return console.PARTIAL if fitted.stopped else 0


def figure_dir(args: argparse.Namespace) -> Path:
    return args.figure_dir or args.output_dir / "figures"


def draw_history(args: argparse.Namespace, fitted, data: str) -> list[Path]:
    """History and loss curve."""
    from surgseg.figures.training import draw_training_loss

    path = figure_dir(args) / "training_loss.png"
    chosen = fitted.chosen_epoch
    figure = draw_training_loss(fitted.history, path, chosen_epoch=chosen, synthetic=data == "synthetic")
    return [fitted.history_path, figure]


def evaluate(args: argparse.Namespace, prepared, split, fitted, machine) -> list[Path]:
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
    metrics_path = args.output_dir / "metrics.json"
    metrics = evaluate_samples(
        fitted.checkpoint,
        samples,
        machine.device,
        batch_size=max(1, args.batch_size // machine.processes.count),
        pred_dir=args.save_preds,
        metrics_path=metrics_path,
        void=args.void,
        data=prepared.data,
        part=part,
        run=console.run_metadata(args, machine.device),
    )
    print(metrics_block("EVALUATION METRICS", metrics))
    print(f"Scored on the {part} part at native size, {prepared.data} data.")
    if part == "val":
        print("There is no test part: these frames chose the epoch, so the scores are optimistic.")
    table = metrics_path.with_name("metrics_frames.csv")
    figures = write_examples(
        "spread",
        read_csv(table),
        ImageFiles.of_samples(samples, args.save_preds),
        prepared.scheme,
        figure_dir(args),
        data=prepared.data,
        mark=synthetic_mark(prepared.data),
    )
    return [metrics_path, table, *figures, args.save_preds]


if __name__ == "__main__":
    raise SystemExit(main())
