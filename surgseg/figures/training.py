"""Loss and validation curves of one run, from its history."""

from __future__ import annotations

from pathlib import Path

from matplotlib.ticker import MaxNLocator

from surgseg.figures.style import BLUE, GREEN, RED, mark_synthetic, new_figure, save_figure


def draw_training_loss(history: list[dict], path: Path, *, chosen_epoch: int | None = None, synthetic=False) -> Path:
    """Draw the loss and, with a validation part, its IoU (right axes) against the epoch; mark the chosen epoch."""
    validated = [row for row in history if row.get("val_iou") is not None]
    figure, axes = new_figure(1, 2 if validated else 1, size=(7.0 if validated else 4.5, 3.0))
    loss = axes[0, 0]
    _curve(loss, history, "train_loss", color=BLUE, marker="o", label="training")
    if validated:
        _curve(loss, validated, "val_loss", color=RED, marker="s", label="validation")
        loss.legend()
        _draw_validation(axes[0, 1], validated, chosen_epoch)
    loss.set(xlabel="epoch", ylabel="loss", title="Loss")
    loss.set_ylim(bottom=0)
    for axis in axes.flat:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if synthetic:
        figure.suptitle(" ", fontsize=8)  # keeps a line free for the mark above the panels' titles
        mark_synthetic(figure)
    return save_figure(figure, path)


def _curve(axis, rows: list[dict], key: str, **style) -> None:
    axis.plot([row["epoch"] for row in rows], [row[key] for row in rows], ms=3, **style)


def _draw_validation(axis, rows: list[dict], chosen_epoch: int | None) -> None:
    _curve(axis, rows, "val_iou", color=GREEN, marker="o")
    for row in rows:
        if row["epoch"] == chosen_epoch:
            label = f"chosen: {row['val_iou']:.3f}"
            axis.plot(chosen_epoch, row["val_iou"], "o", ms=9, mfc="none", color=RED, label=label)
            axis.legend(loc="lower right")
    axis.set(xlabel="epoch", ylabel="IoU", title="Validation IoU (instrument)", ylim=(0, 1))
