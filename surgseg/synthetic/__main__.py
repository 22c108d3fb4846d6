"""Draw synthetic laparoscopic videos with ground truth, in CholecSeg8k's own tree and codes.

python -m surgseg.synthetic --output-root data/synthetic --videos 6 --clips 2 --frames 80
python prepare_full_dataset.py --source-root data/synthetic --output-root data/full_dataset
"""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg.console import make_parser, report_errors


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    parser.prog = "python -m surgseg.synthetic"
    output = parser.add_argument_group("output")
    output.add_argument("--output-root", type=Path, required=True, help="folder to write: new, or of the same stream")
    stream = parser.add_argument_group("stream")
    stream.add_argument(
        "--preset", choices=["demo"], help="take the demo's value for every option not given (default: none)"
    )
    stream.add_argument("--videos", type=int, help="number of videos (default: 6)")
    stream.add_argument("--clips", type=int, help="clips per video, about 10 seconds apart (default: 2)")
    stream.add_argument("--frames", type=int, help="consecutive frames per clip, 25 per second (default: 80)")
    stream.add_argument(
        "--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="frame size in pixels (default: 480 854)"
    )
    stream.add_argument("--seed", type=int, help="the same seed draws the same videos (default: 7)")
    stream.add_argument(
        "--domain",
        default="aligned",
        choices=["aligned", "shifted"],
        help="shifted: dim light, a colour cast, more smoke, instruments nearly always in view (default: aligned)",
    )
    parser.add_argument_group("computing").add_argument("--workers", type=int, help="processes (default: one per core)")
    return parser


def main(argv: list[str] | None = None) -> int:
    return report_errors(_draw, build_parser().parse_args(argv))


def _draw(args: argparse.Namespace) -> int:
    from surgseg.data.sources import MARKER
    from surgseg.files import UserError
    from surgseg.synthetic.release import DEMO_STREAM, write_release

    if args.workers is not None and args.workers < 1:
        raise UserError(f"--workers must be at least 1, not {args.workers}")
    numbers = {"videos": 6, "clips": 2, "frames": 80, "size": (480, 854), "seed": 7}
    if args.preset == "demo":
        numbers |= DEMO_STREAM
    numbers |= {key: value for key in numbers if (value := getattr(args, key)) is not None}
    done = write_release(args.output_root, **numbers, domain=args.domain, workers=args.workers)
    print(f"{done['frames']} frames ({done['drawn']} drawn now) and {len(done['videos'])} videos in {done['root']}")
    print(f"Synthetic data, marked by {MARKER}: scores on it say nothing about real surgery.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
