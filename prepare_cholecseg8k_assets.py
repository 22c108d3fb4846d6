"""Prepare a folder of frames and a folder of masks (or two folder trees) for training.

Pairs frames and masks by name, never by order. Writes sample_frames, masks of class ids,
classes.json, manifest.csv and audit.json. The default codes are those of CholecSeg8k; give code
lists for other data sets. A second run with another --video-id adds a video:

  python prepare_cholecseg8k_assets.py --frame-dir frames --mask-dir masks
  python prepare_cholecseg8k_assets.py --frame-dir OP1/Raw --mask-dir OP1/Masks --video-id op1 \\
      --instrument-codes 70 160                   (EndoVis 2015: 0 is background, nothing is void)

If a frame has no mask, or a mask no frame, nothing is written; --skip-bad prepares the other pairs.
If some files are bad, the good files are prepared and the exit status is 2; with --skip-bad, 0.
"""

from __future__ import annotations

from pathlib import Path

from surgseg.console import add_reviewed_option, make_parser, report_errors
from surgseg.data.convert import Target
from surgseg.data.options import add_label_options, add_work_options, check_threads, chosen_scheme, report_preparation
from surgseg.data.pairs import Found, describe_problems, with_threshold
from surgseg.data.prepare import check_separate, prepare
from surgseg.data.readers.folders import pair_folders
from surgseg.data.sources import archives_beside, data_kind, list_folder
from surgseg.files import UserError
from surgseg.labels import INSTRUMENT_CODES, VOID, Scheme, binary_scheme
from surgseg.reviews import check_no_review


def build_parser():
    parser = make_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument("--frame-dir", type=Path, required=True, help="folder of frames, at any depth (required)")
    files.add_argument(
        "--mask-dir", type=Path, required=True, help="folder of masks, at any depth; may be the same folder (required)"
    )
    files.add_argument(
        "--output-root",
        type=Path,
        default=Path("data"),
        help="folder to write; other videos in it are kept (default: data)",
    )
    files.add_argument(
        "--frame-suffix", metavar="TEXT", help="end of a frame's name before .png (default: _endo, _raw or nothing)"
    )
    files.add_argument(
        "--mask-suffix",
        metavar="TEXT",
        help="end of a mask's name before .png (default: _endo_watershed_mask, _class or nothing)",
    )
    files.add_argument(
        "--video-id",
        metavar="NAME",
        help="name of the video that all frames belong to (default: from folder or file names)",
    )
    files.add_argument(
        "--video-pattern",
        metavar="REGEX",
        help="regular expression whose one group is the video in a frame's path, such as '(OP[0-9]+)_'; joins files "
        "of one operation (default: from folder or file names)",
    )
    add_reviewed_option(files)
    labels = add_label_options(parser)
    labels.add_argument(
        "--instrument-codes", type=int, nargs="+", metavar="CODE", help="gray levels of instruments (default: 31 32)"
    )
    labels.add_argument(
        "--void-codes",
        type=int,
        nargs="*",
        metavar="CODE",
        help="gray levels of void; may be empty (default: 0 255 with CholecSeg8k's instrument codes, otherwise none)",
    )
    labels.add_argument(
        "--background-codes",
        type=int,
        nargs="+",
        metavar="CODE",
        help="gray levels of background; any other code is then an error (default: the other codes of CholecSeg8k; "
        "with other --instrument-codes, every remaining code)",
    )
    labels.add_argument(
        "--threshold-masks",
        type=int,
        metavar="LEVEL",
        help="binary masks, also JPEG and soft edges: gray from LEVEL (1-255, usually 128) on is instrument, "
        "the rest background (default: off)",
    )
    add_work_options(parser)
    return parser


def main(argv=None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args) -> int:
    check_threads(args)
    check_no_review(args.frame_dir, args.mask_dir)
    scheme = chosen_scheme(args, scheme_of_codes(args) or "binary")
    target = Target(args.output_root, "sample_frames", copy=args.copy, threads=args.threads)
    check_separate([target.root / target.frames, target.root / target.masks], [args.frame_dir, args.mask_dir])
    found = find_pairs(args)
    kinds = {data_kind(args.frame_dir), data_kind(args.mask_dir)}
    if len(kinds) > 1:
        raise UserError(f"{args.frame_dir} and {args.mask_dir}: one is synthetic, the other is not")
    result = prepare(found, target, scheme, kinds.pop(), reviewed=args.masks_reviewed)
    return report_preparation(result, target.root, target.frames, args.skip_bad)


def scheme_of_codes(args) -> Scheme | None:
    """The binary scheme of the code lists or of --threshold-masks; None without them. Raises `UserError` if two options
    contradict each other."""
    lists = (args.instrument_codes, args.void_codes, args.background_codes)
    threshold = args.threshold_masks
    if threshold is None and lists == (None, None, None):
        return None
    if args.class_scheme not in (None, "binary"):
        raise UserError(
            "code lists and --threshold-masks make a binary scheme: leave out --class-scheme, or put the codes in a "
            "JSON scheme"
        )
    if threshold is None:
        return binary_scheme(INSTRUMENT_CODES if lists[0] is None else lists[0], *lists[1:])
    if lists != (None, None, None):
        raise UserError("--threshold-masks decides by gray level: leave out the code lists")
    if not 1 <= threshold <= VOID:
        raise UserError(f"--threshold-masks {threshold}: a gray level of 1..255 is needed")
    return binary_scheme([1], [], [0])


def find_pairs(args) -> Found:
    frames, masks = list_folder(args.frame_dir), list_folder(args.mask_dir)
    for folder, files in ((args.frame_dir, frames), (args.mask_dir, masks)):
        if not files:
            raise UserError(f"no images in {folder} (png, jpg, bmp, tif, at any depth){archives_beside(folder)}")
    found = pair_folders(
        frames,
        masks,
        frame_suffix=args.frame_suffix,
        mask_suffix=args.mask_suffix,
        video_id=args.video_id,
        video_pattern=args.video_pattern,
        root_name=args.frame_dir.resolve().name,
    )
    if found.problems and not args.skip_bad:
        raise UserError(
            f"{len(found.problems)} faults in pairing frames with masks, nothing written:\n"
            f"{describe_problems(found.problems)}\n"
            "  correct the names, give --frame-suffix/--mask-suffix or --video-id, or skip these files with --skip-bad"
        )
    return found if args.threshold_masks is None else with_threshold(found, args.threshold_masks)


if __name__ == "__main__":
    raise SystemExit(main())
