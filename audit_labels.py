"""Rank labelled frames by how surely models that did not train on them contradict their labels.

  python instrument_segmentation.py --data-root data/full_dataset --folds 5 --output-dir out/cv
  python audit_labels.py --data-root data/full_dataset --models out/cv/fold_*/*_model.pth

Each weights file predicts the test part of its own split. Look at the first frames, in
label_audit.csv and .png: a wrong label leads to the top, and so does a frame that the models do
not master.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from surgseg import console
from surgseg.files import UserError, check_folder
from surgseg.places import find_data

SHOWN = 20  # frames on the screen


def build_parser() -> argparse.ArgumentParser:
    parser = console.make_parser(__doc__)
    parser.add_argument(
        "--models", type=Path, nargs="+", required=True, metavar="FILE", help="weights files of the folds"
    )
    parser.add_argument("--data-root", type=Path, help="prepared folder (default: data/full_dataset, else data)")
    parser.add_argument(
        "--output-dir", type=Path, default=Path("outputs/labels"), help="folder of results (default: outputs/labels)"
    )
    console.add_reviewed_option(parser)
    console.add_device_option(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    return console.report_errors(run, build_parser().parse_args(argv))


def run(args: argparse.Namespace) -> int:
    check_folder(args.output_dir)
    from surgseg.data.dataset import mark_predicted
    from surgseg.data.leaks import true_samples
    from surgseg.data.reviewed import load_data_root
    from surgseg.figures.labels import draw_suspects
    from surgseg.files import write_csv
    from surgseg.study.label_audit import AuditedLabel, audit_labels

    root = args.data_root or find_data()
    if root is None:
        raise UserError("no prepared data in data/full_dataset or data/sample_frames; name it with --data-root")
    prepared = load_data_root(root)
    if not args.masks_reviewed:
        prepared = mark_predicted(prepared)
        prepared = replace(prepared, samples=true_samples(prepared.samples))
    ranked, probabilities, notes = audit_labels(args.models, prepared, console.resolve_device(args.device))
    path = args.output_dir / "label_audit.csv"
    rows = [{"rank": rank, **row._asdict(), "score": f"{row.score:.6f}"} for rank, row in enumerate(ranked, 1)]
    write_csv(path, ("rank", *AuditedLabel._fields), rows)
    written = [path, *draw_suspects(ranked, probabilities, prepared, path.with_suffix(".png"))]
    print(f"{'Rank':<6}{'Frame':<32}{'Score':>10}{'Missing':>10}{'Extra':>10}{'Labelled':>10}   (pixels)")
    for row in rows[:SHOWN]:
        pixels = "".join(f"{row[key]:>10}" for key in ("missing", "extra", "labelled"))
        print(f"{row['rank']:<6}{row['name']:<32}{row['score']:>10}{pixels}")
    print("Missing: labelled background, the model is sure of an instrument; extra: the other way round.")
    print(*(f"WARNING: {note}" for note in notes), "\nWritten:", *(f"  {path}" for path in written), sep="\n")
    return console.PARTIAL if len(ranked) < len(prepared.samples) else 0


if __name__ == "__main__":
    raise SystemExit(main())
