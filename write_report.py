"""Write report.md and MODEL_CARD.md of a scored model, from the files that its runs left.

  python write_report.py --metrics outputs/analysis_metrics.json
  python write_report.py --model-path mine.pth --metrics mine/metrics.json --generated-dir data/v01
  python write_report.py --folds outputs/folds/folds.json

Every number is read from JSON and CSV files: the metrics JSON with its frame table, the metadata
beside the weights, audit.json of the data, run.json of a generated folder (for the speed), and the
results of cross-validation, comparison of models, and comparison of labels. Nothing is predicted or
typed; what no file tells is "not answered". The worst frames are shown where the predictions were
saved (--save-preds).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg import console
from surgseg.files import UserError, check_folder, file_sha256, read_csv, read_json, write_text
from surgseg.places import DATA, DEFAULT_WEIGHTS, find_data, find_weights

RELATED = {
    "--folds": "folds.json of instrument_segmentation.py --folds, of these weights or their architecture and videos",
    "--comparison": "comparison.json of train_comparative.py, with these weights in it",
    "--label-comparison": "label_comparison.json of compare_labels.py, of the same videos",
}


def build_parser() -> argparse.ArgumentParser:
    parser = console.make_parser(__doc__)
    parser.add_argument(
        "--metrics",
        type=Path,
        default=DEFAULT_WEIGHTS.parent / "metrics.json",
        metavar="FILE",
        help="scores of a model, of instrument_segmentation.py or analyze_model.py (default: outputs/metrics.json)",
    )
    parser.add_argument(
        "--model-path", type=Path, default=DEFAULT_WEIGHTS, metavar="FILE", help=f"weights (default: {DEFAULT_WEIGHTS})"
    )
    parser.add_argument(
        "--data-root", type=Path, metavar="DIR", help="prepared folder (default: that of the command that scored)"
    )
    parser.add_argument(
        "--generated-dir", type=Path, metavar="DIR", help="generated folder, for the speed (default: none)"
    )
    for option, what in RELATED.items():
        parser.add_argument(option, type=Path, metavar="FILE", help=f"{what} (default: none)")
    parser.add_argument(
        "--output-dir", type=Path, default=Path("outputs/report"), help="folder to write (default: outputs/report)"
    )
    return parser


def work(args: argparse.Namespace) -> int:
    weights = find_weights(args.model_path)
    metrics, metadata = read_json(args.metrics), read_json(weights.with_suffix(".json"))
    known = isinstance(metrics, dict) and {"weights", "frame_distribution", "strata"} <= metrics.keys()
    if not known or any("videos" not in group for groups in metrics["strata"].values() for group in groups):
        raise UserError(
            f"{args.metrics} holds no scores of a model, or those of an earlier version; analyze_model.py --mode model "
            "writes them"
        )
    sha256 = metrics["weights"]["sha256"]
    if sha256 != file_sha256(weights):
        raise UserError(f"{args.metrics} holds the scores of other weights than {weights}: give both of one model")
    frames = read_csv(args.metrics.with_name(f"{args.metrics.stem}_frames.csv"))
    given = args.data_root or metrics["run"]["arguments"].get("data_root")
    root = Path(given or find_data() or DATA[0])
    speed = read_json(args.generated_dir / "run.json") if args.generated_dir else None
    if speed and speed.get("weights_sha256") != sha256:
        raise UserError(
            f"{args.generated_dir} was generated with other weights than {weights}: its speed is not theirs"
        )
    from surgseg.study.related import read_folds, read_label_comparison, read_model_comparison

    related = {
        "folds": (args.folds, read_folds),
        "comparison": (args.comparison, read_model_comparison),
        "labels": (args.label_comparison, read_label_comparison),
    }
    related = {name: read(path, metrics, metadata) for name, (path, read) in related.items() if path}
    check_folder(args.output_dir)
    from surgseg.figures.analysis import write_figures
    from surgseg.figures.dataset import has_tables
    from surgseg.figures.training import draw_training_loss
    from surgseg.labels import Scheme
    from surgseg.study.run_facts import RunFacts
    from surgseg.study.run_report import model_card, run_report

    folder, scheme = args.output_dir / "figures", Scheme.from_json(metadata["classes"], str(weights))
    written, notes, whole = write_figures(args.metrics, scheme, root / "masks", saved_predictions(metrics), folder)
    if history := metadata["training"].get("history"):
        options = {"chosen_epoch": metadata["training"]["chosen_epoch"], "synthetic": metrics["data"] == "synthetic"}
        written.append(draw_training_loss(history, folder / "training_loss.png", **options))
    audit = read_json(root / "audit.json") if (root / "audit.json").is_file() else None
    audit = audit if has_tables(audit) else None
    figures = [path.relative_to(args.output_dir).as_posix() for path in written]
    facts = RunFacts(metrics, frames, metadata, audit, speed, figures, notes, **related)
    pages = {args.output_dir / "report.md": run_report, args.output_dir / "MODEL_CARD.md": model_card}
    for path, page in pages.items():
        write_text(path, page(facts))
    print("Written:", *(f"  {path}" for path in (*pages, *written)), sep="\n")
    return 0 if whole else console.PARTIAL


def saved_predictions(metrics: dict) -> Path | None:
    """Return the folder of the scored predictions, in a cross-validation that of the fold; None if it holds others."""
    from surgseg.predicted import LISTING

    if not (saved := metrics["run"]["arguments"].get("save_preds")):
        return None
    listings = [Path(saved, LISTING), *sorted(Path(saved).parent.glob(f"{Path(saved).name}_fold_*/{LISTING}"))]
    for listing in listings:
        if listing.is_file() and read_json(listing).get("weights_sha256") == metrics["weights"]["sha256"]:
            return listing.parent
    return None


def main(argv: list[str] | None = None) -> int:
    return console.report_errors(work, build_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
