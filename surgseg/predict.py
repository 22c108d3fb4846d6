"""Predict frames: class ids at the frames' own size, and coverage, confidence and uncertainty of each frame."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from surgseg.checkpoint import Checkpoint
from surgseg.devices import autocast, best_precision, check_precision
from surgseg.files import UserError
from surgseg.labels import Scheme
from surgseg.preprocess import normalise, resize_frames, upsample
from surgseg.view import View

_PIXELS = 1 << 25  # resized at once on a GPU; a CPU takes one frame at a time, which fits its cache
_STEPS = 1 << 16  # of probability from 0 to 1, in the histograms of `measure`
_TINY = torch.finfo(torch.float32).tiny  # p log p -> 0 as p -> 0


class Measures(NamedTuple):
    """Measures of a predicted mask, each 0-1: a float, or (N,) float64 for N frames.

    `coverage` is instrument / all pixels, `mean_confidence` the mean of max(p, 1 - p), `uncertainty` the mean binary
    entropy / ln 2, over all pixels, where p is the probability of the union of the instrument classes: 0 outside the
    view.
    """

    coverage: float
    mean_confidence: float
    uncertainty: float

    def of_frame(self, index: int) -> Measures:
        """Return the floats of one frame."""
        return Measures(*(float(values[index]) for values in self))


class Prediction(NamedTuple):
    """`ids` (N, H, W) uint8 class ids; `measures` of the N frames; `probability` (N, H, W) uint8 of the union of the
    instrument classes in 255ths, None without `keep_probability`."""

    ids: np.ndarray
    measures: Measures
    probability: np.ndarray | None


class TorchNetwork:
    """The model itself: (N, 3, h, w) uint8 at the model's size -> (N, K, h, w) float32 probabilities."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: str = "auto"):
        self.device = device
        self.precision = best_precision(device) if precision == "auto" else precision
        check_precision(device, self.precision)
        self.mean, self.std, self.temperature = checkpoint.mean, checkpoint.std, checkpoint.temperature
        self.model = checkpoint.model.to(device, memory_format=torch.channels_last).eval()

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        inputs = normalise(frames, self.mean, self.std).contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.precision):
            logits = self.model(inputs)
        return (logits.float() / self.temperature).softmax(1)

    def describe(self) -> dict:
        """Return the entry "backend" of `run.json`."""
        return {"name": "torch", "version": torch.__version__, "device": self.device.type, "precision": self.precision}


