"""Show a running training: a progress bar on the terminal, curves in TensorBoard."""

from __future__ import annotations

import math
import time
from pathlib import Path

from tqdm import tqdm

from surgseg.console import quiet
from surgseg.files import UserError

REFRESH = 0.5  # seconds between readings of the loss


class Progress:
    """The bar of one epoch: steps, images/s, loss, last validation IoU, remaining time of all epochs."""

    def __init__(self, epoch: int, epochs: int, steps: int, history: list[dict], shown: bool):
        self.bar = tqdm(total=steps, desc=f"Epoch {epoch}/{epochs}", unit="step", disable=not shown or quiet())
        self.epochs_left, self.steps, self.done, self.images = epochs - epoch, steps, 0, 0
        self.val_iou = history[-1].get("val_iou", math.nan) if history else math.nan
        self.started = self.shown_at = time.perf_counter()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error) -> None:
        self.bar.close()

    def due(self) -> bool:
        """True if it is time to read the loss again."""
        return time.perf_counter() - self.shown_at > REFRESH

    def show(self, loss: float) -> None:
        self.shown_at = time.perf_counter()
        seconds = self.shown_at - self.started
        values = {"loss": f"{loss:.4f}"}
        if self.done:
            remaining = (self.steps - self.done + self.epochs_left * self.steps) * seconds / self.done
            values["images/s"] = f"{self.images / seconds:.1f}"
            values["all done in"] = tqdm.format_interval(remaining)
        if not math.isnan(self.val_iou):
            values["val IoU"] = f"{self.val_iou:.4f}"
        self.bar.set_postfix(values, refresh=False)

    def advance(self, images: int) -> None:
        self.done += 1
        self.images += images
        self.bar.update()


def summary_writer() -> type:
    """TensorBoard's writer class. Raises `UserError` if the package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError("--tensorboard needs the package: pip install tensorboard") from error
    return SummaryWriter


class Curves:
    """Writes history rows as TensorBoard scalars into `folder`. Raises `UserError` if it cannot write."""

    def __init__(self, folder: Path, first_epoch: int):
        try:
            self.writer = summary_writer()(str(folder), purge_step=first_epoch)
        except OSError as error:
            raise UserError(f"cannot write into {folder}: {error.strerror or error}") from error

    def add(self, row: dict) -> None:
        try:
            for key, value in row.items():
                if key not in ("epoch", "precision"):
                    group = "validation" if key.startswith("val_") else "training"
                    self.writer.add_scalar(f"{group}/{key}", value, row["epoch"])
            self.writer.flush()
        except OSError as error:
            raise UserError(f"cannot write TensorBoard's curves: {error.strerror or error}") from error

    def close(self) -> None:
        self.writer.close()
