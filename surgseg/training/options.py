"""The options that training scripts share, and the configs that they stand for. `--help` imports no torch.

The destination of an option is the field of the config that it sets, so that no list of names has to be kept.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from models import ARCHITECTURES
from surgseg.console import add_device_option
from surgseg.data.splits import SPLIT_NAMES
from surgseg.files import UserError
from surgseg.places import find_data, find_weights
from surgseg.training.config import PLACES, PRECISIONS, STRENGTHS, ModelConfig, TrainConfig
from surgseg.training.losses import CLASS_WEIGHTS, LOSSES
from surgseg.training.schedule import SCHEDULES

Config = TypeVar("Config")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data-root",
        type=Path,
        help="prepared folder (default: data/full_dataset or data, whichever alone is prepared)",
    )
    group.add_argument("--frame-dir", type=Path, help="folder of frames, with --mask-dir (default: none)")
    group.add_argument("--mask-dir", type=Path, help="folder of class-id masks, with --frame-dir (default: none)")
    group.add_argument(
        "--class-scheme",
        metavar="NAME",
        help="classes of a bare --mask-dir: a name or .json file (default: its classes.json, otherwise binary)",
    )
    group.add_argument("--cache-dir", type=Path, default=Path("data/cache"), help="resized cache (default: data/cache)")


def add_split_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("split (by video unless said otherwise; test never chooses anything)")
    group.add_argument(
        "--split",
        metavar="NAME",
        help=f"{', '.join(SPLIT_NAMES)}, or a splits.json (default: manifest where it has one, otherwise video)",
    )
    group.add_argument("--val-videos", nargs="+", metavar="VIDEO", help="videos that validate (default: none)")
    group.add_argument("--test-videos", nargs="+", metavar="VIDEO", help="videos that test (default: none)")
    group.add_argument("--folds", metavar="K|videos", help="video-grouped folds, or one per video (default: none)")
    group.add_argument(
        "--allow-shared-videos",
        action="store_true",
        help="let a splits file or manifest put frames of one video on both sides (default: an error)",
    )
    group.add_argument("--fold", type=int, metavar="k", help="run one of the --folds only, from 1 (default: all)")


def add_model_options(parser: argparse.ArgumentParser, arch: str = "architecture") -> None:
    """`arch` says what the option of that name means."""
    pretraining = {name: list(record.pretraining) for name, record in ARCHITECTURES.items() if record.pretraining}
    defaults = ", ".join(f"{names[0]} for {name}" for name, names in pretraining.items())
    names = dict.fromkeys(name for names in pretraining.values() for name in names)
    group = parser.add_argument_group("model")
    group.add_argument(
        "--arch", default=ModelConfig.arch, choices=ARCHITECTURES, help=f"{arch} (default: {ModelConfig.arch})"
    )
    group.add_argument(
        "--base-channels", type=int, default=ModelConfig.base_channels,
        help=f"width of the U-Net, channels (default: {ModelConfig.base_channels})",
    )  # fmt: skip
    group.add_argument(
        "--weights",
        metavar="|".join([*names, "none", "FILE"]),
        help=f"pretrained weights to start from (default: {defaults} on real data, otherwise none)",
    )
    group.add_argument(
        "--init-from",
        type=Path,
        metavar="FILE",
        help="fine-tune: start from a weights file of ours, with its architecture (default: none)",
    )
    group.add_argument(
        "--freeze-backbone",
        type=int,
        default=TrainConfig.freeze_backbone,
        metavar="N",
        help="the backbone does not learn in the first N epochs (default: 0)",
    )
    group.add_argument(
        "--backbone-rate",
        type=float,
        metavar="FACTOR",
        help="the backbone's learning rate, as a multiple of --lr (default: 0.1 with --init-from, otherwise 1)",
    )
    group.add_argument(
        "--freeze-norm",
        action="store_true",
        help="batch normalisation keeps the statistics it starts with, for tiny batches (default: off)",
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    default = TrainConfig()
    group = parser.add_argument_group("training")
    group.add_argument(
        "--epochs", type=int, default=default.epochs, help="passes over the training part (default: %(default)s)"
    )
    group.add_argument(
        "--batch-size",
        type=int,
        default=default.batch_size,
        help="frames per forward pass, over all processes (default: %(default)s)",
    )
    group.add_argument(
        "--accumulate",
        type=int,
        default=default.accumulate,
        help="forward passes per optimizer step (default: %(default)s)",
    )
    group.add_argument(
        "--image-size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="input size of the model, pixels (default: that of --init-from, otherwise 256 256)",
    )
    group.add_argument(
        "--lr",
        dest="learning_rate",
        metavar="RATE",
        type=float,
        help="peak rate of AdamW (default: 0.001; 0.0003 from pretrained weights)",
    )
    group.add_argument("--loss", default=default.loss, choices=LOSSES, help="loss (default: %(default)s)")
    group.add_argument(
        "--class-weights",
        default=default.class_weights,
        choices=CLASS_WEIGHTS,
        help="cross-entropy weights by the training part's class frequencies (default: %(default)s)",
    )
    group.add_argument(
        "--augment",
        default=default.augment,
        choices=STRENGTHS,
        help="strength of the random changes to each frame (default: %(default)s)",
    )
    group.add_argument(
        "--ema-decay",
        type=float,
        default=default.ema_decay,
        help="of the averaged weights, per step; 0: none (default: %(default)s)",
    )
    group.add_argument(
        "--schedule",
        default=default.schedule,
        choices=SCHEDULES,
        help="of the learning rate: warm-up and half a cosine, or constant (default: %(default)s)",
    )
    group.add_argument(
        "--precision",
        default=default.precision,
        choices=PRECISIONS,
        help="of convolutions; auto: bf16 on GPUs and processors that compute in it (default: %(default)s)",
    )
    group.add_argument(
        "--seed", type=int, default=default.seed, help="seed of weights, order, augmentation (default: %(default)s)"
    )
    add_device_option(group)
    group.add_argument(
        "--cache-device",
        default="auto",
        choices=PLACES,
        help="where the cache lies for a GPU: its memory, or the host's, streamed; auto: by its size (default: auto)",
    )
    group.add_argument("--compile", action="store_true", help="torch.compile the model (default: off)")


def config_of(kind: type[Config], args: argparse.Namespace) -> Config:
    """A `ModelConfig`, `TrainConfig` or `SplitConfig` of the options whose destinations are its fields."""
    values = {field.name: getattr(args, field.name) for field in fields(kind) if hasattr(args, field.name)}
    if values.get("image_size"):
        values["image_size"] = tuple(values["image_size"])
    if values.get("init_from"):
        values["init_from"] = find_weights(values["init_from"])
    return kind(**values)


def machine_of(args: argparse.Namespace, device, processes):
    """The `Machine` that the options describe."""
    from surgseg.training.machine import make_machine

    return make_machine(device, processes, args.cache_dir, args.cache_device, compiled=args.compile)


def load_data(args: argparse.Namespace):
    """The `Prepared` data that the options name; None where they name none and none is found."""
    from surgseg.data.dataset import load_folders, load_prepared

    if args.frame_dir or args.mask_dir:
        if args.data_root or not (args.frame_dir and args.mask_dir):
            raise UserError("--frame-dir and --mask-dir go together, and without --data-root")
        return load_folders(args.frame_dir, args.mask_dir, args.class_scheme)
    root = args.data_root or find_data()
    return None if root is None else load_prepared(root)
