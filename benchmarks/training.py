"""Speed of training: the real loop, the same step on one resident batch, and a plain training loop.

  resident   forward, loss, backward, optimizer and averaged weights on one batch that is on the device already
  loop       the training loop of this project: cache -> device -> augmentation -> step -> bookkeeping
  plain      a common loop: a DataLoader that decodes PNGs with Pillow in every epoch, float32, batches of 4, the loss
             read in every step

Loop and resident steps alternate within one epoch of the real loop. feed_ratio is the median over these pairs of
resident time / loop time. FLOP/s count the convolutions and matrix products of a resident step; `of matrix` is their
share of the rate of one large matrix product in the same precision on the same device.

  python benchmarks/training.py                                  (256x256; on a GPU batches of 32)
  python benchmarks/training.py --quick --json out.json          (96x96, batches of 2: a minute on 2 cores)
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models import ARCHITECTURES
from surgseg.console import add_device_option, make_parser, report_errors, resolve_device
from surgseg.files import UserError, write_json

STUDY_FRAMES = 6464  # in one epoch of the original study
NATIVE = (480, 854)


def build_parser():
    parser = make_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="96x96, batches of 2, few steps (default: off)")
    parser.add_argument("--arch", nargs="+", default=["unet", "deeplabv3"], choices=ARCHITECTURES,
                        help="models (default: unet deeplabv3)")  # fmt: skip
    parser.add_argument(
        "--image-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="pixels (default: 256 256)"
    )
    parser.add_argument("--batch-size", type=int, help="frames per step (default: 32 on a GPU, otherwise 4)")
    parser.add_argument(
        "--steps",
        type=int,
        help="measured pairs of turns (default: 10 of 32 steps each on a GPU, else 8 of one step)",
    )
    parser.add_argument("--cache-device", default="auto", choices=["auto", "cpu", "cuda"], help="place (default: auto)")
    parser.add_argument(
        "--precision", default="auto", choices=["auto", "float32", "bf16", "fp16"], help="(default: auto)"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile the model (default: off)")
    parser.add_argument("--workers", type=int, default=2, help="workers of the plain loop's DataLoader (default: 2)")
    add_device_option(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers as JSON (default: no)")
    return parser


def main(argv=None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args) -> int:
    import torch

    device = resolve_device(args.device)
    cuda = device.type == "cuda"
    if cuda:
        torch.backends.cudnn.benchmark = True
    args.image_size = tuple(args.image_size or ((96, 96) if args.quick else (256, 256)))
    args.batch_size = args.batch_size or (2 if args.quick else 32 if cuda else 4)
    args.steps = args.steps or (10 if cuda else 8)
    args.epochs = 16 if cuda else 1  # of the plain loop
    args.arch = list(dict.fromkeys(args.arch))
    if args.steps < 2 or args.batch_size < 2:
        raise UserError("--steps and --batch-size must be at least 2")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        samples, scheme = draw_data(Path(folder), 32 if args.quick else 64)
        for arch in args.arch:
            results.append(measure(args, arch, samples, scheme, device, Path(folder, "cache")))
            print_row(results[-1], header=len(results) == 1)
    if args.json:
        write_json(args.json, {"torch": torch.__version__, "threads": torch.get_num_threads(), "results": results})
    return 0


def draw_data(folder: Path, frames: int):
    """Write and prepare synthetic PNG frames of native size; return (samples, scheme)."""
    from surgseg.data.convert import Target
    from surgseg.data.dataset import load_prepared
    from surgseg.data.prepare import prepare
    from surgseg.data.readers.cholecseg8k import read_cholecseg8k
    from surgseg.data.sources import open_source
    from surgseg.labels import SCHEMES
    from surgseg.synthetic.release import write_release

    write_release(folder / "stream", 2, 2, frames // 4, NATIVE, seed=0)
    with open_source(folder / "stream") as (files, data):
        prepare(read_cholecseg8k(files, "stream"), Target(folder / "data"), SCHEMES["binary"], data)
    prepared = load_prepared(folder / "data")
    return prepared.samples, prepared.scheme


def measure(args, arch: str, samples: list, scheme, device, cache_dir: Path) -> dict:
    import torch

    from models import build_model
    from surgseg.data.cache import open_cache
    from surgseg.devices import best_precision
    from surgseg.training.config import TrainConfig
    from surgseg.training.loop import Trainer

    # steps per turn: the host waits for a GPU once per turn, which must be long compared with the prefetched batches
    group = 32 if device.type == "cuda" else 1
    precision = best_precision(device) if args.precision == "auto" else args.precision
    config = TrainConfig(
        epochs=1, batch_size=args.batch_size, learning_rate=1e-3, backbone_rate=1.0, precision=precision
    )
    cache = open_cache(samples, args.image_size, scheme, cache_dir)
    torch.manual_seed(0)
    trainer = Trainer(
        build_model(arch, 2),
        cache,
        scheme,
        device,
        config,
        architecture=ARCHITECTURES[arch],
        cache_device=args.cache_device,
        compiled=args.compile,
    )
    loop_s, resident_s = alternate(trainer, args.steps, group, device)
    flops = step_flops(trainer, device)
    plain_per_s = plain_recipe(arch, samples, args, device)
    rate = args.batch_size * group / statistics.median(resident_s)
    found = {
        "arch": arch,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "image_size": args.image_size,
        "batch_size": args.batch_size,
        "precision": precision,
        "compiled": args.compile,
        "cache": trainer.feed.place,
        "resident_images_per_s": rate,
        "loop_images_per_s": args.batch_size * group / statistics.median(loop_s),
        "feed_ratio": statistics.median(ready / real for ready, real in zip(resident_s, loop_s)),
        "plain_images_per_s": plain_per_s,
        "flops_per_image": flops / args.batch_size,
        "reached_flops": flops / args.batch_size * rate,
        "matrix_flops": matrix_flops(device, precision),
        "peak_gpu_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }
    found["study_epoch_s"] = STUDY_FRAMES / found["loop_images_per_s"]
    return found


def alternate(trainer, turns: int, group: int, device) -> tuple[list[float], list[float]]:
    """Return the seconds of each turn of the real loop and of equally many steps on one resident batch after it."""
    import torch

    def synchronise() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    size = trainer.config.batch_size
    batch = next(trainer.feed.stream([np.arange(size)]))
    inputs, masks = trainer.prepare(batch.frames), batch.masks
    step, losses = trainer.train_step, trainer.losses
    loop_s, resident_s, count = [], [], itertools.count(1)
    since = 0.0

    def timed_step(batches, images):
        nonlocal since
        loss = step(batches, images)
        if next(count) % group == 0:
            done = synchronise()
            loop_s.append(done - since)
            trainer.losses = lambda batch: trainer.losses_of(inputs, masks)
            for _ in range(group):
                step([batch], size)
            trainer.losses = losses
            since = synchronise()
            resident_s.append(since - done)
        return loss

    trainer.train_step = timed_step
    warm_up = 2  # turns, in which kernels are chosen and memory is reserved
    rows = np.resize(np.arange(trainer.rows), (turns + warm_up) * group * size)
    since = synchronise()
    trainer.run_epoch(1, rows)
    trainer.train_step = step
    return loop_s[warm_up:], resident_s[warm_up:]


def step_flops(trainer, device) -> float:
    """Return the floating-point operations of the matrix products and convolutions of one step with its backward."""
    from torch.utils.flop_counter import FlopCounterMode

    batch = next(trainer.feed.stream([np.arange(trainer.config.batch_size)]))
    trainer.forward = trainer.model  # uncompiled: the counter counts operators, not fused kernels
    with FlopCounterMode(display=False) as counter:
        trainer.train_step([batch], len(batch.rows))
    return float(counter.get_total_flops())


def matrix_flops(device, precision: str) -> float:
    """Return the FLOP/s of one large square matrix product: the best of several."""
    import torch

    size = 8192 if device.type == "cuda" else 2048
    dtype = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds[2:])


class PngFrames:
    """A data set that decodes and resizes a PNG and its mask at every access."""

    def __init__(self, samples: list, size: tuple[int, int]):
        self.samples, self.size = samples, size

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int):
        from PIL import Image

        height, width = self.size
        sample = self.samples[index]
        frame = Image.open(sample.frame).convert("RGB").resize((width, height), Image.BILINEAR)
        mask = Image.open(sample.mask).resize((width, height), Image.NEAREST)
        return np.asarray(frame, np.float32).transpose(2, 0, 1) / 255, np.asarray(mask).astype(np.int64)


def plain_recipe(arch: str, samples: list, args, device) -> float:
    """Return the images per second of the plain loop, from its second batch on."""
    import torch
    from torch.utils.data import DataLoader

    from models import build_model

    torch.manual_seed(0)
    model = build_model(arch, 2).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    start, images = 0.0, 0
    data = PngFrames(samples * args.epochs, args.image_size)
    for number, (frames, masks) in enumerate(DataLoader(data, 4, shuffle=True, num_workers=args.workers)):
        optimizer.zero_grad()
        output = model(frames.to(device))
        output = output["out"] if isinstance(output, dict) else output
        loss = torch.nn.functional.cross_entropy(output, masks.to(device), ignore_index=255)
        loss.backward()
        optimizer.step()
        loss.item()
        if number == 0:
            start = time.perf_counter()
        else:
            images += len(frames)
    return images / (time.perf_counter() - start)


def print_row(row: dict, *, header: bool) -> None:
    if header:
        print(f"{row['device']}, {row['image_size'][0]}x{row['image_size'][1]}, batch {row['batch_size']}, "
              f"{row['precision']}, cache {row['cache']}")  # fmt: skip
        print(f"{'':<12}{'resident':>10}{'loop':>10}{'feed ratio':>12}{'plain':>10}{'loop/plain':>12}"
              f"{'GFLOP/s':>10}{'of matrix':>11}{'6,464 frames':>14}")  # fmt: skip
    print(
        f"{row['arch']:<12}{row['resident_images_per_s']:>10.2f}{row['loop_images_per_s']:>10.2f}"
        f"{row['feed_ratio']:>12.3f}{row['plain_images_per_s']:>10.2f}"
        f"{row['loop_images_per_s'] / row['plain_images_per_s']:>12.2f}{row['reached_flops'] / 1e9:>10.0f}"
        f"{row['reached_flops'] / row['matrix_flops']:>11.2f}{row['study_epoch_s']:>12.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
