from collections import Counter

import pytest

from surgseg.files import UserError
from surgseg.generate.folder import FrameRow
from surgseg.review.sample import (
    allocate,
    bursts_of,
    draw_audit,
    enlarge_audit,
    inclusion,
    population_of,
    strata_of,
    stratify,
)
from tests.folders import read_folder


def rows(count):
    """Rows whose coverage goes up and down: 0, .1, .2, 0, .1, .2, ..."""
    return [FrameRow(f"v_{i:06d}", i, float(i), i % 3 / 10, 0.9, 0.1, 1, False) for i in range(count)]


def test_strata_are_segments_of_time_in_halves_by_coverage():
    strata = stratify(rows(8), 2)
    numbers = {name: [int(member[-1]) for member in members] for name, members in strata.items()}
    assert numbers == {
        "time 1/2, coverage low": [0, 3],  # coverage 0, .1, .2, 0
        "time 1/2, coverage high": [1, 2],
        "time 2/2, coverage low": [4, 6],  # coverage .1, .2, 0, .1
        "time 2/2, coverage high": [5, 7],
    }
    assert stratify(rows(3), 0) == {"all frames": ["v_000000", "v_000001", "v_000002"]}


def test_every_frame_is_drawn_as_often_as_its_probability_says():
    """Also after the audit was enlarged; of 13 frames the strata hold 6 and 7."""
    population, draws = rows(13), 2000
    strata = stratify(population, 1)
    counts, probabilities = Counter(), {}
    for seed in range(draws):
        audit = enlarge_audit(draw_audit(population, 5, seed), strata, 6)
        counts.update(audit.names)
        probabilities.update(inclusion(audit, strata))
    assert {stratum: len(members) for stratum, members in strata.items()} == audit.population
    assert sorted(set(probabilities.values())) == [
        ("time 1/1, coverage high", 3 / 7),
        ("time 1/1, coverage low", 3 / 6),
    ]
    for name, (_, probability) in probabilities.items():  # 4 standard deviations
        assert counts[name] / draws == pytest.approx(probability, abs=0.045)
    assert len(probabilities) == 13


def test_a_larger_audit_adds_the_next_ones_of_the_reserve():
    population = rows(80)
    audit = draw_audit(population, 8, seed=3)
    assert {name: len(kept) for name, kept in audit.reserve.items()} == {
        "time 1/1, coverage low": 12,
        "time 1/1, coverage high": 12,
    }
    strata = stratify(population, 1)
    larger = enlarge_audit(audit, strata, 20)
    assert larger.names[:8] == audit.names
    added = {name for kept in audit.reserve.values() for name in kept[:6]}
    assert set(larger.names[8:]) == added
    assert [kept[6:] for kept in audit.reserve.values()] == list(larger.reserve.values())
    assert enlarge_audit(audit, strata, 4) == audit
    assert len(enlarge_audit(audit, strata, 99).names) == 32  # all of the reserve


def test_audit_and_reserve_leave_half_of_each_stratum():
    audit = draw_audit(rows(40), 16, seed=0)
    assert [len(kept) for kept in audit.reserve.values()] == [1, 1, 1, 1]  # 4 drawn of 10 in each stratum
    assert len(draw_audit(rows(5), 9, seed=0).names) == 5


def test_shares_are_proportional_and_only_grow():
    assert allocate(10, [60, 30, 10], [2, 2, 2], [60, 30, 10]) == [5, 3, 2]
    assert allocate(20, [60, 30, 10], [5, 3, 2], [60, 30, 10]) == [12, 6, 2]
    assert allocate(20, [60, 30, 10], [5, 3, 2], [6, 4, 10]) == [6, 4, 10]


def test_the_population_is_the_first_undamaged_frame_of_each_burst(tmp_path):
    numbers = [0, 1, 2, 50, 51, 52, 53, 54, 55]  # the last two bursts follow each other without a gap
    generated = read_folder(tmp_path, [1] * 9, numbers=numbers, suspect=(3, 6, 7, 8), sampling={"burst": 3})
    assert bursts_of(generated) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert [row.frame for row in population_of(generated)] == [0, 51]
    single = read_folder(tmp_path / "single", [1] * 3, numbers=[0, 1, 2])
    assert bursts_of(single) == [[0], [1], [2]]


def test_strata_of_a_folder_that_has_changed_are_refused(tmp_path):
    generated = read_folder(tmp_path, list(range(10)))
    audit = draw_audit(population_of(generated), 4, seed=0)
    assert [len(members) for members in strata_of(generated, audit).values()] == [5, 5]
    generated.rows.pop()
    with pytest.raises(UserError, match="has changed since its audit was drawn"):
        strata_of(generated, audit)
