"""Latency from the capture of a frame to its mask on the screen: quantiles, by stage, as text and for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

STAGES = {
    "capture": "decode and convert",
    "wait": "wait for the network",
    "predict": "resize, network, mask",
    "show": "draw and show",
}
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


def quantiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50 to max; each is one of the values (the smallest that the share does not exceed). None without values."""
    if not len(values):
        return dict.fromkeys(_QUANTILES)
    found = np.quantile(values, list(_QUANTILES.values()), method="inverted_cdf")
    return dict(zip(_QUANTILES, (float(value) for value in found)))


def summarise_latency(
    stages: Sequence[Sequence[float]], captured: int, dropped: int, budget_ms: float | None
) -> dict[str, Any]:
    """Return the entries of the JSON. `stages`: for each shown frame the milliseconds of each of `STAGES`."""
    table = np.asarray(stages, dtype=np.float64).reshape(-1, len(STAGES))
    total = table.sum(1)
    summary: dict[str, Any] = {
        "frames": {"captured": captured, "shown": len(table), "dropped": dropped},
        "latency_ms": quantiles(total),
        "stages_ms": {name: quantiles(values) for name, values in zip(STAGES, table.T)},
    }
    if budget_ms is not None:
        kept = int((total <= budget_ms).sum())
        shares = {"of_shown": kept / len(table) if len(table) else None, "of_captured": kept / max(captured, 1)}
        summary["budget"] = {"ms": budget_ms, "kept": kept, **shares}
    return summary


def report_line(summary: dict[str, Any], second: float) -> str:
    """Return one line for the time since the report before."""
    return (
        f"{second:8.1f} s: {_counted_text(summary)}; latency {_milliseconds(summary['latency_ms'])}{_budget(summary)}"
    )


def report_table(summary: dict[str, Any]) -> list[str]:
    """Return the lines at the end: frames, and the latency in milliseconds, as a whole and by stage."""
    rows = {"capture to mask shown": summary["latency_ms"]}
    rows.update({f"  {name}: {said}": summary["stages_ms"][name] for name, said in STAGES.items()})
    lines = [
        f"Frames: {_counted_text(summary)}",
        f"{'Latency in ms':<32}" + "".join(f"{name:>9}" for name in _QUANTILES),
    ]
    for name, found in rows.items():
        lines.append(f"{name:<32}" + "".join(f"{_number(found[key]):>9}" for key in _QUANTILES))
    if "budget" in summary:
        lines.append(_budget(summary).removeprefix("; ").capitalize())
    return lines


def _counted_text(summary: dict) -> str:
    return ", ".join(f"{count} {name}" for name, count in summary["frames"].items())


def _milliseconds(found: dict) -> str:
    return " ".join(f"{name} {_number(value)}" for name, value in found.items()) + " ms"


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.1f}"


def _budget(summary: dict) -> str:
    budget = summary.get("budget")
    if not budget:
        return ""
    shares = [budget["of_shown"] or 0.0, budget["of_captured"]]
    return f"; {budget['ms']:g} ms kept by {shares[0]:.2%} of the shown frames, {shares[1]:.2%} of all captured"
