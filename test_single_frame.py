"""Predict one frame and show it at several thresholds: probability map, masks, coverage, IoU.

  python test_single_frame.py --frame frame.png --thresholds 0.25 0.5 0.75 --mask frame_mask.png

Writes test_single_frame.png and .json, a figure for each threshold (test_mask_thresh03.png, ...)
and, in masks/, the masks as indexed PNGs. IoU and Dice need the true mask (--mask). Do not choose a
threshold from a single frame, or from the test part. This script is a tool, not a software test.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg import console
from surgseg.files import UserError, check_folder, write_json
from surgseg.generate.options import add_weights_options
from surgseg.places import find_weights
from surgseg.view import parse_view, view_of


def build_parser() -> argparse.ArgumentParser:
    parser = console.make_parser(__doc__)
    source = parser.add_argument_group("input")
    source.add_argument("--frame", type=Path, required=True, metavar="FILE", help="image of the frame (required)")
    source.add_argument("--mask", type=Path, metavar="FILE", help="true mask of the frame, class ids (default: none)")
    console.add_reviewed_option(source)
    model = add_weights_options(parser)
    console.add_view_option(model)
    console.add_device_option(model)
    model.add_argument(
        "--thresholds",
        type=float,
        nargs="+",
        default=[0.3, 0.5, 0.7],
        metavar="P",
        help="least probabilities of instrument, each between 0 and 1 (default: 0.3 0.5 0.7)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output-dir",
        type=Path,
        default=Path("outputs/figures"),
        metavar="DIR",
        help="folder of the results (default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    return console.report_errors(work, build_parser().parse_args(argv))


def work(args: argparse.Namespace) -> int:
    bad = [value for value in args.thresholds if not 1e-6 <= value < 1]
    if bad:
        raise UserError(f"--thresholds {bad[0]:g}: a probability between 0 and 1 is needed")
    parse_view(args.view)
    check_folder(args.output_dir)
    from surgseg.analysis.thresholds import union_truth
    from surgseg.checkpoint import load_checkpoint
    from surgseg.data.sources import data_kind
    from surgseg.figures.examples import check_size
    from surgseg.figures.selection import synthetic_mark
    from surgseg.figures.single_frame import thresholds_table, write_thresholds
    from surgseg.frames import read_frame
    from surgseg.generate.folder import MIN_COMPONENT_AREA
    from surgseg.mask_folders import settle_masks
    from surgseg.masks import read_mask
    from surgseg.predict import Predictor
    from surgseg.predicted import predicted_masks

    frame = read_frame(args.frame)
    device = console.resolve_device(args.device)
    checkpoint = load_checkpoint(find_weights(args.model_path), args.arch)
    truth = None
    if args.mask:
        settle_masks(args.mask.parent, checkpoint.scheme)
        if not args.masks_reviewed and predicted_masks([args.mask]):
            raise UserError(f"{args.mask} is a prediction of a model, not truth: correct it, or give --masks-reviewed")
        truth = read_mask(args.mask, checkpoint.scheme.num_classes)
        check_size(frame, args.frame, truth, args.mask)
        truth = union_truth(truth, checkpoint.scheme.instrument_ids)
    kinds = {"data": data_kind(args.frame.parent), "weights_data": checkpoint.training.get("data", "unknown")}
    view = view_of(parse_view(args.view, checkpoint.view), [frame])
    probabilities = Predictor(checkpoint, device).probabilities(frame[None], view)
    record, written = write_thresholds(
        frame,
        args.frame,
        probabilities,
        checkpoint.scheme,
        args.thresholds,
        args.output_dir,
        truth=truth,
        mark=synthetic_mark(**kinds),
    )
    path = args.output_dir / "test_single_frame.json"
    weights = {"sha256": checkpoint.sha256, "arch": checkpoint.arch, "image_size": checkpoint.image_size}
    write_json(
        path,
        {
            **record,
            **kinds,
            "view_rectangle": view.rectangle,
            "weights": weights,
            "run": console.run_metadata(vars(args), device),
        },
    )
    print(thresholds_table(record["thresholds"]))
    print(f"\nCoverage: % of the frame. Components: connected, from {MIN_COMPONENT_AREA:.2%} of the frame on.")
    usual = "the most probable class, no" if checkpoint.threshold is None else f"{checkpoint.threshold:g} as"
    print(f"Where no --threshold is given, the other scripts take {usual} threshold of these weights.")
    print(f"Field of view: {view}")
    print("\nWritten:", *(f"  {item}" for item in (*written, path)), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
