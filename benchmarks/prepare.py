"""Speed of preparation and of the training cache, each relative to its bound in the same run.

  mask_ratio   mask work as preparation does it (read, check, decode, remap, count, encode, write) / its bound:
               decode the file as it is and encode one channel as indexed PNG with the same settings
  cache_ratio  building the training cache / its bound: decode and resize alone
  prepare      the whole preparation, from the folders of a release to a prepared folder

Every rate uses all cores. A rate and its bound are measured in turns, so that other load on the machine slows both.
The ratio is the median over the turns.

  python benchmarks/prepare.py                        (8,080 pairs of 854x480, 200 of them distinct)
  python benchmarks/prepare.py --quick --json out.json
"""

from __future__ import annotations

import io
import itertools
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from surgseg.console import make_parser, report_errors
from surgseg.files import UserError, write_bytes, write_json
from surgseg.threads import cpu_count

HEIGHT, WIDTH = 480, 854
CODES = (50, 11, 21, 13, 12, 22, 31, 32)


def build_parser():
    parser = make_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="480 pairs, 60 distinct: about a minute on 2 cores")
    parser.add_argument("--pairs", type=int, help="number of pairs (default: 8080; 480 with --quick)")
    parser.add_argument("--rounds", type=int, default=7, help="number of turns of every measurement (default: 7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers as JSON (default: no)")
    return parser


def main(argv=None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args) -> int:
    if args.rounds < 1 or (args.pairs is not None and args.pairs < 1):
        raise UserError("--rounds and --pairs must be at least 1")
    pairs, distinct = (480, 60) if args.quick else (8080, 200)
    pairs = args.pairs or pairs
    with tempfile.TemporaryDirectory() as folder:
        release, out = Path(folder, "release"), Path(folder, "out")
        files = draw_release(release, pairs, min(distinct, pairs))
        mask = measure_masks(files, Path(folder, "masks"), args.rounds)
        prepare_rate = measure_preparation(release, out, pairs)
        cache = measure_cache(out, min(distinct, pairs), Path(folder, "cache"), args.rounds)
    result = {
        "pairs": pairs,
        "distinct": min(distinct, pairs),
        "threads": cpu_count(),
        "prepare_pairs_per_s": prepare_rate,
        **{f"mask_{key}": value for key, value in mask.items()},
        **{f"cache_{key}": value for key, value in cache.items()},
    }
    print(f"{'':<20}{'per s':>10}{'bound':>10}{'ratio':>8}")
    for name, row in (("mask work", mask), ("training cache", cache)):
        print(f"{name:<20}{row['per_s']:>10.1f}{row['bound_per_s']:>10.1f}{row['ratio']:>8.2f}")
    print(f"{'whole preparation':<20}{prepare_rate:>10.1f}   ({pairs} pairs, {cpu_count()} threads)")
    if args.json:
        write_json(args.json, result)
    return 0


def draw_release(root: Path, pairs: int, distinct: int) -> list[Path]:
    """Write a release of `pairs` frames, `distinct` of them drawn, the others hard links. Return the drawn masks."""

    def paths(index: int) -> tuple[Path, Path]:
        video, number = f"video{index // 480 + 1:02d}", index % 480
        stem = root / video / f"{video}_{number // 80 * 80:05d}" / f"frame_{number}_endo"
        return stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}_watershed_mask.png")

    def draw(index: int) -> None:
        frame, mask = paths(index)
        write_bytes(frame, draw_frame(index))
        write_bytes(mask, draw_mask(index))

    with ThreadPoolExecutor(cpu_count()) as pool:
        list(pool.map(draw, range(distinct)))
    for index in range(distinct, pairs):
        for source, link in zip(paths(index % distinct), paths(index)):
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, link)
    return [paths(index)[1] for index in range(distinct)]


def smooth_noise(rng: np.random.Generator, cells: int, channels: int) -> np.ndarray:
    """Return (HEIGHT, WIDTH, channels) float32 smooth noise around 0, from a grid of `cells` x 2 `cells` values."""
    small = rng.standard_normal((cells, cells * 2, channels)).astype(np.float32)
    return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).reshape(HEIGHT, WIDTH, channels)


def draw_frame(seed: int) -> bytes:
    """Return a PNG of smooth noise with some grain: about 400 kB, like a frame of the release."""
    rng = np.random.default_rng([seed, 0])
    levels = 110 + 45 * smooth_noise(rng, 6, 3) + 4 * smooth_noise(rng, 60, 3)
    levels += rng.normal(0, 0.55, (HEIGHT, WIDTH, 1))  # grain in brightness, as in compressed video
    frame = np.clip(levels, 0, 255).astype(np.uint8)
    return cv2.imencode(".png", frame)[1].tobytes()


