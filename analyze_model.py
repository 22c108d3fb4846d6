"""Score a model, or existing predicted masks, against true masks.

  python analyze_model.py --mode dataset --mask-dir data/masks --pred-dir data/preds \\
      --num-classes 2 --class-names "background,instrument"
  python analyze_model.py --mode model --data-root data/full_dataset --split-part test
  python analyze_model.py --mode model --fit-temperature --choose-threshold

`--mode dataset` scores existing predictions at native size. `--mode model` predicts first; it takes
one part (--split-part) of the split that is stored in the weights file. Both write the scores, and
figures of the scores, of the audit of the data, and of example frames. --fit-temperature and
--choose-threshold use the validation part, and write new weights beside the old ones.
--second-mask-dir compares the true masks with other labels of the same frames. Scores are also
grouped by what is known of the frames: instrument, brightness, sharpness, place, phase.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from surgseg import console
from surgseg.evaluation import options
from surgseg.files import check_folder
from surgseg.places import find_weights
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
    options.add_both_modes(parser)
    options.add_score_output(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    return console.report_errors(run, build_parser().parse_args(argv))


def run(args: argparse.Namespace) -> int:
    options.check_scoring(args)
    parse_view(args.view)
    from surgseg.evaluation.label_sets import read_label_set
    from surgseg.figures import analysis
    from surgseg.figures.labels import report_labels
    from surgseg.scores.report import conventions_block, metrics_block

    figure_dir = args.figure_dir or args.output_dir / "figures"
    for folder in (args.output_dir, figure_dir):
        check_folder(folder)
    metrics_path = args.output_dir / "analysis_metrics.json"
    by_folder = args.mode == "dataset"
    second = args.second_mask_dir and read_label_set(args.second_mask_dir, reviewed=args.masks_reviewed)
    metrics, scheme, mask_dir, files, compared = (score_dataset if by_folder else score_model)(
        args, metrics_path, second
    )
    print(metrics_block(f"{metrics['data'].upper()} DATASET EVALUATION", metrics))
    if args.convention:
        print(conventions_block(metrics, args.convention))
    if by_folder:
        print(f"Predictions cover {metrics['frames']} of {metrics['masks']} masks.")
    pred_dir = args.pred_dir if by_folder else args.save_preds
    figures, notes, whole = analysis.write_figures(
        metrics_path, scheme, mask_dir, pred_dir, figure_dir, examples=args.examples, files=files
    )
    if compared:
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


def score_dataset(args: argparse.Namespace, metrics_path: Path, second) -> tuple:
    """Score the masks of two folders, and compare them with the `LabelSet` `second`, if given.

    Returns (metrics, class scheme, folder of true masks, None, `LabelComparison` or None).
    """
    from surgseg.evaluation.folders import evaluate_folders
    from surgseg.evaluation.label_sets import compare_label_sets, read_label_set

    scheme, how = options.find_scheme(args), {"tolerances": args.tolerance, "video_pattern": args.video_pattern}
    compared = None
    if second:  # refuse labels that do not fit before anything is written
        truth = replace(read_label_set(args.mask_dir, reviewed=args.masks_reviewed), scheme=scheme)
        compared = compare_label_sets(truth, second, args.pred_dir, **how)
    metrics = evaluate_folders(
        args.mask_dir,
        args.pred_dir,
        scheme,
        metrics_path,
        args.void,
        read_frames=not args.skip_frames,
        phase_dir=args.phase_dir,
        run=console.run_metadata(vars(args)),
        require_all=args.require_all,
        reviewed=args.masks_reviewed,
        **how,
    )
    return metrics, scheme, args.mask_dir, None, compared


def score_model(args: argparse.Namespace, metrics_path: Path, second) -> tuple:
    """Predict and score a part of the data. Returns what `score_dataset` does, with the image files."""
    from surgseg.checkpoint import load_checkpoint
    from surgseg.evaluation.calibrate import write_calibrated
    from surgseg.evaluation.folders import earlier_predictions
    from surgseg.evaluation.label_sets import LabelSet, compare_label_sets
    from surgseg.evaluation.samples import evaluate_samples, load_part
    from surgseg.figures.examples import ImageFiles

    weights = find_weights(args.model_path)
    checkpoint = load_checkpoint(weights, args.arch)
    device = console.resolve_device(args.device)
    prepared, samples = load_part(args.data_root, checkpoint, args.split_part, args.masks_reviewed)
    view, run = parse_view(args.view, checkpoint.view), console.run_metadata(vars(args), device)
    batches = {"batch_size": args.batch_size, "view": view}
    fitted = {"temperature": args.fit_temperature, "threshold": args.choose_threshold}
    if args.save_preds:
        earlier_predictions(args.save_preds)  # refuse an unusable folder before weights are written
    truth = LabelSet(prepared.root / "masks", {sample.name: sample.mask for sample in samples}, checkpoint.scheme)
    if second:
        compare_label_sets(truth, second, tolerances=())  # refuse labels that do not fit
    if any(fitted.values()):
        print(write_calibrated(checkpoint, weights, prepared, device, run, **fitted, **batches))
    metrics = evaluate_samples(
        checkpoint,
        samples,
        device,
        threshold=args.threshold,
        pred_dir=args.save_preds,
        metrics_path=metrics_path,
        void=args.void,
        prepared=prepared,
        part=args.split_part,
        tolerances=args.tolerance,
        phase_dir=args.phase_dir,
        weights_data=checkpoint.training.get("data", "unknown"),
        run=run,
        **batches,
    )
    files = ImageFiles.of_samples(samples, args.save_preds) if args.save_preds else None
    compared = second and compare_label_sets(truth, second, args.save_preds, tolerances=args.tolerance)
    return metrics, checkpoint.scheme, truth.folder, files, compared


if __name__ == "__main__":
    raise SystemExit(main())
