"""Frames in, class ids and instrument probability out, at the frames' own size."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import numpy as np
import torch

from surgseg.checkpoint import Checkpoint
from surgseg.files import UserError
from surgseg.labels import Scheme
from surgseg.preprocess import normalise, resize_frames, upsample


class Prediction(NamedTuple):
    """`ids` (N, H, W) uint8 class ids; `probability` (N, H, W) float32 of the union of instrument classes."""

    ids: np.ndarray
    probability: np.ndarray


class Predictor:
    """Apply a loaded weights file to frames of any size, in batches.

    `threshold` overrides the file's: a pixel is instrument where the instrument classes' summed probability
    reaches it. Without one (several classes), the most probable class is taken.
    """

    def __init__(
        self, checkpoint: Checkpoint, device: torch.device, threshold: float | None = None, batch_size: int = 8
    ):
        if threshold is not None and not 0 < threshold < 1:
            raise UserError(f"--threshold {threshold}: a probability between 0 and 1 is needed")
        self.scheme = checkpoint.scheme
        self.image_size = checkpoint.image_size
        self.mean, self.std = checkpoint.mean, checkpoint.std
        self.threshold = checkpoint.threshold if threshold is None else threshold
        self.device, self.batch_size = device, batch_size
        self.model = checkpoint.model.to(device, memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def predict(self, frames: np.ndarray) -> Prediction:
        """(N, H, W, 3) uint8 RGB of one size -> `Prediction` at that size."""
        ids, probabilities = [], []
        for start in range(0, len(frames), self.batch_size):
            batch = torch.from_numpy(np.ascontiguousarray(frames[start : start + self.batch_size]))
            found = self._predict_batch(batch.to(self.device).permute(0, 3, 1, 2))
            ids.append(found[0].cpu().numpy())
            probabilities.append(found[1].cpu().numpy())
        return Prediction(np.concatenate(ids), np.concatenate(probabilities))

    def _predict_batch(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = normalise(resize_frames(frames, self.image_size), self.mean, self.std)
        with autocast(self.device, best_precision(self.device)):
            logits = self.model(inputs.contiguous(memory_format=torch.channels_last))
        probability = logits.float().softmax(1)
        if self.scheme.num_classes == 2:  # one channel says it all
            instrument = self.scheme.instrument_ids[0]
            upsampled = upsample(probability[:, instrument : instrument + 1], frames.shape[-2:])
            both = (1 - upsampled, upsampled) if instrument == 1 else (upsampled, 1 - upsampled)
            return decide(torch.cat(both, 1), self.scheme, self.threshold)
        return decide(upsample(probability, frames.shape[-2:]), self.scheme, self.threshold)


def decide(probability: torch.Tensor, scheme: Scheme, threshold: float | None) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, K, H, W) probabilities -> ((N, H, W) uint8 class ids, (N, H, W) instrument probability).

    With a threshold, a pixel whose instrument probability reaches it takes the most probable instrument class,
    any other the most probable of the rest; without one, the most probable class of all.
    """
    tools = scheme.instrument_ids
    union = probability[:, tools].sum(1)
    if threshold is None:
        return probability.argmax(1).to(torch.uint8), union
    rest = [index for index in range(scheme.num_classes) if index not in tools]
    tool = torch.tensor(tools, device=union.device)[probability[:, tools].argmax(1)]
    other = torch.tensor(rest, device=union.device)[probability[:, rest].argmax(1)] if rest else tool
    return torch.where(union >= threshold, tool, other).to(torch.uint8), union


def best_precision(device: torch.device) -> str:
    """bf16 where a GPU computes in it (NVIDIA from Ampere on, AMD); float32 everywhere else."""
    if device.type != "cuda":
        return "float32"
    native = torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
    return "bf16" if native else "float32"


def autocast(device: torch.device, precision: str):
    """A context in which convolutions compute in `precision`, "float32" or "bf16"."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
