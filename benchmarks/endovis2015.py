"""Choose the training defaults on EndoVis 2015, then score them once on each held-out operation.

  python benchmarks/endovis2015.py select --data-root data/endovis2015 --seeds 0        # the screening table
  python benchmarks/endovis2015.py transfer --only base plain --seeds 0 1               # rows by name
  python benchmarks/endovis2015.py score --only base plain --seeds 0 1                  # held-out operations
  python benchmarks/endovis2015.py table                                                # the finished runs as markdown

`select` trains on the first three quarters of two operations and validates on their last quarters. It does not read the
third operation. `transfer` trains on one operation and scores another, for each of the six pairs; a validation part of
the training operations cannot measure this. `score` trains on all of two operations, on a fixed schedule, and scores
the third. Every run is a call of instrument_segmentation.py on one thread. Finished runs are not repeated, so that the
same command continues a stopped table.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from surgseg.data.dataset import load_prepared  # noqa: E402
from surgseg.files import read_csv, read_json, write_json  # noqa: E402

BASE = "--arch unet --base-channels 16 --image-size 120 160 --epochs 40 --batch-size 4 --precision bf16"
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
}
RUNS = {"select": 3, "transfer": 6, "score": 3}  # of each row and seed


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=[*RUNS, "table"], help="what to do")
    parser.add_argument(
        "--data-root", type=Path, default=Path("data/endovis2015"), help="prepared folder (default: %(default)s)"
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
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    failed = 0
    if args.stage != "table":
        splits = write_splits(args.data_root, args.output_dir / "splits")
        wanted = [
            (row, seed, fold)
            for seed in args.seeds
            for row in (args.only or ROWS)
            for fold in sorted(splits[args.stage])
        ]
        with ThreadPoolExecutor(args.jobs) as pool:
            failed = sum(pool.map(lambda job: train(args, splits[args.stage], *job) != 0, wanted))
    for stage in RUNS:
        print(table(args.output_dir / stage))
    return 1 if failed else 0


def write_splits(root: Path, folder: Path) -> dict[str, dict[str, Path]]:
    """Write a split by frame name for each stage and fold; return their paths by stage and fold."""
    samples = load_prepared(root).samples
    videos = sorted({sample.video for sample in samples})
    splits: dict[str, dict[str, Path]] = {stage: {} for stage in RUNS}
    for first, second in itertools.permutations(videos, 2):
        splits["transfer"][f"{first}_to_{second}"] = folder / f"transfer_{first}_to_{second}.json"
        value = {
            part: [s.name for s in samples if s.video == video] for part, video in (("train", first), ("test", second))
        }
        write_json(splits["transfer"][f"{first}_to_{second}"], value)
    for held_out in videos:
        parts: dict[str, list[str]] = {"train": [], "val": [], "all": [], "test": []}
        for video in videos:
            names = [s.name for s in sorted((s for s in samples if s.video == video), key=lambda s: s.number)]
            if video == held_out:
                parts["test"] = names
                continue
            first = round(0.75 * len(names))
            parts["train"] += names[:first]
            parts["val"] += names[first:]
            parts["all"] += names
        for stage, value in (
            ("select", {"train": parts["train"], "val": parts["val"]}),
            ("score", {"train": parts["all"], "test": parts["test"]}),
        ):
            name = f"without_{held_out}"
            splits[stage][name] = folder / f"{stage}_{name}.json"
            write_json(splits[stage][name], value)
    return splits


def train(args: argparse.Namespace, splits: dict[str, Path], row: str, seed: int, fold: str) -> int:
    """Train one fold and return the exit status; 0 if it is already finished."""
    folder = args.output_dir / args.stage / row.replace(" ", "_") / f"seed_{seed}" / fold
    if (folder / "metrics.json").is_file():
        return 0
    command = [sys.executable, str(ROOT / "instrument_segmentation.py"), *shlex.split(f"{BASE} {ROWS[row]}")]
    command += ["--split", splits[fold], "--data-root", args.data_root, "--cache-dir", args.cache_dir]
    command += ["--allow-shared-videos", "--output-dir", folder, "--save-preds", folder / "preds", "--seed", seed]
    if args.epochs:
        command += ["--epochs", args.epochs]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("w") as log:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        status = subprocess.run([str(word) for word in command], stdout=log, stderr=subprocess.STDOUT, env=environment)
    print(f"{args.stage} {row}, seed {seed}, {fold}: exit status {status.returncode}", flush=True)
    return status.returncode


def table(folder: Path) -> str:
    """Return a markdown table. Each row has the Dice of each fold (mean over seeds), their mean, and that by seed."""
    lines, columns = [], []
    for row in ROWS:
        found: dict[str, dict[str, float]] = {}
        seconds = []
        for path in sorted((folder / row.replace(" ", "_")).glob("seed_*/*/metrics.json")):
            metrics = read_json(path)
            found.setdefault(path.parents[1].name, {})[path.parent.name] = metrics["mean_instrument"]["dice"]
            seconds.append(sum(float(line["seconds"]) for line in read_csv(path.with_name("history.csv"))))
        whole = {seed: values for seed, values in found.items() if len(values) == RUNS[folder.name]}
        if whole:
            columns = sorted(next(iter(whole.values())))
            runs = [np.mean([values[name] for values in whole.values()]) for name in columns]
            means = [f"{seed[5:]}: {np.mean(list(values.values())):.3f}" for seed, values in sorted(whole.items())]
            shown = " | ".join(f"{value:.3f}" for value in runs)
            lines.append(f"| {row} | {shown} | {np.mean(runs):.3f} | {', '.join(means)} | {np.median(seconds):.0f} |")
    if not lines:
        return f"\n{folder.name}: nothing finished"
    names = ["row", *columns, "mean Dice", "mean by seed", "seconds a run"]
    return "\n".join([f"\n{folder.name}\n", f"| {' | '.join(names)} |", "|---" * len(names) + "|", *lines])


if __name__ == "__main__":
    raise SystemExit(main())
