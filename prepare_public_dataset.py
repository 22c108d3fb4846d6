"""Prepare a public surgical data set for training, as its authors distribute it.

Reads the folder tree, or a zip, of one data set. Writes frames, masks of class ids, classes.json,
manifest.csv with the set's published split by video, and audit.json:

  python prepare_public_dataset.py --list
  python prepare_public_dataset.py --dataset endovis2017 --source-root EndoVis2017

If anything is wrong with the files, all faults are named and nothing is written; --skip-bad
prepares the other files. What counts as an instrument in which set: docs/public_datasets.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from surgseg.console import make_parser, report_errors
from surgseg.data.convert import Target
from surgseg.data.options import (
    SHOWN,
    add_label_options,
    add_work_options,
    check_threads,
    chosen_scheme,
    report_preparation,
)
from surgseg.data.pairs import describe_problems
from surgseg.data.prepare import check_separate, prepare
from surgseg.data.readers import READERS
from surgseg.data.release import SPLITS, SUFFIXES, read_release, release_scheme, table_of_sets
from surgseg.data.sources import archives_beside, open_source
from surgseg.files import UserError, atomic_folder


def build_parser():
    parser = make_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument("--list", action="store_true", help="print the data sets as a table, and end (default: off)")
    files.add_argument(
        "--dataset", choices=READERS, metavar="NAME", help="a name of --list (needed without it; default: none)"
    )
    files.add_argument("--source-root", type=Path, help="the data set: a folder or a zip file (needed; default: none)")
    files.add_argument(
        "--output-root", type=Path, help="folder to write; must not exist (default: data/ and the name of the data set)"
    )
    videos = parser.add_argument_group("videos")
    videos.add_argument(
        "--split",
        default="published",
        choices=SPLITS,
        help="published: the parts of the set, if it has some; video: divide its videos anew (default: published)",
    )
    videos.add_argument(
        "--video-pattern",
        metavar="REGEX",
        help="regular expression whose one group is the video in a frame's path (default: as the set names its videos)",
    )
    add_label_options(parser, ", for most sets instruments (each instrument label is a class)")
    add_work_options(parser)
    return parser


def main(argv=None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args) -> int:
    if args.list:
        print(table_of_sets())
        return 0
    if args.dataset is None or args.source_root is None:
        raise UserError("--dataset and --source-root are needed; --list prints the data sets")
    check_threads(args)
    output, reader = args.output_root or Path("data") / args.dataset, READERS[args.dataset]
    scheme = chosen_scheme(args, release_scheme(reader, args.class_scheme))
    check_separate([output], [args.source_root])
    with open_source(args.source_root, SUFFIXES) as (files, data), atomic_folder(output) as folder:
        try:
            found = read_release(args.dataset, files, args.source_root.resolve().name, args.split, args.video_pattern)
        except UserError as error:
            raise UserError(f"{args.source_root}: {error}{archives_beside(args.source_root)}") from error
        if found.problems and not args.skip_bad:
            print(f"{len(found.problems)} files cannot be paired; checking the others ...", file=sys.stderr)
        result = prepare(found, Target(folder, copy=args.copy, threads=args.threads), scheme, data, reader.licence)
        if result.problems and not args.skip_bad:
            raise UserError(
                f"{len(result.problems)} faults, nothing written:\n{describe_problems(result.problems, SHOWN)}\n"
                "  repair these files, download them again, or leave them out with --skip-bad"
            )
    return report_preparation(result, output, "frames", args.skip_bad)


if __name__ == "__main__":
    raise SystemExit(main())