def draw_mask(seed: int) -> bytes:
    """Return an RGB PNG with equal channels: regions of codes, 255 in the last row and column and between regions."""
    rng = np.random.default_rng([seed, 1])
    regions = np.argmax(smooth_noise(rng, 3, len(CODES)), axis=2)
    codes = np.array(CODES, np.uint8)[regions]
    border = cv2.morphologyEx(codes, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
    codes[border & (rng.random((HEIGHT, WIDTH)) < 0.7)] = 255
    codes[-1], codes[:, -1] = 255, 255
    stream = io.BytesIO()
    Image.fromarray(cv2.merge([codes] * 3)).save(stream, "PNG")
    return stream.getvalue()


def measure_masks(files: list[Path], out: Path, rounds: int) -> dict[str, float]:
    """Rates of the mask work as preparation does it, and of its bound."""
    from surgseg.data.convert import mask_to_ids
    from surgseg.data.pairs import Pair
    from surgseg.data.sources import SourceFile
    from surgseg.labels import SCHEMES
    from surgseg.masks import encode_mask

    scheme = SCHEMES["binary"]
    lookup = scheme.lookup()
    contents = [path.read_bytes() for path in files]

    written = itertools.count()  # always new names: some file systems flush when a file is replaced

    def work(path: Path) -> None:
        source = SourceFile(path.name, "", path=path)
        ids, _, _ = mask_to_ids(Pair("video", 0, source, source), lookup)
        write_bytes(out / f"{next(written)}.png", encode_mask(ids, scheme))

    def bound(data: bytes) -> None:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            channel = image.getchannel(0)
        channel.putpalette(palette)
        channel.save(io.BytesIO(), "PNG", compress_level=3, compress_type=3)

    palette = scheme.palette()
    return in_turns(lambda: run_all(work, files), lambda: run_all(bound, contents), len(files), rounds)


def measure_preparation(release: Path, out: Path, pairs: int) -> float:
    from surgseg.data.convert import Target
    from surgseg.data.prepare import prepare
    from surgseg.data.readers.cholecseg8k import read_cholecseg8k
    from surgseg.data.sources import open_source
    from surgseg.labels import SCHEMES

    start = time.perf_counter()
    with open_source(release) as (files, data):
        result = prepare(read_cholecseg8k(files), Target(out), SCHEMES["binary"], data)
    assert result.done == pairs, f"{result.done} of {pairs} pairs prepared"
    return pairs / (time.perf_counter() - start)


def measure_cache(prepared: Path, count: int, cache_dir: Path, rounds: int) -> dict[str, float]:
    """Return the rates of building the cache at 256x256, and of decoding and resizing alone."""
    import torch

    from surgseg.data.cache import open_cache
    from surgseg.data.dataset import load_prepared
    from surgseg.frames import read_frame
    from surgseg.masks import read_mask
    from surgseg.preprocess import resize_frames, resize_masks

    data, size = load_prepared(prepared), (256, 256)
    samples = data.samples[:count]

    def bound(sample) -> None:
        frame = torch.from_numpy(np.array(read_frame(sample.frame))).permute(2, 0, 1)[None]
        resize_frames(frame, size)
        resize_masks(torch.from_numpy(np.array(read_mask(sample.mask, 2)))[None], size)

    turns = itertools.count()

    def build() -> None:
        open_cache(samples, size, data.scheme, cache_dir / str(next(turns)))

    torch.set_num_threads(1)  # one thread per core in both measurements
    return in_turns(build, lambda: run_all(bound, samples), count, rounds)


def in_turns(work, bound, count: int, rounds: int) -> dict[str, float]:
    """Time `work` and `bound`, each with `count` items, in turns; the first turn warms up and does not count."""
    timed = [(rate_of(work, count), rate_of(bound, count)) for _ in range(rounds + 1)][1:]
    return {
        "per_s": statistics.median(rate for rate, _ in timed),
        "bound_per_s": statistics.median(limit for _, limit in timed),
        "ratio": statistics.median(rate / limit for rate, limit in timed),
    }


def run_all(function, items) -> None:
    with ThreadPoolExecutor(cpu_count()) as pool:
        list(pool.map(function, items))


def rate_of(work, count: int) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    raise SystemExit(main())
