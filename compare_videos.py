"""Compare the masks of one model in several videos: generated folders of generate_masks_from_model.py.

  python compare_videos.py --generated-dirs data/video01 data/video80 --names video01 video80
  python compare_videos.py --generated-dirs data/a data/b --tool-files a-tool.txt b-tool.txt
  python compare_videos.py --generated-dirs data/a data/b --mask-dirs masks_a masks_b

Prints a table, writes it as Markdown and JSON, and draws coverage, timelines, and the model's
confidence against the appearance of the frames. All folders are compared with the first. Videos
without labels are compared by content only. With tool annotations or ground truth of every video,
the change of sensitivity, specificity or Dice is reported as shift.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg.analysis.options import add_annotation_options, add_counting_options, check_counting, request_of
from surgseg.console import make_parser, report_errors, run_metadata
from surgseg.files import UserError, check_folder, write_json, write_text


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    source = parser.add_argument_group("input")
    source.add_argument(
        "--generated-dirs",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="two or more generated folders (required)",
    )
    source.add_argument(
        "--names", nargs="+", metavar="NAME", help="a name for each folder (default: the folders' names)"
    )
    source.add_argument(
        "--tool-files", type=Path, nargs="+", metavar="FILE", help="Cholec80's tool file of each folder (default: none)"
    )
    add_annotation_options(source)
    source.add_argument(
        "--cut-files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="CSV list of the cuts of each folder, as --cuts of analyze_mask_statistics.py (default: look for them)",
    )
    source.add_argument(
        "--mask-dirs", type=Path, nargs="+", metavar="DIR", help="ground-truth masks of each folder (default: none)"
    )
    source.add_argument(
        "--mask-videos", nargs="+", metavar="NAME", help="which video of each mask folder (default: the only one)"
    )
    add_counting_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output-dir",
        type=Path,
        default=Path("outputs"),
        metavar="DIR",
        help="folder of the results (default: outputs)",
    )
    output.add_argument(
        "--figure", type=Path, metavar="FILE", help="figure, .png (default: OUTPUT_DIR/figures/video_comparison.png)"
    )
    return parser


def work(args: argparse.Namespace) -> int:
    names = check(args)
    from surgseg.analysis.compare_report import video_comparison_block, video_comparison_markdown
    from surgseg.analysis.compare_videos import compare_videos
    from surgseg.figures.videos import draw_video_comparison

    videos = [read_video(args, index, name) for index, name in enumerate(names)]
    result = compare_videos(videos)
    marks = sorted({video.generated.synthetic for video in videos} - {""})
    mark = marks[0] if marks else ""
    written = [args.output_dir / f"video_comparison{end}" for end in (".json", ".md")]
    written.append(args.figure or args.output_dir / "figures" / "video_comparison.png")
    write_json(written[0], {**result, "run": run_metadata(vars(args))})
    write_text(written[1], video_comparison_markdown(result, mark))
    draw_video_comparison(written[2], videos, result)
    print(video_comparison_block(result, mark))
    print("\nWritten:", *(f"  {path}" for path in written), sep="\n")
    return 0


def check(args: argparse.Namespace) -> list[str]:
    """Return the videos' names. Raises `UserError` for options that do not fit together or are out of range."""
    folders = args.generated_dirs
    if len(folders) < 2:
        raise UserError("--generated-dirs: two folders or more are needed; for one use analyze_mask_statistics.py")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError("--generated-dirs names one folder twice")
    for option in ("names", "tool_files", "cut_files", "mask_dirs", "mask_videos"):
        given = getattr(args, option)
        if given is not None and len(given) != len(folders):
            raise UserError(
                f"--{option.replace('_', '-')} gives {len(given)} for {len(folders)} folders: give one for each"
            )
    names = args.names or [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise UserError(f"two videos are called {max(names, key=names.count)}: give different --names")
    check_counting(args)
    for option, of in (("tools", "tool_files"), ("mask_videos", "mask_dirs")):
        if getattr(args, option) and not getattr(args, of):
            raise UserError(f"--{option} needs --{of}".replace("_", "-"))
    for folder in (args.output_dir, args.figure.parent if args.figure else args.output_dir / "figures"):
        check_folder(folder)
    return names


def read_video(args: argparse.Namespace, index: int, name: str):
    """Return the `Video` of one folder, read and analysed."""
    from surgseg.analysis.compare_videos import Video, measure_appearances
    from surgseg.analysis.ground_truth import match_ground_truth
    from surgseg.analysis.measure import analyse
    from surgseg.cholec80 import read_tools
    from surgseg.generate.folder import read_generated

    generated = read_generated(args.generated_dirs[index], prefer_reviewed=args.prefer_reviewed)
    tools = read_tools(args.tool_files[index], args.tools, args.annotation_rate) if args.tool_files else None
    truth = None
    if args.mask_dirs:
        mask_video = args.mask_videos[index] if args.mask_videos else None
        truth = match_ground_truth(generated, args.mask_dirs[index], mask_video, reviewed=args.masks_reviewed)
    request = request_of(args, tools=tools, ground_truth=truth, cuts=args.cut_files and args.cut_files[index])
    analysis = analyse(generated, request)
    return Video(name, generated, analysis, measure_appearances(generated, analysis.rows))


def main(argv: list[str] | None = None) -> int:
    return report_errors(work, build_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
