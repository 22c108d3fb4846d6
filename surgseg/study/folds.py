"""Cross-validation: the same training on every fold by video, each in a folder of its own, and all their scores."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from surgseg.console import run_metadata
from surgseg.data.dataset import Prepared
from surgseg.data.splits import video_folds
from surgseg.files import read_json, write_json
from surgseg.scores.report import folds_block, heading, summarise_folds
from surgseg.training.fit import Machine

Train = Callable[[argparse.Namespace, Prepared, Machine], int]  # writes metrics.json; returns the exit status


def run_folds(args: argparse.Namespace, prepared: Prepared, machine: Machine, train: Train) -> int:
    """Every fold of `args.folds` in turn through `train`, then folds.json; the exit status of the first that fails."""
    folds = video_folds(prepared.samples, args.folds)
    metrics = []
    for fold in range(1, len(folds) + 1):
        print(heading(f"FOLD {fold} OF {len(folds)}"))
        own = {
            "fold": fold,
            "output_dir": args.output_dir / f"fold_{fold}",
            "save_preds": args.save_preds.with_name(f"{args.save_preds.name}_fold_{fold}"),
            "figure_dir": args.figure_dir and args.figure_dir / f"fold_{fold}",
        }
        status = train(argparse.Namespace(**{**vars(args), **own}), prepared, machine)
        if machine.processes.from_first(lambda status=status: status):
            return status
        if machine.processes.first:
            metrics.append(read_json(own["output_dir"] / "metrics.json"))
    if not machine.processes.first:
        return 0
    summary = summarise_folds(folds, metrics)
    write_json(args.output_dir / "folds.json", {**summary, "run": run_metadata(args)})
    print(folds_block(summary), f"\nWritten:\n  {args.output_dir / 'folds.json'}")
    return 0
