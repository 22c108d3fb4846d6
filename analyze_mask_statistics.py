"""Measure detection, coverage, presence and temporal stability in a generated folder.

  python analyze_mask_statistics.py --generated-dir data/generated
  python analyze_mask_statistics.py --generated-dir data/v01 --phase-file P.txt --tool-file T.txt
  python analyze_mask_statistics.py --generated-dir data/v01 --mask-dir data/full_dataset/masks \\
      --mask-video video01
  python analyze_mask_statistics.py --generated-dir data/every_frame --rates 25 12.5 5 1

generate_masks_from_model.py writes the generated folder. This script prints the numbers and writes
mask_statistics.json, mask_statistics_frames.csv and figures/mask_statistics.png. Suspect frames,
which were decoded after damage in the video, are left out unless --include-suspect is given.
Without ground truth or annotation the numbers depend on the content of the video as well as on the
errors of the model. Temporal stability needs frames at most 0.2 s apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg.analysis.options import (
    add_annotation_options,
    add_counting_options,
    add_cuts_option,
    add_generated_dir,
    check_counting,
    request_of,
)
from surgseg.console import make_parser, report_errors, run_metadata
from surgseg.files import UserError, check_folder, write_csv, write_json


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    source = parser.add_argument_group("input")
    add_generated_dir(source)
    source.add_argument(
        "--phase-file", type=Path, metavar="FILE", help="Cholec80's phases, videoNN-phase.txt (default: none)"
    )
    source.add_argument(
        "--tool-file", type=Path, metavar="FILE", help="Cholec80's tools, videoNN-tool.txt (default: none)"
    )
    add_annotation_options(source)
    source.add_argument(
        "--mask-dir",
        type=Path,
        metavar="DIR",
        help="ground-truth masks, matched by name or frame number (default: none)",
    )
    source.add_argument("--mask-video", metavar="NAME", help="which video of --mask-dir (default: the only one there)")
    add_cuts_option(source)
    counting = add_counting_options(parser)
    counting.add_argument(
        "--rates",
        type=float,
        nargs="+",
        metavar="FPS",
        help="measure the video, of which every frame is needed, at these rates too, frames a second (default: none)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output-dir", type=Path, metavar="DIR", help="folder of the results (default: the generated folder)"
    )
    output.add_argument(
        "--figure", type=Path, metavar="FILE", help="figure, .png (default: OUTPUT_DIR/figures/mask_statistics.png)"
    )
    return parser


def work(args: argparse.Namespace) -> int:
    check_counting(args)
    if args.tools and not args.tool_file:
        raise UserError("--tools needs --tool-file")
    if args.mask_video and not args.mask_dir:
        raise UserError("--mask-video needs --mask-dir")
    from surgseg.analysis.frame_table import frame_rows
    from surgseg.analysis.ground_truth import match_ground_truth
    from surgseg.analysis.measure import analyse
    from surgseg.analysis.rates import check_rates, measure_rates
    from surgseg.analysis.report import statistics_block
    from surgseg.cholec80 import read_phases, read_tools
    from surgseg.figures.mask_statistics import draw_mask_statistics
    from surgseg.figures.sampling_rate import draw_sampling_rate
    from surgseg.generate.folder import read_generated

    generated = read_generated(args.generated_dir, prefer_reviewed=args.prefer_reviewed)
    output = args.output_dir or args.generated_dir
    figure = args.figure or output / "figures" / "mask_statistics.png"
    for folder in (output, figure.parent):
        check_folder(folder)
    request = request_of(
        args,
        cuts=args.cuts,
        phases=read_phases(args.phase_file, args.annotation_rate) if args.phase_file else None,
        tools=read_tools(args.tool_file, args.tools, args.annotation_rate) if args.tool_file else None,
        ground_truth=args.mask_dir
        and match_ground_truth(generated, args.mask_dir, args.mask_video, reviewed=args.masks_reviewed),
    )
    check_rates(generated, args.rates or ())
    analysis = analyse(generated, request)
    result = {
        "schema": "surgseg.mask_statistics/2",
        "complete": bool(generated.run.get("complete")),
        "video_data": generated.run.get("video_data"),
        "weights_data": generated.run.get("weights_data"),
        "threshold": generated.run.get("threshold"),
        "image_rate": generated.run.get("image_rate"),
        **analysis.statistics,
        **({"rates": measure_rates(generated, request, analysis, args.rates)} if args.rates else {}),
        "run": run_metadata(vars(args)),
    }
    write_json(output / "mask_statistics.json", result)
    rows = frame_rows(analysis)
    write_csv(output / "mask_statistics_frames.csv", rows[0], rows)
    draw_mask_statistics(figure, generated, analysis, args.include_suspect)
    written = [output / "mask_statistics.json", output / "mask_statistics_frames.csv", figure]
    if args.rates:
        written.append(draw_sampling_rate(figure.with_name("sampling_rate.png"), result["rates"], generated.synthetic))
    print(statistics_block(result, generated.synthetic, generated.run.get("stopped") or ""))
    print(f"Written: {', '.join(map(str, written))}")
    return 0


def main(argv: list[str] | None = None) -> int:
    return report_errors(work, build_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
