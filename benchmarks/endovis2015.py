"""Train and score on EndoVis 2015: choose defaults, hold operations out, take fewer frames, go to other cameras.

  python benchmarks/endovis2015.py select --data-root data/endovis2015 --seeds 0        # the screening table
  python benchmarks/endovis2015.py transfer --only base plain --seeds 0 1               # rows by name
  python benchmarks/endovis2015.py score --only base plain --seeds 0 1                  # held-out operations
  python benchmarks/endovis2015.py frames --only lite "lite random" --seeds 0 1 2       # 5 to 80 training frames
  python benchmarks/endovis2015.py camera --only lite --other-roots data/half           # other data sets
  python benchmarks/endovis2015.py table                                                # the finished runs as markdown

`select` trains on the first three quarters of two operations and validates on their last quarters. It does not read the
third operation. `transfer` trains on one operation and scores another, for each of the six pairs; a validation part of
the training operations cannot measure this. `score` trains on all of two operations, on a fixed schedule, and scores
the third. For the row "lite chosen" it first chooses one option of each of FACTORS for the held-out operation, by the
`transfer` runs between the other two. `frames` does the same as `score` with some of the training frames, in about as
many steps. `camera` trains on all operations and scores other prepared folders. Every run is a call of
instrument_segmentation.py. Finished runs are not repeated, so that the same command continues a stopped table.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import random
import shlex
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from surgseg.data.dataset import Sample, load_prepared  # noqa: E402
from surgseg.files import read_csv, read_json, write_json  # noqa: E402

BASE = (
    "--arch unet --base-channels 16 --image-size 120 160 --epochs 40 --batch-size 4 --precision bf16 --augment medium"
)
LITE = "--arch lite-unet --image-size 192 256 --augment medium+border --precision auto --lr 0.001 --backbone-rate 0.3"
ROWS = {  # the options that each row adds; the last value of an option counts
    "base": "",
    "float32": "--precision float32",
    "plain": "--loss ce --augment none --ema-decay 0 --schedule constant",
    "loss ce": "--loss ce",
    "weights sqrt": "--class-weights sqrt",
    "weights inverse": "--class-weights inverse",
    "no EMA": "--ema-decay 0",
    "augment none": "--augment none",
    "augment light": "--augment light",
    "augment medium+border": "--augment medium+border",
    "rate 0.0003": "--lr 0.0003",
    "rate 0.003": "--lr 0.003",
    "constant rate": "--schedule constant",
    "size 136x136": "--image-size 136 136",
    "size 88x118": "--image-size 88 118",
    "size 192x256": "--image-size 192 256",
    "20 epochs": "--epochs 20",
    "80 epochs": "--epochs 80",
    "plain 80 epochs": "--loss ce --augment none --ema-decay 0 --schedule constant --epochs 80",
    "unet 32": "--base-channels 32 --image-size 192 256 --augment medium+border",
    "unet 32 medium": "--base-channels 32 --image-size 192 256",
    "deeplabv3 random": "--arch deeplabv3 --weights none --image-size 192 256 --augment medium+border",
    "lite": LITE,
    "lite medium": f"{LITE} --augment medium",
    "lite random": f"{LITE} --weights none --backbone-rate 1",
    "lite rate 0.0003": f"{LITE} --lr 0.0003",
    "lite rate 0.003": f"{LITE} --lr 0.003",
    "lite backbone 1": f"{LITE} --backbone-rate 1",
    "lite backbone 0.1": f"{LITE} --backbone-rate 0.1",
    "lite size 144x192": f"{LITE} --image-size 144 192",
    "lite size 288x384": f"{LITE} --image-size 288 384",
    "lite 20 epochs": f"{LITE} --epochs 20",
    "lite 80 epochs": f"{LITE} --epochs 80",
    "lite chosen": LITE,
}
FACTORS = (  # the rows among which "lite chosen" takes the best one
    ("lite", "lite rate 0.0003", "lite rate 0.003"),
    ("lite", "lite backbone 1", "lite backbone 0.1"),
    ("lite", "lite size 144x192", "lite size 288x384"),
    ("lite", "lite 20 epochs", "lite 80 epochs"),
)
FRAMES, STEPS, BATCH = (5, 10, 20, 40, 80), 400, 4  # of `frames`: training frames, steps of a run, frames of a step
STAGES = ("select", "transfer", "score", "frames", "camera")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=[*STAGES, "table"], help="what to do")
    parser.add_argument(
        "--data-root", type=Path, default=Path("data/endovis2015"), help="prepared folder (default: %(default)s)"
    )
    parser.add_argument(
        "--other-roots", type=Path, nargs="+", default=[], metavar="DIR", help="prepared folders of `camera`"
    )
    parser.add_argument(
        "--output-dir", type=Path, default=Path("outputs/endovis2015"), help="runs (default: %(default)s)"
    )
    parser.add_argument(
        "--cache-dir", type=Path, default=Path("data/cache"), help="resized cache (default: %(default)s)"
    )
    parser.add_argument(
        "--only", nargs="+", choices=ROWS, metavar="ROW", help=f"rows: {', '.join(ROWS)} (default: all)"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1], help="seeds (default: 0 1)")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each (default: 1)")
    parser.add_argument("--epochs", type=int, help="epochs of every row, to try the script (default: the row's)")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no run after this time (default: no limit)")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    failed = 0
    if args.stage != "table":
        samples = load_prepared(args.data_root).samples
        deadline = time.monotonic() + 60 * args.minutes
        runs = itertools.product(args.seeds, args.only or ROWS, folds(args.stage, samples))
        jobs = [make_job(args, samples, *run) for run in runs]
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(args.jobs, mp_context=context, initializer=use_one_thread) as pool:
            failed = sum(pool.map(train, *zip(*((*job, deadline) for job in jobs))))
    for stage in STAGES:
        print(table(args.output_dir / stage))
    return 1 if failed else 0


def folds(stage: str, samples: list[Sample]) -> list[str]:
    """Return the names of a stage's runs of each row and seed."""
    videos = sorted({sample.video for sample in samples})
    if stage == "transfer":
        return [f"{first}_to_{second}" for first, second in itertools.permutations(videos, 2)]
    if stage == "frames":
        return [f"{count:02d}_without_{video}" for count in FRAMES for video in videos]
    return ["all"] if stage == "camera" else [f"without_{video}" for video in videos]


