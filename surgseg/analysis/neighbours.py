"""Measure pairs of neighbouring frames of a generated folder: read their masks and frames, compute flow, compare."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from surgseg.analysis.stability import MaskPair, compare_masks
from surgseg.analysis.statistics import evenly_spaced
from surgseg.files import UserError
from surgseg.flow import FLOW_PAIRS, gray_for_flow, warp_between
from surgseg.frames import read_frame
from surgseg.generate.cuts import Cuts, close_pairs
from surgseg.generate.folder import FrameRow, Generated
from surgseg.labels import VOID
from surgseg.masks import read_mask
from surgseg.threads import ahead, cpu_count


def measure_pairs(
    generated: Generated,
    rows: Sequence[FrameRow],
    cuts: Cuts,
    *,
    ground_truth: dict[str, Path] | None = None,
    flow_pairs: int = FLOW_PAIRS,
) -> tuple[list[MaskPair], str]:
    """Measure the pairs of neighbouring `rows` at most 0.2 s apart, without a cut between them.

    Return them, and why there is no flow, or "".
    With `ground_truth` (row name -> mask) its masks are compared, where both rows have one; `first` of a `MaskPair`
    is still an index of `rows`. At most `flow_pairs` pairs get optical flow (0: none).
    """
    if ground_truth is None and generated.run["parts"].get("masks") is None:
        return [], "the run kept no masks (--save masks keeps them)"
    firsts = close_pairs([row.time_s for row in rows], cuts.shots(rows))
    if ground_truth is not None:
        firsts = [first for first in firsts if {row.name for row in rows[first : first + 2]} <= ground_truth.keys()]
    no_flow = "" if flow_pairs else "switched off (--flow-pairs 0)"
    if generated.run["parts"].get("frames") is None:
        no_flow = "the run kept no frames (--frame-format jpg keeps them)"
    chosen = set() if no_flow else {firsts[place] for place in evenly_spaced(len(firsts), flow_pairs)}

    def measure(first: int) -> MaskPair:
        pair = rows[first : first + 2]
        paths = [generated.mask_path(row) if ground_truth is None else ground_truth[row.name] for row in pair]
        earlier, later = (read_mask(path, generated.scheme.num_classes) for path in paths)
        if earlier.shape != later.shape:
            raise UserError(
                f"masks of differing sizes: {pair[0].name} is {earlier.shape[1]}x{earlier.shape[0]}, "
                f"{pair[1].name} {later.shape[1]}x{later.shape[0]}"
            )
        instrument = [np.isin(ids, generated.scheme.instrument_ids) for ids in (earlier, later)]
        masks = *instrument, (earlier != VOID) & (later != VOID)
        found = compare_masks(first, *masks, None)
        return replace(_with_flow(generated, pair, first, masks), iou=found.iou) if first in chosen else found

    with ThreadPoolExecutor(cpu_count()) as pool:
        jobs = ahead(pool, measure, firsts, 32)
        pairs = list(tqdm(jobs, "Comparing neighbours", len(firsts), unit="pair", disable=not sys.stderr.isatty()))
    return pairs, no_flow


def _with_flow(generated: Generated, pair: Sequence[FrameRow], first: int, masks: Sequence[np.ndarray]) -> MaskPair:
    """Compare the `masks` (earlier, later, counted), (H, W) bool, at the size at which the flow is computed."""
    before, after = (gray_for_flow(read_frame(generated.frame_path(row))) for row in pair)
    if before.shape != after.shape:
        raise UserError(
            f"frames of differing sizes: {pair[0].name} and {pair[1].name} in {generated.folder / 'frames'}"
        )
    size = before.shape[::-1]
    resized = [cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0 for mask in masks]
    return compare_masks(first, *resized, warp_between(before, after))
