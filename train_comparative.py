"""Train models that differ in one thing only, with the same seed and schedule; compare their scores.

  python train_comparative.py --models unet deeplabv3 --data-root data/full_dataset --epochs 15
  python train_comparative.py --models unet deeplabv3 deeplabv3_scratch --folds 5 --seeds 0 1
  python train_comparative.py --splits random time video --data-root data/full_dataset --arch unet

Without --splits it compares architectures on the same split. comparison.json holds scores, costs,
paired differences and ranks; visualize_comparison.py draws them. With --splits it is the leak
meter: it measures how much the scores of one model rise if the split puts neighbouring frames into
both training and test. All splits train on equally many frames. Each model is scored on its own
test part, and on the frames that are in the test part of its split and of the split by video. The
same command continues an interrupted training and does not repeat a finished one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from surgseg import console
from surgseg.files import UserError
from surgseg.study.comparison import compared_models
from surgseg.training import options


def build_parser() -> argparse.ArgumentParser:
    parser = console.make_parser(__doc__)
    options.add_data_options(parser)
    models = compared_models()
    compared = parser.add_argument_group("what differs")
    compared.add_argument(
        "--models",
        nargs="+",
        choices=models,
        metavar="NAME",
        help=f"models to compare: {', '.join(models)}; scratch: random start (default: unet deeplabv3)",
    )
    compared.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        metavar="S",
        help="seeds; each model is trained with each (default: that of --seed)",
    )
    compared.add_argument(
        "--splits",
        nargs="+",
        metavar="NAME",
        help="compare splits: random, time, video, manifest, sp-tcn, endovit; video is always added "
        "(default: compare models)",
    )
    options.add_split_options(parser)
    options.add_model_options(parser, arch="the architecture that --splits trains")
    options.add_training_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output-dir",
        type=Path,
        default=Path("outputs/comparative"),
        help="folder of the results (default: outputs/comparative)",
    )
    console.add_void_option(output)
    parser.set_defaults(arch=None)  # None: not given
    return parser


def main(argv: list[str] | None = None) -> int:
    return console.report_errors(run, build_parser().parse_args(argv))


def run(args: argparse.Namespace) -> int:
    from surgseg.scores.report import heading
    from surgseg.training.distributed import joined

    check_options(args)
    device = console.resolve_device(args.device)
    with joined(device) as processes:
        print(heading("LEAK METER: ONE MODEL, SEVERAL SPLITS" if args.splits else "COMPARISON OF ARCHITECTURES"))
        prepared = options.load_data(args)
        if prepared is None:
            raise UserError("no data in data/full_dataset or data/sample_frames: give --data-root")
        if any(sample.role for sample in prepared.samples):
            from surgseg.training.pseudo import without_pseudo_labels

            if args.splits:
                raise UserError(f"--splits: {prepared.root} is a reviewed folder, whose audit must not train")
            prepared = without_pseudo_labels(prepared)
        machine = options.machine_of(args, device, processes)
        return compare(args, prepared, machine, console.run_metadata(vars(args), device))


def compare(args: argparse.Namespace, prepared, machine, record: dict) -> int:
    """Run the leak meter or the comparison of architectures. Return the exit status."""
    from surgseg.study.compare_models import ComparisonConfig, run_comparison
    from surgseg.study.leak_meter import run_leak_meter
    from surgseg.training.choices import BATCH_SIZE
    from surgseg.training.config import ModelConfig, TrainConfig
    from surgseg.training.split import SplitConfig

    model, train, split = (options.config_of(kind, args) for kind in (ModelConfig, TrainConfig, SplitConfig))
    if train.batch_size is None:
        train = replace(train, batch_size=BATCH_SIZE)  # the same for everything compared
    shared = {"void": args.void, "output_dir": args.output_dir}
    if args.splits:
        return run_leak_meter(args.splits, model, train, prepared, machine, record, **shared)
    models, seeds = (list(dict.fromkeys(names)) for names in (args.models, args.seeds or [args.seed]))
    config = ComparisonConfig(models, seeds, split, model, train, **shared)
    return run_comparison(config, prepared, machine, record)


def check_options(args: argparse.Namespace) -> None:
    """Set the defaults of --models and --arch. Raises `UserError` for an option that would have no effect."""
    arch, args.arch = args.arch, args.arch or "deeplabv3"
    if args.splits is None:
        if arch is not None:
            raise UserError(f"--arch {arch} needs --splits; use --models to compare architectures")
        args.models = args.models or ["unet", "deeplabv3"]
        return
    others = ("models", "seeds", "split", "val_videos", "test_videos", "folds", "fold", "allow_shared_videos")
    given = [f"--{name.replace('_', '-')}" for name in others if getattr(args, name)]
    if given:
        raise UserError(f"{given[0]} is for the comparison of models; it cannot be used with --splits")


if __name__ == "__main__":
    raise SystemExit(main())
