"""The options that training scripts share, and what they mean. Imports torch only when asked to act."""

from __future__ import annotations

import argparse
from pathlib import Path

from surgseg.console import add_device_option
from surgseg.data.splits import SPLIT_NAMES
from surgseg.files import UserError

LOSSES = ("ce", "ce+dice")
AUGMENTATIONS = ("none", "light", "medium", "medium+border")
CLASS_WEIGHTS = ("none", "sqrt", "inverse")


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
    group = parser.add_argument_group("model")
    group.add_argument(
        "--arch", default="deeplabv3", choices=["deeplabv3", "unet"], help=f"{arch} (default: deeplabv3)"
    )
    group.add_argument("--base-channels", type=int, default=64, help="width of the U-Net, channels (default: 64)")
    group.add_argument(
        "--weights",
        metavar="imagenet|coco|none|FILE",
        help="the backbone's pretraining (default: imagenet for deeplabv3 on real data, otherwise none)",
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
        default=0,
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
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=int, default=15, help="passes over the training part (default: 15)")
    group.add_argument(
        "--batch-size", type=int, default=4, help="frames per forward pass, over all processes (default: 4)"
    )
    group.add_argument("--accumulate", type=int, default=1, help="forward passes per optimizer step (default: 1)")
    group.add_argument(
        "--image-size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="input size of the model, pixels (default: that of --init-from, otherwise 256 256)",
    )
    group.add_argument("--lr", type=float, help="peak rate of AdamW (default: 0.001; 0.0003 from pretrained weights)")
    group.add_argument("--loss", default="ce+dice", choices=LOSSES, help="loss (default: ce+dice)")
    group.add_argument(
        "--class-weights",
        default="none",
        choices=CLASS_WEIGHTS,
        help="cross-entropy weights by the training part's class frequencies (default: none)",
    )
    group.add_argument(
        "--augment",
        default="medium",
        choices=AUGMENTATIONS,
        help="strength of the random changes to each frame (default: medium)",
    )
    group.add_argument(
        "--ema-decay", type=float, default=0.99, help="of the averaged weights, per step; 0: none (default: 0.99)"
    )
    group.add_argument(
        "--schedule",
        default="cosine",
        choices=["cosine", "constant"],
        help="of the learning rate: warm-up and half a cosine, or constant (default: cosine)",
    )
    group.add_argument(
        "--precision",
        default="auto",
        choices=["auto", "float32", "bf16"],
        help="of convolutions; auto: bf16 on GPUs and processors that compute in it (default: auto)",
    )
    group.add_argument("--seed", type=int, default=0, help="seed of weights, order, augmentation (default: 0)")
    add_device_option(group)
    group.add_argument(
        "--cache-device",
        default="auto",
        choices=["auto", "cpu", "cuda"],
        help="where the cache lies for a GPU: its memory, or the host's, streamed; auto: by its size (default: auto)",
    )
    group.add_argument("--compile", action="store_true", help="torch.compile the model (default: off)")


def machine_of(args: argparse.Namespace, device, processes):
    """The `Machine` that the options describe."""
    import torch

    from surgseg.training.fit import Machine

    if args.cache_device == "cuda" and device.type != "cuda":
        raise UserError(f"--cache-device cuda: the training runs on {device.type}")
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # batches keep their size, so the fastest kernels are found once
    return Machine(device, args.cache_dir, processes, args.cache_device, args.compile)


def find_data() -> Path | None:
    """The prepared folder in its usual place; None where there is none. Two are a `UserError`."""
    found = [root for root, sign in ((Path("data/full_dataset"), "frames"), (Path("data"), "sample_frames"))
             if (root / sign).is_dir()]  # fmt: skip
    if len(found) > 1:
        raise UserError(
            "both data/full_dataset and data/sample_frames exist: name one, --data-root data/full_dataset or data"
        )
    return found[0] if found else None


def load_data(args: argparse.Namespace):
    """The `Prepared` data that the options name; None where they name none and none is found."""
    from surgseg.data.dataset import load_folders, load_prepared

    if args.frame_dir or args.mask_dir:
        if args.data_root or not (args.frame_dir and args.mask_dir):
            raise UserError("--frame-dir and --mask-dir go together, and without --data-root")
        return load_folders(args.frame_dir, args.mask_dir, args.class_scheme)
    root = args.data_root or find_data()
    return None if root is None else load_prepared(root)


def make_split(args: argparse.Namespace, samples: list):
    """The `Split` that the options name."""
    from surgseg.data import splits
    from surgseg.data.leaks import check_videos

    chosen = [option for option in ("split", "folds") if getattr(args, option)]
    if args.val_videos or args.test_videos:
        chosen.append("val-videos/test-videos")
    if len(chosen) > 1 or (args.fold is not None and not args.folds):
        if args.fold is not None and not args.folds:
            raise UserError("--fold chooses one of --folds K or --folds videos: give that too")
        raise UserError("give one of --split, --folds [--fold], --val-videos/--test-videos")
    if args.split and args.split not in SPLIT_NAMES and not args.split.endswith(".json"):
        raise UserError(f"--split {args.split}: use {', '.join(SPLIT_NAMES)} or a .json file")
    split = splits.make_split(
        samples,
        name=args.split,
        val_videos=args.val_videos,
        test_videos=args.test_videos,
        folds=args.folds,
        fold=1 if args.fold is None else args.fold,
        seed=args.seed,
    )
    check_videos(split, samples, allow_shared=args.allow_shared_videos)
    return split


def describe_split(split, samples: list) -> str:
    """Frames and videos of each part, with the warning that a leaking split deserves."""
    lines = [f"Split: {split.name} (hash {split.hash})"]
    for part, indices in split.parts.items():
        videos = list(dict.fromkeys(samples[index].video for index in indices))
        shown = ", ".join(videos[:8]) + (", ..." if len(videos) > 8 else "")
        lines.append(f"  {part:<6}{len(indices):>7} frames, {len(videos):>3} videos  {shown}")
    if split.leaks:
        lines.append(
            "  WARNING: frames of one video stand on both sides of this split; neighbouring frames are near-copies,\n"
            "  so its scores say little about an unseen operation (--split video does)."
        )
    return "\n".join(lines)


def plan_and_settings(args: argparse.Namespace):
    """The `Plan` and `Settings` that the options describe."""
    from surgseg.training.fit import Plan
    from surgseg.training.loop import Settings

    plan = Plan(
        arch=args.arch,
        base_channels=args.base_channels,
        image_size=tuple(args.image_size) if args.image_size else None,
        weights=args.weights,
        init_from=args.init_from,
        learning_rate=args.lr,
        backbone_rate=args.backbone_rate,
        class_weights=args.class_weights,
    )
    settings = Settings(
        epochs=args.epochs,
        batch_size=args.batch_size,
        accumulate=args.accumulate,
        freeze_backbone=args.freeze_backbone,
        freeze_norm=args.freeze_norm,
        loss=args.loss,
        augment=args.augment,
        ema_decay=args.ema_decay,
        schedule=args.schedule,
        precision=args.precision,
        seed=args.seed,
    )
    return plan, settings
