"""The cost of scoring masks of 854x480, in CPU time of one core, beside that of decoding them.

  decode    read the true and the predicted mask from PNG
  ratio     decode and score without outlines / decode: at most 2.5
  surfaces  decode and score with NSD at 2 and 5 pixels, HD95 and boundary IoU: at most 30 ms a frame

Masks of two instruments are drawn; the predicted mask is the true one, moved by 1 to 9 pixels, without its left half
in every eighth frame. In the row "void", the outlines of the true masks are void, 2 pixels wide.

  python benchmarks/scores.py                              (1,616 frames: 101 masks, 16 times)
  python benchmarks/scores.py --quick --json out.json      (24 frames: seconds)
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from surgseg.console import make_parser, report_errors
from surgseg.files import write_json

SIZE = (480, 854)
SEED = 3
ROWS = {"binary": "binary", "binary, void": "binary", "grasper-hook": "grasper-hook"}  # row -> class scheme
MOST_RATIO, MOST_MS = 2.5, 30


def build_parser():
    parser = make_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="24 frames (default: off)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers as JSON (default: no)")
    return parser


def main(argv=None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args) -> int:
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    drawn, repeats = (24, 1) if args.quick else (101, 16)
    results = {}
    print(f"{'masks':<14}{'frames':>8}{'decode ms':>11}{'score ms':>10}{'ratio':>8}{'surfaces ms':>13}")
    for row, scheme_name in ROWS.items():
        with tempfile.TemporaryDirectory() as folder:
            pairs = write_pairs(Path(folder), drawn, scheme_name, "void" in row)
            cost = measure(pairs * repeats, scheme_name)
        ratio = cost["scored_ms"] / cost["decode_ms"]
        results[row] = {"frames": drawn * repeats, **cost, "ratio": ratio}
        print(
            f"{row:<14}{drawn * repeats:>8}{cost['decode_ms']:>11.2f}{cost['scored_ms']:>10.2f}{ratio:>8.2f}"
            f"{cost['surfaces_ms']:>13.2f}"
        )
    kept = all(one["ratio"] <= MOST_RATIO and one["surfaces_ms"] <= MOST_MS for one in results.values())
    print(f"{'Within' if kept else 'NOT within'} a ratio of {MOST_RATIO} and {MOST_MS} ms a frame.")
    if args.json:
        write_json(args.json, {"size": SIZE, "results": results})
    return 0


def draw_instruments(rng: np.random.Generator) -> np.ndarray:
    """Return (H, W) uint8, 1 and 2 on two instruments: a shaft from the border, 20 to 60 pixels wide, with two jaws."""
    import cv2

    height, width = SIZE
    ids = np.zeros(SIZE, np.uint8)
    for instrument, start in ((1, (0, rng.integers(height))), (2, (width - 1, rng.integers(height)))):
        tip = rng.integers((width // 4, height // 4), (3 * width // 4, 3 * height // 4))
        wide = int(rng.integers(20, 61))
        cv2.line(ids, tuple(map(int, start)), tuple(tip.tolist()), instrument, wide)
        for _ in range(2):
            cv2.line(ids, tuple(tip.tolist()), tuple((tip + rng.integers(-60, 61, 2)).tolist()), instrument, wide // 3)
    return ids


def write_pairs(folder: Path, count: int, scheme_name: str, void: bool) -> list[tuple[Path, Path]]:
    """Draw masks and write each frame's predicted and true one; return their paths."""
    import cv2

    from surgseg.labels import SCHEMES, VOID
    from surgseg.masks import write_mask

    scheme, rng, pairs = SCHEMES[scheme_name], np.random.default_rng(SEED), []
    for number in range(count):
        ids = np.minimum(draw_instruments(rng), scheme.num_classes - 1)
        move = np.float32([[1, 0, 1 + number % 9], [0, 1, number % 3]])
        predicted = cv2.warpAffine(ids, move, SIZE[::-1], flags=cv2.INTER_NEAREST)
        if number % 8 == 0:
            predicted[:, : SIZE[1] // 2] = 0
        if void:
            ids[cv2.morphologyEx(ids, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0] = VOID
        paths = folder / f"{number}_predicted.png", folder / f"{number}.png"
        for path, mask in zip(paths, (predicted, ids)):
            write_mask(path, mask, scheme)
        pairs.append(paths)
    return pairs


def measure(pairs: list[tuple[Path, Path]], scheme_name: str) -> dict[str, float]:
    """Return CPU milliseconds a frame: decode_ms, scored_ms (decoding too), surfaces_ms (decoding too)."""
    from surgseg.evaluation.results import score_frame
    from surgseg.labels import SCHEMES
    from surgseg.masks import read_mask
    from surgseg.scores.surface import TOLERANCES

    scheme = SCHEMES[scheme_name]

    def decode(pair):
        return [read_mask(path, scheme.num_classes) for path in pair]

    def timed(work) -> float:
        work(pairs[0])
        started = time.process_time()
        for pair in pairs:
            work(pair)
        return 1000 * (time.process_time() - started) / len(pairs)

    return {
        "decode_ms": timed(decode),
        "scored_ms": timed(lambda pair: score_frame(*decode(pair), scheme, "ignore")),
        "surfaces_ms": timed(lambda pair: score_frame(*decode(pair), scheme, "ignore", TOLERANCES)),
    }


if __name__ == "__main__":
    raise SystemExit(main())
