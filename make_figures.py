"""Make every figure of the study again; `make figures` calls this script.

  python make_figures.py              # from synthetic frames, 14 minutes or more
  python make_figures.py --data-root data/full_dataset --video-paths video01.mp4 video80.mp4

Every command is printed before it runs, so each can be run alone. Figures go to outputs/figures and
outputs/comparative; outputs/figures/figures.json lists the command of each figure. Figures of
synthetic data carry the mark SYNTHETIC, and never the name of a figure of the original study:
video01_* and video80_* are made from real videos only. On real data, an unfinished training is
resumed and a finished one reused; the model of the demo is always trained again.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

from surgseg.console import PARTIAL, git_state, make_parser, report_errors
from surgseg.figures import plan
from surgseg.files import UserError, write_json

ROOT = Path(__file__).resolve().parent


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    source = parser.add_argument_group("input")
    source.add_argument("--data-root", type=Path, help="prepared folder of real data (default: synthetic frames)")
    source.add_argument(
        "--video-paths",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="two or more videos of operations (default: none)",
    )
    source.add_argument(
        "--names",
        nargs="+",
        metavar="NAME",
        help="a name for each video (default: its file name if it is like video01, else operation_1, ...)",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--epochs",
        type=int,
        help=f"epochs of every training; without --data-root, of the comparison only (default: {plan.EPOCHS})",
    )
    training.add_argument(
        "--train-options", default="", metavar="TEXT",
        help='options for both training scripts, on real data, e.g. "--split sp-tcn --batch-size 16" (default: none)',
    )  # fmt: skip
    training.add_argument(
        "--retrain",
        action="store_true",
        help="on real data, train and apply the model again; the comparison is still resumed (default: resume both)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--copies",
        type=Path,
        metavar="DIR",
        help="folder to write small copies into, for docs/figures.md (default: none)",
    )
    output.add_argument("--dry-run", action="store_true", help="print the commands and run none (default: run them)")
    return parser


def main(argv: list[str] | None = None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args: argparse.Namespace) -> int:
    if args.epochs is not None and args.epochs < 1:
        raise UserError(f"--epochs {args.epochs}: 1 or more")
    if args.data_root is None:
        for name in ("video_paths", "names", "train_options", "retrain"):
            if getattr(args, name):
                raise UserError(f"--{name.replace('_', '-')} belongs to real data: give --data-root too")
        data, steps = Path("data/demo/dataset"), plan.synthetic_steps(args.epochs or plan.EPOCHS)
    else:
        data, steps = args.data_root, real_steps(args)
    if args.dry_run:
        print(*map(shown, steps), sep="\n")
        return 0
    started = time.perf_counter()
    done = [execute(step.of_frame(data)) for step in steps]
    if args.data_root and not args.video_paths:
        print("\nNo --video-paths: the figures of the study of two videos were not made.")
    return finish(args, done, time.perf_counter() - started)


def real_steps(args: argparse.Namespace) -> list[plan.Step]:
    """The commands for the user's own data. Raises `UserError` for unprepared data and unusable videos or names."""
    from surgseg.data.dataset import is_prepared
    from surgseg.data.sources import data_kind
    from surgseg.video.reader import VideoReader

    if not is_prepared(args.data_root):
        raise UserError(f"{args.data_root} is no prepared folder: run prepare_full_dataset.py first")
    names = plan.name_videos(args.video_paths, args.names)
    kinds = [data_kind(args.data_root)]
    for path in args.video_paths:  # an unreadable video is found here, before hours of training
        with VideoReader(path) as reader:
            kinds.append(reader.data)
    if "synthetic" in kinds:  # figures of synthetic data must not carry a study's name
        names = [name if name.startswith("synthetic_") else f"synthetic_{name}" for name in names]
    try:
        training = shlex.split(args.train_options)
    except ValueError as error:
        raise UserError(f"--train-options {args.train_options}: {error}") from error
    training += ["--epochs", str(args.epochs)] if args.epochs else []
    return plan.real_steps(args.data_root, dict(zip(names, args.video_paths)), training, resume=not args.retrain)


def shown(step: plan.Step) -> str:
    return shlex.join(["python", *step.command])


def execute(step: plan.Step) -> tuple[plan.Step, int, float]:
    """Run a step's command in a new process; returns (step, status, seconds). Raises `UserError` where it fails."""
    print(f"\n$ {shown(step)}", flush=True)
    started = time.perf_counter()
    first, *rest = step.command
    target = first if first == "-m" else str(ROOT / first)
    status = subprocess.run([sys.executable, target, *rest], check=False).returncode
    if status == 130:
        raise KeyboardInterrupt
    missing = [path for path in step.figures if not path.is_file()]
    if status not in (0, PARTIAL) or missing:
        hint = "; --retrain starts the training again" if "--resume" in step.command else ""
        without = f" without making {missing[0]}" if missing else ""
        raise UserError(f"{step.script} ended with status {status}{without}; see its command above{hint}")
    return step, status, time.perf_counter() - started


def finish(args: argparse.Namespace, done: list, seconds: float) -> int:
    """List the figures and their commands, write the copies, and return the exit status."""
    from surgseg.figures.copies import copy_small

    made = {
        str(path): {"script": step.script, "command": shown(step), "seconds": round(took, 1)}
        for step, _, took in done
        for path in step.figures
    }
    write_json(plan.FIGURES / "figures.json", {"figures": made, "seconds": round(seconds, 1), "git": git_state()})
    for path in map(Path, made if args.copies else ()):
        copy_small(path, args.copies)
    print(f"\n{len(made)} figures in {seconds / 60:.1f} minutes; {plan.FIGURES / 'figures.json'} lists them:")
    print(*(f"  {path}  <- {record['script']}" for path, record in made.items()), sep="\n")
    partial = list(dict.fromkeys(step.script for step, status, _ in done if status == PARTIAL))
    if partial:
        print(f"Partial results, as said above: {', '.join(partial)}")
    return PARTIAL if partial else 0


if __name__ == "__main__":
    raise SystemExit(main())
