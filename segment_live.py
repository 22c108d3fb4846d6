"""Show a camera, a stream or a file live, each frame with its own mask, and measure the latency.

Research use: not for clinical decisions.

  python segment_live.py --source 0                               (a camera, in a window)
  python segment_live.py --source rtsp://10.0.0.5/endoscope --serve 8000 --record overlay.mp4
  python segment_live.py --source operation.mp4 --budget-ms 40    (a file, at its own clock)
  python segment_live.py --source data/op/frames --ground-truth data/op --json seen.json

The newest frame wins: a frame that comes while another is predicted waits, and is dropped if a
newer one comes. A source that is silent for a second is shown as "no signal". Keys in the window,
buttons on the page: o overlay on or off, + and - threshold, s snapshot, q end; Ctrl-C ends too.
The page is for browsers on this machine only; for others see docs/real-time.md.
Exit status: 0 done, 2 nothing could be shown, 3 the source was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys

from surgseg.console import (
    PARTIAL,
    let_waiting_threads_sleep,
    make_parser,
    quiet,
    report_errors,
    resolve_device,
    run_metadata,
)
from surgseg.files import UserError, write_json
from surgseg.generate.options import (
    add_image_rate,
    add_prediction_options,
    add_weights_options,
    check_image_rate,
)
from surgseg.live import options
from surgseg.places import find_weights
from surgseg.view import parse_view

SCHEMA = "surgseg.live/1"
FIRST_S = 30  # seconds to wait for the first frame of a camera or stream
PRIVATE = ("source", "ground_truth", "record", "csv", "json", "snapshot_dir")  # can hold a patient's name


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    add_image_rate(options.add_source_options(parser))
    add_weights_options(parser)
    add_prediction_options(parser, batches=False)
    options.add_screen_options(parser)
    options.add_measuring_options(parser)
    return parser


def work(args: argparse.Namespace) -> int:
    let_waiting_threads_sleep()
    import cv2  # noqa: F401 - before PyAV: windows hang on Linux if OpenCV finds PyAV's libxcb loaded

    from surgseg.checkpoint import load_checkpoint
    from surgseg.live.capture import Capture, replay
    from surgseg.live.sources import is_camera, is_stream, open_live, public_name
    from surgseg.video.inputs import find_sources, first_frames

    is_file = not is_camera(args.source) and not is_stream(args.source)
    options.check_live_options(args, is_file)
    check_image_rate(args.image_rate)
    parse_view(args.view)
    args.model_path = find_weights(args.model_path)
    with contextlib.ExitStack() as stack:
        if is_file:  # its clock starts when the model is ready
            source, *others = find_sources([args.source])
            if others:
                raise UserError(f"--source {args.source} names {1 + len(others)} videos: name one")
            frames = first_frames([source])
            open_reader = functools.partial(source.open, image_rate=args.image_rate)
            capture = Capture(replay(open_reader, fast=args.as_fast_as_possible), waits=args.as_fast_as_possible)
        else:
            source = None
            capture = Capture(open_live(args.source, args.camera_size, args.reconnect))
            stack.callback(capture.stop)
            capture.start()
            print(f"Waiting for the first frame of {public_name(args.source)}")
            frames = [capture.first(FIRST_S).image]
        return show(args, capture, source, frames, load_checkpoint(args.model_path, args.arch), stack)


def show(args: argparse.Namespace, capture, source, frames: list, checkpoint, stack: contextlib.ExitStack) -> int:
    """Run until the source or the user ends it, then report. Return the exit status."""
    from tqdm import tqdm

    from surgseg.evaluation.as_seen import as_seen_lines, find_truth, score_as_seen
    from surgseg.live.capture import SourceLost
    from surgseg.live.keep import Recorder, ScreenLog, Snapshots, Table
    from surgseg.live.latency import report_table
    from surgseg.live.page import open_screen
    from surgseg.live.run import Live, predict_with
    from surgseg.live.screen import Controls
    from surgseg.video.views import view_of_video

    scheme, truth, log = checkpoint.scheme, {}, ScreenLog()
    if args.ground_truth:
        truth = find_truth(args.ground_truth, scheme, source, args.masks_reviewed)
    controls = Controls(checkpoint.threshold if args.threshold is None else args.threshold)
    start = controls.threshold
    files = any((args.record, args.csv, args.json))
    screen = stack.enter_context(open_screen(scheme, frames[0].shape[:2], controls, args.serve, to_files=files))
    keepers = [Snapshots(args.snapshot_dir, controls), *([log] if truth else [])]
    keepers += [stack.enter_context(kind(path)) for kind, path in ((Recorder, args.record), (Table, args.csv)) if path]
    predictor, facts = load(args, checkpoint, frames)
    asked = parse_view(args.view, checkpoint.view)
    view = None if source is None else view_of_video(source, asked, args.image_rate)
    predict = predict_with(predictor, asked, view)
    predict(frames[0], start)  # the first time is slower
    live = Live(capture, predict, screen, controls, keepers, report_s=args.report, budget_ms=args.budget_ms)
    lost = ""
    try:
        if source is None:
            capture.restart_count()
        else:
            capture.start()
        live.run()
    except KeyboardInterrupt:
        pass
    except SourceLost as error:
        lost = str(error)
    finally:
        result = {"schema": SCHEMA, **live.summary(), **facts}
        print("\n".join(report_table(result)))
        if args.json:
            write_json(args.json, result)
        stack.close()
    if truth:
        with source.open(image_rate=args.image_rate) as reader:
            frames = tqdm(reader, "Scoring", unit="frame", disable=quiet())
            offline = lambda image: predict(image, start)[0]  # noqa: E731
            result["accuracy"] = score_as_seen(frames, truth, log.at, log.last_s, offline, scheme)
        print("\n".join(as_seen_lines(result["accuracy"])))
        if args.json:
            write_json(args.json, result)
    if lost:
        print(f"Partial: {lost}", file=sys.stderr)
    return PARTIAL if lost else 0


def load(args: argparse.Namespace, checkpoint, frames: list) -> tuple:
    """Return the `Predictor`, and the entries of the JSON about it."""
    from surgseg.onnx import choose_network
    from surgseg.predict import Predictor

    device = resolve_device(args.device)
    network = choose_network(
        checkpoint, args.model_path, device, backend=args.backend, precision=args.precision, frames=lambda: frames
    )
    facts = {
        "weights_sha256": checkpoint.sha256,
        "model": {"arch": checkpoint.arch, "image_size": checkpoint.image_size, "classes": checkpoint.scheme.name},
        "backend": network.describe(),
        "view": parse_view(args.view, checkpoint.view),
        "run": run_metadata({key: value for key, value in vars(args).items() if key not in PRIVATE}, device),
    }
    return Predictor(checkpoint, device, args.threshold, batch_size=1, network=network), facts


def main(argv: list[str] | None = None) -> int:
    return report_errors(work, build_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
