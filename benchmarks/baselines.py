"""Scores of two simple baselines that any segmentation network must beat.

One is the best single threshold on one colour channel. The other is a per-pixel classifier of colour and local
statistics, without position and shape. Frames are (H, W, 3) uint8 RGB, masks (H, W) uint8 class ids with 255 void.
Void pixels are ignored everywhere, and scores are pooled over all pixels.

  python benchmarks/baselines.py --data-root data/full_dataset --json baselines.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

CHANNELS = ("R", "G", "B", "H", "S", "V", "L", "a", "b")
BOXES = (5, 11, 21)  # side lengths, in pixels, of the neighbourhoods of the local statistics
_VOID = 255


def best_threshold(
    frames: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    test_frames: Sequence[np.ndarray] | None = None,
    test_masks: Sequence[np.ndarray] | None = None,
    instrument_ids: Sequence[int] = (1,),
) -> dict:
    """Return the channel (of RGB, HSV and Lab), level and direction with the best pooled instrument IoU.

    Returns `channel`, `threshold` (0-255; OpenCV's 8-bit scaling, hue over the full 256), `direction` ("above": value
    >= threshold is instrument; "below": value <= threshold) and `iou` on the given frames. With test frames also
    `test_iou` of that choice and `oracle`, the best choice on the test frames themselves: an upper bound.
    """
    chosen, _ = _choose(_histograms(frames, masks, instrument_ids))
    if test_frames is None:
        return chosen
    histograms = _histograms(test_frames, test_masks, instrument_ids)
    oracle, scores = _choose(histograms)
    channel, direction = CHANNELS.index(chosen["channel"]), ("above", "below").index(chosen["direction"])
    return {**chosen, "test_iou": float(scores[channel, direction, chosen["threshold"]]), "oracle": oracle}


def pixel_classifier(
    train_frames: Sequence[np.ndarray],
    train_masks: Sequence[np.ndarray],
    test_frames: Sequence[np.ndarray],
    test_masks: Sequence[np.ndarray],
    *,
    instrument_ids: Sequence[int] = (1,),
    pixels: int = 200_000,
    steps: int = 1200,
    seed: int = 0,
) -> dict:
    """Train and score a classifier without shape: a small perceptron on `pixel_features` of `pixels` sampled pixels.

    A quarter of the sample is instrument, or less if the frames have less. The decision level is the one with the best
    IoU on the training frames. Returns pooled `iou`, `dice`, `precision`, `recall` on the test frames, the `level` and
    the instrument's share `fraction`. On a CPU the result depends on `seed` only.
    """
    import torch

    rng = np.random.default_rng(seed)
    inputs, targets = _sample(train_frames, train_masks, instrument_ids, pixels, rng)
    if not targets.any() or targets.all():
        return {key: float("nan") for key in ("iou", "dice", "precision", "recall", "level", "fraction")}
    mean, std = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _train((inputs - mean) / std, targets, steps)

    def counts_of(pairs) -> np.ndarray:
        return sum(_level_counts(network, frame, mask, mean, std, instrument_ids) for frame, mask in pairs)

    chosen = rng.permutation(len(train_frames))[:24]
    train_counts = counts_of((train_frames[index], train_masks[index]) for index in chosen)
    level = int(np.argmax(_iou(*_confusion(train_counts))))
    counts = counts_of(zip(test_frames, test_masks))
    hit, false, missed = (float(row[level]) for row in _confusion(counts))
    return {
        "iou": _ratio(hit, hit + false + missed),
        "dice": _ratio(2 * hit, 2 * hit + false + missed),
        "precision": _ratio(hit, hit + false),
        "recall": _ratio(hit, hit + missed),
        "level": level / 255,
        "fraction": _ratio(hit + missed, float(counts.sum())),
    }


def colour_channels(frame: np.ndarray) -> np.ndarray:
    """Convert (H, W, 3) uint8 RGB to (H, W, 9) uint8 in the order of `CHANNELS`."""
    hsv, lab = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV_FULL), cv2.cvtColor(frame, cv2.COLOR_RGB2LAB)
    return np.concatenate([frame, hsv, lab], axis=2)


def pixel_features(frame: np.ndarray) -> np.ndarray:
    """Convert (H, W, 3) uint8 RGB to (H, W, F) float32: nine channels, and means and deviations of Lab over `BOXES`."""
    channels = colour_channels(frame).astype(np.float32) / 255
    lab = np.ascontiguousarray(channels[..., 6:])
    local = []
    for side in BOXES:
        mean = cv2.blur(lab, (side, side))
        local += [mean, np.sqrt(np.maximum(cv2.blur(lab * lab, (side, side)) - mean * mean, 0))]
    return np.concatenate([channels, *local], axis=2)


def _histograms(frames, masks, instrument_ids) -> np.ndarray:
    """Return (9, 2, 256) pixel counts by channel, background or instrument, and level."""
    total = np.zeros((len(CHANNELS), 2, 256), np.int64)
    for frame, mask in zip(frames, masks):
        known = mask != _VOID
        truth = np.isin(mask[known], instrument_ids).astype(np.int64) * 256
        for index, values in enumerate(colour_channels(frame)[known].T):
            total[index] += np.bincount(values + truth, minlength=512).reshape(2, 256)
    return total


def _choose(histograms: np.ndarray) -> tuple[dict, np.ndarray]:
    """Return the best threshold, and (9, 2, 256) IoU by channel, direction (above, below) and level."""
    below = histograms.cumsum(axis=2)
    above = histograms[..., ::-1].cumsum(axis=2)[..., ::-1]
    positive = histograms[:, 1].sum(axis=1)[:, None]
    iou = [side[:, 1] / np.maximum(positive + side[:, 0], 1) for side in (above, below)]  # tp / (tp + fn + fp)
    scores = np.stack(iou, axis=1)
    channel, direction, level = np.unravel_index(int(np.argmax(scores)), scores.shape)
    chosen = {
        "channel": CHANNELS[channel],
        "threshold": int(level),
        "direction": ("above", "below")[direction],
        "iou": float(scores[channel, direction, level]),
    }
    return chosen, scores


def _sample(frames, masks, instrument_ids, pixels: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Sample (N, F) float32 features and (N,) float32 targets, equally many of each frame, a quarter instrument."""
    share = max(8, pixels // len(frames))
    inputs, targets = [], []
    for frame, mask in zip(frames, masks):
        features = pixel_features(frame).reshape(-1, 9 + 6 * len(BOXES))
        flat = mask.reshape(-1)
        truth = np.isin(flat, instrument_ids)
        positive, negative = np.flatnonzero(truth), np.flatnonzero(~truth & (flat != _VOID))
        chosen = [
            rng.choice(pool, min(count, len(pool)), replace=False)
            for pool, count in ((positive, share // 4), (negative, share - share // 4))
        ]
        inputs.append(features[np.concatenate(chosen)])
        targets.append(np.repeat(np.float32([1, 0]), [len(part) for part in chosen]))
    return np.concatenate(inputs), np.concatenate(targets)


def _train(inputs: np.ndarray, targets: np.ndarray, steps: int):
    import torch
    from torch import nn

    network = nn.Sequential(
        nn.Linear(inputs.shape[1], 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0)
    )
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        batch = torch.randint(len(x), (2048,))
        loss = nn.functional.binary_cross_entropy_with_logits(network(x[batch]), y[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def _level_counts(network, frame, mask, mean, std, instrument_ids) -> np.ndarray:
    """Return (2, 256) pixel counts by truth and by level of the predicted probability."""
    import torch

    known = (mask != _VOID).reshape(-1)
    inputs = (pixel_features(frame).reshape(len(known), -1)[known] - mean) / std
    with torch.inference_mode():
        levels = (torch.sigmoid(network(torch.from_numpy(inputs))) * 255).round().numpy().astype(np.int64)
    truth = np.isin(mask.reshape(-1)[known], instrument_ids).astype(np.int64)
    return np.bincount(levels + 256 * truth, minlength=512).reshape(2, 256)


def _confusion(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hits, false alarms and misses, (256,) each, if all pixels at or above a level are instrument."""
    above = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
    return above[1], above[0], counts[1].sum() - above[1]


def _iou(hit, false, missed):
    return hit / np.maximum(hit + false + missed, 1)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


# ------------------------------------------------------------------------------------------------ command line


def build_parser() -> argparse.ArgumentParser:
    from surgseg.console import make_parser

    parser = make_parser(__doc__)
    data = parser.add_argument_group("data")
    data.add_argument("--data-root", type=Path, default=Path("data"), help="prepared folder (default: data)")
    data.add_argument("--test-videos", nargs="+", help="videos to hold out, one at a time (default: each in turn)")
    data.add_argument("--max-frames", type=int, default=40, help="frames per video, evenly spaced (default: 40)")
    output = parser.add_argument_group("output")
    output.add_argument("--json", type=Path, help="also write the rows to this file (default: print only)")
    computing = parser.add_argument_group("computing")
    computing.add_argument("--seed", type=int, default=0, help="seed of the classifier (default: 0)")
    return parser


def main(argv: list[str] | None = None) -> int:
    from surgseg.console import report_errors

    return report_errors(_run, build_parser().parse_args(argv))


def _run(args: argparse.Namespace) -> int:
    from surgseg.console import run_metadata
    from surgseg.files import UserError, list_some, write_json

    if args.max_frames < 1:
        raise UserError(f"--max-frames must be at least 1, not {args.max_frames}")
    videos, instrument_ids, kind = _load(args.data_root, args.max_frames)
    unknown = [video for video in args.test_videos or [] if video not in videos]
    if unknown:
        raise UserError(f"--test-videos {list_some(unknown)}: {args.data_root} has {list_some(videos, 20)}")
    if len(videos) < 2:
        raise UserError(f"{args.data_root} has one video only: holding it out leaves nothing to learn from")
    rows = []
    print(f"{kind} data; IoU / Dice of the instrument, pooled over a held-out video; void left out")
    for video in args.test_videos or videos:
        rows.append({"video": video, **_hold_out(videos, video, instrument_ids, args.seed)})
        print(_line(rows[-1]), flush=True)
    if args.json:
        write_json(args.json, {"data": kind, "rows": rows, "run": run_metadata(vars(args))})
    return 0


def _load(root: Path, limit: int) -> tuple[dict[str, tuple[list, list]], list[int], str]:
    """Return (frames, masks) of each video, at most `limit`, evenly spaced; instrument ids; the kind of data."""
    from surgseg.analysis.statistics import evenly_spaced
    from surgseg.data.dataset import load_prepared
    from surgseg.frames import read_frame
    from surgseg.masks import read_mask

    prepared = load_prepared(root)
    videos = {}
    for video in prepared.videos:
        samples = [sample for sample in prepared.samples if sample.video == video]
        kept = evenly_spaced(len(samples), limit)
        frames = [read_frame(samples[index].frame) for index in kept]
        videos[video] = frames, [read_mask(samples[index].mask, prepared.scheme.num_classes) for index in kept]
    return videos, prepared.scheme.instrument_ids, prepared.data


def _hold_out(videos: dict, video: str, instrument_ids: list[int], seed: int) -> dict:
    others = [pair for name, pair in videos.items() if name != video]
    train = [[item for pair in others for item in pair[part]] for part in (0, 1)]
    return {
        "threshold": best_threshold(*train, *videos[video], instrument_ids=instrument_ids),
        "classifier": pixel_classifier(*train, *videos[video], instrument_ids=instrument_ids, seed=seed),
    }


def _line(row: dict) -> str:
    threshold, classifier = row["threshold"], row["classifier"]
    oracle = threshold["oracle"]
    return (
        f"{row['video']}: threshold {threshold['channel']} {threshold['direction']} {threshold['threshold']} "
        f"{threshold['test_iou']:.3f} (chosen here: {oracle['channel']} {oracle['direction']} {oracle['threshold']} "
        f"{oracle['iou']:.3f}), per-pixel classifier {classifier['iou']:.3f} / {classifier['dice']:.3f}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
