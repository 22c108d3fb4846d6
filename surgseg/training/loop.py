"""The training loop: cache -> device -> augmentation -> step -> averaged weights -> validation.

A step does not wait for the device: losses stay there until the epoch ends or the progress bar shows them. Only
torch's SyncBatchNorm, used with few frames on each of several GPUs, waits.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from models import ARCHITECTURES, Architecture
from surgseg.checkpoint import default_threshold
from surgseg.data.cache import Cache
from surgseg.devices import autocast, out_of_memory
from surgseg.files import UserError, find_named, list_some
from surgseg.labels import Scheme
from surgseg.predict import to_mask
from surgseg.preprocess import normalise
from surgseg.scores.metrics import confusion, pooled_scores
from surgseg.training.augment import augment, draw
from surgseg.training.batches import even_batches, least_frames, shares_statistics
from surgseg.training.config import STRENGTHS, TrainConfig
from surgseg.training.distributed import Processes
from surgseg.training.feed import Batch, Feed
from surgseg.training.losses import segmentation_loss
from surgseg.training.mixing import Mixture, epoch_order
from surgseg.training.optimizer import make_optimizer, set_learning_rate, set_training_mode
from surgseg.training.progress import Progress
from surgseg.training.schedule import learning_rate

HISTORY_FIELDS = (
    "epoch", "train_loss", "val_loss", "val_iou", "val_dice", "val_accuracy", "learning_rate", "seconds",
    "images_per_s", "precision",
)  # fmt: skip
CTRL_C = "Ctrl-C"  # reason of a stop after which --resume can continue


class Diverged(UserError):
    """The loss is not finite."""


class Trainer:
    """Trains `model` in place. `averaged` is its exponential moving average, which is scored and saved. An epoch is
    drawn from `mixture`, or passes over all training rows.

    After `run`, `averaged` holds the weights of the epoch with the best validation IoU, or of the last finished epoch
    if there is no validation part. `stopped` is the reason of an early end, or None.
    """

    def __init__(
        self,
        model: nn.Module,
        cache: Cache,
        scheme: Scheme,
        device: torch.device,
        config: TrainConfig,
        *,
        architecture: Architecture = ARCHITECTURES["unet"],
        class_weights: list[float] | None = None,
        processes: Processes | None = None,
        cache_device: str = "auto",
        compiled: bool = False,
        mixture: Mixture | None = None,
    ):
        self.scheme, self.device, self.config, self.architecture = scheme, device, config, architecture
        self.threshold = default_threshold(scheme)
        self.strength = find_named("augmentation", config.augment, STRENGTHS)
        self.processes = processes or Processes()
        shared = shares_statistics(self.processes, device, config.batch_size)
        if shared:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        self.model = model.to(device, memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.model).eval()
        pairs = list(zip(self.averaged.state_dict().values(), self.model.state_dict().values()))
        self.averages = [pair for pair in pairs if pair[0].is_floating_point()]
        self.counters = [pair for pair in pairs if not pair[0].is_floating_point()]
        self.class_weights = None if class_weights is None else torch.tensor(class_weights, device=device)
        self.optimizer = make_optimizer(self.model, config, device)
        # small gradients vanish in fp16: scale the loss, and skip a step whose gradients overflow
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.feed = Feed(cache, device, cache_device)
        self.names, self.rows = cache.names, len(cache.frames)
        self.least = least_frames(self.processes, shared, 1 if config.freeze_norm else architecture.least_batch)
        self.compiled, self.frozen, self.forward = compiled, None, self.model
        self.mixture = mixture
        self.step_count = 0
        self.history: list[dict] = []
        self.best_epoch, self.best_iou = 0, -math.inf
        self.kept: dict[str, torch.Tensor] | None = None
        self.stopped: str | None = None

    def run(self, train: np.ndarray, val: np.ndarray, on_epoch=lambda row: None) -> None:
        """Train up to epoch `config.epochs` on the cache rows `train`; choose the epoch on `val` unless it is empty.

        Continues after the epochs in `history`. Calls `on_epoch` with each new history row. Ctrl-C and a loss that is
        not finite end training; the results of the finished epochs are kept. Raises `UserError` for a loss that is not
        finite in the first epoch, for too few frames, and if memory runs out.
        """
        least = max(2, self.least)
        if len(train) < least:
            raise UserError(f"{len(train)} training frames: {least} or more are needed")
        started = time.perf_counter()
        try:
            for epoch in range(len(self.history) + 1, self.config.epochs + 1):
                row = self.run_epoch(epoch, train)
                if len(val):
                    row.update(self.validate(val))
                ended = time.perf_counter()  # an epoch includes its validation and what `on_epoch` did before it
                images = self.mixture.frames if self.mixture else len(train)
                row["seconds"], row["images_per_s"] = ended - started, images / (ended - started)
                started = ended
                self.history.append(row)
                # `not <` and not `>=`: if the IoU is undefined (no instrument in any frame), the later epoch counts
                if not len(val) or not row["val_iou"] < self.best_iou:
                    self.kept = copy.deepcopy(self.averaged.state_dict())
                    self.best_iou, self.best_epoch = row.get("val_iou", self.best_iou), epoch
                on_epoch(row)
        except KeyboardInterrupt:
            self.stopped = CTRL_C
        except Diverged as error:
            if self.kept is None:
                raise
            self.stopped = str(error)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise UserError(f"out of memory: {self._smaller_batch()}") from error
        if self.kept is not None:
            self.averaged.load_state_dict(self.kept)

    def run_epoch(self, epoch: int, train: np.ndarray) -> dict:
        """Train one epoch, in an order that depends on (seed, epoch) alone. Return its row without times."""
        config = self.config
        self.start_epoch(epoch)
        order = epoch_order(train, self.mixture, config.seed, epoch)
        steps = even_batches(order, config.batch_size * config.accumulate, self.least)
        batches = [even_batches(step, config.batch_size, self.least) for step in steps]
        losses = torch.zeros(len(steps), device=self.device)
        stream = self.feed.stream([self.processes.share(rows) for step in batches for rows in step])
        progress = Progress(epoch, config.epochs, len(steps), self.history, self.processes.first)
        with progress, contextlib.closing(stream):
            for number, step in enumerate(steps):
                rate = learning_rate(self.step_count, len(steps) * config.epochs, config)
                set_learning_rate(self.optimizer, rate)
                losses[number] = self.train_step(list(itertools.islice(stream, len(batches[number]))), len(step))
                progress.advance(len(step))
                if progress.due():  # reading the losses waits for the device
                    if self.processes.count == 1:
                        self._check(losses[: number + 1], steps, epoch)
                    progress.show(losses[number].item() * self.processes.count)
        self._check(self.processes.sum(losses), steps, epoch)
        shares = torch.tensor([len(step) / len(order) for step in steps], device=self.device)
        loss = (losses * shares).sum().item()
        return {"epoch": epoch, "train_loss": loss, "learning_rate": rate, "precision": config.precision}

    def start_epoch(self, epoch: int) -> None:
        """Prepare an epoch. Its random numbers depend on (seed, epoch, process) alone, so none need be saved."""
        config = self.config
        torch.manual_seed(int(np.random.default_rng([config.seed, epoch, self.processes.rank]).integers(2**62)))
        self.draws = torch.from_numpy(draw(config.seed, epoch, self.rows)).to(self.device)
        frozen = epoch <= config.freeze_backbone
        set_training_mode(self.model, backbone_frozen=frozen, norm_frozen=config.freeze_norm)
        if frozen != self.frozen:  # wrapping and compiling fix which parameters learn, so do both again
            self.frozen = frozen
            self.forward = self.processes.wrap(self.model, self.device)
            if self.compiled:
                self.forward = torch.compile(self.forward, dynamic=False)  # batches have one or two lengths

    def train_step(self, batches: list[Batch], images: int) -> torch.Tensor:
        """Take one optimizer step on this process's share of `images` frames. Return its share of their mean loss."""
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for number, batch in enumerate(batches, 1):
            last = number == len(batches) or self.processes.count == 1
            with contextlib.nullcontext() if last else self.forward.no_sync():
                loss = self.losses(batch).sum() / images
                self.scaler.scale(loss * self.processes.count).backward()  # gradients are averaged over processes
            total += loss.detach()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step_count += 1
        self._average()
        return total

    def losses(self, batch: Batch) -> torch.Tensor:
        """(N,) losses of a batch, with this epoch's augmentation."""
        frames, masks = batch.frames, batch.masks
        if self.strength is not None:
            frames, masks = augment(frames, masks, self.draws[batch.rows], self.strength, self.architecture.mean)
        return self.losses_of(self.prepare(frames), masks)

    def losses_of(self, inputs: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """(N,) losses of normalised frames (N, 3, H, W) in training mode."""
        with autocast(self.device, self.config.precision):
            output = self.forward(inputs)
        return segmentation_loss(output, masks, self.config.loss, self.class_weights)

    def prepare(self, frames: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) uint8, or float in 0..1 -> normalised model input, channels last."""
        mean, std = self.architecture.mean, self.architecture.std
        return normalise(frames, mean, std).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def _average(self) -> None:
        """Update the exponential moving average of weights and statistics. The decay is smaller in the first steps."""
        decay = min(self.config.ema_decay, (1 + self.step_count) / (10 + self.step_count))
        torch._foreach_lerp_([mean for mean, _ in self.averages], [value for _, value in self.averages], 1 - decay)
        if self.counters:  # a model without batch normalisation has none
            torch._foreach_copy_([mean for mean, _ in self.counters], [value for _, value in self.counters])

    @torch.inference_mode()
    def validate(self, indices: np.ndarray) -> dict:
        """Return loss and scores of the averaged weights on cache rows, at the cache's size, over all processes."""
        self.processes.copy_from_first(self.averaged.state_dict().values())  # statistics can differ
        classes = self.scheme.num_classes
        counts = torch.zeros(classes + 1, classes, dtype=torch.int64, device=self.device)
        total = torch.zeros((), device=self.device)
        share = self.processes.share(np.asarray(indices))
        # without gradients, twice the frames of a training step need less memory than that
        size = 2 * math.ceil(self.config.batch_size / self.processes.count)
        for batch in self.feed.stream(even_batches(share, size)):
            with autocast(self.device, self.config.precision):
                logits = self.averaged(self.prepare(batch.frames)).float()
            total += segmentation_loss(logits, batch.masks, self.config.loss, self.class_weights).sum()
            predicted, _ = to_mask(logits.softmax(1), self.scheme, self.threshold)
            counts += confusion(predicted, batch.masks, classes).sum(0)
        loss = self.processes.sum(total).item() / len(indices)
        scores = pooled_scores(self.processes.sum(counts).cpu().numpy(), self.scheme)
        mean = scores["mean_instrument"]
        return {
            "val_loss": loss, "val_iou": mean["iou"], "val_dice": mean["dice"], "val_accuracy": scores["accuracy"],
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        """The state after the last finished epoch, for `restore`, in plain types and tensors."""
        newest_is_best = self.best_epoch == len(self.history)  # then the kept weights are the averaged ones
        return {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "kept": None if newest_is_best else self.kept,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step_count": self.step_count,
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_iou": self.best_iou,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Load a `state`."""
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler.is_enabled() and state["scaler"]:  # empty: the run began in another precision
            self.scaler.load_state_dict(state["scaler"])
        self.step_count, self.history = state["step_count"], list(state["history"])
        self.best_epoch, self.best_iou = state["best_epoch"], state["best_iou"]
        kept = state["averaged"] if state["kept"] is None else state["kept"]
        self.kept = {key: value.clone() for key, value in kept.items()}

    def _check(self, losses: torch.Tensor, steps: list[np.ndarray], epoch: int) -> None:
        """Raise `Diverged` if a loss is not finite; name the frames of the first such step."""
        finite = losses.isfinite().cpu().numpy()
        if finite.all():
            return
        step = int(np.argmin(finite))
        raise Diverged(
            f"the loss is no longer a number in epoch {epoch}, step {step + 1}, frames "
            f"{list_some([self.names[row] for row in steps[step]], 4)}; look at them, or lower --lr (now "
            f"{self.config.learning_rate:g})"
        )

    def _smaller_batch(self) -> str:
        """The advice if memory does not suffice for a batch."""
        size, accumulate = self.config.batch_size, self.config.accumulate
        smaller = max((number for number in range(max(1, self.least), size) if size % number == 0), default=None)
        if smaller is None:
            return f"--batch-size {size} cannot be divided further; try a smaller --image-size"
        return (
            f"at --batch-size {size}; try --batch-size {smaller} --accumulate {accumulate * size // smaller} "
            f"--lr {self.config.learning_rate:g}, which makes the same steps except for batch statistics"
        )
