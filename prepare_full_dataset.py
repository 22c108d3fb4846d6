"""Prepare a whole data set (CholecSeg8k) for training, in the form that its authors distribute.

Reads the folder tree (videoXX/videoXX_NNNNN/frame_N_endo*.png, at any depth) or the downloaded zip.
Writes frames, masks of class ids, classes.json, manifest.csv with a split by video, and audit.json:

  python prepare_full_dataset.py --source-root CholecSeg8k --output-root data/full_dataset
  python prepare_full_dataset.py --source-root archive.zip --class-scheme full13 \\
      --output-root data/full13

After an interruption, run the same command again: finished files are kept. If some files are bad,
the good files are prepared and the exit status is 2; with --skip-bad, 0.
"""

from __future__ import annotations

from pathlib import Path

from surgseg.console import make_parser, report_errors
from surgseg.data.convert import Target
from surgseg.data.options import add_label_options, add_work_options, check_threads, chosen_scheme, report_preparation
from surgseg.data.prepare import check_separate, prepare
from surgseg.data.readers import READERS
from surgseg.data.release import SUFFIXES, read_release, release_scheme
from surgseg.data.sources import archives_beside, open_source
from surgseg.files import UserError


def build_parser():
    parser = make_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument("--source-root", type=Path, required=True, help="the release: a folder or a zip file (required)")
    files.add_argument(
        "--format",
        default="cholecseg8k",
        choices=READERS,
        metavar="NAME",
        help="the data set's format: a name of prepare_public_dataset.py --list (default: %(default)s)",
    )
    files.add_argument(
        "--output-root",
        type=Path,
        default=Path("data/full_dataset"),
        help="folder to write; other videos in it are kept (default: data/full_dataset)",
    )
    add_label_options(parser)
    add_work_options(parser)
    return parser


def main(argv=None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args) -> int:
    check_threads(args)
    reader = READERS[args.format]
    scheme = chosen_scheme(args, release_scheme(reader, args.class_scheme))
    target = Target(args.output_root, copy=args.copy, threads=args.threads)
    check_separate([target.root / target.frames, target.root / target.masks], [args.source_root])
    with open_source(args.source_root, SUFFIXES) as (files, data):
        try:
            found = read_release(args.format, files, args.source_root.resolve().name)
        except UserError as error:
            raise UserError(f"{error}{archives_beside(args.source_root)}") from error
        result = prepare(found, target, scheme, data, reader.licence)
    return report_preparation(result, target.root, target.frames, args.skip_bad)


if __name__ == "__main__":
    raise SystemExit(main())
