"""Speed of turning a video into masks: each stage alone, all stages together, and a plain prediction loop.

  decode      VideoReader alone: every frame of the film as RGB
  network     Predictor alone on frames in memory: resize, network, upsampling, threshold, statistics, in batches
  write       GeneratedWriter alone on predictions in memory, in as many threads as the pipeline has
  end to end  the film into a generated folder, as generate_masks_from_model.py does after it has loaded the model
  plain       OpenCV read -> Pillow resize -> tensor -> float32 forward -> softmax -> bilinear to the film's size ->
              threshold -> PNG, one frame at a time
  latency     one frame in memory -> mask, alone: median and 99th percentile over all rounds
  efficiency  end to end / the slowest of decode, network and write
  speedup     end to end / plain
  in turn     1 / (1 / decode + 1 / network + 1 / write): the rate if the stages cannot overlap, for example because
              each of them alone uses all cores

Rates are frames per second. The measurements take turns, in the same order in every round. Ratios are taken within a
round. A number is the median over the rounds. A first round of two batches warms up and does not count.

The film is synthetic, 854x480, and repeats some frames. The models start at random (seed 0), train a few steps on these
frames and take the statistics of batch normalisation from them; the threshold is the 95th percentile of probability.
Such models are not accurate, but their masks have plausible shapes and change little with rounding errors. `= plain` is
the share of equal pixels in the written masks and the plain loop's, `= torch` in the row's and those of torch float32.

  python benchmarks/inference.py                               (256x256; a quarter of an hour on 2 cores)
  python benchmarks/inference.py --quick --json out.json       (96x96, 12 frames: a minute on 2 cores)
  python benchmarks/inference.py --constant-network            (what everything but the network costs: a minute)
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ceiling import measure_ceiling
from benchmarks.film import draw_film, fit, plain
from benchmarks.stages import decode, end_to_end, fresh, one_by_one, predict, write
from models import ARCHITECTURES
from surgseg.console import add_device_option, let_waiting_threads_sleep, make_parser, report_errors, resolve_device
from surgseg.files import UserError, read_json, write_json
from surgseg.masks import read_mask

COMPARED = 48  # at most so many frames have their masks compared


def build_parser():
    parser = make_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="96x96, 12 frames, 2 rounds (default: off)")
    parser.add_argument("--arch", nargs="+", default=["unet", "deeplabv3"], choices=ARCHITECTURES,
                        help="models (default: unet deeplabv3)")  # fmt: skip
    parser.add_argument("--constant-network", action="store_true",
                        help="measure the pipeline with a network that costs nothing (default: off)")  # fmt: skip
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="size (default: 256 256)")
    parser.add_argument("--batch-size", type=int, help="frames per batch (default: 4, on a GPU 32)")
    parser.add_argument("--frames", type=int, help="length of the film (default: 48, on a GPU 3072)")
    parser.add_argument("--plain-frames", type=int, help="frames of the plain loop (default: all, on a GPU 200)")
    parser.add_argument("--rounds", type=int, help="rounds of measurements (default: 5; 2 with --quick)")
    parser.add_argument("--backend", default="auto", choices=["auto", "torch", "onnx"],
                        help="rows to measure (default: auto, all that the device has)")  # fmt: skip
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bf16", "fp16"],
                        help="rows to measure (default: auto, on a CPU both, on a GPU its best)")  # fmt: skip
    parser.add_argument("--frame-format", default="none", choices=["none", "jpg", "png"],
                        help="format of the frames beside the masks (default: none)")  # fmt: skip
    parser.add_argument("--work-dir", type=Path, metavar="DIR", help="temporary files (default: the system's)")
    add_device_option(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers as JSON (default: no)")
    return parser


def main(argv=None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args) -> int:
    let_waiting_threads_sleep()  # as generate_masks_from_model.py does
    device = resolve_device(args.device)
    cuda = device.type == "cuda"
    args.image_size = tuple(args.image_size or ((96, 96) if args.quick else (256, 256)))
    args.batch_size = args.batch_size or (32 if cuda else 4)
    usual = 12 if args.quick else 600 if args.constant_network else 48
    args.frames = args.frames or (3072 if cuda else usual)
    args.plain_frames = min(args.plain_frames or (200 if cuda else args.frames), args.frames)
    args.rounds = args.rounds or (2 if args.quick else 5)
    args.single = 200 if cuda else min(args.frames, 24)  # frames in a round for the latency
    args.distinct = min(64 if cuda else 8 if args.quick else 32, args.frames)
    args.parts = {"masks": "png"} if args.frame_format == "none" else {"frames": args.frame_format, "masks": "png"}
    if min(args.batch_size, args.frames, args.plain_frames, args.rounds) < 1:
        raise UserError("--batch-size, --frames, --plain-frames and --rounds must be at least 1")
    rows = rows_of(args, device)
    results = []
    with tempfile.TemporaryDirectory(dir=args.work_dir) as folder:
        args.folder = Path(folder)
        args.film = args.folder / "film.mp4"
        if args.constant_network:
            results = measure_ceiling(args, device)
            return finish(args, results)
        images, masks = draw_film(args)
        print_header(args, device)
        for arch in dict.fromkeys(args.arch):
            weights = args.folder / f"{arch}.pth"
            fit(arch, images, masks, args.image_size, device, weights, steps=12 if args.quick else 24)
            results += measure(args, arch, weights, images, rows, device)
    return finish(args, results)


def finish(args, results: list[dict]) -> int:
    import torch

    if args.json:
        write_json(args.json, {"torch": torch.__version__, "threads": torch.get_num_threads(), "results": results})
    return 0


def rows_of(args, device) -> list[tuple[str, str]]:
    """Return (backend, precision) of each row of the table of one model."""
    from surgseg.devices import best_precision
    from surgseg.onnx import missing_packages

    best = best_precision(device) if args.precision == "auto" else args.precision
    rows = [("onnx", "float32"), ("torch", "float32"), ("torch", "bf16")] if device.type == "cpu" else [("torch", best)]
    if args.backend == "auto" and missing_packages():
        rows = [row for row in rows if row[0] != "onnx"]
    rows = [row for row in rows if args.backend in ("auto", row[0]) and args.precision in ("auto", row[1])]
    if not rows:
        raise UserError(f"--backend {args.backend} with --precision {args.precision} does not exist on {device}")
    return rows


def measure(args, arch: str, weights: Path, images: list, rows: list[tuple[str, str]], device) -> list[dict]:
    """Measure the rows of one model in turns."""
    import torch

    from surgseg.checkpoint import load_checkpoint
    from surgseg.onnx import choose_network
    from surgseg.predict import Predictor

    def predictor_of(backend: str, precision: str) -> Predictor:
        checkpoint = load_checkpoint(weights)  # again: a network changes the layout of its model
        chosen = {"backend": backend, "precision": precision, "frames": lambda: images[:4]}
        with contextlib.redirect_stdout(sys.stderr):  # the note about the export must not stand in the table
            network = choose_network(checkpoint, weights, device, **chosen)
        return Predictor(checkpoint, device, batch_size=args.batch_size, network=network)

    compared = np.stack(images[:COMPARED])
    expected = predictor_of("torch", "float32").predict(compared)
    checkpoint = load_checkpoint(weights)
    model = checkpoint.model.to(device)
    predictors = [predictor_of(*row) for row in rows]
    plain_dir, write_dir, *own = (args.folder / f"out-{number}" for number in range(2 + len(rows)))
    turns, seconds = [[] for _ in rows], [[] for _ in rows]
    for number in range(args.rounds + 1):
        count = args.frames if number else min(2 * args.batch_size, args.frames)
        few = min(count, args.plain_frames)
        common = {
            "decode": rate(count, decode, args.film, count),
            "write": rate(count, write, fresh(write_dir), expected, images, args, count),
            "plain": rate(few, plain, fresh(plain_dir), model, checkpoint, device, args, few),
        }
        for row, predictor in enumerate(predictors):
            network = rate(count, predict, predictor, images, count)
            whole = rate(count, end_to_end, fresh(own[row]), predictor, checkpoint.sha256, args, count)
            latency = one_by_one(predictor, images, args.single)
            if number:
                turns[row].append({**common, "network": network, "end_to_end": whole})
                seconds[row] += latency
    settings = ("image_size", "batch_size", "frame_format", "frames", "plain_frames", "rounds")
    results = []
    for row, (backend, precision) in enumerate(rows):
        masks = [masks_in(folder / "masks", min(args.plain_frames, COMPARED)) for folder in (own[row], plain_dir)]
        results.append({
            "arch": arch,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "backend": backend,
            "precision": precision,
            **{key: getattr(args, key) for key in settings},
            **summary(turns[row]),
            "latency_ms_median": 1000 * statistics.median(seconds[row]),
            "latency_ms_p99": 1000 * float(np.quantile(seconds[row], 0.99)),
            "latency_frames": len(seconds[row]),
            **compare("plain", *masks),
            **compare("torch", predictors[row].predict(compared).ids, expected.ids),
            "coverage": float(expected.measures.coverage.mean()),
            "timing": read_json(own[row] / "run.json")["timing"],  # of the last round, as the pipeline measured it
        })  # fmt: skip
        print_row(results[-1])
    return results


def summary(turns: list[dict]) -> dict:
    """Return the medians over the rounds of the rates and of the ratios within a round."""
    stages = ("decode", "network", "write")
    values = {f"{name}_fps": [turn[name] for turn in turns] for name in (*stages, "end_to_end", "plain")}
    values["efficiency"] = [turn["end_to_end"] / min(turn[stage] for stage in stages) for turn in turns]
    values["one_after_another_fps"] = [1 / sum(1 / turn[stage] for stage in stages) for turn in turns]
    values["speedup"] = [turn["end_to_end"] / turn["plain"] for turn in turns]
    return {name: statistics.median(found) for name, found in values.items()}


def rate(count: int, work, *arguments) -> float:
    """Return the frames per second of `work`, which processes `count` frames."""
    begun = time.perf_counter()
    work(*arguments)
    return count / (time.perf_counter() - begun)


def masks_in(folder: Path, count: int) -> np.ndarray:
    """Return the (N, H, W) class ids of the first `count` masks of a folder."""
    return np.stack([read_mask(path, 2) for path in sorted(folder.iterdir())[:count]])


def compare(name: str, ours: np.ndarray, theirs: np.ndarray) -> dict:
    """Return the share of equal pixels and the instrument IoU of two stacks of masks."""
    ours, theirs = ours > 0, theirs > 0
    iou = (ours & theirs).sum() / max((ours | theirs).sum(), 1)
    return {f"mask_agreement_{name}": float((ours == theirs).mean()), f"mask_iou_{name}": float(iou)}


def print_header(args, device) -> None:
    import torch

    height, width = args.image_size
    print(f"{device.type}, {torch.get_num_threads()} threads, {height}x{width}, batch {args.batch_size}, {args.frames} "
          f"frames (plain {args.plain_frames}), {args.rounds} rounds, frame format {args.frame_format}")  # fmt: skip
    print(f"{'':<24}{'decode':>8}{'network':>9}{'write':>8}{'in turn':>9}{'end to end':>12}{'efficiency':>12}"
          f"{'plain':>8}{'speedup':>9}{'latency ms':>12}{'p99':>8}{'= plain':>10}{'= torch':>10}")  # fmt: skip


def print_row(row: dict) -> None:
    name = f"{row['arch']} {row['backend']} {row['precision']}"
    print(
        f"{name:<24}{row['decode_fps']:>8.1f}{row['network_fps']:>9.2f}{row['write_fps']:>8.1f}"
        f"{row['one_after_another_fps']:>9.2f}{row['end_to_end_fps']:>12.2f}{row['efficiency']:>12.3f}"
        f"{row['plain_fps']:>8.2f}{row['speedup']:>9.2f}{row['latency_ms_median']:>12.1f}{row['latency_ms_p99']:>8.1f}"
        f"{row['mask_agreement_plain']:>10.3%}{row['mask_agreement_torch']:>10.3%}",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
