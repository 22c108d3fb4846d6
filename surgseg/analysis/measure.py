"""Measure a generated folder: detection, presence and stability; by phase, against annotation and ground truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from surgseg.analysis.ground_truth import score_rows
from surgseg.analysis.neighbours import measure_pairs
from surgseg.analysis.presence import agreement, presence_segments, segment_summary, typical_spacing
from surgseg.analysis.stability import MaskPair, stability
from surgseg.analysis.statistics import describe, detection_statistics, evenly_spaced
from surgseg.cholec80 import NO_PHASE, Track, check_length, phases_at, tools_at
from surgseg.data.seen import training_warnings
from surgseg.files import UserError, list_some
from surgseg.flow import FLOW_PAIRS
from surgseg.generate.cuts import Cuts, cuts_of
from surgseg.generate.folder import MIN_COMPONENT_AREA, FrameRow, Generated
from surgseg.labels import VOID
from surgseg.masks import MIN_AREA, count_components, is_present, read_mask
from surgseg.scores.metrics import FRAME_METRICS
from surgseg.scores.scored import scored_set
from surgseg.threads import ahead, cpu_count

CHECKED = 500  # masks whose coverage is compared with that of frames.csv
_ROUNDING = 1e-6  # of the coverage in frames.csv


@dataclass(frozen=True)
class AnalysisRequest:
    """How a folder is measured. `ground_truth`: row name -> ground-truth mask. `cuts`: a list of cuts to read."""

    min_area: float = MIN_AREA
    include_suspect: bool = False
    flow_pairs: int = FLOW_PAIRS
    from_masks: bool = False
    phases: Track | None = None
    tools: Track | None = None
    ground_truth: dict[str, Path] | None = None
    cuts: Path | None = None


@dataclass(frozen=True)
class Analysis:
    """The N rows that count, the measures of each, and the `statistics` over them (plain numbers).

    `phases` (a name for each row) and (N,) bool `in_view`, `near_annotation`, `annotated` (any tool; a row of the tool
    file within half a step; a row at this very frame) are None without their annotation file. `scores` are those of
    `score_rows`, by row name; None without ground truth. `describer` describes other choices of the rows.
    """

    rows: list[FrameRow]
    pairs: list[MaskPair]
    phases: list[str] | None
    in_view: np.ndarray | None
    near_annotation: np.ndarray | None
    annotated: np.ndarray | None
    scores: dict[str, dict[str, float]] | None
    statistics: dict
    describer: Describer | None = None


def analyse(generated: Generated, request: AnalysisRequest) -> Analysis:
    """Measure a generated folder. Raises `UserError` where masks and table disagree, or a file is of another video."""
    check_masks(generated, compare=not request.from_masks)
    rows = [row for row in generated.rows if request.include_suspect or not row.suspect]
    if not rows:
        raise UserError(f"all {len(generated.rows)} frames of {generated.folder} are suspect; see --include-suspect")
    for track in (request.phases, request.tools):
        if track is not None:
            check_length(track, generated.run)
    if request.from_masks:
        rows = recount(generated, rows)
    times = [row.time_s for row in rows]
    cuts = cuts_of(generated, rows, request.cuts)
    pairs, no_flow = measure_pairs(generated, rows, cuts, flow_pairs=request.flow_pairs)
    spacing = typical_spacing(times, burst=(generated.run.get("sampling") or {}).get("burst", 1))
    no_masks = no_flow if generated.run["parts"].get("masks") is None else ""
    describer = Describer(request.min_area, spacing, no_flow, no_masks, video_end(generated), cuts)
    phases = phases_at(request.phases, times) if request.phases else None
    table, near, annotated = tools_at(request.tools, times) if request.tools else (None, None, None)
    in_view = None if table is None else table.any(1)
    left_out = len(generated.rows) - len(rows)
    counted = {"frames_suspect_left_out": left_out, "reviewed_masks": generated.count_reviewed(rows)}
    statistics = {**counted, "cuts": cuts.to_json(), **describer(rows, pairs)}
    if phases is not None:
        statistics["phases"] = _by_phase(describer, rows, pairs, phases, in_view, annotated)
        statistics["frames_without_phase"] = sum(phase == NO_PHASE for phase in phases)
    if table is not None:
        statistics["tools"] = _against_tools(request, rows, table, annotated)
    scores = None
    if request.ground_truth is not None:
        names = {row.name for row in rows}
        scores = score_rows(generated, {name: path for name, path in request.ground_truth.items() if name in names})
        statistics["ground_truth"] = _against_truth(generated, request, rows, pairs, describer, scores, phases)
    return Analysis(rows, pairs, phases, in_view, near, annotated, scores, statistics, describer)


@dataclass(frozen=True)
class Describer:
    """Describes detection, presence and stability of rows of one folder, always by the same rules."""

    min_area: float
    spacing: float
    no_flow: str
    no_masks: str
    video_end: float
    cuts: Cuts

    def __call__(
        self, rows: Sequence[FrameRow], pairs: Sequence[MaskPair], chosen: Sequence[bool] | None = None
    ) -> dict:
        """Describe the `chosen` rows (default: all). Another row ends a presence segment; no pair spans one."""
        chosen = np.ones(len(rows), bool) if chosen is None else np.asarray(chosen, bool)
        times = [row.time_s for row in rows]
        present = is_present([row.coverage for row in rows], self.min_area) & chosen
        segments = presence_segments(times, present, self.video_end, self.cuts.shots(rows))
        return {
            **detection_statistics([row for row, wanted in zip(rows, chosen) if wanted], self.min_area),
            "presence": segment_summary(segments, times, self.spacing, chosen, self.video_end),
            "stability": self.stability(rows, pairs, chosen),
        }

    def stability(
        self, rows: Sequence[FrameRow], pairs: Sequence[MaskPair], chosen: Sequence[bool] | None = None
    ) -> dict:
        """Describe the stability of the `chosen` rows (default: all), from the pairs of which both are chosen."""
        if chosen is not None:
            place = np.cumsum(chosen) - 1  # index of a chosen row among the chosen ones
            both_chosen = [pair for pair in pairs if chosen[pair.first] and chosen[pair.first + 1]]
            pairs = [replace(pair, first=int(place[pair.first])) for pair in both_chosen]
            rows = [row for row, wanted in zip(rows, chosen) if wanted]
        times, coverage = [row.time_s for row in rows], [row.coverage for row in rows]
        return stability(times, coverage, pairs, self.min_area, self.no_flow, self.no_masks, self.cuts.shots(rows))


def video_end(generated: Generated) -> float:
    """Return the length of the whole video in seconds; infinity where it is unknown."""
    return (generated.run.get("video") or {}).get("duration_s") or math.inf


def _by_phase(describer: Describer, rows, pairs, phases, in_view, annotated) -> dict[str, dict]:
    """The statistics of each phase, in the order in which the phases begin."""
    found = {}
    for phase in dict.fromkeys(phase for phase in phases if phase != NO_PHASE):
        chosen = [name == phase for name in phases]
        found[phase] = describer(rows, pairs, chosen)
        if in_view is not None:
            known = np.array(chosen) & annotated
            present = is_present([row.coverage for row in rows], describer.min_area)
            found[phase]["tools"] = agreement(present[known], in_view[known])
    return found


def _against_tools(
    request: AnalysisRequest, rows: Sequence[FrameRow], table: np.ndarray, annotated: np.ndarray
) -> dict:
    """Presence against the tool annotation by both rules of detection, and the sensitivity for each tool."""
    coverage = np.array([row.coverage for row in rows])
    rules = {"any_pixel": coverage > 0, "min_area": is_present(coverage, request.min_area)}
    in_view = table.any(1)
    by_tool = {}
    for column, name in enumerate(request.tools.tools):
        shown = table[:, column] & annotated
        frames, detected = int(shown.sum()), int((rules["min_area"] & shown).sum())
        by_tool[name] = {
            "frames": frames,
            "detected": detected,
            "sensitivity": detected / frames if frames else math.nan,
        }
    return {
        "tools": list(request.tools.tools),
        "frames_annotated": int(annotated.sum()),
        "frames_not_annotated": int((~annotated).sum()),
        **{name: agreement(present[annotated], in_view[annotated]) for name, present in rules.items()},
        "by_tool": by_tool,
    }


def _against_truth(
    generated: Generated, request: AnalysisRequest, rows, pairs, describer: Describer, scores: dict, phases
) -> dict:
    """Overlap with ground truth, and the stability of truth and prediction on the same pairs of frames; by phase."""
    if not scores:
        raise UserError("ground truth exists for suspect frames only; --include-suspect counts them")
    matched = [row for row in rows if row.name in scores and not math.isnan(scores[row.name]["true_coverage"])]
    if not matched:
        raise UserError("every mask of the ground truth is void alone, so there is nothing to compare with")
    about = {
        "threshold": generated.run.get("threshold"),
        "averaging": "means over frames",
        "seen": {key: generated.run.get(key) for key in ("training_video", "frames_trained", "frames_compared")},
        "warnings": training_warnings(generated.run),
    }
    counts = np.stack([one["counts"] for one in scores.values()])
    of_rows = [scores[row.name] for row in matched]
    true_rows = [replace(row, coverage=scores[row.name]["true_coverage"]) for row in matched]
    flow = {"flow_pairs": request.flow_pairs}
    truth_pairs, _ = measure_pairs(generated, matched, describer.cuts, ground_truth=request.ground_truth, **flow)
    if len(matched) < len(rows):  # two frames with ground truth may become neighbours without those between them
        pairs, _ = measure_pairs(generated, matched, describer.cuts, **flow)

    def both_stabilities(chosen: list[bool] | None = None) -> dict:
        return {
            "stability": describer.stability(true_rows, truth_pairs, chosen),
            "predicted_stability_same_frames": describer.stability(matched, pairs, chosen),
        }

    phase_of = dict(zip((row.name for row in rows), phases or ()))
    of_matched = [phase_of.get(row.name, NO_PHASE) for row in matched]
    known = [phase for phase in dict.fromkeys(of_matched) if phase != NO_PHASE]
    by_phase = {phase: both_stabilities([one == phase for one in of_matched]) for phase in known}
    return {
        "scored": scored_set(counts, [str(generated.run.get("name"))] * len(counts), "ignore", **about),
        "frames": len(matched),
        "first_mask": request.ground_truth[matched[0].name].name,
        **{name: describe(one[name] for one in of_rows) for name in FRAME_METRICS},
        "both_empty": sum(math.isnan(one["dice"]) for one in of_rows),
        "true_coverage": describe(one["true_coverage"] for one in of_rows),
        "true_detection_rate": float(np.mean([one["true_coverage"] > 0 for one in of_rows])),
        **both_stabilities(),
        **({"phases": by_phase} if phases else {}),
    }


def check_masks(generated: Generated, *, compare: bool = True) -> None:
    """Raise `UserError` for masks of differing sizes and, with `compare`, for coverage that differs from frames.csv.

    The sizes of all masks are read, the coverage of at most `CHECKED`, evenly spaced. The error names the files.
    """
    if generated.run["parts"].get("masks") is None:
        return
    sizes: dict[tuple[int, int], str] = {}
    for row in generated.rows:
        for path in dict.fromkeys((generated.path("masks", row), generated.mask_path(row))):
            sizes.setdefault(_image_size(path), path.relative_to(generated.folder).as_posix())
    if len(sizes) > 1:
        shown = list_some(f"{name} is {width}x{height}" for (width, height), name in sizes.items())
        raise UserError(f"{generated.folder} holds masks of differing sizes: {shown}")
    if not compare:
        return
    rows = [generated.rows[place] for place in evenly_spaced(len(generated.rows), CHECKED)]
    wrong = [(row, found) for row, found in zip(rows, recount(generated, rows)) if differ(row, found)]
    if wrong:
        shown = list_some(
            (f"{a.name} {100 * a.coverage:.3f} % in the table, {100 * b.coverage:.3f} %" for a, b in wrong), 3
        )
        raise UserError(
            f"{generated.folder}: frames.csv disagrees with {len(wrong)} of {len(rows)} checked masks ({shown}); "
            "were they corrected by hand? --from-masks measures the masks as they are now"
        )


def differ(row: FrameRow, counted: FrameRow) -> bool:
    """Return whether the coverage in frames.csv and that of the mask differ by more than rounding."""
    return abs(row.coverage - counted.coverage) > _ROUNDING


def _image_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: cannot be decoded as an image ({error})") from error


def recount(generated: Generated, rows: Sequence[FrameRow]) -> list[FrameRow]:
    """Return the rows with coverage (instrument / pixels that are not void) and components counted from the masks."""
    if generated.run["parts"].get("masks") is None:
        raise UserError(f"{generated.folder} keeps no masks to count (--save masks keeps them)")
    instrument_ids = generated.scheme.instrument_ids

    def count(row: FrameRow) -> FrameRow:
        ids = read_mask(generated.mask_path(row), generated.scheme.num_classes)
        instrument = np.isin(ids, instrument_ids)
        coverage = int(instrument.sum()) / max(int((ids != VOID).sum()), 1)
        components = count_components(instrument.astype(np.uint8), MIN_COMPONENT_AREA)
        return replace(row, coverage=coverage, components=components)

    with ThreadPoolExecutor(cpu_count()) as pool:
        return list(ahead(pool, count, rows, 64))
