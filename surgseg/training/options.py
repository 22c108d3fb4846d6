"""The options of the training scripts, and the configs made from them. `--help` imports no torch.

The destination of an option is the name of the config field that it sets, so no list of names is needed.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from models import ARCHITECTURES
from surgseg.console import add_device_option, add_reviewed_option, add_tolerance_option, add_void_option
from surgseg.data.splits import SPLIT_NAMES
from surgseg.files import UserError
from surgseg.places import find_data, find_weights
from surgseg.training.config import DEFAULT_VIEW, PLACES, PRECISIONS, STRENGTHS, ModelConfig, TrainConfig
from surgseg.training.losses import CLASS_WEIGHTS, LOSSES
from surgseg.training.schedule import SCHEDULES
from surgseg.view import RULES

Config = TypeVar("Config")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data-root",
        type=Path,
        help="prepared folder (default: data/full_dataset if it is prepared, otherwise data)",
    )
    group.add_argument("--frame-dir", type=Path, help="folder of frames, with --mask-dir (default: none)")
    group.add_argument("--mask-dir", type=Path, help="folder of class-id masks, with --frame-dir (default: none)")
    group.add_argument(
        "--class-scheme",
        metavar="NAME",
        help="classes of --mask-dir: a name or a .json file (default: the classes.json beside it, otherwise binary)",
    )
    group.add_argument(
        "--cache-dir",
        type=Path,
        default=Path("data/cache"),
        help="folder of the resized frames and masks (default: data/cache)",
    )
    group.add_argument(
        "--video-pattern",
        metavar="REGEX",
        help="with --frame-dir: regular expression whose one group is the video in a frame's path, such as "
        "'(OP[0-9]+)_' (default: from folder or file names)",
    )
    add_reviewed_option(group)


def add_split_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("split (default: by video; the test part is only scored)")
    group.add_argument(
        "--split",
        metavar="NAME",
        help=f"{', '.join(SPLIT_NAMES)}, or a .json file (default: manifest if it has a split, otherwise video)",
    )
    group.add_argument("--val-videos", nargs="+", metavar="VIDEO", help="videos of the validation part (default: none)")
    group.add_argument("--test-videos", nargs="+", metavar="VIDEO", help="videos of the test part (default: none)")
    group.add_argument("--folds", metavar="K|videos", help="K folds of whole videos, or one per video (default: none)")
    group.add_argument("--fold", type=int, metavar="k", help="run only this one of the --folds, from 1 (default: all)")
    group.add_argument(
        "--allow-shared-videos",
        action="store_true",
        help="accept a splits file or manifest with frames of one video in several parts (default: an error)",
    )


def add_model_options(parser: argparse.ArgumentParser, arch: str = "architecture") -> None:
    """`arch` is the meaning of --arch in the help text."""
    pretraining = {name: list(record.pretraining) for name, record in ARCHITECTURES.items() if record.pretraining}
    defaults = ", ".join(f"{names[0]} for {name}" for name, names in pretraining.items())
    names = dict.fromkeys(name for names in pretraining.values() for name in names)
    group = parser.add_argument_group("model")
    _add_field(group, ModelConfig, "--arch", arch, choices=ARCHITECTURES)
    _add_field(group, ModelConfig, "--base-channels", "width of the U-Net, channels", type=int)
    group.add_argument(
        "--weights",
        metavar="|".join([*names, "none", "FILE"]),
        help=f"pretrained weights to start from (default: {defaults} on real data, otherwise none)",
    )
    group.add_argument(
        "--init-from",
        type=Path,
        metavar="FILE",
        help="fine-tune: start from a weights file of this project, with its architecture (default: none)",
    )
    frozen = "the backbone does not learn in the first N epochs"
    _add_field(group, TrainConfig, "--freeze-backbone", frozen, type=int, metavar="N")
    group.add_argument(
        "--backbone-rate",
        type=float,
        metavar="FACTOR",
        help="the backbone's learning rate, as a multiple of --lr (default: 0.1 with --init-from; "
        f"{_pretrained_rates(1)} from pretrained weights; otherwise 1)",
    )
    group.add_argument(
        "--freeze-norm",
        action="store_true",
        help="do not update the statistics of batch normalisation; for very small batches (default: off)",
    )


def add_adaptation_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("adaptation to a new procedure (docs/adapting.md)")
    group.add_argument(
        "--mix-with",
        type=Path,
        metavar="ROOT",
        help="prepared folder of earlier data: its training part trains too, so as not to be forgotten (default: none)",
    )
    _add_field(group, TrainConfig, "--mix-share", "share of --mix-with in each batch", type=float, metavar="SHARE")
    group.add_argument(
        "--pseudo-labels",
        nargs="+",
        default=["none"],
        metavar=("LOW|none", "HIGH"),
        help="of a reviewed folder with --init-from: frames that nobody has reviewed train where the model is sure "
        "(probability at most LOW or at least HIGH, also of the mirrored frame), such as 0.1 0.9; the rest of them is "
        "void (default: none, since they were no gain: docs/results/adaptation.md)",
    )


def parse_band(given) -> tuple[float, float] | None:
    """Return the two numbers of --pseudo-labels, or None for "none"."""
    if list(given) == ["none"]:
        return None
    try:
        low, high = map(float, given)
    except ValueError:
        raise UserError(f"--pseudo-labels {' '.join(given)}: give two probabilities, or none") from None
    if not 0 <= low < high <= 1:
        raise UserError(f"--pseudo-labels {low:g} {high:g}: give two probabilities, the lower one first")
    return low, high


def _pretrained_rates(index: int) -> str:
    """Return the `pretrained_rates[index]` of the architectures in words."""
    records = {name: record for name, record in ARCHITECTURES.items() if record.pretraining}
    return ", ".join(f"{record.pretrained_rates[index]:g} for {name}" for name, record in records.items())


def add_training_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    _add_field(group, TrainConfig, "--epochs", "passes over the training part", type=int)
    group.add_argument(
        "--batch-size",
        type=_number_or_auto,
        metavar="auto|N",
        help="frames per forward pass, over all processes; auto: by the GPUs' memory, 4 on a CPU (default: auto)",
    )
    _add_field(group, TrainConfig, "--accumulate", "forward passes per optimizer step", type=int)
    group.add_argument(
        "--image-size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="input size of the model in pixels (default: that of --init-from, otherwise 256 256)",
    )
    group.add_argument(
        "--view",
        choices=RULES,
        help="train on the field of view found in each video, or on whole frames; the model is then applied in the "
        f"same way (default: that of --init-from, otherwise {DEFAULT_VIEW})",
    )
    group.add_argument(
        "--lr",
        dest="learning_rate",
        metavar="RATE",
        type=float,
        help="peak learning rate of AdamW (default: 0.0003 with --init-from; "
        f"{_pretrained_rates(0)} from pretrained weights; otherwise 0.001)",
    )
    _add_field(group, TrainConfig, "--loss", "loss function; ce: cross-entropy; dice: soft Dice", choices=LOSSES)
    weights = "weights of the classes in the cross-entropy, from their frequencies f: sqrt 1/sqrt(f), inverse 1/f"
    _add_field(group, TrainConfig, "--class-weights", weights, choices=CLASS_WEIGHTS)
    changes = (
        "strength of the random changes to each frame; +border: 30 %% of them get the border of an endoscope's view"
    )
    _add_field(group, TrainConfig, "--augment", changes, choices=STRENGTHS)
    _add_field(
        group,
        TrainConfig,
        "--ema-decay",
        "decay per step of the average of the model's weights; 0: no average",
        type=float,
    )
    schedule = "course of the learning rate: warm-up and half a cosine, or constant"
    _add_field(group, TrainConfig, "--schedule", schedule, choices=SCHEDULES)
    precision = "precision of convolutions; auto: bf16 or fp16 on a GPU, else float32; fastest: measured"
    _add_field(group, TrainConfig, "--precision", precision, choices=PRECISIONS)
    _add_field(group, TrainConfig, "--seed", "seed of new weights, frame order, augmentation, random split", type=int)
    add_device_option(group)
    group.add_argument(
        "--cache-device",
        default="auto",
        choices=PLACES,
        help="memory that holds the resized frames of a GPU training; auto: the GPU's if they fit (default: auto)",
    )
    group.add_argument("--compile", action="store_true", help="compile the model with torch.compile (default: off)")


def _number_or_auto(text: str) -> int | None:
    try:
        return None if text == "auto" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a whole number nor auto") from None


def _add_field(group, config: type, option: str, text: str, **settings) -> None:
    """Add the option of a config field with the field's default. `settings` go to `add_argument`."""
    default = getattr(config, option[2:].replace("-", "_"))
    if type(default) is int:
        settings.setdefault("metavar", "N")
    group.add_argument(option, default=default, help=f"{text} (default: {default})", **settings)


