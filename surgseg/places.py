"""Default paths of weights and prepared data. Imports no other module of this project."""

from __future__ import annotations

from pathlib import Path

DEFAULT_WEIGHTS = Path("outputs/instrument_segmentation_model.pth")
DATA, FRAMES = (Path("data/full_dataset"), Path("data")), ("frames", "sample_frames")  # the first that exists is used


def find_weights(path: Path) -> Path:
    """Return `path`; if it is the bare name of no file here but of one in outputs/, return and print that one."""
    in_outputs = DEFAULT_WEIGHTS.parent / path.name
    if path.exists() or path.parent != Path() or not in_outputs.is_file():
        return path
    print(f"{path} is not in this folder; taking {in_outputs}")
    return in_outputs


def find_data() -> Path | None:
    """Return the prepared folder at a default path, or None. If there are two, print which one is used."""
    found = [root for root, frames in zip(DATA, FRAMES) if (root / frames).is_dir()]
    if len(found) > 1:
        print(f"Both {found[0]} and {found[1] / FRAMES[1]} are prepared; taking {found[0]} (--data-root names another)")
    return found[0] if found else None
