"""Intervals: they cover what they promise, they pair, and batches add up."""

import numpy as np
import pytest

from hardneg import eci

RUNS = 400


def columns_of(rng: np.random.Generator, queries: int) -> np.ndarray:
    """Queries with five negatives: a similarity that belongs to the query, and one of each negative."""
    plus = rng.normal(0.7, 0.1, queries)
    minus = rng.normal(0.4, 0.1, (queries, 1)) + rng.normal(0, 0.05, (queries, 5))
    return eci.per_query(plus, minus)


TRUE = {"hardness": 0.4, "safety": 0.3, "eci_v1": np.log(6) * 2 * 0.4 * 0.3 / 0.7}


@pytest.fixture(scope="module")
def covered() -> dict[str, float]:
    """For each term, in how many of 400 runs of 200 queries its true value lies inside the interval."""
    hits = dict.fromkeys(TRUE, 0)
    for run in range(RUNS):
        columns = columns_of(np.random.default_rng(run), 200)
        report = eci.Tally.of_columns(columns).report(eci.Resamples.of(columns, seed=run))
        for name, true in TRUE.items():
            low, high = report.intervals[name]
            hits[name] += low <= true <= high
    return {name: count / RUNS for name, count in hits.items()}


@pytest.mark.parametrize("term", TRUE)
def test_95_percent_intervals_cover_95_percent(covered: dict[str, float], term: str) -> None:
    assert 0.92 <= covered[term] <= 0.97


def test_a_difference_is_paired() -> None:
    # the same queries, whose own level varies much more than the sources differ
    rng = np.random.default_rng(0)
    level = rng.normal(0.4, 0.2, (300, 1))
    columns = np.stack([eci.per_query(np.full(300, 0.9), level + shift) for shift in (0.0, 0.01)], axis=1)
    hardness = eci.terms_of(eci.Resamples.of(columns).means)["hardness"]
    low, high = eci.interval(hardness[:, 1] - hardness[:, 0])
    assert (low, high) == pytest.approx((0.01, 0.01), abs=1e-6)
    alone = eci.interval(hardness[:, 0])
    assert alone[1] - alone[0] > 0.03


def test_batches_add_up_in_any_order_and_the_seed_decides() -> None:
    columns = columns_of(np.random.default_rng(1), 90)
    parts = [eci.Resamples.of(columns[b * 30 : b * 30 + 30], batch=b) for b in range(3)]
    one, other = parts[0] + parts[1] + parts[2], parts[2] + parts[0] + parts[1]
    np.testing.assert_allclose(one.means, other.means, atol=1e-12)
    assert (eci.Resamples.of(columns).means == eci.Resamples.of(columns).means).all()
    assert (eci.Resamples.of(columns).means != eci.Resamples.of(columns, seed=1).means).any()


def test_weights_are_poisson() -> None:
    drawn = eci.Resamples.of(np.eye(500)).sums  # the weight of each query in each resample
    share = [(drawn == k).mean() for k in range(4)]
    assert share == pytest.approx([0.3679, 0.3679, 0.1839, 0.0613], abs=0.003)
    assert drawn.var() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("others", [0, 200])
def test_resamples_without_a_negative_do_not_count(others: int) -> None:
    # one query with negatives, alone or among others without: whenever it is drawn, hardness is 0.5
    columns = eci.per_query([0.8] * (1 + others), [0.4, 0.6], [0, 0])
    terms = eci.terms_of(eci.Resamples.of(columns).means, undefined=np.nan)
    assert 0.2 < np.isnan(terms["hardness"]).mean() < 0.5  # about 1 / e
    assert eci.interval(terms["hardness"]) == pytest.approx((0.5, 0.5))


def test_nothing_at_all_has_an_interval_of_zeros() -> None:
    terms = eci.terms_of(eci.Resamples.of(eci.per_query([0.8], [], [])).means, undefined=np.nan)
    assert eci.interval(terms["hardness"]) == (0, 0)


def test_batches_are_resampled_apart() -> None:
    columns = np.arange(20.0).reshape(10, 2)
    one, other = (eci.Resamples.of(columns, batch=batch, resamples=50).queries for batch in (0, 1))
    assert (one != other).any()
