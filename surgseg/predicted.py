"""Tell masks that a model predicted from ground truth.

Whatever writes predicted masks stores a hash of each: a generated folder in frames.csv, a folder of predictions in
predictions.json, a prepared folder in audit.json. A mask counts as predicted while its pixels have that hash: also if
another program has saved them again, not if a person has corrected them. Older records hold no hashes: their masks
count as predicted. A mask copied out of its folder takes no record with it, so it cannot be told from truth.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from surgseg.files import UserError, read_csv, read_json
from surgseg.labels import VOID
from surgseg.masks import decode_codes
from surgseg.threads import cpu_count

LISTING = "predictions.json"  # of a folder of predictions
WHAT_TO_DO = (
    "correct them in an annotation tool, add frames with true masks, or give --masks-reviewed if a person has checked "
    "every mask"
)


def mask_hash(ids: np.ndarray) -> str:
    """8 hex digits of (H, W) uint8 class ids. A binary mask has the same hash with 0 and 1 as with 0 and 255."""
    left, top, width, height = box = cv2.boundingRect(ids)  # of all that is not 0: most of a mask is background
    inside = np.ascontiguousarray(ids[top : top + height, left : left + width])
    if inside.size and inside.max() == VOID and not ((inside > 0) & (inside < VOID)).any():
        inside = inside // VOID
    return f"{zlib.crc32(inside, zlib.crc32(repr((ids.shape, box)).encode())):08x}"


def _recorded_hashes(paths: Iterable[Path]) -> dict[Path, str]:
    """Return the stored hash of each mask that was once predicted; "" where none was stored. Others are left out."""
    found, records = {}, {}
    for path in paths:
        real = path.resolve()
        for root in (real.parent, real.parent.parent):  # names of predictions may begin with a folder
            if root not in records:
                records[root] = _record(root)
            recorded = records[root](real.relative_to(root).with_suffix("").as_posix())
            if recorded is not None:
                found[path] = recorded
                break
    return found


def predicted_masks(paths: Iterable[Path]) -> set[Path]:
    """Return those of the mask files that are predictions of a model. A mask that cannot be read is not among them."""

    def unchanged(item: tuple[Path, str]) -> bool:
        path, recorded = item
        try:
            return not recorded or mask_hash(decode_codes(path)[0]) == recorded
        except UserError:  # reported where the mask is used
            return False

    recorded = _recorded_hashes(paths)
    with ThreadPoolExecutor(cpu_count()) as pool:
        return {path for path, same in zip(recorded, pool.map(unchanged, recorded.items())) if same}


def _record(folder: Path) -> Callable[[str], str | None]:
    """Return a function: name of a mask in `folder`, without suffix -> its stored hash, "" or None."""
    listing, root = _json(folder / LISTING), folder.parent
    if isinstance(listing.get("names"), list):
        return {**dict.fromkeys(listing["names"], ""), **(listing.get("hashes") or {})}.get
    if folder.name == "masks" and str(_json(root / "run.json").get("schema")).startswith("surgseg.generated/"):
        table = root / "frames.csv"
        rows = read_csv(table) if table.is_file() else []
        hashes = {row.get("name"): row.get("mask_hash") or "" for row in rows}
        return lambda name: hashes.get(name, "")  # a killed run left masks without a row
    if folder.name == "masks":
        return (_json(root / "audit.json").get("predicted_masks") or {}).get
    return {}.get


def _json(path: Path) -> dict:
    value = read_json(path) if path.is_file() else {}
    return value if isinstance(value, dict) else {}