class Predictor:
    """Apply a loaded weights file to frames of any size, in batches. With a `View`, the network sees what lies in it;
    all else is background.

    `threshold` overrides that of the file: a pixel is instrument if the sum of the instrument classes' probabilities
    is at least this. If neither gives one, a pixel takes its most probable class. `network` computes probabilities from
    resized frames (default: a `TorchNetwork`). Raises `UserError` for a threshold outside 0-1, or an empty batch.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        threshold: float | None = None,
        batch_size: int = 8,
        *,
        network=None,
        keep_probability: bool = False,
    ):
        if threshold is not None and not 0 < threshold < 1:
            raise UserError(f"--threshold {threshold}: a probability between 0 and 1 is needed")
        if batch_size < 1:
            raise UserError(f"--batch-size {batch_size}: at least 1 is needed")
        self.scheme = checkpoint.scheme
        others = set(range(self.scheme.num_classes)) - set(self.scheme.instrument_ids)
        self.background = min(others, default=0)  # the class outside a view
        self.image_size = checkpoint.image_size
        self.threshold = checkpoint.threshold if threshold is None else threshold
        self.device, self.batch_size = device, batch_size
        self.network = network or TorchNetwork(checkpoint, device)
        self.keep_probability = keep_probability

    def predict(self, frames: np.ndarray, view: View | None = None) -> Prediction:
        """Predict (N, H, W, 3) uint8 RGB frames at their own size. `view`: as for `submit`."""
        steps = range(0, len(frames), self.batch_size)
        parts = [self.submit(frames[start : start + self.batch_size], view).result() for start in steps]
        ids, measures, probability = zip(*parts)
        return Prediction(
            np.concatenate(ids),
            Measures(*(np.concatenate(values) for values in zip(*measures))),
            np.concatenate(probability) if self.keep_probability else None,
        )

    @torch.inference_mode()
    def submit(self, frames: Sequence[np.ndarray], view: View | None = None) -> Pending:
        """Start one batch of (H, W, 3) uint8 RGB frames of one size. On a GPU it returns before the work is done.

        `view`: of these frames (default: the whole frame). Raises `UserError` if it belongs to another size.
        """
        frames = frames if view is None else [view.crop(frame) for frame in frames]
        if self.device.type == "cpu":  # each frame is resized where it lies
            parts = [torch.from_numpy(np.require(frame, requirements="CW"))[None] for frame in frames]
        else:
            cuda = self.device.type == "cuda"
            batch = torch.empty((len(frames), *frames[0].shape), dtype=torch.uint8, pin_memory=cuda)
            np.stack(frames, out=batch.numpy())
            parts = batch.to(self.device, non_blocking=cuda).split(_at_once(*frames[0].shape[:2]))
        return Pending(self._predict([part.permute(0, 3, 1, 2) for part in parts], view))

    @torch.inference_mode()
    def probabilities(self, frames: np.ndarray, view: View | None = None) -> torch.Tensor:
        """Return (N, K, H, W) float32 class probabilities, on the CPU, of (N, H, W, 3) uint8 RGB frames.

        Outside the `view` the background has probability 1.
        """
        cropped = frames if view is None else np.stack([view.crop(frame) for frame in frames])
        batch = torch.tensor(cropped).to(self.device).permute(0, 3, 1, 2)
        found = upsample(self.network(resize_frames(batch, self.image_size)), batch.shape[-2:]).float().cpu()
        if view is None or view.is_whole:
            return found
        pasted = F.pad(found, view.padding)
        pasted[:, self.background] = F.pad(found[:, self.background], view.padding, value=1.0)
        return pasted

    def _predict(self, frames: Sequence[torch.Tensor], view: View | None = None) -> list[torch.Tensor]:
        """Predict a batch, given in parts (n, 3, H, W) uint8 that are resized one after the other."""
        size = frames[0].shape[-2:]
        probability = self.network(torch.cat([resize_frames(part, self.image_size) for part in frames]))
        step = 1 if self.device.type == "cpu" else _at_once(*size)
        fields = [self._fields(part, size) for part in probability.split(step)]
        fields = [torch.cat(parts) for parts in zip(*fields)]
        return fields if view is None or view.is_whole else self._pasted(view, *fields)

    def _pasted(self, view: View, ids: torch.Tensor, measures: torch.Tensor, *probability) -> list[torch.Tensor]:
        """Return the fields of whole frames from those of a view: outside it, pixels are background and p is 0."""
        measures = measures * view.share
        measures[:, 1] += 1 - view.share  # mean_confidence: max(p, 1 - p) is 1 there
        probability = [F.pad(values, view.padding) for values in probability]
        return [F.pad(ids, view.padding, value=self.background), measures, *probability]

    def _fields(self, probability: torch.Tensor, size) -> list[torch.Tensor]:
        """Return ids, measures and, with `keep_probability`, probability, on the device, for frames of `size`."""
        instrument_ids = self.scheme.instrument_ids
        if self.scheme.num_classes == 2 and self.threshold is not None:  # one channel is enough
            instrument = instrument_ids[0]
            union = upsample(probability[:, instrument : instrument + 1], size)[:, 0]
            ids = (union >= self.threshold).view(torch.uint8)
            ids = ids if instrument == 1 else 1 - ids
        else:
            ids, union = to_mask(upsample(probability, size), self.scheme, self.threshold)
        fields = [ids, measure(ids, union, instrument_ids)]
        return [*fields, union.mul(255).round_().to(torch.uint8)] if self.keep_probability else fields


def _at_once(height: int, width: int) -> int:
    """Return how many frames of this size a GPU resizes at once."""
    return max(1, _PIXELS // (height * width))


class Pending:
    """A submitted batch. On a GPU its results are copied into pinned memory while the host goes on."""

    def __init__(self, fields: list[torch.Tensor]):
        self._event = None
        if fields[0].is_cuda:
            device = fields[0].device
            fields = [_copy_back(field) for field in fields]
            self._event = torch.cuda.Event(blocking=True)  # its wait leaves the processor to decoding and writing
            self._event.record(torch.cuda.current_stream(device))
        self._fields = fields

    def result(self) -> Prediction:
        """Wait for the batch and return its prediction."""
        if self._event is not None:
            self._event.synchronize()
        ids, measures, *probability = (field.cpu().numpy() for field in self._fields)
        return Prediction(ids, Measures(*measures.T), probability[0] if probability else None)


def _copy_back(values: torch.Tensor) -> torch.Tensor:
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)


def measure(ids: torch.Tensor, probability: torch.Tensor, instrument_ids: Sequence[int]) -> torch.Tensor:
    """Return the (N, 3) `Measures` of N frames, on the device: float64, on MPS float32.

    `ids` (N, H, W) uint8 class ids, `probability` (N, H, W) float32 of the union of the instrument classes. On
    a CPU confidence and uncertainty come from a histogram of the probability in steps of 1 / 65,536, which is several
    times as fast and changes them by less than 2e-4.
    """
    exact = torch.float32 if probability.device.type == "mps" else torch.float64
    if len(instrument_ids) == 1:
        instrument = ids == instrument_ids[0]
    else:
        instrument = torch.isin(ids, _ids_on(tuple(instrument_ids), ids.device))
    p = probability.flatten(1).clamp(0, 1)
    if p.device.type == "cpu":
        covered = torch.tensor([np.count_nonzero(frame) for frame in instrument.numpy()])
        levels = p.mul_(_STEPS).round_().to(torch.int32)
        counts = torch.stack([torch.bincount(frame, minlength=_STEPS + 1) for frame in levels])
        sums = torch.cat([covered[:, None].double(), counts.double() @ _confidence_and_uncertainty()], 1)
        return sums / p.shape[1]
    coverage = instrument.flatten(1).mean(1, dtype=exact)
    confidence, uncertainty = (values.mean(1, dtype=exact) for values in _of_pixels(p))
    return torch.stack(Measures(coverage, confidence, uncertainty), 1)


def _of_pixels(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return max(p, 1 - p) and the binary entropy / ln 2 of each probability."""
    q = 1 - p
    entropy = p.clamp_min(_TINY).log_().mul_(p).add_(q.clamp_min(_TINY).log_().mul_(q))
    return (p - 0.5).abs_().add_(0.5), entropy.div_(-math.log(2))


