"""The demo: a small prepared synthetic stream, and the options that train a small U-Net on it on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from surgseg.data.convert import Target
from surgseg.data.prepare import prepare
from surgseg.data.readers.cholecseg8k import read_cholecseg8k
from surgseg.data.sources import open_source
from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.synthetic.release import DEMO_STREAM, write_release

DATA = Path("data/demo")
STREAM, DATASET = DATA / "stream", DATA / "dataset"


def demo_options() -> dict[str, Any]:
    """Defaults that replace those of instrument_segmentation.py."""
    return {
        "data_root": DATASET,
        "cache_dir": DATA / "cache",
        "save_preds": DATA / "preds",
        "output_dir": Path("outputs/demo"),
        "arch": "unet",
        "base_channels": 16,
        "image_size": [112, 200],
        "epochs": 22,
        "learning_rate": 2e-3,
        "batch_size": 4,
        "precision": "fastest",  # bf16 takes two thirds of the time on some processors, more on others
        "seed": 1,
    }


def make_demo_data(root: Path) -> None:
    """Draw the demo's stream and prepare it in `root`; files that exist are kept.

    Raises `UserError` where `root` is not the demo's own folder.
    """
    if root != DATASET:
        raise UserError(
            f"--preset demo prepares {DATASET} itself; without the preset, --data-root {root} is trained on"
        )
    write_release(STREAM, **DEMO_STREAM)
    with open_source(STREAM) as (files, data):
        prepare(read_cholecseg8k(files, STREAM.name), Target(root), SCHEMES["binary"], data)