def add_result_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output-dir", type=Path, default=Path("outputs"), help="folder of the results (default: outputs)"
    )
    group.add_argument(
        "--figure-dir", type=Path, metavar="DIR", help="folder of the figures (default: OUTPUT_DIR/figures)"
    )
    group.add_argument(
        "--save-preds",
        type=Path,
        default=Path("data/preds"),
        metavar="DIR",
        help="folder of the test predictions at native size (default: data/preds)",
    )
    group.add_argument(
        "--resume", action="store_true", help="continue this run after its last finished epoch (default: off)"
    )
    group.add_argument(
        "--tensorboard",
        action="store_true",
        help="write curves to OUTPUT_DIR/tensorboard; needs the package tensorboard (default: off)",
    )
    add_void_option(group)
    add_tolerance_option(group)


def config_of(kind: type[Config], args: argparse.Namespace) -> Config:
    """A `ModelConfig`, `TrainConfig` or `SplitConfig`, filled from the options of the same names."""
    values = {field.name: getattr(args, field.name) for field in fields(kind) if hasattr(args, field.name)}
    if values.get("image_size"):
        values["image_size"] = tuple(values["image_size"])
    if values.get("init_from"):
        values["init_from"] = find_weights(values["init_from"])
    if "pseudo_labels" in values:
        values["pseudo_labels"] = parse_band(values["pseudo_labels"])
    return kind(**values)


def machine_of(args: argparse.Namespace, device, processes):
    """The `Machine` that the options describe."""
    from surgseg.training.machine import make_machine

    return make_machine(device, processes, args.cache_dir, args.cache_device, compiled=args.compile)


def load_data(args: argparse.Namespace):
    """The `Prepared` data that the options name, or those at a default path; None if there are none.

    Of a reviewed folder these are the frames that a person reviewed, and with the role "pseudo" the others.
    """
    from surgseg.data.dataset import load_folders, mark_predicted
    from surgseg.data.reviewed import load_data_root

    if args.frame_dir or args.mask_dir:
        if args.data_root or not (args.frame_dir and args.mask_dir):
            raise UserError("--frame-dir and --mask-dir go together, and without --data-root")
        prepared = load_folders(args.frame_dir, args.mask_dir, args.class_scheme, args.video_pattern)
    elif args.video_pattern:
        raise UserError(
            "--video-pattern goes with --frame-dir and --mask-dir; a prepared folder's manifest has the videos"
        )
    elif root := args.data_root or find_data():
        prepared = load_data_root(root)
    else:
        return None
    return prepared if args.masks_reviewed else mark_predicted(prepared)
