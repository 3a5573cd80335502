"""Which candidates are judged, and the level that their judgments ask for."""

from __future__ import annotations

import numpy as np
import pytest

from hardneg.false_negatives import Level, bounds, chances, judged_level, probability, strata

TOLD = Level(2.0, 1.6, 1.0)


@pytest.fixture(scope="module")
def evidence() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 6, 50_000)


def test_strata_get_equal_numbers_and_small_ones_all_that_they_have(evidence: np.ndarray) -> None:
    p = probability(evidence, TOLD.value, TOLD.slope)
    of = strata(p, bounds(p))
    counts = np.bincount(of, minlength=5)
    assert (counts / len(p)) == pytest.approx([0.01, 0.02, 0.07, 0.2, 0.7])
    assert p[of == 0].min() > p[of == 1].max()
    other = probability(evidence, TOLD.value - 2, TOLD.slope * 1.3)
    assert (strata(other, bounds(other)) == of).all(), "a fitted level draws the same sample, which is paid already"
    assert (chances(counts, 200) * counts) == pytest.approx([40] * 5)
    few = chances(np.array([10_000, 3, 0, 0, 50]), 103)
    assert few == pytest.approx([50 / 10_000, 1, 0, 0, 1])
    assert chances(np.array([5, 5, 0, 0, 0]), 100) == pytest.approx([1, 1, 0, 0, 0])
    assert chances(np.array([1, 5, 0, 0, 0]), 100) == pytest.approx([1, 1, 0, 0, 0])


@pytest.mark.parametrize("truth", [0.0, 2.0, 4.0])
def test_two_hundred_judgments_find_the_level_however_they_are_drawn(evidence: np.ndarray, truth: float) -> None:
    rng = np.random.default_rng(1)
    labels = rng.random(len(evidence)) < probability(evidence, truth, TOLD.slope)
    p = probability(evidence, TOLD.value, TOLD.slope)
    of = strata(p, bounds(p))
    errors, inside = [], 0
    for _ in range(40):
        drawn = rng.random(len(p)) < chances(np.bincount(of, minlength=5), 200)[of]
        found = judged_level(TOLD, p[drawn], labels[drawn])
        errors.append(found.value - truth)
        inside += abs(found.value - truth) <= 2 * found.spread
    assert abs(np.mean(errors)) < 0.3, "the prior pulls a little"
    assert inside >= 34
    assert found.spread < 0.6 < TOLD.spread


def test_without_judgments_the_estimate_stays_and_all_of_one_kind_is_finite() -> None:
    none = judged_level(TOLD, np.zeros(0), np.zeros(0, dtype=bool))
    assert none.value == TOLD.value
    assert none.spread >= TOLD.spread
    lower = judged_level(TOLD, np.full(200, 0.3), np.zeros(200, dtype=bool))
    higher = judged_level(TOLD, np.full(200, 0.3), np.ones(200, dtype=bool))
    assert lower.value < TOLD.value < higher.value
    assert np.isfinite([lower.value, higher.value]).all()
