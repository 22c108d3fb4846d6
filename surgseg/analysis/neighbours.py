"""Measure pairs of neighbouring frames of a generated folder: read masks and frames, carry one onto the next."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from surgseg.analysis.flow import FLOW_PAIRS, gray_for_flow, warp_between
from surgseg.analysis.stability import MaskPair, close_pairs, compare_masks, overlap
from surgseg.analysis.statistics import evenly_spaced
from surgseg.files import UserError
from surgseg.frames import read_frame
from surgseg.generate.folder import FrameRow, Generated
from surgseg.labels import VOID
from surgseg.masks import read_mask
from surgseg.threads import ahead


def measure_pairs(
    generated: Generated,
    rows: Sequence[FrameRow],
    *,
    ground_truth: dict[str, Path] | None = None,
    flow_pairs: int = FLOW_PAIRS,
) -> tuple[list[MaskPair], str]:
    """Every pair of neighbouring `rows` at most 0.2 s apart, and why there is no flow ("" where there is).

    With `ground_truth` (row name -> mask) those masks are compared, on the rows that have one; `first` of a
    `MaskPair` counts in `rows` all the same. At most `flow_pairs` pairs get optical flow (0: none).
    """
    if ground_truth is None and generated.run["parts"].get("masks") is None:
        return [], "the run kept no masks (--save masks keeps them)"
    firsts = close_pairs([row.time_s for row in rows])
    if ground_truth is not None:
        firsts = [first for first in firsts if {row.name for row in rows[first : first + 2]} <= ground_truth.keys()]
    no_flow = "" if flow_pairs else "not asked for (--flow-pairs 0)"
    if generated.run["parts"].get("frames") is None:
        no_flow = "the run kept no frames (--frame-format jpg keeps them)"
    chosen = set() if no_flow else {firsts[place] for place in evenly_spaced(len(firsts), flow_pairs)}
    read = _reader(generated, ground_truth)

    def work(first: int) -> MaskPair:
        (earlier, valid_1), (later, valid_2) = (read(row) for row in rows[first : first + 2])
        if earlier.shape != later.shape:
            raise UserError(
                f"masks of differing sizes: {rows[first].name} is {earlier.shape[1]}x{earlier.shape[0]}, "
                f"{rows[first + 1].name} {later.shape[1]}x{later.shape[0]}"
            )
        counted = valid_1 & valid_2
        if first not in chosen:
            return compare_masks(first, earlier, later, counted, None)
        return _with_flow(generated, rows[first : first + 2], first, earlier, later, counted)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = ahead(pool, work, firsts, 32)
        pairs = list(tqdm(jobs, "Comparing neighbours", len(firsts), unit="pair", disable=not sys.stderr.isatty()))
    return pairs, no_flow


def _reader(generated: Generated, ground_truth: dict[str, Path] | None) -> Callable:
    """A function from a row to its mask: (instrument, not void), each (H, W) bool."""
    scheme = generated.scheme

    def read(row: FrameRow) -> tuple[np.ndarray, np.ndarray]:
        path = generated.mask_path(row) if ground_truth is None else ground_truth[row.name]
        ids = read_mask(path, scheme.num_classes)
        return np.isin(ids, scheme.instrument_ids), ids != VOID

    return read


def _with_flow(generated: Generated, pair, first: int, earlier, later, counted) -> MaskPair:
    """Masks are brought to the size at which the flow was computed."""
    before, after = (gray_for_flow(read_frame(generated.frame_path(row))) for row in pair)
    if before.shape != after.shape:
        raise UserError(
            f"frames of differing sizes: {pair[0].name} and {pair[1].name} in {generated.folder / 'frames'}"
        )
    size = before.shape[::-1]
    small = [
        cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0 if mask.shape != before.shape
        else mask
        for mask in (earlier, later, counted)
    ]  # fmt: skip
    measured = compare_masks(first, *small, warp_between(before, after))
    return replace(measured, iou=overlap(earlier, later, counted))
