"""Detection and coverage of a generated folder (generate_masks_from_model.py writes one).

    python analyze_mask_statistics.py --generated-dir data/generated

Prints the numbers and writes mask_statistics.json and figures/mask_statistics.png. Frames decoded after damage in
the video (suspect) are left out unless asked for. Without ground truth the numbers mix what the video shows with
what the model misses.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg.console import make_parser, report_errors, run_metadata
from surgseg.files import UserError, write_json


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    source = parser.add_argument_group("input")
    source.add_argument(
        "--generated-dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with frames.csv and run.json (required)",
    )
    counting = parser.add_argument_group("counting")
    counting.add_argument(
        "--min-area",
        type=float,
        default=0.001,
        metavar="FRACTION",
        help="coverage from which the second detection rate counts, fraction of the frame, 0-1 (default: 0.001)",
    )
    counting.add_argument("--include-suspect", action="store_true", help="count suspect frames too (default: no)")
    output = parser.add_argument_group("output")
    output.add_argument("--output-dir", type=Path, metavar="DIR", help="folder (default: the generated folder)")
    return parser


def work(args: argparse.Namespace) -> int:
    if not 0 <= args.min_area <= 1:
        raise UserError(f"--min-area {args.min_area}: a fraction of the frame between 0 and 1 is needed")
    from surgseg.figures.videos import draw_mask_statistics
    from surgseg.scores.statistics import detection_statistics
    from surgseg.video.generated import read_generated

    generated = read_generated(args.generated_dir)
    rows = [row for row in generated.rows if args.include_suspect or not row.suspect]
    if not rows:
        raise UserError(f"all {len(generated.rows)} frames of {args.generated_dir} are suspect; see --include-suspect")
    statistics = detection_statistics(rows, args.min_area)
    result = {
        "schema": "surgseg.mask_statistics/1",
        "complete": bool(generated.run["complete"]),
        "video_data": generated.run.get("video_data"),
        "weights_data": generated.run.get("weights_data"),
        "threshold": generated.run.get("threshold"),
        "frames_suspect_left_out": len(generated.rows) - len(rows),
        **statistics,
        "run": run_metadata(args),
    }
    output = args.output_dir or args.generated_dir
    write_json(output / "mask_statistics.json", result)
    figure = draw_mask_statistics(
        output / "figures" / "mask_statistics.png", generated, statistics, args.include_suspect
    )
    report(result, generated)
    print(f"Written: {output / 'mask_statistics.json'}, {figure}")
    return 0


def report(result: dict, generated) -> None:
    coverage = {key: f"{100 * value:.2f} %" for key, value in result["coverage"].items() if key != "n"}
    lines = [
        ("Frames", result["frames"]),
        ("Suspect frames left out", result["frames_suspect_left_out"]),
        ("Detection rate (any pixel)", f"{result['detection_rate']:.1%}"),
        (
            f"Detection rate (from {100 * result['min_area']:g} % of the frame)",
            f"{result['detection_rate_min_area']:.1%}",
        ),
        ("Frames without detection", result["frames_without_detection"]),
        ("Coverage, mean", coverage["mean"]),
        ("Coverage, median", coverage["median"]),
        ("Coverage, SD", coverage["sd"] if result["frames"] > 1 else "not defined for one frame"),
        ("Coverage, 5th to 95th percentile", f"{coverage['p5']} to {coverage['p95']}"),
        ("Coverage, 25th to 75th percentile", f"{coverage['p25']} to {coverage['p75']}"),
        ("Confidence, mean", f"{result['mean_confidence']:.3f}"),
        ("Uncertainty, mean", f"{result['mean_uncertainty']:.3f}"),
        ("Instrument components, mean", f"{result['mean_components']:.2f}"),
    ]
    title = "MASK STATISTICS" + (f" ({generated.synthetic})" if generated.synthetic else "")
    print(title + "\n" + "=" * len(title))
    for name, value in lines:
        print(f"{name:<44}{value}")
    if not result["complete"]:
        why = generated.run.get("stopped") or "killed, or still running"
        print(f"Note: the run that wrote this folder is unfinished ({why})")


def main(argv: list[str] | None = None) -> int:
    return report_errors(work, build_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
