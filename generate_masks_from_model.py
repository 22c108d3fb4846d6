"""Apply a trained model to a surgery video: frames, instrument masks and a table, in a generated folder.

    python generate_masks_from_model.py --video-path operation.mp4 --output-dir data/operation
    python generate_masks_from_model.py --video-path operation.mp4 --frame-step 1 --max-frames 500 --overwrite

The folder holds frames/, masks/, classes.json, frames.csv (time, coverage, confidence of each frame) and run.json.
Damage in the video is passed over, counted and marked. Exit status: 0 done, 2 nothing could be done, 3 partial.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
import sys
from pathlib import Path

from surgseg.console import PARTIAL, add_device_option, make_parser, quiet, report_errors, resolve_device, run_metadata
from surgseg.files import UserError


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    source = parser.add_argument_group("input")
    source.add_argument("--video-path", type=Path, required=True, metavar="FILE", help="video file (required)")
    source.add_argument(
        "--model-path",
        type=Path,
        default=Path("outputs/instrument_segmentation_model.pth"),
        metavar="FILE",
        help="weights file (default: %(default)s)",
    )
    source.add_argument(
        "--arch", choices=["deeplabv3", "unet"], help="architecture of a bare state_dict (default: from the file)"
    )
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument("--frame-step", type=int, default=30, metavar="N", help="every N-th frame (default: 30)")
    sampling.add_argument("--max-frames", type=int, metavar="N", help="at most N frames (default: to the end)")
    prediction = parser.add_argument_group("prediction")
    add_device_option(prediction)
    prediction.add_argument(
        "--threshold", type=float, metavar="P", help="instrument probability, 0-1 (default: the weights file's)"
    )
    prediction.add_argument("--batch-size", type=int, default=4, metavar="N", help="frames per batch (default: 4)")
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output-dir", type=Path, default=Path("data/generated"), metavar="DIR", help="folder (default: %(default)s)"
    )
    output.add_argument("--name", help="files are called NAME_<frame> (default: video)")
    output.add_argument(
        "--frame-format", choices=["jpg", "png", "none"], default="jpg", help="how frames are kept (default: jpg)"
    )
    output.add_argument(
        "--keep-source-name",
        action="store_true",
        help="write the video's name and path, which can identify a patient, into the output (default: no)",
    )
    output.add_argument("--overwrite", action="store_true", help="replace an earlier run's files (default: refuse)")
    return parser


def check_arguments(args: argparse.Namespace) -> None:
    for option in ("frame_step", "max_frames", "batch_size"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise UserError(f"--{option.replace('_', '-')} {value}: at least 1 is needed")
    if args.threshold is not None and not 0 < args.threshold < 1:
        raise UserError(f"--threshold {args.threshold}: a probability between 0 and 1 is needed")


def output_name(args: argparse.Namespace) -> str:
    kept = re.sub(r"[^A-Za-z0-9._-]+", "_", args.video_path.stem).strip("._-") if args.keep_source_name else ""
    return args.name or kept or "video"


def describe(args, reader, predictor, checkpoint, started: dict) -> dict:
    """What `run.json` says besides the folder's own state."""
    import av

    source = {"source": {"name": args.video_path.name, "path": str(args.video_path)}} if args.keep_source_name else {}
    return {
        **source,
        "video": reader.describe(),
        "video_data": reader.data,
        "weights_data": checkpoint.training.get("data", "unknown"),
        "weights_sha256": checkpoint.sha256,
        "model": {"arch": checkpoint.arch, "image_size": checkpoint.image_size, "classes": checkpoint.scheme.name},
        "threshold": predictor.threshold,
        "frame_step": args.frame_step,
        "max_frames": args.max_frames,
        "decoder": {"name": "PyAV", "version": av.__version__, "ffmpeg": av.ffmpeg_version_info},
        "backend": {"name": "torch", "version": started["versions"]["torch"], "device": started["device"]},
        **reader.counts(),
        "run": started,
    }