@functools.lru_cache(maxsize=1)
def _confidence_and_uncertainty() -> torch.Tensor:
    """Return (65537, 2) float64: the values of `_of_pixels` at each step of a histogram."""
    return torch.stack(_of_pixels(torch.linspace(0, 1, _STEPS + 1, dtype=torch.float64)), 1)


def to_mask(probability: torch.Tensor, scheme: Scheme, threshold: float | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ((N, H, W) uint8 class ids, (N, H, W) instrument probability) of (N, K, H, W) probabilities.

    With a threshold, a pixel whose instrument probability is at least this takes its most probable instrument class,
    any other pixel its most probable other class. Without one, a pixel takes its most probable class.
    """
    rest = [index for index in range(scheme.num_classes) if index not in scheme.instrument_ids]
    instruments, others = (_ids_on(tuple(ids), probability.device) for ids in (scheme.instrument_ids, rest))
    union = probability[:, instruments].sum(1)
    if threshold is None:
        return probability.argmax(1).to(torch.uint8), union
    instrument = instruments[probability[:, instruments].argmax(1)]
    other = others[probability[:, others].argmax(1)] if rest else instrument
    return torch.where(union >= threshold, instrument, other).to(torch.uint8), union


@functools.lru_cache(maxsize=64)
def _ids_on(ids: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Return class ids as a tensor on the device, cached: each copy would make the host wait for the device."""
    return torch.tensor(ids, device=device)
