"""The cache: every frame and mask, decoded once, cropped to the field of view or not, and resized to the training size.
They are memory-mapped uint8 arrays."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from surgseg.console import quiet
from surgseg.data.dataset import Sample, read_sample
from surgseg.data.views import sample_views
from surgseg.files import UserError, make_folder, write_json
from surgseg.labels import Scheme
from surgseg.masks import is_binary
from surgseg.preprocess import resize_frames, resize_masks
from surgseg.threads import cpu_count
from surgseg.view import View

FORMAT = 4  # 4: a field of view is found as in `view.find_view`
_REST = 1 << 16  # bytes of the cache's small files


@dataclass(frozen=True)
class Cache:
    """`frames` (N, H, W, 3) uint8 RGB and `masks` (N, H, W) uint8 class ids (255 void), in the samples' order.

    `names` are the samples' names; `checksums` (N,) uint32 are the CRC-32 of each resized frame with its mask.
    """

    frames: np.ndarray
    masks: np.ndarray
    folder: Path
    names: list[str]
    checksums: np.ndarray


def open_cache(
    samples: list[Sample], size: tuple[int, int], scheme: Scheme, cache_dir: Path | str, view: str = "full"
) -> Cache:
    """Open the cache of these samples at `size` (height, width); build it if there is none.

    `view` is one of `view.RULES`. The cache is keyed by the name, length and modification time of every file, the size,
    the scheme and the view, so a changed file gives another cache. Raises `UserError` for bad files (all named) and a
    full disk.
    """
    folder = Path(cache_dir) / f"{size[0]}x{size[1]}-{_cache_key(samples, size, scheme, view)}"
    if not (folder / "cache.json").is_file():
        _build(samples, size, scheme, view, folder, damaged=folder.exists())
    try:
        return _open(samples, folder)
    except (OSError, ValueError, EOFError):  # the cache is damaged: build it again
        _build(samples, size, scheme, view, folder, damaged=True)
        return _open(samples, folder)


def _open(samples: list[Sample], folder: Path) -> Cache:
    frames, masks = (np.load(folder / name, mmap_mode="r") for name in ("frames.npy", "masks.npy"))
    checksums = np.load(folder / "checksums.npy")
    if not len(frames) == len(masks) == len(checksums) == len(samples):
        raise ValueError("not as many rows as samples")
    return Cache(frames, masks, folder, [sample.name for sample in samples], checksums)


def _cache_key(samples: list[Sample], size: tuple[int, int], scheme: Scheme, view: str) -> str:
    binary = is_binary(samples[0].mask)
    digest = hashlib.sha256(json.dumps([FORMAT, list(size), scheme.to_json(), binary, view]).encode())
    for sample in samples:
        for path in (sample.frame, sample.mask):
            try:
                status = path.stat()
            except OSError as error:
                raise UserError(f"cannot read {path}: {error.strerror or error}") from error
            digest.update(f"{sample.name}|{path.name}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _build(
    samples: list[Sample], size: tuple[int, int], scheme: Scheme, view: str, folder: Path, *, damaged: bool
) -> None:
    """Build the cache in a temporary folder beside `folder`, then rename it, so that no incomplete cache exists."""
    try:
        make_folder(folder.parent)
    except UserError as error:
        raise UserError(f"{error}; choose another place for the cache with --cache-dir") from error
    need = len(samples) * size[0] * size[1] * 4 + _REST
    if shutil.disk_usage(folder.parent).free < need * 1.05:  # a full disk would crash the memory map
        raise UserError(
            f"{folder.parent}: the cache needs {need / 1e9:.1f} GB, more than the disk has free; "
            "choose another disk with --cache-dir"
        )
    try:
        temporary = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
        try:
            _fill(samples, size, scheme, view, temporary)
            write_json(temporary / "cache.json", {"format": FORMAT, "frames": len(samples), "size": size})
            if damaged:
                shutil.rmtree(folder, ignore_errors=True)
            _move(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write {folder.parent}: {reason}; choose another disk with --cache-dir") from error


def _move(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError:
        if not (folder / "cache.json").is_file():  # another process may have finished the same cache first
            raise


def _fill(samples: list[Sample], size: tuple[int, int], scheme: Scheme, view: str, folder: Path) -> None:
    count, views = len(samples), sample_views(samples, view)
    frames = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, (count, *size, 3))
    masks = np.lib.format.open_memmap(folder / "masks.npy", "w+", np.uint8, (count, *size))
    checksums = np.zeros(count, np.uint32)

    def load(index: int) -> str | None:
        try:
            frame, mask = load_resized(samples[index], size, scheme.num_classes, views)
        except UserError as error:
            return str(error)
        frames[index], masks[index] = frame, mask
        checksums[index] = zlib.crc32(mask, zlib.crc32(np.ascontiguousarray(frame)))
        return None

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the pool already runs one decode-and-resize per core
    try:
        with ThreadPoolExecutor(cpu_count()) as pool:
            jobs = pool.map(load, range(count))
            bar = tqdm(jobs, "Caching frames", count, unit="frame", disable=quiet())
            bad = [message for message in bar if message]
    finally:
        torch.set_num_threads(threads)
    if bad:
        shown = "; ".join(bad[:5]) + (f"; and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise UserError(f"{len(bad)} of {count} frames cannot be used: {shown}")
    np.save(folder / "checksums.npy", checksums)
    frames.flush()
    masks.flush()


def load_resized(
    sample: Sample, size: tuple[int, int], num_classes: int, view: Callable[[Sample, np.ndarray], View]
) -> tuple[np.ndarray, np.ndarray]:
    """Return a decoded, cropped and resized pair: ((H, W, 3) uint8 RGB, (H, W) uint8 class ids)."""
    frame, mask = read_sample(sample, num_classes)
    seen = view(sample, frame)
    frame, mask = seen.crop(frame), seen.crop(mask)
    pixels = torch.from_numpy(np.array(frame)).permute(2, 0, 1)[None]
    resized = resize_frames(pixels, size)[0].permute(1, 2, 0)
    return resized.numpy(), resize_masks(torch.from_numpy(np.array(mask))[None], size)[0].numpy()
