"""The pipeline's own ceiling, for benchmarks/inference.py --constant-network: a network that costs nothing."""

from __future__ import annotations

import statistics
import time

import cv2

from benchmarks.film import draw_film
from benchmarks.stages import decode, end_to_end, fresh, predict, write

ROWS = {"masks": {"masks": "png"}, "masks, JPEG frames": {"frames": "jpg", "masks": "png"}}


class ConstantNetwork:
    """Answer every batch with the same (2, h, w) probabilities."""

    def __init__(self, probability):
        self.probability = probability

    def __call__(self, frames):
        return self.probability.expand(len(frames), *self.probability.shape)

    def describe(self) -> dict:
        return {"name": "constant", "version": "", "device": "cpu", "precision": "float32"}


def measure_ceiling(args, device) -> list[dict]:
    """Measure each stage alone and all together with a constant network."""
    import torch

    from models import build_model
    from surgseg.checkpoint import Checkpoint
    from surgseg.labels import SCHEMES
    from surgseg.predict import Predictor

    images, masks = draw_film(args)
    mask = cv2.resize(masks[0].astype("float32"), args.image_size[::-1], interpolation=cv2.INTER_AREA)
    instrument = torch.from_numpy(cv2.GaussianBlur(mask, (0, 0), 2)).mul_(0.98).add_(0.01).to(device)
    model = build_model("unet", 2, base_channels=1)
    checkpoint = Checkpoint(model, "unet", {}, SCHEMES["binary"], args.image_size, training={"data": "synthetic"})
    network = ConstantNetwork(torch.stack([1 - instrument, instrument]))
    predictor = Predictor(checkpoint, device, batch_size=args.batch_size, network=network)
    made = predictor.predict(images[0][None])
    work = {
        "decode": lambda: decode(args.film, args.frames),
        "predict": lambda: predict(predictor, images, args.frames),
        "write": lambda: write(fresh(args.folder / "write"), made, images, args, args.frames),
        "end_to_end": lambda: end_to_end(fresh(args.folder / "whole"), predictor, "", args, args.frames),
    }
    results = []
    print(f"{args.frames} frames of 854x480, {args.film.stat().st_size * 8 * 25 / args.frames / 1e6:.2f} Mbit/s, "
          f"{args.rounds} rounds; frames/s alone (CPU milliseconds a frame)")  # fmt: skip
    for name, args.parts in ROWS.items():
        turns = [{stage: _rate(run, args.frames) for stage, run in work.items()} for _ in range(args.rounds + 1)][1:]
        fps, cpu = (
            {stage: statistics.median(turn[stage][kind] for turn in turns) for stage in work} for kind in (0, 1)
        )
        results.append({"network": "constant", "parts": list(args.parts), "fps": fps, "cpu_ms": cpu})
        cells = (f"{stage.replace('_', ' ')} {fps[stage]:.0f} ({cpu[stage]:.2f})" for stage in work)
        print(f"{name:<20}", "  ".join(cells), flush=True)
    return results


def _rate(work, count: int) -> tuple[float, float]:
    """Return frames per second and CPU milliseconds per frame, of all threads together."""
    begun, busy = time.perf_counter(), time.process_time()
    work()
    return count / (time.perf_counter() - begun), 1000 * (time.process_time() - busy) / count
