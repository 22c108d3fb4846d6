"""Find the fastest way to compute a training step here: memory layout, precision, threads, torch.compile.

Every variant takes the same step (forward, loss, backward, optimizer) on one batch. They take turns, so that other load
on the machine slows all of them. The last column is the speed relative to the first row, as the median over the turns.

  python benchmarks/step.py --arch unet --base-channels 16 --image-size 120 160
  python benchmarks/step.py --quick --json out.json
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models import ARCHITECTURES
from surgseg.console import add_device_option, make_parser, report_errors, resolve_device
from surgseg.files import write_json
from surgseg.threads import cpu_count


def build_parser():
    parser = make_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="64x64, batch 2, 3 turns, no compile (default: off)")
    parser.add_argument("--arch", default="unet", choices=ARCHITECTURES, help="model (default: unet)")
    parser.add_argument("--base-channels", type=int, default=64, help="width of the U-Net (default: 64)")
    parser.add_argument("--image-size", type=int, nargs=2, default=[96, 160], metavar=("HEIGHT", "WIDTH"),
                        help="pixels (default: 96 160)")  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=4, help="frames (default: 4)")
    parser.add_argument("--turns", type=int, default=7, help="measured turns (default: 7)")
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile (default: off)")
    add_device_option(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers as JSON (default: no)")
    return parser


def main(argv=None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args) -> int:
    import torch

    if args.quick:
        args.image_size, args.batch_size, args.turns, args.no_compile = [64, 64], 2, 3, True
    device = resolve_device(args.device)
    threads = sorted({1, cpu_count()}, reverse=True) if device.type == "cpu" else [torch.get_num_threads()]
    layouts = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
    variants = [
        (f"{layout}, {precision}, {count} threads{', compiled' if compiled else ''}", count,
         make_step(args, device, layouts[layout], precision, compiled=compiled))
        for compiled, layout, precision, count in itertools.product(
            [False] if args.no_compile else [False, True], layouts, ["float32", "bf16"], threads
        )
        if not (compiled and (layout == "NCHW" or count == 1))
    ]  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name, _, _ in variants}
    for turn in range(args.turns + 2):  # the first two turns warm up and compile
        for name, count, step in variants:
            torch.set_num_threads(count)
            start = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn > 1:
                seconds[name].append(time.perf_counter() - start)
    first = seconds[variants[0][0]]
    rows = [
        {
            "variant": name,
            "ms_per_image": 1000 * statistics.median(taken) / args.batch_size,
            "speed": statistics.median(reference / one for reference, one in zip(first, taken)),
        }
        for name, taken in seconds.items()
    ]
    print(f"{args.arch}, {args.image_size[0]}x{args.image_size[1]}, batch {args.batch_size}, {device.type}")
    print(f"{'':<44}{'ms/image':>10}{'speed':>8}")
    for row in rows:
        print(f"{row['variant']:<44}{row['ms_per_image']:>10.1f}{row['speed']:>8.2f}")
    if args.json:
        write_json(
            args.json, {"arch": args.arch, "image_size": args.image_size, "device": device.type, "results": rows}
        )
    return 0


def make_step(args, device, layout, precision: str, *, compiled: bool):
    """Return a function that takes one training step with this layout, precision and compilation."""
    import torch

    from models import build_model
    from surgseg.devices import autocast
    from surgseg.training.losses import segmentation_loss

    torch.manual_seed(0)
    width = {"base_channels": args.base_channels} if "base_channels" in ARCHITECTURES[args.arch].options else {}
    model = build_model(args.arch, 2, **width).to(device, memory_format=layout).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=device.type in ("cpu", "cuda"))
    frames = torch.rand(args.batch_size, 3, *args.image_size, device=device).contiguous(memory_format=layout)
    masks = torch.randint(0, 2, (args.batch_size, *args.image_size), device=device, dtype=torch.uint8)
    forward = torch.compile(model) if compiled else model

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast(device, precision):
            output = forward(frames)
        segmentation_loss(output, masks).mean().backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    raise SystemExit(main())
