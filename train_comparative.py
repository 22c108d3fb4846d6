"""Train the same model several times, differing in one thing only, and compare the scores.

  python train_comparative.py --splits random time video --data-root data/full_dataset --arch unet --epochs 15

The leak meter: how much a split that puts neighbouring frames on both sides flatters a model. Every split trains on
equally many frames, with the same seed and a fixed schedule, and is scored on its own test part; then leaking and
video-wise model are scored on the frames that both hold out. A finished training is not repeated, an interrupted one
goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg import console
from surgseg.training import options

REFERENCE = "video"


def build_parser() -> argparse.ArgumentParser:
    parser = console.make_parser(__doc__)
    options.add_data_options(parser)
    compared = parser.add_argument_group("what differs")
    compared.add_argument(
        "--splits",
        nargs="+",
        default=["random", "time", REFERENCE],
        metavar="NAME",
        help="of random, time, video, manifest, sp-tcn, endovit; video is always one (default: random time video)",
    )
    options.add_model_options(parser)
    options.add_training_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output-dir", type=Path, default=Path("outputs/comparative"), help="results (default: outputs/comparative)"
    )
    console.add_void_option(output)
    return parser


def main(argv: list[str] | None = None) -> int:
    return console.report_errors(run, build_parser().parse_args(argv))


def run(args: argparse.Namespace) -> int:
    from surgseg.data import splits
    from surgseg.files import UserError, check_folder
    from surgseg.scores.report import heading
    from surgseg.training.compare import level_splits
    from surgseg.training.distributed import joined

    names = list(dict.fromkeys([*args.splits, REFERENCE]))  # the video-wise one is what all are measured against
    unknown = [name for name in names if name not in splits.SPLIT_NAMES]
    if unknown:
        raise UserError(f"--splits {unknown[0]}: use {', '.join(splits.SPLIT_NAMES)}")
    device = console.resolve_device(args.device)
    with joined(device) as processes:
        print(heading("LEAK METER: ONE MODEL, SEVERAL SPLITS"))
        prepared = options.load_data(args)
        if prepared is None:
            raise UserError("no data in data/full_dataset or data/sample_frames: give --data-root")
        check_folder(args.output_dir)
        machine = options.machine_of(args, device, processes)
        made = [splits.make_split(prepared.samples, name=name, seed=args.seed) for name in names]
        levelled = level_splits(made, prepared.samples, args.seed)
        fitted = []
        for split in levelled:
            fitted.append(train(args, prepared, split, machine))
            if fitted[-1].stopped:
                return console.PARTIAL
        if processes.first:
            compare(args, prepared, levelled, fitted, machine)
    return 0


def train(args: argparse.Namespace, prepared, split, machine):
    """The `Fitted` run of one split."""
    from surgseg.scores.report import heading
    from surgseg.training.run import finish, fit

    print(heading(f"SPLIT {split.name.upper()}: {len(split.parts['train'])} frames train"))
    console.seed_everything(args.seed)
    plan, settings = options.plan_and_settings(args)
    fitted = fit(
        prepared,
        split,
        plan,
        settings,
        machine,
        weights_path=args.output_dir / f"split_{split.name}_model.pth",
        history_path=args.output_dir / f"split_{split.name}_history.csv",
        record=console.run_metadata(args, machine.device),
        resume="may",
    )
    if fitted.stopped:
        print(f"Stopped early ({fitted.stopped}); the same command goes on where it can.")
    elif machine.processes.first:
        finish(fitted)
    return fitted


def compare(args: argparse.Namespace, prepared, levelled: list, fitted: list, machine) -> None:
    """Score every model on its own test part and on the frames it shares with the video-wise one; print and write."""
    from surgseg.data.cache import open_cache
    from surgseg.data.leaks import near_copies
    from surgseg.evaluation import evaluate_samples
    from surgseg.files import write_json
    from surgseg.scores.report import leak_block
    from surgseg.training.compare import held_out_by_both, paired_difference, shared_videos

    def score(run, indices, name: str):
        samples = [prepared.samples[index] for index in indices]
        path = args.output_dir / f"split_{name}_metrics.json"
        record = console.run_metadata(args, machine.device)
        return evaluate_samples(
            run.checkpoint, samples, machine.device, batch_size=args.batch_size, metrics_path=path, void=args.void,
            data=prepared.data, run=record,
        )  # fmt: skip

    cache = open_cache(prepared.samples, fitted[0].checkpoint.image_size, prepared.scheme, args.cache_dir)
    reference, video_wise = next(pair for pair in zip(levelled, fitted) if pair[0].name == REFERENCE)
    rows = []
    for split, run in zip(levelled, fitted):
        own = score(run, split.parts["test"], split.name)
        near = near_copies(cache.frames, split.parts, cache.names)
        row = {
            "split": split.name,
            "train_frames": len(split.parts["train"]),
            "test_frames": len(split.parts["test"]),
            "shared_videos": shared_videos(split, prepared.samples),
            "near_copies": near.count,
            **{key: own["mean_instrument"][key] for key in ("iou", "dice")},
        }
        common = held_out_by_both(split, reference)
        if split.name != REFERENCE and len(common):
            own_there = score(run, common, f"{split.name}_on_common")
            video_wise_there = score(video_wise, common, f"{split.name}_on_common_{REFERENCE}")
            row["paired"] = paired_difference(own_there, video_wise_there)
        rows.append(row)
    result = {"reference": REFERENCE, "splits": rows, "data": prepared.data}
    write_json(args.output_dir / "leak_meter.json", {**result, "run": console.run_metadata(args, machine.device)})
    print(leak_block(result))
    print(
        f"\nWritten:\n  {args.output_dir / 'leak_meter.json'}\n  {args.output_dir}/split_*: weights, histories, metrics"
    )


if __name__ == "__main__":
    raise SystemExit(main())
