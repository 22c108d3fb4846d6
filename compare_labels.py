"""Compare two sets of labels of the same frames: how much of a model's error is the labels?

  python compare_labels.py --mask-dir data/full_dataset --second-mask-dir data/polygons
  python compare_labels.py --mask-dir data/one --second-mask-dir data/two --pred-dir data/preds

Each set is a folder of masks or a prepared folder; masks of the same name belong together. With
--pred-dir, masks that a model predicted are scored against each set, and where both agree.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg import console
from surgseg.files import UserError, check_folder


def build_parser() -> argparse.ArgumentParser:
    parser = console.make_parser(__doc__)
    parser.add_argument("--mask-dir", type=Path, required=True, metavar="DIR", help="the first set of labels")
    parser.add_argument("--second-mask-dir", type=Path, required=True, metavar="DIR", help="the second set of labels")
    parser.add_argument(
        "--pred-dir", type=Path, metavar="DIR", help="predicted masks, of the classes of --mask-dir (default: none)"
    )
    parser.add_argument(
        "--class-scheme",
        metavar="NAME",
        help="classes of a set without classes.json: a name or a .json file (default: binary)",
    )
    parser.add_argument(
        "--border",
        type=float,
        default=5.0,
        metavar="PX",
        help="a pixel at most this far from the other set's instrument differs at the border (default: 5)",
    )
    parser.add_argument(
        "--video-pattern",
        metavar="REGEX",
        help="regular expression whose one group is the video in a mask's name (default: from manifest or name)",
    )
    console.add_tolerance_option(parser)
    console.add_reviewed_option(parser)
    parser.add_argument(
        "--output-dir", type=Path, default=Path("outputs/labels"), help="folder of results (default: outputs/labels)"
    )
    parser.add_argument(
        "--examples", type=int, default=5, metavar="N", help="worst frames in the picture; 0: none (default: 5)"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    return console.report_errors(run, build_parser().parse_args(argv))


def run(args: argparse.Namespace) -> int:
    if args.examples < 0 or not args.border >= 0:
        raise UserError(f"--examples {args.examples}, --border {args.border:g}: numbers from 0 are needed")
    check_folder(args.output_dir)
    from surgseg.evaluation.label_sets import compare_label_sets, read_label_set
    from surgseg.figures.labels import report_labels

    folders = args.mask_dir, args.second_mask_dir
    sets = [read_label_set(folder, args.class_scheme, reviewed=args.masks_reviewed) for folder in folders]
    how = {"tolerances": args.tolerance, "border": args.border, "video_pattern": args.video_pattern}
    found = compare_label_sets(*sets, args.pred_dir, **how)
    text, written = report_labels(found, args.output_dir, args.examples, console.run_metadata(vars(args)))
    print(text, "\nWritten:", *(f"  {path}" for path in written), sep="\n")
    return 0 if found.whole else console.PARTIAL


if __name__ == "__main__":
    raise SystemExit(main())
