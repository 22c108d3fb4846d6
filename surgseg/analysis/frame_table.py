"""The measures of each frame of a generated folder, as rows of a CSV file."""

from __future__ import annotations

from surgseg.analysis.measure import Analysis
from surgseg.masks import is_present
from surgseg.scores.metrics import FRAME_METRICS


def frame_rows(analysis: Analysis) -> list[dict]:
    """Return a row of strings and numbers for each frame that counts, all with the same keys; unknown values are ""."""
    pairs = {pair.first: pair for pair in analysis.pairs}
    present = is_present([row.coverage for row in analysis.rows], analysis.statistics["min_area"])
    rows = []
    for index, row in enumerate(analysis.rows):
        pair, truth = pairs.get(index), (analysis.scores or {}).get(row.name, {})
        known = analysis.in_view is not None and analysis.annotated[index]
        measures = {
            **{f"{key}_next": getattr(pair, key, None) for key in ("iou", "flow_iou", "untrusted")},
            **{key: truth.get(key) for key in ("true_coverage", *FRAME_METRICS)},
        }
        rows.append(
            {
                "name": row.name,
                "frame": row.frame,
                "time_s": f"{row.time_s:.6f}",
                "coverage": f"{row.coverage:.8g}",
                "detected": int(row.coverage > 0),
                "present": int(present[index]),
                "components": row.components,
                "suspect": int(row.suspect),
                "phase": analysis.phases[index] if analysis.phases else "",
                "tool_in_view": int(analysis.in_view[index]) if known else "",
                **{key: "" if value is None or value != value else f"{value:.6f}" for key, value in measures.items()},
            }
        )
    return rows
