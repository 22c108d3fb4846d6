"""Temporal stability of masks: how much they change between frames at most 0.2 s apart.

In frames farther apart the instruments have moved, so a change is not the model's. An empty mask is perfectly stable:
the results are reported with the detection rate of the same frames and, where it exists, the ground truth's stability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surgseg.analysis.statistics import describe
from surgseg.flow import Warp
from surgseg.generate.cuts import MAX_STEP_S, close_pairs
from surgseg.masks import is_present
from surgseg.scores.metrics import nanmean

NOT_CHOSEN = "optical flow was computed for none of these pairs (a larger --flow-pairs includes more)"


@dataclass(frozen=True)
class MaskPair:
    """Overlap of the masks of two neighbouring frames, `first` and `first + 1` of a sequence (NaN: both empty).

    `flow_iou` compares the later mask with the earlier one moved by optical flow, on the pixels with trusted flow.
    `untrusted` is the share (0-1) of all pixels that were left out, `untrusted_instrument` the share of the pixels of
    either mask. All three are NaN where no flow was computed.
    """

    first: int
    iou: float
    flow_iou: float = math.nan
    untrusted: float = math.nan
    untrusted_instrument: float = math.nan


def overlap(first: np.ndarray, second: np.ndarray, counted: np.ndarray | None = None) -> float:
    """Return the IoU of two masks, (H, W) bool, on the pixels `counted` (default: all); NaN where both are empty."""
    both, either = first & second, first | second
    if counted is not None:
        both, either = both & counted, either & counted
    union = int(either.sum())
    return int(both.sum()) / union if union else math.nan


def compare_masks(
    index: int, earlier: np.ndarray, later: np.ndarray, counted: np.ndarray, warp: Warp | None
) -> MaskPair:
    """Return the `MaskPair` of two masks, (H, W) bool; `counted` (H, W) bool is False where either is void."""
    iou = overlap(earlier, later, counted)
    if warp is None:
        return MaskPair(index, iou)
    carried = warp.carry(earlier.astype(np.uint8)) > 0
    usable = warp.trusted & counted
    either = (carried | later) & counted
    return MaskPair(
        index,
        iou,
        flow_iou=overlap(carried, later, usable),
        untrusted=1 - float(warp.trusted.mean()),
        untrusted_instrument=float((either & ~warp.trusted).sum() / either.sum()) if either.any() else math.nan,
    )


def flicker(present: Sequence[bool], firsts: Sequence[int]) -> dict:
    """Count one-frame gaps (present, absent, present) and one-frame detections (absent, present, absent).

    They are counted among all triples of neighbours; `rate` is their share of these triples (NaN without any).
    `firsts`: indices of the earlier frames of the pairs of neighbours.
    """
    present, firsts = np.asarray(present, bool), set(firsts)
    middles = [first + 1 for first in sorted(firsts) if first + 1 in firsts]
    odd = [middle for middle in middles if present[middle - 1] == present[middle + 1] != present[middle]]
    gaps = sum(not present[middle] for middle in odd)
    return {
        "triples": len(middles),
        "one_frame_gaps": gaps,
        "one_frame_detections": len(odd) - gaps,
        "rate": len(odd) / len(middles) if middles else math.nan,
    }


def jitter(coverage: Sequence[float], firsts: Sequence[int]) -> dict:
    """Return mean and 95th percentile of |change of coverage| between neighbours, as fractions of the frame.

    `relative` is the mean divided by the mean coverage of these frames (NaN where that is 0). `firsts`: indices of the
    earlier frames.
    """
    if not len(firsts):
        return dict.fromkeys(("mean", "p95", "relative"), math.nan)
    coverage, firsts = np.asarray(coverage, np.float64), np.asarray(firsts)
    change = np.abs(coverage[firsts + 1] - coverage[firsts])
    level = float(coverage[np.union1d(firsts, firsts + 1)].mean())
    return {
        "mean": float(change.mean()),
        "p95": float(np.percentile(change, 95)),
        "relative": float(change.mean()) / level if level > 0 else math.nan,
    }


def stability(
    times: Sequence[float],
    coverage: Sequence[float],
    pairs: Sequence[MaskPair],
    min_area: float,
    no_flow: str = "",
    no_masks: str = "",
    shots: Sequence[int] | None = None,
) -> dict:
    """Return the stability of a sequence of masks as plain numbers, with the detection rate of the compared frames.

    `times` (s), `coverage` (0-1) and `shots` (see `close_pairs`) are those of each frame. `no_flow` says why no flow
    was computed, `no_masks` why there are no masks. For flicker an instrument is present as `is_present` tells, with
    `min_area`.
    """
    if not pairs:
        return {"computed": False, "reason": why_no_pairs(times, no_masks), "pairs": 0}
    firsts = np.array([pair.first for pair in pairs])
    used = np.union1d(firsts, firsts + 1)
    times, coverage = np.asarray(times, np.float64), np.asarray(coverage, np.float64)
    with_flow = [pair for pair in pairs if not math.isnan(pair.untrusted)]
    return {
        "computed": True,
        "reason": None,
        "pairs": len(pairs),
        "pairs_across_cuts": len(close_pairs(times)) - len(close_pairs(times, shots)),
        "frames": len(used),
        "detection_rate": float((coverage[used] > 0).mean()),
        "median_step_s": float(np.median(times[firsts + 1] - times[firsts])),
        "pairs_both_empty": sum(math.isnan(pair.iou) for pair in pairs),
        "iou": describe(pair.iou for pair in pairs),
        "flow": {
            "computed": bool(with_flow),
            "reason": None if with_flow else no_flow or NOT_CHOSEN,
            "pairs": len(with_flow),
            "iou": describe(pair.flow_iou for pair in with_flow),
            "iou_without_flow": describe(pair.iou for pair in with_flow),
            "untrusted": nanmean([pair.untrusted for pair in with_flow]),
            "untrusted_instrument": nanmean([pair.untrusted_instrument for pair in with_flow]),
        },
        "flicker": flicker(is_present(coverage, min_area), firsts.tolist()),
        "jitter": jitter(coverage, firsts),
    }


def why_no_pairs(times: Sequence[float], no_masks: str = "") -> str:
    """Return why there are no neighbours to compare, and the option that makes them."""
    if len(times) < 2:
        return "there is only one frame"
    if no_masks:
        return no_masks
    if close_pairs(times):
        return f"between all frames at most {MAX_STEP_S:g} s apart there are cuts, or frames that are left out"
    step = float(np.diff(np.asarray(times, np.float64)).min())
    return (
        f"no two frames are at most {MAX_STEP_S:g} s apart (the closest {step:.2f} s); "
        "generate_masks_from_model.py --burst 3 (or --frame-step 1) makes such frames"
    )
