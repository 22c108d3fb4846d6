"""Score a model, or existing predicted masks, against true masks.

  python analyze_model.py --mode dataset --mask-dir data/masks --pred-dir data/preds \\
      --num-classes 2 --class-names "background,instrument"
  python analyze_model.py --mode model --data-root data/full_dataset --split-part test
  python analyze_model.py --mode model --fit-temperature --choose-threshold

`--mode dataset` scores existing predictions at native size. `--mode model` predicts first; it takes
one part (--split-part) of the split that is stored in the weights file. Both write the scores, and
figures of the scores, of the audit of the data, and of example frames. --fit-temperature and
--choose-threshold use the validation part, and write new weights beside the old ones.
--second-mask-dir compares the true masks with other labels of the same frames.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from surgseg import console
from surgseg.evaluation import options
from surgseg.files import UserError, check_folder
from surgseg.places import find_data, find_weights
from surgseg.view import parse_view


def build_parser() -> argparse.ArgumentParser:
    parser = console.make_parser(__doc__)
    parser.add_argument(
        "--mode",
        default="dataset",
        choices=["dataset", "model"],
        help="score a folder of predictions, or a model (default: dataset)",
    )
    options.add_dataset_mode(parser)
    console.add_reviewed_option(parser)
    options.add_model_mode(parser)
    parser.add_argument(
        "--second-mask-dir",
        type=Path,
        metavar="DIR",
        help="other labels of the same frames: a folder of masks or a prepared folder (default: none)",
    )
    options.add_score_output(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    return console.report_errors(run, build_parser().parse_args(argv))


def run(args: argparse.Namespace) -> int:
    options.check_scoring(args)
    parse_view(args.view)
    from surgseg.figures import analysis
    from surgseg.figures.labels import report_labels
    from surgseg.scores.report import conventions_block, metrics_block

    figure_dir = args.figure_dir or args.output_dir / "figures"
    for folder in (args.output_dir, figure_dir):
        check_folder(folder)
    metrics_path = args.output_dir / "analysis_metrics.json"
    by_folder = args.mode == "dataset"
    second, compared = read_second(args), None
    if second and by_folder:  # refuse labels that do not fit before anything is written
        compared = compare_labels(args, args.mask_dir, options.find_scheme(args), second, args.pred_dir)
    metrics, scheme, mask_dir, files = (score_dataset if by_folder else score_model)(args, metrics_path)
    print(metrics_block(f"{metrics['data'].upper()} DATASET EVALUATION", metrics))
    if args.convention:
        print(conventions_block(metrics, args.convention))
    if by_folder:
        print(f"Predictions cover {metrics['frames']} of {metrics['masks']} masks.")
    pred_dir = args.pred_dir if by_folder else args.save_preds
    figures, notes, whole = analysis.write_figures(
        metrics_path, scheme, mask_dir, pred_dir, figure_dir, examples=args.examples, files=files
    )
    if second:
        compared = compared or compare_labels(args, mask_dir, scheme, second, pred_dir)
        text, more = report_labels(compared, args.output_dir, args.examples, console.run_metadata(vars(args)))
        print(text)
        figures, whole = [*figures, *more], whole and compared.whole
    table = metrics_path.with_name(f"{metrics_path.stem}_frames.csv")
    predictions = [] if by_folder or not pred_dir else [pred_dir]
    print("\nWritten:", *(f"  {written}" for written in (metrics_path, table, *figures, *predictions)), sep="\n")
    print(*notes, sep="\n", end="\n" if notes else "")
    scored = metrics["scored"]
    partial = scored["frames"] < scored["expected"]
    if partial:
        print(
            f"WARNING: only {scored['frames']} of {scored['expected']} frames were scored: the rest is not predicted."
        )
    return console.PARTIAL if partial or not whole else 0


def read_second(args: argparse.Namespace):
    """Return the `LabelSet` of --second-mask-dir, or None."""
    from surgseg.evaluation.label_sets import read_label_set

    return args.second_mask_dir and read_label_set(args.second_mask_dir, reviewed=args.masks_reviewed)


def compare_labels(args: argparse.Namespace, mask_dir: Path, scheme, second, pred_dir: Path):
    """Return the `LabelComparison` of both sets of labels and the predictions."""
    from surgseg.evaluation.label_sets import compare_label_sets, read_label_set

    first = replace(read_label_set(mask_dir, reviewed=args.masks_reviewed), scheme=scheme)
    how = {"tolerances": args.tolerance, "video_pattern": args.video_pattern}
    return compare_label_sets(first, second, pred_dir, **how)


def score_dataset(args: argparse.Namespace, metrics_path: Path) -> tuple:
    """Score the masks of two folders. Returns (metrics, class scheme, folder of true masks, None)."""
    from surgseg.data.sources import data_kind
    from surgseg.evaluation.folders import facts_of_predictions, score_folders
    from surgseg.evaluation.results import metrics_of, write_metrics

    scheme = options.find_scheme(args)
    how = {
        "require_all": args.require_all,
        "reviewed": args.masks_reviewed,
        "video_pattern": args.video_pattern,
        "tolerances": args.tolerance,
    }
    scored, masks = score_folders(args.mask_dir, args.pred_dir, scheme, args.void, **how)
    data, run = data_kind(args.mask_dir), console.run_metadata(vars(args))
    about = {**facts_of_predictions(args.pred_dir, scored, masks), "data": data}
    metrics = metrics_of(scored, scheme, about, masks=masks, data=data, run=run)
    write_metrics(metrics_path, scored, scheme, metrics)
    return metrics, scheme, args.mask_dir, None


def score_model(args: argparse.Namespace, metrics_path: Path) -> tuple:
    """Predict and score a part of the data. Returns (metrics, class scheme, folder of true masks, image files)."""
    from surgseg.checkpoint import load_checkpoint
    from surgseg.data.dataset import mark_predicted
    from surgseg.data.leaks import true_samples
    from surgseg.data.reviewed import load_data_root
    from surgseg.data.splits import stored_part
    from surgseg.evaluation.samples import evaluate_samples
    from surgseg.figures.examples import ImageFiles

    weights = find_weights(args.model_path)
    checkpoint = load_checkpoint(weights, args.arch)
    device = console.resolve_device(args.device)
    root = args.data_root or find_data()
    if root is None:
        raise UserError("no prepared data in data/full_dataset or data/sample_frames; name it with --data-root")
    prepared = load_data_root(root)
    if not args.masks_reviewed:
        prepared = mark_predicted(prepared)
    trained_on = checkpoint.training.get("data", "unknown")
    if trained_on != prepared.data:
        print(f"Warning: these weights were trained on {trained_on} data, and are scored on {prepared.data} data.")
    samples = true_samples(stored_part(prepared.samples, checkpoint.training.get("split"), args.split_part))
    view = parse_view(args.view, checkpoint.view)
    if args.fit_temperature or args.choose_threshold:
        fit_on_validation(args, weights, checkpoint, prepared, device, view)
    metrics = evaluate_samples(
        checkpoint,
        samples,
        device,
        threshold=args.threshold,
        batch_size=args.batch_size,
        pred_dir=args.save_preds,
        metrics_path=metrics_path,
        void=args.void,
        prepared=prepared,
        part=args.split_part,
        view=view,
        tolerances=args.tolerance,
        weights_data=trained_on,
        run=console.run_metadata(vars(args), device),
    )
    files = ImageFiles.of_samples(samples, args.save_preds) if args.save_preds else None
    return metrics, checkpoint.scheme, prepared.root / "masks", files


def fit_on_validation(args: argparse.Namespace, weights: Path, checkpoint, prepared, device, view) -> None:
    """Calibrate `checkpoint` on its validation part; write it beside `weights`."""
    from surgseg.evaluation.calibrate import write_calibrated
    from surgseg.evaluation.folders import earlier_predictions

    if args.save_preds:
        earlier_predictions(args.save_preds)  # refuse an unusable folder before the weights are written
    asked = {"temperature": args.fit_temperature, "threshold": args.choose_threshold}
    run = console.run_metadata(vars(args), device)
    print(write_calibrated(checkpoint, weights, prepared, device, run, **asked, batch_size=args.batch_size, view=view))


if __name__ == "__main__":
    raise SystemExit(main())
