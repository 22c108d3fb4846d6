"""Material of benchmarks/inference.py: a film, models that are fitted to it, and a plain prediction loop."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from surgseg.labels import SCHEMES
from surgseg.synthetic.release import FRAMES_PER_SECOND, VIDEO_COMMENT
from surgseg.synthetic.scenes import draw_frame
from surgseg.video.reader import VideoReader
from surgseg.video.sampling import Sampling
from surgseg.video.writer import VideoWriter

NATIVE = (480, 854)
FIT_SIZE = (96, 96)


def draw_film(args) -> tuple[list[np.ndarray], np.ndarray]:
    """Encode the film. Return its distinct frames, decoded, and their instrument masks (N, H, W) uint8."""
    drawn = [draw_frame(0, 1, number, NATIVE) for number in range(args.distinct)]
    with VideoWriter(args.film, FRAMES_PER_SECOND, metadata={"comment": VIDEO_COMMENT}) as writer:
        for number in range(args.frames):
            writer.write(drawn[number % len(drawn)][0])
    with VideoReader(args.film, first(args.distinct)) as reader:
        images = [frame.image for frame in reader]
    return images, np.stack([np.isin(codes, (31, 32)) for _, codes in drawn]).astype(np.uint8)


def first(count: int) -> Sampling:
    """Return the sampling of the first `count` frames."""
    return Sampling(step=1, max_frames=count)


def fit(arch: str, images: list, masks: np.ndarray, size: tuple, device, weights: Path, steps: int) -> None:
    """Train a model for a few steps on small copies of the frames, measure its batch statistics and threshold at
    `size`, and save it."""
    import torch
    from torch import nn

    from models import IMAGENET_MEAN, IMAGENET_STD, build_model
    from surgseg.checkpoint import Checkpoint, save_checkpoint
    from surgseg.devices import autocast
    from surgseg.preprocess import normalise, resize_frames, resize_masks

    torch.manual_seed(0)
    few = np.linspace(0, len(images) - 1, 8).round().astype(int)
    frames = torch.from_numpy(np.stack(images)[few]).permute(0, 3, 1, 2)
    small = normalise(resize_frames(frames, FIT_SIZE), IMAGENET_MEAN, IMAGENET_STD).to(device)
    labels = resize_masks(torch.from_numpy(masks[few]), FIT_SIZE).long().to(device)
    model = build_model(arch, 2).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for step in range(steps):
        pair = [step % 4, step % 4 + 4]
        with autocast(device, "bf16"):
            output = model(small[pair].contiguous(memory_format=torch.channels_last))
        logits = (output["out"] if isinstance(output, dict) else output).float()
        loss = nn.functional.cross_entropy(logits, labels[pair], weight=torch.tensor([1.0, 8.0], device=device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # take the statistics of the one batch that follows
    inputs = normalise(resize_frames(frames[::2], size), IMAGENET_MEAN, IMAGENET_STD).to(device)
    with torch.no_grad():
        model(inputs)
        probability = model.eval()(inputs).softmax(1)[:, 1]
    threshold = float(np.clip(np.quantile(probability.cpu().numpy(), 0.95), 0.001, 0.999))
    fitted = Checkpoint(model, arch, {}, SCHEMES["binary"], size, threshold=threshold, training={"data": "synthetic"})
    save_checkpoint(weights, fitted)


def plain(folder: Path, model, checkpoint, device, args, count: int) -> None:
    """Predict frame by frame, without any of this project's optimisations; masks are 0 and 255."""
    import torch

    (folder / "masks").mkdir(parents=True)
    (folder / "frames").mkdir()
    mean = torch.tensor(checkpoint.mean).view(3, 1, 1)
    std = torch.tensor(checkpoint.std).view(3, 1, 1)
    capture = cv2.VideoCapture(str(args.film))
    for number in range(count):
        read, frame = capture.read()
        assert read, f"OpenCV cannot read frame {number}"
        image = Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        image = image.resize(args.image_size[::-1], Image.BILINEAR)
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        tensor = ((tensor - mean) / std).unsqueeze(0).to(device)
        with torch.no_grad():
            probability = torch.softmax(model(tensor), dim=1)[:, 1:]
            probability = torch.nn.functional.interpolate(probability, size=frame.shape[:2], mode="bilinear")
        mask = (probability[0, 0] >= checkpoint.threshold).cpu().numpy().astype(np.uint8) * 255
        cv2.imwrite(str(folder / "masks" / f"{number:06d}.png"), mask)
        if args.frame_format != "none":
            cv2.imwrite(str(folder / "frames" / f"{number:06d}.{args.frame_format}"), frame)
    capture.release()
