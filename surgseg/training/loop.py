"""The training loop: cache -> device -> augmentation -> step -> averaged weights -> validation."""

from __future__ import annotations

import copy
import math
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from surgseg.data.cache import Cache
from surgseg.files import UserError
from surgseg.labels import Scheme
from surgseg.preprocess import MEAN, STD, normalise
from surgseg.scores.metrics import confusion, pooled_scores
from surgseg.training.augment import STRENGTHS, augment, draw
from surgseg.training.losses import segmentation_loss
from surgseg.video.predictor import autocast, decide

HISTORY_FIELDS = (
    "epoch", "train_loss", "val_loss", "val_iou", "val_dice", "val_accuracy", "learning_rate", "seconds",
    "images_per_s",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What a run of training is made of; stored with the weights."""

    epochs: int = 15
    batch_size: int = 4
    accumulate: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup: float = 0.05  # share of all steps
    ema_decay: float = 0.99
    schedule: str = "cosine"  # or "constant": the rate as given, from the first step to the last
    loss: str = "ce+dice"
    class_weights: list[float] | None = None
    augment: str = "medium"  # of STRENGTHS
    precision: str = "float32"  # or "bf16" autocast
    threshold: float | None = 0.5
    seed: int = 0


class Diverged(UserError):
    """The loss is no longer a number."""


class Trainer:
    """Trains `model` in place; `averaged` is its exponential moving average, the one that is scored and saved.

    After `run`, `averaged` holds the best validated weights, or those of the last finished epoch where there is no
    validation part; `stopped` says why a run ended early.
    """

    def __init__(self, model: nn.Module, cache: Cache, scheme: Scheme, device: torch.device, settings: Settings):
        self.cache, self.scheme, self.device, self.settings = cache, scheme, device, settings
        self.model = model.to(device, memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.model).eval()
        weights = settings.class_weights
        self.class_weights = None if weights is None else torch.tensor(weights, device=device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.step_count = 0
        self.history: list[dict] = []
        self.best_epoch = 0
        self.stopped: str | None = None

    def run(self, train: np.ndarray, val: np.ndarray, on_epoch=lambda row: None) -> None:
        """Train for `settings.epochs` on the cache rows `train`, choosing the epoch on `val` where it is not empty.

        `on_epoch` sees each history row as it is made. Ctrl-C, and a loss that is no longer a number, end training
        and keep what the finished epochs gave. Raises `UserError` where none was finished or memory runs out.
        """
        if len(train) < 2:
            raise UserError("training needs at least two frames")
        kept, best_iou = None, -math.inf
        try:
            for epoch in range(1, self.settings.epochs + 1):
                row = self.run_epoch(epoch, train)
                if len(val):
                    row.update(self.validate(val))
                self.history.append(row)
                # an undefined IoU (no instrument anywhere) cannot choose an epoch: the later one counts
                if not len(val) or not row["val_iou"] < best_iou:
                    best_iou, self.best_epoch = row.get("val_iou", best_iou), epoch
                    kept = copy.deepcopy(self.averaged.state_dict())
                on_epoch(row)
        except KeyboardInterrupt:
            self.stopped = "Ctrl-C"
        except Diverged as error:
            if kept is None:
                raise
            self.stopped = str(error)
        except torch.cuda.OutOfMemoryError as error:
            size = self.settings.batch_size
            raise UserError(
                f"out of GPU memory at --batch-size {size}; try --batch-size {max(1, size // 2)}"
            ) from error
        if kept is not None:
            self.averaged.load_state_dict(kept)

    def run_epoch(self, epoch: int, train: np.ndarray) -> dict:
        """One pass over the training part in an order that (seed, epoch) fixes."""
        settings, started = self.settings, time.perf_counter()
        order = np.random.default_rng([settings.seed, epoch]).permutation(np.asarray(train))
        batches = even_batches(order, settings.batch_size * settings.accumulate)
        steps = len(batches)
        total = torch.zeros((), device=self.device)
        self.start_epoch(epoch)
        shown = 0.0
        bar = tqdm(batches, f"Epoch {epoch}/{settings.epochs}", unit="step", disable=not sys.stderr.isatty())
        for done, batch in enumerate(bar, 1):
            rate = self.learning_rate(steps)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            total += self.train_step(batch) * len(batch)
            if done == steps or time.perf_counter() - shown > 0.5:  # reading the loss waits for the GPU
                shown = time.perf_counter()
                seen = sum(len(item) for item in batches[:done])
                bar.set_postfix(loss=f"{total.item() / seen:.4f}")
        loss = total.item() / len(order)
        if not math.isfinite(loss):
            raise Diverged(
                f"the loss is no longer a number in epoch {epoch}; lower --lr (now {settings.learning_rate:g})"
            )
        seconds = time.perf_counter() - started
        return {
            "epoch": epoch, "train_loss": loss, "learning_rate": rate, "seconds": seconds,
            "images_per_s": len(order) / seconds,
        }  # fmt: skip

    def start_epoch(self, epoch: int) -> None:
        """Training mode, and this epoch's augmentation parameters of every cache row."""
        self.model.train()
        self.draws = torch.from_numpy(draw(self.settings.seed, epoch, len(self.cache.frames))).to(self.device)

    def train_step(self, indices: np.ndarray) -> torch.Tensor:
        """One optimizer step on the samples `indices`; returns the mean loss (a tensor on the device)."""
        self.optimizer.zero_grad(set_to_none=True)
        pieces = even_batches(indices, self.settings.batch_size)
        strength = STRENGTHS[self.settings.augment]
        total = torch.zeros((), device=self.device)
        for piece in pieces:
            frames, masks = self.load(piece)
            if strength is not None:
                frames, masks = augment(frames, masks, self.draws[piece], strength)
            with autocast(self.device, self.settings.precision):
                output = self.model(_prepare(frames))
            losses = segmentation_loss(output, masks, self.settings.loss, self.class_weights)
            loss = losses.sum() / len(indices)
            loss.backward()
            total += loss.detach()
        self.optimizer.step()
        self.step_count += 1
        self._average()
        return total

    def learning_rate(self, steps_per_epoch: int) -> float:
        """Linear warm-up, then half a cosine down to 1 % of the rate; or the rate itself."""
        settings = self.settings
        if settings.schedule == "constant":
            return settings.learning_rate
        total = max(1, steps_per_epoch * settings.epochs)
        warmup = max(1, round(settings.warmup * total))
        if self.step_count < warmup:
            return settings.learning_rate * (self.step_count + 1) / warmup
        progress = (self.step_count - warmup) / max(1, total - warmup)
        return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))

    @torch.no_grad()
    def _average(self) -> None:
        """Exponential moving average of weights and statistics; early on it forgets its random start faster."""
        decay = min(self.settings.ema_decay, (1 + self.step_count) / (10 + self.step_count))
        pairs = list(zip(self.averaged.state_dict().values(), self.model.state_dict().values()))
        floating = [(mean, value) for mean, value in pairs if value.is_floating_point()]
        torch._foreach_lerp_([mean for mean, _ in floating], [value for _, value in floating], 1 - decay)
        for mean, value in pairs:
            if not value.is_floating_point():
                mean.copy_(value)

    @torch.inference_mode()
    def validate(self, indices: np.ndarray) -> dict:
        """Loss and scores of the averaged weights on cache rows, at the cache's size."""
        counts, losses = [], []
        for piece in even_batches(indices, self.settings.batch_size):
            frames, masks = self.load(piece)
            with autocast(self.device, self.settings.precision):
                logits = self.averaged(_prepare(frames)).float()
            losses.append(segmentation_loss(logits, masks, self.settings.loss, self.class_weights))
            predicted, _ = decide(logits.softmax(1), self.scheme, self.settings.threshold)
            counts.append(confusion(predicted, masks, self.scheme.num_classes).sum(0))
        scores = pooled_scores(torch.stack(counts).sum(0).cpu().numpy(), self.scheme)
        return {
            "val_loss": torch.cat(losses).mean().item(),
            "val_iou": scores["mean_instrument"]["iou"],
            "val_dice": scores["mean_instrument"]["dice"],
            "val_accuracy": scores["accuracy"],
        }

    def load(self, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Cache rows on the device: (N, 3, H, W) uint8 and (N, H, W) uint8."""
        frames = torch.from_numpy(self.cache.frames[indices]).to(self.device)
        return frames.permute(0, 3, 1, 2), torch.from_numpy(self.cache.masks[indices]).to(self.device)


def even_batches(indices: np.ndarray, size: int) -> list[np.ndarray]:
    """Batches of like length, at most `size`; one of a single frame (which BatchNorm refuses) is merged instead."""
    pieces = math.ceil(len(indices) / size)
    if size > 1 and pieces > 1 and len(indices) // pieces == 1:
        pieces -= 1
    return np.array_split(indices, pieces)


def _prepare(frames: torch.Tensor) -> torch.Tensor:
    return normalise(frames, MEAN, STD).contiguous(memory_format=torch.channels_last)
