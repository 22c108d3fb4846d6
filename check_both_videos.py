"""Apply a model to a few frames of several videos and show them side by side, before a long run.

  python check_both_videos.py --video-paths first.mp4 second.mp4
  python check_both_videos.py --video-paths first.mp4 second.mp4 --frames 6 --names smoke "no smoke"

Draws the frames with their overlays and writes a JSON file of the same name beside the figure. Both
leave out the videos' file names, which can hold a patient's name. A few frames prove nothing:
therefore the script prints the commands that analyse the whole videos.
"""

from __future__ import annotations

import argparse
import string
from pathlib import Path

from surgseg import console
from surgseg.files import UserError, check_folder, write_json
from surgseg.generate.options import add_image_rate, add_weights_options, check_image_rate
from surgseg.places import find_weights
from surgseg.view import parse_view


def build_parser() -> argparse.ArgumentParser:
    parser = console.make_parser(__doc__)
    source = parser.add_argument_group("input")
    source.add_argument(
        "--video-paths",
        nargs="+",
        required=True,
        metavar="PATH",
        help="at least two videos or folders of images (required)",
    )
    source.add_argument(
        "--names", nargs="+", metavar="NAME", help='a name for each video (default: "video A", "video B", ...)'
    )
    source.add_argument(
        "--frames", type=int, default=4, metavar="N", help="number of frames of each video (default: 4)"
    )
    add_image_rate(source)
    model = add_weights_options(parser)
    model.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="least probability of instrument, 0-1 (default: from the weights file)",
    )
    console.add_view_option(model)
    console.add_device_option(model)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output", type=Path, default=Path("outputs/figures/check_both_videos.png"), metavar="FILE",
        help="figure, .png (default: %(default)s)",
    )  # fmt: skip
    return parser


def main(argv: list[str] | None = None) -> int:
    return console.report_errors(work, build_parser().parse_args(argv))


def work(args: argparse.Namespace) -> int:
    if args.frames < 1:
        raise UserError(f"--frames {args.frames}: at least 1 is needed")
    check_image_rate(args.image_rate)
    if args.output.suffix.lower() != ".png" or args.output.is_dir():
        raise UserError(f"--output {args.output}: a .png file is needed")
    check_folder(args.output.parent)
    from surgseg.checkpoint import load_checkpoint
    from surgseg.figures.video_checks import draw_checks
    from surgseg.generate.check import CAUTION, check_video
    from surgseg.predict import Predictor
    from surgseg.video.inputs import find_sources
    from surgseg.video.views import check_sizes

    asked = parse_view(args.view)
    sources = find_sources(args.video_paths)
    names = name_videos(args.names, len(sources))
    check_sizes(sources, asked)
    device = console.resolve_device(args.device)
    checkpoint = load_checkpoint(find_weights(args.model_path), args.arch)
    predictor = Predictor(checkpoint, device, args.threshold)
    view = parse_view(args.view, checkpoint.view)
    checks = [
        check_video(source, name, predictor, args.frames, args.image_rate, view) for source, name in zip(sources, names)
    ]
    weights_data = checkpoint.training.get("data", "unknown")
    draw_checks(checks, checkpoint.scheme, args.output, weights_data)
    private = ("video_paths", "output", "model_path")
    public = {key: value for key, value in vars(args).items() if key not in private}
    record = {
        "schema": "surgseg.video_check/1",
        "note": CAUTION,
        "threshold": predictor.threshold,
        "view": view,
        "weights_data": weights_data,
        "weights_sha256": checkpoint.sha256,
        "videos": [check.record() for check in checks],
        "run": console.run_metadata(public, device),
    }
    write_json(args.output.with_suffix(".json"), record)
    report(record)
    print(f"Written: {args.output}, {args.output.with_suffix('.json')}")
    return 0


def name_videos(given: list[str] | None, count: int) -> list[str]:
    """Return the given names, or video A, video B, ..., which do not identify a patient."""
    if count < 2:
        raise UserError("--video-paths: one video only; name at least two (generate_masks_from_model.py takes one)")
    if given is None:
        letters = string.ascii_uppercase
        return [f"video {letters[index] if count <= len(letters) else index + 1}" for index in range(count)]
    if len(given) != count or len(set(given)) != count:
        raise UserError(f"--names names {len(set(given))} different videos, --video-paths {count}")
    return given


def report(record: dict) -> None:
    """Print the numbers of each video, marked as in the figure, and the next commands."""
    from surgseg.figures.selection import synthetic_mark
    from surgseg.generate.check import CAUTION, check_words

    for video in record["videos"]:
        mark = synthetic_mark(video["data"], record["weights_data"])
        name = video["name"] + (f" ({mark})" if mark else "")
        print(f"{name}: {', '.join(check_words(video))} ({video['rule']})")
    print(f"{CAUTION} Next, for each video, with the same --model-path:")
    print("  python generate_masks_from_model.py --video-path VIDEO --output-dir data/NAME --sample spread --burst 3")
    print("and then:")
    print("  python compare_videos.py --generated-dirs data/NAME data/OTHER")


if __name__ == "__main__":
    raise SystemExit(main())
