"""Where things lie when nobody says otherwise: weights and prepared data. Imports `files` only."""

from __future__ import annotations

from pathlib import Path

DEFAULT_WEIGHTS = Path("outputs/instrument_segmentation_model.pth")
DATA, FRAMES = (Path("data/full_dataset"), Path("data")), ("frames", "sample_frames")  # the first one wins


def find_weights(path: Path) -> Path:
    """`path` itself. If it is a bare name, no such file exists and outputs/ has one, the latter; that is printed."""
    usual = DEFAULT_WEIGHTS.parent / path.name
    if path.exists() or path.parent != Path() or not usual.is_file():
        return path
    print(f"{path} is not in this folder; taking {usual}")
    return usual


def find_data() -> Path | None:
    """The prepared folder in its usual place, None if there is none. If there are two, the choice is printed."""
    found = [root for root, frames in zip(DATA, FRAMES) if (root / frames).is_dir()]
    if len(found) > 1:
        print(f"Both {found[0]} and {found[1] / FRAMES[1]} are prepared; taking {found[0]} (--data-root names another)")
    return found[0] if found else None
