"""What the preparation scripts share: options, the choice of the class scheme, the report at the end."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from surgseg.data.audit import summary
from surgseg.data.pairs import describe_problems
from surgseg.data.prepare import PrepareResult
from surgseg.data.videos import warn_of_divided
from surgseg.files import UserError, list_some
from surgseg.labels import SCHEMES, Scheme, load_scheme, void_as_background

SHOWN = 50  # bad files of each kind that are printed; the audit names all


def add_label_options(parser: argparse.ArgumentParser, more: str = ""):
    """Add --class-scheme, with `more` names in its help, and --void-to-background. Return their group."""
    labels = parser.add_argument_group("labels")
    labels.add_argument(
        "--class-scheme",
        metavar="NAME",
        help=f"classes to write: {', '.join(SCHEMES)}{more} or a JSON file (default: binary)",
    )
    labels.add_argument(
        "--void-to-background",
        action="store_true",
        help="write void pixels as class 0, as the original study did (default: as 255)",
    )
    labels.add_argument("--void", choices=["ignore", "background"], help=argparse.SUPPRESS)  # the old spelling
    return labels


def add_work_options(parser: argparse.ArgumentParser) -> None:
    work = parser.add_argument_group("work")
    work.add_argument("--copy", action="store_true", help="copy frames (default: hard links where possible)")
    work.add_argument("--skip-bad", action="store_true", help="leave bad files out, exit status 0 (default: status 2)")
    work.add_argument("--threads", type=int, metavar="N", help="number of threads (default: all cores)")


def check_threads(args: argparse.Namespace) -> None:
    if args.threads is not None and args.threads < 1:
        raise UserError(f"--threads {args.threads}: at least 1 is needed")


def chosen_scheme(args: argparse.Namespace, default: str | Scheme = "binary") -> Scheme:
    """`default` if it is a scheme, else the scheme named by --class-scheme or `default`; with --void-to-background."""
    scheme = default if isinstance(default, Scheme) else load_scheme(args.class_scheme or default)
    return void_as_background(scheme) if args.void_to_background or args.void == "background" else scheme


def report_preparation(result: PrepareResult, root: Path, frames: str, skip_bad: bool) -> int:
    """Print the summary, the written files, the bad files and the next command. Return the exit status."""
    print(summary(result.audit))
    print(f"prepared {result.done} frames, {result.kept} were finished by an earlier run")
    if result.replaced:
        print(
            f"{len(result.replaced)} earlier frames of other or changed files were replaced "
            f"({list_some(result.replaced, 3)}); another --video-id or --output-root keeps both"
        )
    if result.corrected:
        print(f"{len(result.corrected)} masks changed since they were prepared, kept: {list_some(result.corrected, 4)}")
    if result.left_over:
        print(f"{len(result.left_over)} earlier frames have no good source now: not in the manifest, files kept")
    divided = warn_of_divided({video: facts["split"] for video, facts in result.audit["videos"].items()})
    if divided:
        print(divided)
    for name in (frames, "masks", "classes.json", "manifest.csv", "audit.json"):
        print(f"  {root / name}")
    if result.problems:
        print(f"{len(result.problems)} bad files, left out (all in {root / 'audit.json'}):", file=sys.stderr)
        print(describe_problems(result.problems, SHOWN), file=sys.stderr)
    print(f"next: python instrument_segmentation.py --data-root {root}")
    if result.audit["warnings"]:
        print(f"WARNING: look at this before you train (also in {root / 'audit.json'}):", file=sys.stderr)
        print(*(f"  - {warning}" for warning in result.audit["warnings"]), sep="\n", file=sys.stderr)
    if result.problems and not skip_bad:
        print("error: bad files (see above); repair them and run again, or give --skip-bad", file=sys.stderr)
        return 2
    return 0
