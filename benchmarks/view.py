"""The field of view: is it found, what does cropping to it lose, what does it cost?

  python benchmarks/view.py                                   # synthetic videos, against the view that was drawn
  python benchmarks/view.py --data-root data/half             # labelled frames: instrument pixels lost
  python benchmarks/view.py --data-root data/half --pred-dir preds_full  # and what a model marked in the border

A view is found in at most 24 frames of a video, and again in each frame alone. The drawn view of a synthetic video
counts from half its brightness on. The border is every pixel whose brightest channel is below 24.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from surgseg.console import make_parser, report_errors
from surgseg.files import UserError

SEED, SIZE = 3, (480, 854)
STRIDE = 240  # frames between two of a synthetic video


def build_parser():
    parser = make_parser(__doc__)
    parser.add_argument("--videos", type=int, default=30, help="synthetic videos of each domain (default: 30)")
    parser.add_argument("--frames", type=int, default=6, help="frames of a synthetic video (default: 6)")
    parser.add_argument("--data-root", type=Path, help="prepared folder to measure instead (default: none)")
    parser.add_argument("--pred-dir", type=Path, help="predicted masks of its frames (default: none)")
    return parser


def main(argv=None) -> int:
    return report_errors(run, build_parser().parse_args(argv))


def run(args) -> int:
    if args.videos < 1 or args.frames < 1:
        raise UserError("--videos and --frames must be at least 1")
    if args.data_root:
        measure_folder(args.data_root, args.pred_dir)
    else:
        measure_synthetic(args.videos, args.frames)
        measure_cost()
    return 0


def measure_synthetic(videos: int, count: int) -> None:
    from surgseg.synthetic.scenes import DOMAINS, draw_frame, scene_of
    from surgseg.view import find_view

    total = lost = lost_alone = round_views = found = invented = 0
    margins = []  # left and right: pixels by which a found view is larger than the drawn one
    for domain in DOMAINS:
        for video in range(1, videos + 1):
            pairs = [draw_frame(SEED, video, STRIDE * number, SIZE, domain) for number in range(count)]
            view = find_view([frame for frame, _ in pairs])
            for frame, codes in pairs:
                instrument = np.isin(codes, (31, 32))
                total += int(instrument.sum())
                lost += int(instrument.sum() - view.crop(instrument).sum())
                lost_alone += int(instrument.sum() - find_view([frame]).crop(instrument).sum())
            aperture = scene_of(SEED, video, SIZE, domain).aperture
            if aperture is None:
                invented += not view.is_whole
                continue
            round_views += 1
            found += not view.is_whole
            columns = np.flatnonzero((aperture >= 0.5).any(0))
            margins += [columns[0] - view.left, view.left + view.width - 1 - columns[-1]]
    print(f"{2 * videos} synthetic videos of {count} frames: {round_views} round views, {found} found; ", end="")
    print(f"{invented} found in the others; larger than drawn by {min(margins)} to {max(margins)} pixels ", end="")
    print(f"of {SIZE[1]} on a side (mean {np.mean(margins):.1f})")
    print(f"instrument pixels: {total}; lost {lost}; lost where each frame's view is found in it alone {lost_alone}")


def measure_folder(root: Path, pred_dir: Path | None) -> None:
    from surgseg.data.dataset import load_prepared, read_sample
    from surgseg.data.views import sample_views
    from surgseg.frames import LIT
    from surgseg.masks import read_mask
    from surgseg.view import find_view

    prepared = load_prepared(root)
    views = sample_views(prepared.samples, "auto")
    sums: dict[str, np.ndarray] = {}
    for sample in prepared.samples:
        frame, mask = read_sample(sample, prepared.scheme.num_classes)
        view = views(sample, frame)
        instrument = np.isin(mask, prepared.scheme.instrument_ids)
        kept = [each.crop(instrument).sum() for each in (view, find_view([frame]))]
        row = [1, view.share, instrument.sum(), *(instrument.sum() - each for each in kept), 0, 0, 0]
        if pred_dir:
            path = pred_dir / f"{sample.name}.png"
            if not path.is_file():
                continue
            marked = np.isin(read_mask(path, prepared.scheme.num_classes), prepared.scheme.instrument_ids)
            border = (frame.max(2) < LIT) & ~instrument
            row[5:] = [marked.sum() - view.crop(marked).sum(), (marked & border).sum(), border.sum()]
        sums[sample.video] = sums.get(sample.video, 0) + np.array(row, float)
    for video, (frames, share, total, lost, alone, outside, marked, border) in sums.items():
        print(f"{video}: {frames:.0f} frames, view {share / frames:.2f} of them", end=", ")
        print(f"{total:.0f} instrument pixels, {lost:.0f} lost, {alone:.0f} lost by each frame's own view")
        if pred_dir:
            print(f"  {outside:.0f} pixels marked outside the view, {marked / max(border, 1):.2%} of the border marked")


def measure_cost() -> None:
    import torch

    from surgseg.checkpoint import Checkpoint
    from surgseg.labels import SCHEMES
    from surgseg.predict import Predictor
    from surgseg.view import FRAMES, View, find_view

    class Constant:
        def __call__(self, frames):
            return torch.full((len(frames), 2, 256, 256), 0.5)

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    checkpoint = Checkpoint(torch.nn.Identity(), "unet", {}, SCHEMES["binary"], (256, 256))
    predictor = Predictor(checkpoint, torch.device("cpu"), network=Constant())
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, *SIZE, 3), dtype=np.uint8)
    view = View(480, 640, 0, 107, SIZE)
    ids, measures = torch.zeros((1, 480, 640), dtype=torch.uint8), torch.zeros((1, 3), dtype=torch.float64)
    work = {
        f"find the view in {FRAMES} frames": lambda: find_view(frames),
        "crop a frame (copy)": lambda: np.require(view.crop(frames[0]), requirements="CW"),
        "paste a mask": lambda: predictor._pasted(view, ids, measures),
        "resize, threshold, measure a whole frame": lambda: predictor.submit(frames[:1]).result(),
        "the same with a view of 480x640": lambda: predictor.submit(frames[:1], view).result(),
    }
    times = {name: [] for name in work}
    for _ in range(40):
        for name, call in work.items():
            started = time.thread_time()
            call()
            times[name].append(time.thread_time() - started)
    print(f"frames of {SIZE[1]}x{SIZE[0]}, CPU time on one thread, median of 40:")
    for name, seconds in times.items():
        print(f"  {name:<42}{1000 * statistics.median(seconds):8.3f} ms")


if __name__ == "__main__":
    raise SystemExit(main())
