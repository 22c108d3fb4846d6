"""Export a weights file to ONNX, checked against PyTorch on real frames.

  python export_model.py --model-path outputs/instrument_segmentation_model.pth --format onnx
  python export_model.py --model-path mine.pth --frames operation.mp4
  python export_model.py --model-path mine.pth --int8 --data-root data/full_dataset

The exported graph takes frames (N, 3, height, width) uint8 RGB, resized to the model's size, and
returns class probabilities. The file is written beside the weights, where
generate_masks_from_model.py finds it (on a CPU that script also exports by itself). Prints the
size, the difference from PyTorch, and the milliseconds per frame of each backend on this CPU. An
export that disagrees with PyTorch is not written: exit status 2.

--int8 also writes a file of 8-bit integers, <name>.int8.onnx, for --backend int8 of
generate_masks_from_model.py. It is calibrated on real frames, and refused where Dice falls by
more than --max-fall.

Needs: pip install onnx onnxscript onnxruntime
"""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg.console import make_parser, report_errors
from surgseg.files import UserError, check_folder, write_bytes
from surgseg.generate.options import add_weights_options
from surgseg.places import DATA, FRAMES, find_weights

PREPARED = tuple(root / frames for root, frames in zip(DATA, FRAMES))


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    add_weights_options(parser)
    export = parser.add_argument_group("export")
    export.add_argument("--format", choices=["onnx"], default="onnx", help="format to write (default: onnx)")
    export.add_argument(
        "--frames",
        metavar="PATH",
        help=f"video or folder of images for the check (default: {' or '.join(map(str, PREPARED))}, "
        "else synthetic frames)",
    )
    export.add_argument(
        "--output", type=Path, metavar="FILE", help="exported file, .onnx (default: beside the weights)"
    )
    export.add_argument(
        "--int8", action="store_true", help="also write a quantised file, which is faster (default: no)"
    )
    export.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="prepared folder: frames for the check, to calibrate --int8 on and to score it with (default: "
        f"{' or '.join(map(str, DATA))}, unless --frames is given)",
    )
    export.add_argument(
        "--max-fall",
        type=float,
        default=0.005,
        metavar="DICE",
        help="largest fall of Dice at which --int8 is written; without ground truth the masks of float32 are the truth "
        "(default: %(default)s)",
    )
    export.add_argument(
        "--repeats", type=int, default=10, metavar="N", help="timed predictions of each backend (default: 10)"
    )
    return parser


def work(args: argparse.Namespace) -> int:
    if args.repeats < 1:
        raise UserError(f"--repeats {args.repeats}: at least 1 is needed")
    from surgseg.checkpoint import load_checkpoint
    from surgseg.onnx import OnnxNetwork, check_packages, check_place, export, onnx_path, side_by_side
    from surgseg.quantise import quantise, real_frames

    check_packages()
    weights = find_weights(args.model_path)
    checkpoint = load_checkpoint(weights, args.arch)
    output = args.output or onnx_path(weights)
    if output.suffix != ".onnx" or output.is_dir():
        raise UserError(f"--output {output}: a file name that ends in .onnx is needed")
    check_folder(output.parent)
    small = output.with_suffix(".int8.onnx")
    for path in (output, small)[: 1 + args.int8]:
        check_place(path)
    real = real_frames(args.frames, args.data_root, checkpoint) if args.int8 else None
    frames, origin = frames_to_check(args.frames, args.data_root)
    graph = export(checkpoint, frames)
    quantised, cost = quantise(checkpoint, graph, real, args.max_fall) if real else (None, None)
    write_bytes(output, graph)
    network = OnnxNetwork(graph)
    networks = {"onnxruntime float32": network}
    size = " x ".join(map(str, checkpoint.image_size))
    print(f"Weights: {weights} ({weights.stat().st_size / 1e6:.1f} MB, {checkpoint.arch})")
    print(f"Export: {output} ({len(graph) / 1e6:.1f} MB), input N x 3 x {size} uint8")
    print(f"Checked on {origin}: {network.parity}")
    if real:
        write_bytes(small, quantised)
        networks["onnxruntime int8"] = OnnxNetwork(quantised)
        print(f"Quantised: {small} ({len(quantised) / 1e6:.1f} MB), {real.origin}")
        print(f"  {cost}")
    height, width = frames[0].shape[:2]
    print(f"One frame of {width}x{height} to its mask on this CPU, median of {args.repeats}, in turns:")
    milliseconds = side_by_side(checkpoint, networks, frames[0], args.repeats)
    for name, value in milliseconds.items():
        print(f"  {name:<24}{value:8.1f} ms")
    if real:
        ratio = milliseconds["onnxruntime float32"] / milliseconds["onnxruntime int8"]
        print(f"  int8 is {ratio:.2f} times as fast as float32 in ONNX Runtime")
    return 0


def frames_to_check(path: str | None, root: Path | None) -> tuple[list, str]:
    """Return (frames for the check, their description): the user's, prepared ones, or synthetic ones."""
    from surgseg.video.inputs import find_sources, first_frames

    folders = [root / name for name in FRAMES] if root else PREPARED
    path = path or next((str(folder) for folder in folders if folder.is_dir()), None)
    if path is not None:
        frames = first_frames(find_sources([path]))
        return frames, f"{len(frames)} frames of {path}"
    from surgseg.synthetic.scenes import draw_frame

    frames = [draw_frame(0, 1, number, (480, 854), "aligned")[0] for number in range(4)]
    return frames, "4 synthetic frames (--frames takes real ones)"


def main(argv: list[str] | None = None) -> int:
    return report_errors(work, build_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
