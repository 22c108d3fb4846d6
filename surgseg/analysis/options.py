"""The options of scripts that measure generated folders. Imports no torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg.cholec80 import RATE
from surgseg.console import add_prefer_option, add_reviewed_option
from surgseg.files import UserError
from surgseg.flow import FLOW_PAIRS
from surgseg.masks import MIN_AREA


def add_generated_dir(group) -> None:
    """Add the option of the generated folder."""
    group.add_argument(
        "--generated-dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder that generate_masks_from_model.py wrote (required)",
    )


def add_annotation_options(group) -> None:
    """Add the options that say how a tool file is read."""
    group.add_argument(
        "--tools", nargs="+", metavar="NAME", help="tools of the tool file that count (default: all but SpecimenBag)"
    )
    group.add_argument(
        "--annotation-rate",
        type=float,
        default=RATE,
        metavar="FPS",
        help=f"frame numbers per second in phase and tool files (default: {RATE:g})",
    )


def add_cuts_option(group) -> None:
    """Add the option of the list of cuts."""
    group.add_argument(
        "--cuts",
        type=Path,
        metavar="FILE",
        help="CSV list of cuts: first line frame or time_s, then the first frame after each (default: look for them)",
    )


def add_counting_options(parser: argparse.ArgumentParser):
    """Add the options that say what counts. Return their group, for options of the script itself."""
    group = parser.add_argument_group("counting")
    group.add_argument(
        "--min-area",
        type=float,
        default=MIN_AREA,
        metavar="FRACTION",
        help=f"least coverage at which an instrument is present, fraction of the frame (default: {MIN_AREA})",
    )
    group.add_argument("--include-suspect", action="store_true", help="count suspect frames too (default: no)")
    group.add_argument(
        "--from-masks",
        action="store_true",
        help="measure the masks again, for masks corrected by hand (default: use frames.csv)",
    )
    add_prefer_option(group)
    add_reviewed_option(group)
    group.add_argument(
        "--flow-pairs",
        type=int,
        default=FLOW_PAIRS,
        metavar="N",
        help=f"compute optical flow for at most N pairs of frames; 0: for none (default: {FLOW_PAIRS})",
    )
    return group


def check_counting(args: argparse.Namespace) -> None:
    """Raise `UserError` for a number out of range, and for a figure that is no PNG."""
    if not 0 <= args.min_area <= 1:
        raise UserError(f"--min-area {args.min_area}: a fraction of the frame between 0 and 1 is needed")
    if args.flow_pairs < 0:
        raise UserError(f"--flow-pairs {args.flow_pairs}: 0 or more is needed")
    if args.figure is not None and args.figure.suffix.lower() != ".png":
        raise UserError(f"--figure {args.figure}: a name that ends in .png is needed")


def request_of(args: argparse.Namespace, **more):
    """Return the `AnalysisRequest` of the options; `more` are its annotations and ground truth."""
    from surgseg.analysis.measure import AnalysisRequest

    counting = {key: getattr(args, key) for key in ("min_area", "include_suspect", "flow_pairs")}
    return AnalysisRequest(**counting, from_masks=args.from_masks or args.prefer_reviewed, **more)
