"""Latency: quantiles that are values, shares of the budget, the lines that are printed."""

import pytest

from surgseg.live.latency import quantiles, report_line, report_table, summarise_latency


def test_quantiles_are_values_that_occurred():
    values = list(range(1, 1001))
    assert quantiles(values) == {"p50": 500, "p95": 950, "p99": 990, "p99.9": 999, "max": 1000}
    assert quantiles([7.0]) == dict.fromkeys(("p50", "p95", "p99", "p99.9", "max"), 7.0)
    assert set(quantiles([]).values()) == {None}


def test_dropped_frames_do_not_keep_the_budget():
    summary = summarise_latency([(1, 2, 30, 7), (1, 2, 30, 8)], captured=8, dropped=6, budget_ms=40)
    assert summary["budget"] == {"ms": 40, "kept": 1, "of_shown": 0.5, "of_captured": 0.125}
    assert summary["latency_ms"]["max"] == 41 and summary["stages_ms"]["predict"]["p50"] == 30
    assert summary["frames"] == {"captured": 8, "shown": 2, "dropped": 6}


@pytest.mark.parametrize("stages", [[], [(1, 2, 30, 7)]])
def test_reports_can_be_printed_with_and_without_frames(stages):
    summary = summarise_latency(stages, len(stages), 0, 40)
    line, table = report_line(summary, 12.0), report_table(summary)
    assert line.startswith("    12.0 s: ") and ("p99.9 40.0" in line) == bool(stages)
    assert table[-1].startswith("40 ms kept by ") and len({len(row) for row in table[1:-1]}) == 1
    assert "budget" not in summarise_latency(stages, 0, 0, None)