def split_of(stage: str, fold: str, seed: int, samples: list[Sample]) -> dict[str, list[str]]:
    """Return the names of the frames of each part."""
    names = {}
    for sample in sorted(samples, key=lambda sample: sample.number):
        names.setdefault(sample.video, []).append(sample.name)
    if stage == "camera":
        return {"train": [name for video in sorted(names) for name in names[video]]}
    if stage == "transfer":
        first, second = fold.split("_to_")
        return {"train": names[first], "test": names[second]}
    count, held_out = fold.split("without_")
    others = [names[video] for video in sorted(names) if video != held_out]
    if stage == "select":
        ends = [round(0.75 * len(video)) for video in others]
        parts = {"train": zip(others, [0, 0], ends), "val": zip(others, ends, [None, None])}
        return {part: [name for video, *cut in cuts for name in video[slice(*cut)]] for part, cuts in parts.items()}
    train = [name for video in others for name in video]
    if count:
        train = random.Random(seed).sample(train, int(count[:-1]))
    return {"train": train, "test": names[held_out]}


def make_job(args: argparse.Namespace, samples: list[Sample], seed: int, row: str, fold: str) -> tuple:
    """Return the folder of a run, its command line, and the command lines that score other folders."""
    folder = args.output_dir / args.stage / row.replace(" ", "_") / f"seed_{seed}" / fold
    split = split_of(args.stage, fold, seed, samples)
    write_json(folder / "split.json", split)
    options = ROWS[row]
    if row == "lite chosen":
        options = choose(args.output_dir / "transfer", fold.split("without_")[1], sorted({s.video for s in samples}))
    argv = [*shlex.split(f"{BASE} {options}"), "--split", folder / "split.json", "--data-root", args.data_root]
    argv += ["--cache-dir", args.cache_dir, "--allow-shared-videos", "--seed", seed]
    argv += ["--output-dir", folder, "--save-preds", folder / "preds"]
    if args.stage == "frames":
        argv += ["--epochs", round(STEPS / max(1, len(split["train"]) // BATCH))]
    if args.epochs:
        argv += ["--epochs", args.epochs]
    weights = folder / "instrument_segmentation_model.pth"
    others = [
        ["--mode", "model", "--model-path", weights, "--data-root", root, "--split-part", "all", "--examples", 0]
        + ["--output-dir", folder / root.name, "--save-preds", folder / root.name / "preds"]
        for root in args.other_roots
    ]
    return folder, [str(word) for word in argv], [[str(word) for word in words] for words in others]


def choose(folder: Path, held_out: str, videos: list[str]) -> str:
    """Return the options of the best row of each factor, by the runs that do not read the held-out operation."""
    first, second = (video for video in videos if video != held_out)
    options = LITE
    for rows in FACTORS:
        scores = {}
        for row in rows:
            found = folder / row.replace(" ", "_")
            paths = [
                *found.glob(f"*/{first}_to_{second}/metrics.json"),
                *found.glob(f"*/{second}_to_{first}/metrics.json"),
            ]
            if paths:
                scores[row] = np.mean([score_of(path) for path in paths])
        best = max(scores, key=scores.get)
        options += ROWS[best].replace(LITE, "")
    print(f"chosen without {held_out}: {options}", flush=True)
    return options


def use_one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def train(folder: Path, argv: list[str], others: list[list[str]], deadline: float) -> int:
    """Train one run, unless it is already finished, and score other folders. Return the exit status."""
    if (folder / "finished").is_file():
        return 0
    if time.monotonic() > deadline:
        print(f"{folder}: not started, the time is over", flush=True)
        return 1
    import analyze_model
    import instrument_segmentation

    started = time.monotonic()
    with (folder / "log.txt").open("w") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            status = instrument_segmentation.main(argv)
            for words in others:
                status = status or analyze_model.main(words)
        except Exception:  # the other runs go on
            traceback.print_exc()
            status = 1
    if status == 0:
        (folder / "finished").touch()
    print(f"{folder}: exit status {status}, {time.monotonic() - started:.0f} s", flush=True)
    return int(status != 0)


def score_of(path: Path) -> float:
    """Return the Dice, or the share of the labelled pixels that is marked if no instrument is labelled."""
    metrics = read_json(path)
    empty = metrics["classes"]["instrument"]["n"] == 0
    return 1 - metrics["accuracy"] if empty else metrics["mean_instrument"]["dice"]


def table(folder: Path) -> str:
    """Return a markdown table. Each row has `score_of` each fold (mean over seeds), their mean, and that by seed."""
    scores: dict[str, dict[str, dict[str, float]]] = {}  # by row, seed and column
    seconds: dict[str, list[float]] = {}
    for row in ROWS:
        for mark in sorted((folder / row.replace(" ", "_")).glob("seed_*/*/finished")):
            run = mark.parent
            seconds.setdefault(row, []).append(sum(float(line["seconds"]) for line in read_csv(run / "history.csv")))
            for path in (run / "metrics.json", *run.glob("*/analysis_metrics.json")):
                if path.is_file():
                    column = run.name if path.parent == run else path.parent.name
                    scores.setdefault(row, {}).setdefault(run.parent.name[5:], {})[column] = score_of(path)
    columns = sorted({column for found in scores.values() for values in found.values() for column in values})
    lines = []
    for row, found in scores.items():
        whole = {
            seed: [values[name] for name in columns] for seed, values in found.items() if len(values) == len(columns)
        }
        if whole:
            runs = np.mean(list(whole.values()), axis=0)
            means = [f"{seed}: {np.mean(values):.3f}" for seed, values in sorted(whole.items())]
            shown = " | ".join(f"{value:.3f}" for value in runs)
            lines.append(
                f"| {row} | {shown} | {runs.mean():.3f} | {', '.join(means)} | {np.median(seconds[row]):.0f} |"
            )
    if not lines:
        return f"\n{folder.name}: nothing finished"
    names = ["row", *columns, "mean", "mean by seed", "seconds a run"]
    return "\n".join([f"\n{folder.name}\n", f"| {' | '.join(names)} |", "|---" * len(names) + "|", *lines])


if __name__ == "__main__":
    raise SystemExit(main())
