"""Planted label errors among synthetic frames: how many are among the first frames of the label audit?

500 frames of 25 synthetic videos are drawn and prepared. In 30 of them the mask is changed, in turn: the largest
instrument is erased; an instrument of another video is added; the mask is that of another moment of the video; the
mask is moved sideways by a twentieth of the width. A small U-Net is trained on these labels in two folds of whole
videos, and surgseg/study/label_audit.py ranks all frames.

  python benchmarks/label_audit.py                        (minutes)
  python benchmarks/label_audit.py --quick                (60 frames, 6 errors, one epoch: does it run?)
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from surgseg.console import make_parser, report_errors
from surgseg.files import write_json

SIZE = (240, 428)
KINDS = ("erased", "added", "other moment", "moved")


def build_parser():
    parser = make_parser(__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of frames, errors and training (default: 1)")
    parser.add_argument("--epochs", type=int, default=30, help="of each fold (default: 30)")
    parser.add_argument("--quick", action="store_true", help="60 frames, one epoch (default: off)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers as JSON (default: no)")
    return parser


def main(argv=None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args) -> int:
    import torch

    import instrument_segmentation
    from surgseg.data.dataset import load_prepared
    from surgseg.study.label_audit import audit_labels

    videos, clips, errors, epochs = (6, 5, 6, 1) if args.quick else (25, 10, 30, args.epochs)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with (root / "log.txt").open("w") as log, contextlib.redirect_stdout(log):
            prepare_stream(root, videos, clips, args.seed)
            planted = plant_errors(load_prepared(root / "data"), errors, args.seed)
            paths = (
                f"--data-root {root}/data --cache-dir {root}/cache --output-dir {root}/out --save-preds {root}/preds"
            )
            model = f"--arch unet --base-channels 8 --image-size 64 112 --lr 0.003 --epochs {epochs} --seed {args.seed}"
            status = instrument_segmentation.main(f"{paths} {model} --folds 2 --device cpu --batch-size 4".split())
            assert status == 0
            models = sorted(root.glob("out/fold_*/*_model.pth"))
            ranked, *_ = audit_labels(models, load_prepared(root / "data"), torch.device("cpu"))
    places = {row.name: place for place, row in enumerate(ranked, 1)}
    first = 50 * errors // 30
    found = {kind: [places[name] for name, own in planted.items() if own == kind] for kind in KINDS}
    recall = sum(place <= first for own in found.values() for place in own) / errors
    print(f"{len(ranked)} frames, {errors} planted errors, seed {args.seed}: recall at {first} = {recall:.2f}", end="")
    print(f" (by chance {first / len(ranked):.2f}); at {errors}: ", end="")
    print(f"{sum(place <= errors for own in found.values() for place in own) / errors:.2f}")
    for kind, own in found.items():
        print(f"  {kind:<14} ranks {', '.join(map(str, sorted(own)))}")
    if args.json:
        write_json(args.json, {"seed": args.seed, "frames": len(ranked), "recall": recall, "at": first, "ranks": found})
    return 0


def prepare_stream(root: Path, videos: int, clips: int, seed: int) -> None:
    """Draw and prepare the frames, two of each clip."""
    from surgseg.data.convert import Target
    from surgseg.data.prepare import prepare
    from surgseg.data.readers.cholecseg8k import read_cholecseg8k
    from surgseg.data.sources import open_source
    from surgseg.labels import SCHEMES
    from surgseg.synthetic.release import write_release

    write_release(root / "stream", videos=videos, clips=clips, frames=2, size=SIZE, seed=seed)
    with open_source(root / "stream") as (files, data):
        prepare(read_cholecseg8k(files, "stream"), Target(root / "data"), SCHEMES["binary"], data)


def plant_errors(prepared, count: int, seed: int) -> dict[str, str]:
    """Change the masks of `count` frames by more than 0.5 % of their pixels; return the kind of error by name."""
    from surgseg.masks import read_mask, write_mask

    rng = np.random.default_rng([seed, 7])
    masks = {sample.name: read_mask(sample.mask, 2) for sample in prepared.samples}
    planted: dict[str, str] = {}
    for place in rng.permutation(len(prepared.samples)):
        sample, kind = prepared.samples[place], KINDS[len(planted) % len(KINDS)]
        donors = [own for own in prepared.samples if (own.video == sample.video) == (kind == "other moment")]
        changed = changed_mask(masks[sample.name], masks[donors[rng.integers(len(donors))].name], kind)
        if np.count_nonzero((changed == 1) != (masks[sample.name] == 1)) > 0.005 * changed.size:
            write_mask(sample.mask, changed, prepared.scheme)
            planted[sample.name] = kind
        if len(planted) == count:
            break
    return planted


def changed_mask(mask: np.ndarray, donor: np.ndarray, kind: str) -> np.ndarray:
    """Return the mask (H, W) of ids with one error; `donor` is that of another frame."""
    if kind == "other moment":
        return donor
    if kind == "moved":
        return np.roll(mask, mask.shape[1] // 20, 1)
    changed = mask.copy()
    part = largest_part(donor if kind == "added" else mask)
    changed[part] = kind == "added"
    return changed


def largest_part(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: the largest connected part of the instruments."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask == 1).astype(np.uint8))
    return labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA]) if len(stats) > 1 else np.zeros(mask.shape, bool)


if __name__ == "__main__":
    raise SystemExit(main())