def clock(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def work(args: argparse.Namespace) -> int:
    check_arguments(args)
    from surgseg.video.generated import GeneratedWriter, check_name, check_target
    from surgseg.video.reader import VideoReader

    check_name(output_name(args))
    check_target(args.output_dir, args.overwrite)
    with VideoReader(args.video_path, args.frame_step) as reader:
        from surgseg.checkpoint import load_checkpoint
        from surgseg.video.predictor import Predictor

        device = resolve_device(args.device)
        checkpoint = load_checkpoint(args.model_path, args.arch)
        predictor = Predictor(checkpoint, device, args.threshold, args.batch_size)
        private = ("video_path", "output_dir") if not args.keep_source_name else ()
        public = argparse.Namespace(**{key: value for key, value in vars(args).items() if key not in private})
        started = run_metadata(public, device)
        writer = GeneratedWriter(
            args.output_dir, checkpoint.scheme, output_name(args), args.frame_format, args.overwrite
        )
        if checkpoint.training.get("data") == "synthetic" and reader.data != "synthetic":
            print("Warning: these weights were trained on synthetic frames, and this video is not marked synthetic")
        return apply(args, reader, predictor, writer, lambda: describe(args, reader, predictor, checkpoint, started))


def apply(args, reader, predictor, writer, run) -> int:
    """Run the pipeline, close the folder, report. Returns the exit status."""
    from tqdm import tqdm

    from surgseg.video.pipeline import run_pipeline

    total = min(-(-(reader.expected or 0) // args.frame_step) or sys.maxsize, args.max_frames or sys.maxsize)
    options = {"batch_size": args.batch_size, "max_frames": args.max_frames}
    with tqdm(total=None if total == sys.maxsize else total, unit="frame", disable=quiet()) as bar:

        def progress(writer) -> None:
            bar.update()
            bar.set_postfix(detected=f"{writer.detected / writer.rows_written:.1%}", refresh=False)

        try:
            outcome = run_pipeline(reader, predictor.predict, writer, run, progress=progress, **options)
        except BaseException as error:
            with contextlib.suppress(UserError):  # the first error is the one to report
                writer.finish(run(), complete=False, stopped=f"error: {type(error).__name__}")
            raise
    covered = reader.covered_s if reader.ended else writer.last_time_s + args.frame_step / (reader.rate or 1)
    covered = min(covered, reader.covered_s)
    facts = {**run(), "covered_s": covered, "seconds": outcome.seconds}
    writer.finish(facts, complete=outcome.stopped is None, stopped=outcome.stopped)
    report(args, facts, writer, outcome)
    return PARTIAL if outcome.stopped or facts["frames_lost"] else 0


def report(args, facts: dict, writer, outcome) -> None:
    seconds, duration = outcome.seconds, facts["video"]["duration_s"]
    of = f" of {clock(max(duration, facts['covered_s']))}" if duration else " (length unknown)"
    rate = f"{writer.detected / writer.rows_written:.1%}" if writer.rows_written else "-"
    stages = ", ".join(f"{stage} {seconds[stage]:.1f}" for stage in ("decode", "predict", "write", "total"))
    every = "every frame" if args.frame_step == 1 else f"one frame in {args.frame_step}"
    print(f"Covered {clock(facts['covered_s'])}{of}, {every}")
    print(f"Frames written: {writer.rows_written}; with an instrument: {writer.detected} ({rate})")
    print(
        f"Damage: {facts['damaged_packets']} packets or frames damaged, {facts['frames_lost']} frames lost, "
        f"{writer.suspects} of the frames written suspect"
    )
    if facts["video"]["deinterlaced"]:
        print("The video is interlaced; its frames were deinterlaced (bwdif)")
    print(f"Seconds: {stages}")
    print(f"Output: {args.output_dir}")
    if outcome.stopped:
        print(f"Partial: stopped by {outcome.stopped}; what is listed above is on the disk", file=sys.stderr)
    elif facts["frames_lost"]:
        print(f"Partial: {facts['frames_lost']} frames of the video were lost to damage", file=sys.stderr)
    print(f"Next: python analyze_mask_statistics.py --generated-dir {shlex.quote(str(args.output_dir))}")


def main(argv: list[str] | None = None) -> int:
    return report_errors(work, build_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
