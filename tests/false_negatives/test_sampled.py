"""The sample that people judge, and the interval that it gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.arrays import Bool, Float64
from hardneg.false_negatives import Sample, Share, estimate, sample


def population(rate: float, size: int = 4_000, seed: int = 0) -> tuple[Float64, Bool]:
    """Probabilities that tell a good deal, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.random(size) < rate
    odds = np.log(rate / (1 - rate)) + 2 * labels + rng.normal(0, 1, size)
    return 1 / (1 + np.exp(-odds)), labels


def after(drawn: Sample, labels: Bool, stop: int | None = None) -> Share:
    strata, answers = drawn.strata[:stop], labels[drawn.members[:stop]]
    of = len(drawn.sizes)
    return estimate(
        drawn.sizes, drawn.expected, np.bincount(strata, minlength=of), np.bincount(strata, answers, minlength=of)
    )


@pytest.mark.parametrize(
    ("rate", "mislead", "least"), [(0.06, False, 0.93), (0.06, True, 0.92), (0.01, False, 0.92), (0.3, False, 0.93)]
)
def test_the_interval_covers_at_every_stop_and_the_share_is_not_biased(
    rate: float, mislead: bool, least: float
) -> None:
    p, labels = population(rate)
    if mislead:
        p = 1 - p
    draws = 250
    drawn = [sample(p, 200, seed) for seed in range(draws)]
    for stop in (30, 120):
        found = [after(one, labels, stop) for one in drawn]
        covered = np.mean([share.low <= labels.mean() <= share.high for share in found])
        values = [share.value for share in found]
        assert covered >= least
        assert abs(np.mean(values) - labels.mean()) < 3 * np.std(values) / np.sqrt(draws) + 1e-3


def test_probabilities_that_tell_something_make_the_interval_narrower() -> None:
    p, labels = population(0.06)
    widths = [
        np.mean([share.high - share.low for share in (after(sample(of, 150, seed), labels) for seed in range(40))])
        for of in (p, np.zeros(len(p)))
    ]
    assert widths[0] < 0.85 * widths[1]


def test_a_stratum_is_wilsons_interval() -> None:
    found = estimate([10**9], [0.3], [50], [4])
    n, share, z = 50, 0.08, 1.959964
    # the variance is that of a share drawn towards the mean: (4 + 2 * prior) / 52
    rate = (4 + 2 * ((4.5 / 51) + min(0.3 * 4.5 / 15.5, 0.95)) / 2) / 52
    assert rate == pytest.approx(share, abs=0.001)
    middle, half = (share + z**2 / 2 / n) / (1 + z**2 / n), z * np.sqrt(share * (1 - share) / n + z**2 / 4 / n**2)
    assert found.low == pytest.approx(middle - half / (1 + z**2 / n), abs=1e-6)
    assert found.high == pytest.approx(middle + half / (1 + z**2 / n), abs=1e-6)


def test_what_is_judged_entirely_is_certain() -> None:
    p, labels = population(0.1, 300)
    found = after(sample(p, 300, 0), labels)
    assert found.value == pytest.approx(labels.mean())
    assert found.low == pytest.approx(found.high)
    assert estimate([40], [0.0], [40], [0]).high == pytest.approx(0.0, abs=1e-12)


def test_no_answer_says_nothing_and_no_hit_is_not_nothing() -> None:
    assert estimate([10, 20], [0.5, 0.1], [0, 0], [0, 0]) == Share(0.0, 0.0, 1.0)
    found = estimate([1000], [0.0], [30], [0])
    assert found.low == 0.0
    assert 0.09 < found.high < 0.13


def test_strata_without_answers_go_with_their_neighbours() -> None:
    assert estimate([10, 20, 70], [0.9, 0.5, 0.1], [0, 5, 0], [0, 2, 0]) == estimate([100], [0.26], [5], [2])
    assert estimate([10, 20, 70], [0.9, 0.5, 0.1], [5, 0, 5], [2, 0, 1]) == estimate(
        [30, 70], [19 / 30, 0.1], [5, 5], [2, 1]
    )


@settings(max_examples=50, deadline=None)
@given(p=st.lists(st.floats(0, 1), max_size=60).map(np.array), wanted=st.integers(0, 80), seed=st.integers(0, 5))
def test_a_sample_has_nobody_twice_and_every_stratum(p: Float64, wanted: int, seed: int) -> None:
    drawn = sample(p, wanted, seed)
    assert len(drawn.members) == min(wanted, len(p)) == len(set(drawn.members.tolist()))
    assert drawn.sizes.sum() == len(p)
    if wanted >= len(drawn.sizes):
        assert set(drawn.strata.tolist()) == set(range(len(drawn.sizes)))
    again = sample(p, wanted, seed)
    assert again.members.tolist() == drawn.members.tolist()
    counts = np.bincount(drawn.strata, minlength=len(drawn.sizes))
    found = estimate(drawn.sizes, drawn.expected, counts, counts // 2)
    assert 0 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 1
