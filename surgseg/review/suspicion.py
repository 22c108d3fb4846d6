"""Signs that the predicted mask of a frame is wrong, and what the frame looks like. Imports no torch."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from surgseg.data.likeness import BITS, NEAR, frame_hashes, nearest
from surgseg.files import UserError
from surgseg.frames import LIT, read_frame
from surgseg.generate.cuts import Cuts, close_pairs, cuts_of
from surgseg.generate.folder import MIN_COMPONENT_AREA, FrameRow, Generated
from surgseg.masks import decode_codes, read_mask
from surgseg.review.sample import bursts_of
from surgseg.threads import ahead, cpu_count
from surgseg.view import brightness

SURE = 230  # 255ths: a probability of .9, which a true piece of an instrument reaches somewhere
STANDS_OUT = 0.5  # share of the frames whose sign is weaker, from which on a sign is given as a reason
LOOK = (8, 8)  # cells of the thumbnail
SHAPE = (12, 16)  # cells of the coarse mask
# Sign -> its words. All but the first are areas, as shares of the picture; shares of the mask chose small masks, with
# small errors. Uncertainty counts as much as the others together. Of seven ways to combine the signs this one had the
# highest rank correlation with the wrong area in each of five folders with ground truth: .77, .70, .62 in operations of
# EndoVis 2015 that the model had not seen, .31 and .45 in synthetic videos where its Dice was .39 and .48.
REASONS = {
    "uncertainty": "the model is unsure (mean uncertainty {:.3f})",
    "disagreement": "mask over {:.1%} of the picture comes or goes within 0.2 s",
    "fragments": "mask over {:.1%} of the picture has no sure core",
    "jump": "coverage differs by {:.1%} of the picture from the frames before and after",
    "loose": "mask over {:.1%} of the picture touches no border",
}
NO_REASON = "nothing stands out; it looks unlike the other frames to correct"


@dataclass(frozen=True)
class Features:
    """What is known of the N frames of a generated folder.

    `signs` (N,) each, by the names of `REASONS`, NaN where unknown. `look` (N, D) float32: colours (CIE Lab) and coarse
    mask, scaled so that the mean distance of two frames is near 1. `hashes` (N, BITS) float32 of `likeness`, 0 for
    blank frames. Frames on both sides of one of the `cuts` are not compared. `notes`: what is missing, in words.
    """

    rows: list[FrameRow]
    signs: dict[str, np.ndarray]
    look: np.ndarray
    hashes: np.ndarray
    cuts: Cuts
    notes: tuple[str, ...] = ()

    def suspicion(self) -> np.ndarray:
        """(N,) 0-1: from the share of frames in which each sign is weaker; half of it is the uncertainty's."""
        shares = {name: rank_share(values) for name, values in self.signs.items()}
        return (shares.pop("uncertainty") + np.mean(list(shares.values()), axis=0)) / 2

    def near_copies(self, indices) -> np.ndarray:
        """(N,) bool: frames that look like one of `indices`, these included. Blank frames look alike."""
        found = np.zeros(len(self.rows), bool)
        found[indices] = True
        blank = ~self.hashes.any(axis=1)
        found |= blank & (blank & found).any()
        others = self.hashes[found & ~blank]
        found[~blank] |= nearest(self.hashes[~blank], others)[0] <= NEAR
        return found

    def reason(self, index: int) -> str:
        """Say in words what is suspicious about a frame: its one or two strongest signs."""
        shares = {name: rank_share(values)[index] for name, values in self.signs.items()}
        strong = [
            name for name in shares if shares[name] >= STANDS_OUT and self.signs[name][index] >= MIN_COMPONENT_AREA
        ]
        strong.sort(key=lambda name: -shares[name])
        return "; ".join(REASONS[name].format(self.signs[name][index]) for name in strong[:2]) or NO_REASON


def rank_share(values: np.ndarray) -> np.ndarray:
    """(N,) 0-1: the share of the values that are smaller; 0 for NaN and for 0."""
    values = np.nan_to_num(values)
    return np.searchsorted(np.sort(values), values) / max(len(values), 1)


class _Frame(NamedTuple):
    """What is measured in one frame; `mask` (H, W) uint8: 1 where an instrument is."""

    mask: np.ndarray
    fragments: float
    loose: float
    colours: np.ndarray
    shape: np.ndarray
    bits: np.ndarray


