"""The options of the script that shows a live picture. Imports no torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg.console import add_reviewed_option
from surgseg.files import UserError, check_folder


def add_source_options(parser: argparse.ArgumentParser):
    """Add the options of the source. Return their group."""
    group = parser.add_argument_group("source")
    group.add_argument(
        "--source",
        required=True,
        metavar="SOURCE",
        help="number of a camera or capture card (0 is the first), address of a stream (rtsp://, udp://, ...), or a "
        "video file or folder of images (required)",
    )
    group.add_argument(
        "--camera-size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="pixels to ask of a camera, which takes the nearest that it has (default: its own choice)",
    )
    group.add_argument(
        "--reconnect",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="pause before a lost camera or stream is opened again; 0: end instead (default: %(default)s)",
    )
    group.add_argument(
        "--as-fast-as-possible",
        action="store_true",
        help="show every frame of a file as soon as it is predicted (default: at the file's own clock)",
    )
    return group


def add_screen_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("screen and output")
    group.add_argument(
        "--serve",
        type=int,
        nargs="?",
        const=0,
        metavar="PORT",
        help="show a page for a browser on this machine instead of a window; without PORT any free port (default: a "
        "window where OpenCV has one)",
    )
    group.add_argument("--record", type=Path, metavar="FILE.mp4", help="record what is shown (default: no)")
    group.add_argument("--csv", type=Path, metavar="FILE", help="write a row for each shown frame (default: no)")
    group.add_argument("--json", type=Path, metavar="FILE", help="write the latency as JSON at the end (default: no)")
    group.add_argument(
        "--snapshot-dir",
        type=Path,
        default=Path("outputs/live"),
        metavar="DIR",
        help="folder of the snapshots (default: %(default)s)",
    )


def add_measuring_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("measuring")
    group.add_argument(
        "--report",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="print frames and latency so often; 0: at the end only (default: %(default)g)",
    )
    group.add_argument(
        "--budget-ms", type=float, metavar="MS", help="also print the share of frames shown so fast (default: no)"
    )
    group.add_argument(
        "--ground-truth",
        type=Path,
        metavar="DIR",
        help="masks of the frames of a file: score what was on the screen at the time of each frame (default: no)",
    )
    add_reviewed_option(group)


def check_live_options(args: argparse.Namespace, is_file: bool) -> None:
    """Raise `UserError` for options that do not fit together, and for outputs that exist or cannot be written."""
    for option, value in (("--reconnect", args.reconnect), ("--report", args.report)):
        if not 0 <= value < 1e6:
            raise UserError(f"{option} {value:g}: seconds, 0 or more")
    if args.budget_ms is not None and not args.budget_ms > 0:
        raise UserError(f"--budget-ms {args.budget_ms:g}: milliseconds above 0 are needed")
    if args.camera_size and min(args.camera_size) < 1:
        raise UserError("--camera-size: pixels above 0 are needed")
    if args.serve is not None and not 0 <= args.serve < 65536:
        raise UserError(f"--serve {args.serve}: a port lies between 0 and 65535")
    if not is_file and (args.as_fast_as_possible or args.ground_truth):
        option = "--ground-truth" if args.ground_truth else "--as-fast-as-possible"
        raise UserError(f"{option} needs a file as --source: a camera or stream has its own clock and no true masks")
    if args.as_fast_as_possible and args.ground_truth:
        raise UserError("--ground-truth scores the screen at the file's own clock: leave out --as-fast-as-possible")
    if args.record and args.record.suffix.lower() != ".mp4":
        raise UserError(f"--record {args.record}: a name that ends in .mp4 is needed")
    for path in filter(None, (args.record, args.csv)):
        check_folder(path.parent)
        if path.exists():
            raise UserError(f"{path} exists and is kept: give another name")
    check_folder(args.snapshot_dir)
    if args.json:
        check_folder(args.json.parent)
