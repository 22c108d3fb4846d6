"""The options of scripts that apply a model to videos. Imports no torch."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from models import ARCHITECTURES
from surgseg.console import add_device_option, add_view_option
from surgseg.files import UserError
from surgseg.places import DEFAULT_WEIGHTS
from surgseg.video.sampling import SAMPLES, SPREAD_FRAMES, STEP, seconds
from surgseg.view import parse_view

SAVED = {"masks": "png", "overlays": "jpg", "probabilities": "png"}  # folders of --save; its `video` is one file


def add_weights_options(parser: argparse.ArgumentParser):
    """Add the options of the weights file. Return their group, for options of the script itself."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model-path", type=Path, default=DEFAULT_WEIGHTS, metavar="FILE", help="weights file (default: %(default)s)"
    )
    group.add_argument(
        "--arch", choices=ARCHITECTURES, help="architecture of a bare state_dict (default: from the file)"
    )
    return group


def add_input_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("input")
    group.add_argument(
        "--video-path",
        nargs="+",
        required=True,
        metavar="PATH",
        help='video files, globs ("videos/*.mp4"), folders of videos, or folders of images (required)',
    )
    add_image_rate(group)
    group.add_argument(
        "--join",
        action="store_true",
        help="the files of --video-path are the parts of one operation, in this order: one folder, numbers and times "
        "continue (default: each file is a video)",
    )
    group.add_argument(
        "--share",
        metavar="K/N",
        help="do only share K of N of the videos, where file locks do not work (default: all; processes that "
        "run the same command share the videos by locks)",
    )


def add_image_rate(group) -> None:
    group.add_argument(
        "--image-rate",
        type=float,
        default=25.0,
        metavar="FPS",
        help="images per second, for folders of images (default: 25)",
    )


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sampling")
    group.add_argument(
        "--sample",
        choices=SAMPLES,
        default="every",
        help="every N-th frame, or frames spread evenly over the video (default: every)",
    )
    group.add_argument("--frame-step", type=int, metavar="N", help=f"take every N-th frame (default: {STEP})")
    group.add_argument(
        "--max-frames",
        type=int,
        metavar="N",
        help=f"take at most N frames (default: no limit; with --sample spread {SPREAD_FRAMES})",
    )
    group.add_argument(
        "--burst",
        type=int,
        default=1,
        metavar="N",
        help="consecutive frames at each sampled position; --sample spread takes whole bursts only (default: 1)",
    )
    group.add_argument(
        "--start", type=_time, metavar="TIME", help="take frames from this time on, seconds or H:MM:SS (default: 0)"
    )
    group.add_argument(
        "--end", type=_time, metavar="TIME", help="take frames before this time, seconds or H:MM:SS (default: the end)"
    )


def _time(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: use seconds, M:SS or H:MM:SS") from error


def add_prediction_options(parser: argparse.ArgumentParser, batches: bool = True) -> None:
    """Add the options of prediction; without `batches` not the one of their size."""
    group = parser.add_argument_group("prediction")
    add_device_option(group)
    group.add_argument(
        "--backend",
        choices=["auto", "torch", "onnx", "int8"],
        default="auto",
        help="library that runs the network; auto: ONNX Runtime on a CPU if installed, else torch; int8: "
        "the file of export_model.py --int8 (default: auto)",
    )
    group.add_argument(
        "--precision",
        choices=["auto", "float32", "bf16", "fp16"],
        default="auto",
        help="precision of the network; auto: bf16 on a GPU, fp16 on one without bf16, else float32 (default: auto)",
    )
    group.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="least probability of instrument, 0-1 (default: from the weights file)",
    )
    add_view_option(group)
    if batches:
        group.add_argument("--batch-size", type=int, metavar="N", help="frames per batch (default: 4, on a GPU 32)")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output-dir",
        type=Path,
        default=Path("data/generated"),
        metavar="DIR",
        help="folder to write (default: %(default)s)",
    )
    group.add_argument(
        "--name", help="files are called NAME_<frame>; with several videos NAME_<number>_<frame> (default: video)"
    )
    group.add_argument(
        "--frame-format", choices=["jpg", "png", "none"], default="jpg", help="format of saved frames (default: jpg)"
    )
    group.add_argument(
        "--save",
        nargs="+",
        choices=[*SAVED, "video"],
        default=["masks"],
        metavar="WHAT",
        help="masks (indexed PNG), overlays (tinted JPEG), probabilities (8-bit PNG), video (tinted, H.264 mp4) "
        "(default: masks)",
    )
    group.add_argument(
        "--keep-source-name",
        action="store_true",
        help="write the video's name and path, which can identify a patient, into the output (default: no)",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace an earlier run in the folder (default: continue it)"
    )


def check_options(args: argparse.Namespace) -> None:
    """Raise `UserError` for a number out of range, and for a --view that is none."""
    if args.batch_size is not None and args.batch_size < 1:
        raise UserError(f"--batch-size {args.batch_size}: at least 1 is needed")
    if args.threshold is not None and not 0 < args.threshold < 1:
        raise UserError(f"--threshold {args.threshold}: a probability between 0 and 1 is needed")
    check_image_rate(args.image_rate)
    parse_view(args.view)


def check_image_rate(rate: float) -> None:
    if not 0 < rate < 1000:
        raise UserError(f"--image-rate {rate:g}: frames per second between 0 and 1000 are needed")


def parts_of(args: argparse.Namespace) -> dict[str, str]:
    """Return the suffix of each folder of images that a run writes."""
    frames = {} if args.frame_format == "none" else {"frames": args.frame_format}
    return {**frames, **{part: suffix for part, suffix in SAVED.items() if part in args.save}}


def targets(args: argparse.Namespace, sources: list) -> list[tuple]:
    """Return (source, folder, name) of every video. A single video uses --output-dir itself."""
    from surgseg.generate.folder import check_name
    from surgseg.generate.shares import number_videos

    if len(sources) == 1:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", sources[0].path.stem).strip("._-") if args.keep_source_name else ""
        return [(sources[0], args.output_dir, check_name(args.name or stem or "video"))]
    names = number_videos(sources, args.output_dir, check_name(args.name or "video"))
    return [(source, args.output_dir / name, name) for source, name in zip(sources, names)]
