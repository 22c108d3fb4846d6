"""Draw frame, mask and overlay of some frames of a generated folder, for visual inspection.

  python analyze_generated_masks.py --generated-dir data/generated
  python analyze_generated_masks.py --generated-dir data/generated --select uncertain

The frames are spread over the video, or chosen by the rule of --select; the figure states the rule.
A JSON file of the same name beside the figure lists the frames. generate_masks_from_model.py writes
the generated folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg.analysis.options import add_generated_dir
from surgseg.console import add_prefer_option, make_parser, report_errors, run_metadata
from surgseg.figures.selection import SELECTIONS
from surgseg.files import UserError, write_json
from surgseg.reviews import read_reviews, reviewed_words

FIGURE = "visual_analysis.png"


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    source = parser.add_argument_group("input")
    add_generated_dir(source)
    add_prefer_option(source)
    choice = parser.add_argument_group("selection")
    choice.add_argument(
        "--num-samples", type=int, default=10, metavar="N", help="number of frames to show (default: 10)"
    )
    choice.add_argument(
        "--select",
        choices=SELECTIONS,
        default="spread",
        help="how frames are chosen: spread over the video, at random, by the largest or the smallest coverage above "
        "0, by the highest uncertainty, or those that select_frames.py chose to correct (default: spread)",
    )
    choice.add_argument("--seed", type=int, default=0, help="seed of --select random (default: 0)")
    choice.add_argument("--include-suspect", action="store_true", help="choose among suspect frames too (default: no)")
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output", type=Path, metavar="PATH", help=f"figure (.png), or a folder for it (default: DIR/figures/{FIGURE})"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    return report_errors(work, build_parser().parse_args(argv))


def work(args: argparse.Namespace) -> int:
    for option, value, least in (("--num-samples", args.num_samples, 1), ("--seed", args.seed, 0)):
        if value < least:
            raise UserError(f"{option} {value}: at least {least} is needed")
    path = figure_path(args.output or args.generated_dir / "figures")
    from surgseg.analysis.measure import differ, recount
    from surgseg.figures.panels import draw_visual_analysis, read_panels
    from surgseg.figures.selection import select_frames
    from surgseg.generate.folder import read_generated

    generated = read_generated(args.generated_dir, prefer_reviewed=args.prefer_reviewed)
    rows = [row for row in generated.rows if args.include_suspect or not row.suspect]
    if not rows:
        raise UserError(f"all {len(generated.rows)} frames of {args.generated_dir} are suspect; see --include-suspect")
    if args.prefer_reviewed:
        rows = recount(generated, rows)
    queue = read_reviews(args.generated_dir) if args.select == "queue" else None
    selected = select_frames(rows, args.select, args.num_samples, args.seed, queue)
    shown = recount(generated, selected.rows) if "masks" in generated.run["parts"] else selected.rows
    panels = read_panels(generated, shown, uncertainty=args.select == "uncertain", reviews=queue)
    suspect = len(generated.rows) - len(rows)
    corrected = sum(map(differ, selected.rows, shown))
    reviewed = generated.count_reviewed(rows)
    words = notes(selected.words, suspect, corrected, reviewed, generated.run)
    draw_visual_analysis(panels, generated.scheme, path, title=words, mark=generated.synthetic)
    write_json(path.with_suffix(".json"), listing(args, generated, shown, selected.seed, words, rows, reviewed))
    print(words)
    print(f"Written: {path}, {path.with_suffix('.json')}")
    return 0


def figure_path(output: Path) -> Path:
    """The path of the figure: `output` itself if it is a .png file, else `FIGURE` in the folder `output`."""
    if output.suffix.lower() in (".jpg", ".jpeg", ".pdf", ".svg", ".tif", ".tiff"):
        raise UserError(f"--output {output}: a .png file or a folder is needed")
    return output if output.suffix.lower() == ".png" and not output.is_dir() else output / FIGURE


def notes(words: str, suspect: int, corrected: int, reviewed: dict | None, run: dict) -> str:
    """The rule and the warnings about the folder, a line each."""
    lines = [words]
    if suspect:
        lines.append(f"{suspect} suspect frame{'s' * (suspect > 1)} (decoded after damage) left out")
    if corrected:
        lines.append(f"chosen by frames.csv, which disagrees with {corrected} of these masks; coverage is the masks'")
    if reviewed:
        lines.append(reviewed_words(reviewed))
    if not run.get("complete"):
        lines.append("the run that wrote this folder is unfinished")
    return "\n".join(lines)


def listing(args: argparse.Namespace, generated, shown: list, seed, words: str, rows: list, reviewed) -> dict:
    """The content of the JSON beside the figure; coverage is that of the masks shown."""
    keys = ("name", "frame", "time_s", "coverage", "uncertainty", "suspect")
    return {
        "schema": "surgseg.visual_analysis/1",
        "rule": args.select,
        "words": words,
        "seed": seed,
        "frames_suspect_left_out": len(generated.rows) - len(rows),
        "reviewed_masks": reviewed,
        "frames_without_detection": sum(row.coverage == 0 for row in rows),
        "complete": bool(generated.run.get("complete")),
        "video_data": generated.run.get("video_data"),
        "weights_data": generated.run.get("weights_data"),
        "samples": [{key: getattr(row, key) for key in keys} for row in shown],
        "run": run_metadata(vars(args)),
    }


if __name__ == "__main__":
    raise SystemExit(main())
