"""Loss and validation curves of one run, from its history."""

from __future__ import annotations

from pathlib import Path

from matplotlib.ticker import MaxNLocator

from surgseg.figures.style import BLUE, GREEN, RED, mark_synthetic, new_figure, save_figure


def draw_training_loss(history: list[dict], path: Path, *, chosen_epoch: int | None = None, synthetic=False) -> Path:
    """Loss (left axes) and, where there is a validation part, its IoU (right axes) against the epoch."""
    validated = [row for row in history if row.get("val_iou") is not None]
    figure, axes = new_figure(1, 2 if validated else 1, size=(7.0 if validated else 4.5, 3.0))
    epochs = [row["epoch"] for row in history]
    loss = axes[0, 0]
    loss.plot(epochs, [row["train_loss"] for row in history], color=BLUE, marker="o", ms=3, label="training")
    if validated:
        loss.plot(
            [row["epoch"] for row in validated], [row["val_loss"] for row in validated],
            color=RED, marker="s", ms=3, label="validation",
        )  # fmt: skip
        loss.legend()
        _draw_validation(axes[0, 1], validated, chosen_epoch)
    loss.set(xlabel="epoch", ylabel="loss", title="Loss")
    loss.set_ylim(bottom=0)
    for axis in axes.flat:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if synthetic:
        figure.suptitle(" ", fontsize=8)  # a line for the mark, above the panels' titles
        mark_synthetic(figure)
    return save_figure(figure, path)


def _draw_validation(axis, rows: list[dict], chosen_epoch: int | None) -> None:
    axis.plot([row["epoch"] for row in rows], [row["val_iou"] for row in rows], color=GREEN, marker="o", ms=3)
    best = next((row for row in rows if row["epoch"] == chosen_epoch), None)
    if best is not None:
        axis.plot(
            best["epoch"], best["val_iou"], "o", ms=9, mfc="none", color=RED, label=f"chosen: {best['val_iou']:.3f}"
        )
        axis.legend(loc="lower right")
    axis.set(xlabel="epoch", ylabel="IoU", title="Validation IoU (instrument)", ylim=(0, 1))
