"""The options of analyze_model.py. Imports no torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from models import ARCHITECTURES
from surgseg.console import add_device_option, add_tolerance_option, add_view_option, add_void_option
from surgseg.files import UserError
from surgseg.labels import SCHEMES, Scheme, numbered_scheme, read_scheme
from surgseg.places import DEFAULT_WEIGHTS
from surgseg.scores.scored import CONVENTIONS


def add_dataset_mode(parser: argparse.ArgumentParser) -> None:
    dataset = parser.add_argument_group("--mode dataset")
    dataset.add_argument("--mask-dir", type=Path, default=Path("data/masks"), help="true masks (default: data/masks)")
    dataset.add_argument(
        "--pred-dir", type=Path, default=Path("data/preds"), help="predicted masks (default: data/preds)"
    )
    dataset.add_argument(
        "--num-classes", type=int, help="number of classes, with the background (default: from classes.json, else 2)"
    )
    dataset.add_argument(
        "--class-names",
        help='names of the classes, e.g. "background,instrument" (default: from classes.json beside --mask-dir)',
    )
    dataset.add_argument(
        "--instrument-classes",
        nargs="+",
        metavar="NAME",
        help="the classes that are instruments (default: from classes.json, else by known names such as grasper)",
    )
    dataset.add_argument("--require-all", action="store_true", help="fail if a mask has no prediction (default: off)")
    dataset.add_argument(
        "--skip-frames",
        action="store_true",
        help="faster: do not read the frames beside --mask-dir, which group the scores by brightness, sharpness and "
        "distance to the border of the view (default: off)",
    )
    dataset.add_argument(
        "--video-pattern",
        metavar="REGEX",
        help="regular expression whose one group is the video in a mask's name, such as '(OP[0-9]+)_' (default: from "
        "the manifest or the name)",
    )


def add_both_modes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--second-mask-dir",
        type=Path,
        metavar="DIR",
        help="other labels of the same frames: a folder of masks or a prepared folder (default: none)",
    )
    parser.add_argument(
        "--phase-dir",
        type=Path,
        metavar="DIR",
        help="Cholec80's phase files, VIDEO-phase.txt, to group the scores by phase; the number in a frame's name is "
        "that in the film, at 25 frames a second (default: none)",
    )


def add_model_mode(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("--mode model")
    model.add_argument(
        "--model-path", type=Path, default=DEFAULT_WEIGHTS, help=f"weights file (default: {DEFAULT_WEIGHTS})"
    )
    model.add_argument(
        "--arch", choices=ARCHITECTURES, help="architecture of a bare state_dict (default: from the file)"
    )
    model.add_argument("--data-root", type=Path, help="prepared folder (default: data/full_dataset, else data)")
    model.add_argument(
        "--split-part",
        default="test",
        choices=["val", "test", "all"],
        help="part of the split to score (default: test)",
    )
    model.add_argument(
        "--threshold",
        type=float,
        help="least probability of instrument, 0-1 (default: from the weights file, usually 0.5)",
    )
    model.add_argument(
        "--choose-threshold",
        action="store_true",
        help="choose the threshold on the validation part (highest Dice of all its pixels), write it into new weights "
        "beside, <name>_calibrated.pth, and score these (default: off)",
    )
    model.add_argument(
        "--fit-temperature",
        action="store_true",
        help="the same for a temperature, which corrects the probabilities; before the threshold (default: off)",
    )
    model.add_argument("--batch-size", type=int, default=4, help="frames per forward pass (default: 4)")
    model.add_argument(
        "--save-preds", type=Path, metavar="DIR", help="folder to write predictions into (default: none)"
    )
    add_view_option(model)
    add_device_option(model)


def add_score_output(parser: argparse.ArgumentParser) -> None:
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output-dir", type=Path, default=Path("outputs"), help="folder of the results (default: outputs)"
    )
    output.add_argument(
        "--figure-dir", type=Path, metavar="DIR", help="folder of the figures (default: OUTPUT_DIR/figures)"
    )
    output.add_argument(
        "--examples",
        type=int,
        default=5,
        metavar="N",
        help="frames in each figure of examples; 0: no such figures (default: 5)",
    )
    add_void_option(output)
    add_tolerance_option(output)
    output.add_argument(
        "--convention",
        nargs="+",
        choices=CONVENTIONS,
        metavar="NAME",
        help=f"also print the scores under these conventions, in one table: {', '.join(CONVENTIONS)} (default: none)",
    )


def check_scoring(args: argparse.Namespace) -> None:
    """Raise `UserError` for options of analyze_model.py that contradict each other."""
    if args.examples < 0:
        raise UserError(f"--examples {args.examples}: a number of frames from 0 is needed")
    if (args.fit_temperature or args.choose_threshold) and (args.mode == "dataset" or args.threshold is not None):
        raise UserError("--fit-temperature and --choose-threshold go with --mode model, and without --threshold")
    if args.second_mask_dir and args.mode == "model" and not args.save_preds:
        raise UserError("--second-mask-dir compares masks in files: --save-preds DIR is needed with it")


def find_scheme(args: argparse.Namespace) -> Scheme:
    """Return the scheme of the options, else that of the `classes.json` beside the masks, else binary."""
    beside = args.mask_dir.resolve().parent / "classes.json"
    scheme = read_scheme(beside) if beside.is_file() else SCHEMES["binary"]
    names = [name.strip() for name in args.class_names.split(",")] if args.class_names else None
    count = len(names or scheme.names) if args.num_classes is None else args.num_classes
    if not 2 <= count <= 255:
        raise UserError(f"--num-classes {count}: 2 to 255 classes, the background among them")
    if names and len(names) != count:
        raise UserError(f"--class-names names {len(names)} classes, --num-classes says {count}")
    if count == scheme.num_classes:
        names = names or scheme.names
        if names != scheme.names and sorted(names) == sorted(scheme.names):
            raise UserError(f"--class-names: {beside} has these classes in another order: {','.join(scheme.names)}")
        if names == scheme.names and not args.instrument_classes:
            return scheme
    return numbered_scheme(count, names, args.instrument_classes)
