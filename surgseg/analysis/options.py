"""The options of scripts that measure generated folders, and what they mean. Imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg.analysis.cholec80 import RATE
from surgseg.analysis.flow import FLOW_PAIRS
from surgseg.analysis.presence import MIN_AREA
from surgseg.files import UserError


def add_generated_dir(group) -> None:
    group.add_argument(
        "--generated-dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with frames.csv and run.json (required)",
    )


def add_annotation_options(group) -> None:
    """How the tool file, or each of them, is read."""
    group.add_argument(
        "--tools", nargs="+", metavar="NAME", help="tools of the annotation that count (default: all but SpecimenBag)"
    )
    group.add_argument(
        "--annotation-rate",
        type=float,
        default=RATE,
        metavar="FPS",
        help=f"frames per second of the annotation (default: {RATE:g})",
    )


def add_counting_options(parser: argparse.ArgumentParser):
    """Returns the group, for options of the script's own."""
    group = parser.add_argument_group("counting")
    group.add_argument(
        "--min-area",
        type=float,
        default=MIN_AREA,
        metavar="FRACTION",
        help=f"coverage from which an instrument counts as present, fraction of the frame, 0-1 (default: {MIN_AREA})",
    )
    group.add_argument("--include-suspect", action="store_true", help="count suspect frames too (default: no)")
    group.add_argument(
        "--from-masks", action="store_true", help="count the masks, corrected ones say, not frames.csv (default: no)"
    )
    group.add_argument(
        "--flow-pairs",
        type=int,
        default=FLOW_PAIRS,
        metavar="N",
        help=f"pairs of frames that get optical flow, 0: none (default: {FLOW_PAIRS})",
    )
    return group


def check_counting(args: argparse.Namespace) -> None:
    """Refuse numbers that cannot be, and a figure that is no PNG. Raises `UserError`."""
    if not 0 <= args.min_area <= 1:
        raise UserError(f"--min-area {args.min_area}: a fraction of the frame between 0 and 1 is needed")
    if args.flow_pairs < 0:
        raise UserError(f"--flow-pairs {args.flow_pairs}: 0 or more is needed")
    if args.figure is not None and args.figure.suffix.lower() != ".png":
        raise UserError(f"--figure {args.figure}: a name that ends in .png is needed")


def request_of(args: argparse.Namespace, **more):
    """The `AnalysisRequest` that the options describe; `more` are its annotations and ground truth."""
    from surgseg.analysis.measure import AnalysisRequest

    counting = {key: getattr(args, key) for key in ("min_area", "include_suspect", "flow_pairs", "from_masks")}
    return AnalysisRequest(**counting, **more)