def read_features(generated: Generated, cut_list: Path | None = None) -> Features:
    """Read frames, masks and probabilities of a generated folder, and its cuts as `cuts_of` does.

    Raises `UserError` without frames or masks, and as `read_cuts`.
    """
    for part, option in (("frames", "--frame-format jpg"), ("masks", "--save masks probabilities")):
        if part not in generated.run["parts"]:
            raise UserError(f"{generated.folder}: the run kept no {part}; generate it again with {option}")
    instrument = np.zeros(256, np.uint8)
    instrument[generated.scheme.instrument_ids] = 1
    rows = generated.rows
    disagreement, found, before = np.full(len(rows), np.nan), [], None
    cuts = cuts_of(generated, rows, cut_list)
    shots = cuts.shots(rows)
    compared = set(close_pairs([row.time_s for row in rows], shots))
    with ThreadPoolExecutor(cpu_count()) as pool:
        jobs = ahead(pool, lambda row: _measure(generated, row, instrument), rows, 16)
        for index, frame in enumerate(tqdm(jobs, "Reading", len(rows), unit="frame", disable=not sys.stderr.isatty())):
            if index - 1 in compared:
                change = _disagreement(before, frame.mask)
                disagreement[index - 1 : index + 1] = np.fmax(disagreement[index - 1 : index + 1], change)
            before = frame.mask
            found.append(frame._replace(mask=None))
    signs = {
        "uncertainty": np.array([row.uncertainty for row in rows]),
        "disagreement": disagreement,
        "fragments": np.array([frame.fragments for frame in found]),
        "jump": _jumps(generated, shots),
        "loose": np.array([frame.loose for frame in found]),
    }
    notes = {
        "disagreement": "no two frames are at most 0.2 s apart, so neighbours are not compared (--burst 3 makes such)",
        "fragments": "the run kept no probabilities, so sure cores are not looked for (--save masks probabilities)",
    }
    missing = [name for name in signs if np.isnan(signs[name]).all()]
    return Features(
        rows,
        {name: values for name, values in signs.items() if name not in missing},
        np.concatenate(
            [_scaled([frame.colours for frame in found]), _scaled([frame.shape for frame in found])], axis=1
        ),
        np.array([frame.bits for frame in found]),
        cuts,
        tuple(notes[name] for name in missing),
    )


def _measure(generated: Generated, row: FrameRow, instrument: np.ndarray) -> _Frame:
    picture = read_frame(generated.frame_path(row))
    mask = cv2.LUT(read_mask(generated.mask_path(row), generated.scheme.num_classes), instrument)
    if mask.shape != picture.shape[:2]:
        raise UserError(f"{generated.mask_path(row)}: its size is not that of its frame")
    path = generated.path("probabilities", row)
    probability = None if path is None else decode_codes(path)[0]
    if probability is not None and probability.shape != mask.shape:
        raise UserError(f"{path}: its size is not that of its frame")
    fragments, loose = _odd_pieces(mask, picture, probability)
    small = cv2.resize(picture, LOOK[::-1], interpolation=cv2.INTER_AREA)
    colours = cv2.cvtColor(np.float32(small / 255), cv2.COLOR_RGB2LAB)
    shape = cv2.resize(np.float32(mask), SHAPE[::-1], interpolation=cv2.INTER_AREA)
    hashes, _ = frame_hashes([picture])
    bits = hashes[0] if len(hashes) else np.zeros(BITS, np.float32)
    return _Frame(mask, fragments, loose, colours.ravel(), shape.ravel(), bits)


def _odd_pieces(mask: np.ndarray, picture: np.ndarray, probability: np.ndarray | None) -> tuple[float, float]:
    """Return the shares (0-1) of the picture that are pieces of mask without a sure pixel, and that touch no border.

    The first is NaN without `probability`, (H, W) uint8 in 255ths. The border is that of the picture, or a dark one
    around a round field of view. Pieces are 8-connected; the second share counts those above MIN_COMPONENT_AREA.
    """
    if not mask.any():
        return (np.nan if probability is None else 0.0), 0.0
    count, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(mask, 8, cv2.CV_32S, cv2.CCL_BBDT)
    areas = stats[:, cv2.CC_STAT_AREA] / mask.size
    areas[0] = 0  # the background
    touching = np.bincount(labels[_outside_view(picture)], minlength=count) > 0
    loose = areas[~touching & (areas > MIN_COMPONENT_AREA)].sum()
    if probability is None:
        return np.nan, loose
    sure = np.bincount(labels[probability >= SURE], minlength=count) > 0
    return areas[~sure].sum(), loose


def _outside_view(picture: np.ndarray) -> np.ndarray:
    """(H, W) bool: the outermost pixels, and dark parts that reach them, a cell of about 1 % of the height wider."""
    dark = np.pad(np.uint8(brightness(picture) < LIT), 1, constant_values=1)
    _, labels = cv2.connectedComponents(dark)
    outside = cv2.dilate(np.uint8(labels == labels[0, 0]), np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    return cv2.resize(outside, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0


def _disagreement(earlier: np.ndarray, later: np.ndarray) -> float:
    """Share (0-1) of the picture on which two masks (H, W) uint8 of 0 and 1 differ; NaN for differing sizes."""
    return cv2.countNonZero(earlier ^ later) / later.size if earlier.shape == later.shape else np.nan


def _jumps(generated: Generated, shots: np.ndarray) -> np.ndarray:
    """(N,) how far a frame's coverage lies outside the range of the last frame before its burst and the first after.

    0 where a cut lies between these two: the scene has changed.
    """
    coverage = np.array([row.coverage for row in generated.rows])
    jumps = np.zeros(len(coverage))
    for burst in bursts_of(generated):
        if burst[0] > 0 and burst[-1] + 1 < len(coverage) and shots[burst[0] - 1] == shots[burst[-1] + 1]:
            around, values = coverage[[burst[0] - 1, burst[-1] + 1]], coverage[burst]
            jumps[burst] = np.maximum(0, np.maximum(values - around.max(), around.min() - values))
    return jumps


def _scaled(vectors: list[np.ndarray]) -> np.ndarray:
    """(N, D) float32: the vectors, divided so that the root mean square distance of two of them is 1."""
    values = np.array(vectors, np.float32)
    return values / max(np.sqrt(2 * values.var(axis=0).sum()), 1e-6)
