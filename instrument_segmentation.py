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
        return train_on(args, prepared, options.machine_of(args, device, processes), old_test)


def train_on(args: argparse.Namespace, prepared, machine, old_test=()) -> int:
    """Train on the `Prepared` data that the options name; `old_test` is the test part of --mix-with."""
    from surgseg.run_training import Output, Training, train_folds
    from surgseg.training.config import ModelConfig, TrainConfig
    from surgseg.training.split import SplitConfig, choose_folds

    training = Training(
        prepared,
        options.config_of(ModelConfig, args),
        options.config_of(TrainConfig, args),
        machine,
        arguments=vars(args),
        resume=args.resume,
        tensorboard=args.tensorboard,
        void=args.void,
        tolerances=args.tolerance,
        old_test=old_test,
    )
    output = Output(args.output_dir, args.figure_dir or args.output_dir / "figures", args.save_preds)
    return train_folds(training, choose_folds(options.config_of(SplitConfig, args), prepared.samples), output)


if __name__ == "__main__":
    raise SystemExit(main())
