"""Score several models on several data sets: the transfer matrix.

  python compare_datasets.py --models a.pth b.pth --data-roots data/a data/b
  python compare_datasets.py --models outputs/a/model.pth outputs/b/model.pth --model-names a b \\
      --data-roots data/a data/b data/c --names "set a" "set b" "set c"

A model is scored on the test part of its own split on the set that trained it, on the test part
of any other set, and on all frames where a set has none. Classes may differ: the union of the
instrument classes is scored. Prints and writes the matrix with the mean over videos, and what the
sets share with each other and with the training frames: transfer.md, transfer.json, a heat map.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from surgseg import console
from surgseg.files import UserError, check_folder, list_some, plain, write_json, write_text


def build_parser() -> argparse.ArgumentParser:
    parser = console.make_parser(__doc__)
    source = parser.add_argument_group("input")
    source.add_argument(
        "--models", type=Path, nargs="+", required=True, metavar="FILE", help="weights files (required)"
    )
    source.add_argument(
        "--data-roots",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="two or more prepared folders, or reviewed generated ones (required)",
    )
    source.add_argument(
        "--model-names", nargs="+", metavar="NAME", help="a name for each model (default: the files' names)"
    )
    source.add_argument(
        "--names", nargs="+", metavar="NAME", help="a name for each data set (default: the folders' names)"
    )
    console.add_reviewed_option(source)
    console.add_device_option(parser.add_argument_group("computing"))
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output-dir", type=Path, default=Path("outputs"), metavar="DIR", help="folder of results (default: outputs)"
    )
    output.add_argument(
        "--figure", type=Path, metavar="FILE", help="heat map, .png (default: OUTPUT_DIR/figures/transfer.png)"
    )
    console.add_void_option(output)
    return parser


def work(args: argparse.Namespace) -> int:
    model_names = names_of("--models", args.models, "--model-names", args.model_names)
    set_names = names_of("--data-roots", args.data_roots, "--names", args.names)
    if len(set_names) < 2:
        raise UserError("--data-roots: two folders or more are needed; for one use analyze_model.py --mode model")
    figure = args.figure or args.output_dir / "figures" / "transfer.png"
    for folder in (args.output_dir, figure.parent):
        check_folder(folder)
    from surgseg.checkpoint import load_checkpoint
    from surgseg.figures.transfer import draw_transfer
    from surgseg.study.transfer import load_set, score_matrix
    from surgseg.study.transfer_report import transfer_markdown

    readers = [partial(load_checkpoint, path) for path in args.models]
    readers += [partial(load_set, root, reviewed=args.masks_reviewed) for root in args.data_roots]
    found = console.read_all(readers)
    models, sets = dict(zip(model_names, found)), dict(zip(set_names, found[len(model_names) :]))
    first = {model.sha256: name for name, model in reversed(models.items())}
    if copies := [f"{first[model.sha256]} and {name}" for name, model in models.items() if first[model.sha256] != name]:
        raise UserError(f"--models: {list_some(copies)} are the same weights: give each once")
    device = console.resolve_device(args.device)
    result = plain(score_matrix(models, sets, device, args.void))
    written = [args.output_dir / "transfer.json", args.output_dir / "transfer.md"]
    text = transfer_markdown(result)
    write_json(written[0], {**result, "run": console.run_metadata(vars(args), device)})
    write_text(written[1], text)
    print(text, "\nWritten:", *(f"  {path}" for path in (*written, draw_transfer(result, figure))), sep="\n")
    return 0


def names_of(option: str, paths: list[Path], name_option: str, names: list[str] | None) -> list[str]:
    """Return a name for each path. Raises `UserError` for a path given twice, and for missing or equal names."""
    places = [path.resolve() for path in paths]
    if len(set(places)) < len(places):
        raise UserError(f"{option} names {max(places, key=places.count)} twice")
    if names is not None and len(names) != len(paths):
        raise UserError(f"{name_option} gives {len(names)} names for {len(paths)} of {option}: give one for each")
    names = names or [place.stem if place.is_file() else place.name for place in places]
    if len(set(names)) < len(names):
        raise UserError(f"two of {option} are called {max(names, key=names.count)}: give different {name_option}")
    return names


def main(argv: list[str] | None = None) -> int:
    return console.report_errors(work, build_parser().parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
