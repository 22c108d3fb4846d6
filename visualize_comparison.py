"""Draw a comparison of architectures and describe it in words, from the files of train_comparative.py.

  python visualize_comparison.py --comparison-dir outputs/comparative
  python visualize_comparison.py --comparison-dir outputs/comparative --note "15 epochs only."

Reads comparison.json and the histories; nothing is predicted again. Writes training_comparison.png
(loss and validation IoU against epochs and training time), final_comparison.png (scores, costs, IoU
by video) and comparison_table.md (the table, and sentences that follow from its numbers). For an
unfinished comparison it shows the finished runs and ends with status 3.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg import console


def build_parser() -> argparse.ArgumentParser:
    parser = console.make_parser(__doc__)
    source = parser.add_argument_group("input")
    source.add_argument(
        "--comparison-dir",
        type=Path,
        default=Path("outputs/comparative"),
        metavar="DIR",
        help="folder that train_comparative.py wrote (default: outputs/comparative)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output-dir", type=Path, metavar="DIR", help="folder of the figures and the table (default: --comparison-dir)"
    )
    output.add_argument(
        "--note", default="", metavar="TEXT", help="sentence to add to the captions and the table (default: none)"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    return console.report_errors(run, build_parser().parse_args(argv))


def run(args: argparse.Namespace) -> int:
    from surgseg.files import check_folder, write_text
    from surgseg.study.comparison import read_comparison, read_histories
    from surgseg.study.report import comparison_block, comparison_markdown
    from surgseg.study.sentences import unfinished

    folder = args.output_dir or args.comparison_dir
    comparison = read_comparison(args.comparison_dir)
    histories, problems = read_histories(args.comparison_dir, comparison)
    check_folder(folder)

    from surgseg.figures.comparison import draw_final, draw_training

    written = [draw_final(comparison, folder / "final_comparison.png", note=args.note)]
    if histories:
        path = folder / "training_comparison.png"
        written.append(draw_training(comparison, histories, path, note=args.note, problems=problems))
    table = folder / "comparison_table.md"
    write_text(table, comparison_markdown(comparison, args.note, problems))
    print(comparison_block(comparison))
    print("\nWritten:", *(f"  {path}" for path in [*written, table]), sep="\n")
    if problems:
        where = "Not in training_comparison.png:" if histories else "No training_comparison.png:"
        print(where, *(f"  {problem}" for problem in problems), sep="\n")
    if missing := unfinished(comparison):
        print(f"Partial: {missing}")
    return console.PARTIAL if problems or missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
