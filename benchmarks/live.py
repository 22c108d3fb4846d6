"""Live view: share of the frames of a 25 frames/s film of 854x480 that are shown, and their latency.

The film is replayed at its own clock, so that decoding, prediction, drawing and JPEG encoding (what a page needs) share
the cores, as with segment_live.py --serve. Each model runs alone, one after the other.

  shown       share of the captured frames that were shown; the others were dropped for a newer one
  latency     from the time at which a frame is due to its picture handed to the viewer, ms: median, p99, p99.9, largest
  late        frames that took longer than --limit-ms
  CPU         seconds of all cores used in a second

Without --model-path, models start at random and train a few steps on the film (see benchmarks/inference.py): their
speed is that of trained ones.

  python benchmarks/live.py --minutes 5 --image-size 288 512 --json live.json
  python benchmarks/live.py --minutes 0.3 --model-path outputs/instrument_segmentation_model.pth
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.film import draw_film, fit
from models import ARCHITECTURES
from surgseg.console import add_device_option, let_waiting_threads_sleep, make_parser, report_errors, resolve_device
from surgseg.files import UserError, write_json

FRAMES = 250  # of the film, which is shown again and again
GOAL = {"share": 0.99, "latency_ms": 200.0}


def build_parser():
    parser = make_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="length of each run (default: 5)")
    parser.add_argument("--arch", nargs="+", default=list(ARCHITECTURES), choices=ARCHITECTURES,
                        help="models (default: all)")  # fmt: skip
    parser.add_argument("--image-size", type=int, nargs=2, default=(288, 512), metavar=("HEIGHT", "WIDTH"),
                        help="size of the models that are made here (default: 288 512)")  # fmt: skip
    parser.add_argument("--model-path", type=Path, nargs="+", metavar="FILE",
                        help="weights files to run instead (default: none)")  # fmt: skip
    parser.add_argument("--backend", default="auto", choices=["auto", "torch", "onnx", "int8"],
                        help="library that runs the network (default: auto)")  # fmt: skip
    parser.add_argument("--limit-ms", type=float, default=GOAL["latency_ms"], help="counts as late (default: 200)")
    add_device_option(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers as JSON (default: no)")
    return parser


def main(argv=None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args) -> int:
    let_waiting_threads_sleep()  # as segment_live.py does
    if not args.minutes > 0:
        raise UserError(f"--minutes {args.minutes:g}: more than 0 is needed")
    device = resolve_device(args.device)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder, "film.mp4")
        images, masks = draw_film(SimpleNamespace(film=film, frames=FRAMES, distinct=32))
        print(f"{'':<28}{'backend':>14}{'size':>10}{'captured':>10}{'shown':>9}{'p50':>8}{'p99':>8}{'p99.9':>8}{'max':>8}"
              f"{'late':>6}{'CPU':>6}")  # fmt: skip
        for weights in args.model_path or made_here(args, folder, images, masks, device):
            results.append(measure(args, weights, film, images, device))
            print_row(results[-1])
    if args.json:
        import torch

        settings = {"torch": torch.__version__, "threads": torch.get_num_threads(), "minutes": args.minutes}
        write_json(args.json, {**settings, "goal": GOAL, "results": results})
    return 0


def made_here(args, folder: str, images, masks, device):
    """Yield the path of a weights file of each model."""
    for arch in dict.fromkeys(args.arch):
        weights = Path(folder, f"{arch}.pth")
        fit(arch, images, masks, tuple(args.image_size), device, weights, steps=4)
        yield weights


def measure(args, weights: Path, film: Path, images: list, device) -> dict:
    """Show the film for --minutes. Return the row of the table."""
    from surgseg.checkpoint import load_checkpoint
    from surgseg.live.capture import Capture, replay
    from surgseg.live.page import Page
    from surgseg.live.run import Live, predict_with
    from surgseg.live.screen import Controls
    from surgseg.onnx import choose_network
    from surgseg.predict import Predictor
    from surgseg.video.inputs import VideoSource
    from surgseg.video.sampling import Sampling

    checkpoint = load_checkpoint(weights)
    with contextlib.redirect_stdout(sys.stderr):  # the note about the export must not stand in the table
        network = choose_network(
            checkpoint, weights, device, backend=args.backend, precision="auto", frames=lambda: images[:4]
        )
    predict = predict_with(Predictor(checkpoint, device, batch_size=1, network=network))
    for _ in range(3):
        predict(images[0], checkpoint.threshold)
    seconds = 60 * args.minutes
    again = int(seconds * 25 // FRAMES) + 1
    source = VideoSource(film, parts=(film,) * again)
    capture = Capture(replay(lambda: source.open(Sampling(step=1, end_s=seconds))))
    controls = Controls(checkpoint.threshold)
    live = Live(capture, predict, Page(checkpoint.scheme, images[0].shape[:2], controls), controls)
    begun, used = time.perf_counter(), time.process_time()
    capture.start()
    live.run()
    wall = time.perf_counter() - begun
    found = live.summary()
    shown = found["frames"]["shown"] / max(found["frames"]["captured"], 1)
    late = sum(sum(stages) > args.limit_ms for stages in live.stages)
    return {
        "weights": weights.stem,
        "arch": checkpoint.arch,
        "image_size": list(checkpoint.image_size),
        "backend": network.describe(),
        "share_shown": shown,
        "late": late,
        "limit_ms": args.limit_ms,
        "cpu_seconds_per_second": (time.process_time() - used) / wall,
        "goal_reached": shown >= GOAL["share"] and found["latency_ms"]["max"] <= GOAL["latency_ms"],
        **found,
    }


def print_row(row: dict) -> None:
    latency = "".join(f"{row['latency_ms'][name]:>8.1f}" for name in ("p50", "p99", "p99.9", "max"))
    size = "x".join(str(side) for side in row["image_size"])
    name = row["weights"] if row["weights"] == row["arch"] else f"{row['weights'][-16:]} {row['arch']}"
    print(f"{name:<28}{row['backend']['name']:>14}{size:>10}{row['frames']['captured']:>10}{row['share_shown']:>9.2%}"
          f"{latency}{row['late']:>6}{row['cpu_seconds_per_second']:>6.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
