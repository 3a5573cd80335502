"""The tally is the definition, in one pass, in any order."""

import functools
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardneg import eci

similarity = st.floats(-1, 1, allow_nan=False, width=32)
examples = st.lists(st.tuples(similarity, st.lists(similarity, max_size=6)), min_size=1, max_size=12)


def tally_of(some: list[tuple[float, list[float]]]) -> eci.Tally:
    return eci.Tally.of(
        [plus for plus, _ in some],
        [value for _, negatives in some for value in negatives],
        [i for i, (_, negatives) in enumerate(some) for _ in negatives],
    )


@given(examples)
def test_it_agrees_with_the_definitions(some: list[tuple[float, list[float]]]) -> None:
    report = tally_of(some).report()
    positives, negatives = [[plus] for plus, _ in some], [values for _, values in some]
    size = sum(map(len, negatives)) / len(some)
    assert report.hardness == pytest.approx(eci.hardness(negatives), abs=1e-12)
    assert report.safety == pytest.approx(eci.safety(positives, negatives), abs=1e-12)
    assert report.size == pytest.approx(size)
    assert report.eci_v1 == pytest.approx(eci.eci_v1(report.hardness, report.safety, size), abs=1e-12)
    assert report.examples + report.without_negatives == len(some)


@given(examples, st.permutations(range(12)), st.integers(1, 12))
def test_merging_parts_in_any_order_is_the_same_as_one_pass(
    some: list[tuple[float, list[float]]], order: list[int], parts: int
) -> None:
    shuffled = [some[i] for i in order if i < len(some)]
    tallies = [tally_of(shuffled[begin::parts]) for begin in range(min(parts, len(shuffled)))]
    merged = functools.reduce(operator.add, tallies, eci.Tally())
    whole = tally_of(some)
    assert merged.examples == whole.examples
    np.testing.assert_allclose(merged.sums, whole.sums, atol=1e-12)


def test_unsafe_negatives_are_counted_with_the_right_sign() -> None:
    # s+ = -1: 95 % of it is -1.05, so -1.04 is nearly unsafe and -1.06 is not; equality is unsafe
    tally = eci.Tally.of([-1.0], [-1.0, -1.04, -1.06, -0.5], [0, 0, 0, 0])
    report = tally.report()
    assert report.above_positive == pytest.approx(2 / 4)
    assert report.above_positive_95 == pytest.approx(3 / 4)


def test_an_empty_tally_reports_zeros() -> None:
    report = eci.Tally().report()
    assert (report.examples, report.size, report.eci_v1, report.above_positive) == (0, 0, 0, 0)


def test_what_is_not_finite_is_an_error() -> None:
    with pytest.raises(ValueError, match="not finite"):
        eci.Tally.of([0.5], [np.nan], [0])


def test_a_rectangle_and_lists_are_the_same() -> None:
    rng = np.random.default_rng(0)
    plus, minus = rng.normal(0.5, 0.2, 5_000), rng.normal(0.3, 0.2, (5_000, 7)).astype(np.float32)
    minus[3, 2] = plus[3] = 0.25  # exactly at the positive
    one = eci.score(plus, minus)
    other = eci.score(plus, minus.ravel(), np.repeat(np.arange(5_000), 7))
    for name in eci.TERMS:
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-12)
        assert one.intervals[name] == pytest.approx(other.intervals[name], abs=1e-9)


def test_a_rectangle_of_another_height_and_what_is_not_finite_in_it_are_errors() -> None:
    with pytest.raises(ValueError, match=r"must be \[2, k\]"):
        eci.Tally.of([0.5, 0.5], np.zeros((3, 2)))
    with pytest.raises(ValueError, match="not finite"):
        eci.Tally.of([0.5], [[0.1, np.inf]])


def test_without_resamples_there_are_no_intervals() -> None:
    tally = eci.Tally.of([0.8, 0.6], [[0.4, 0.5], [0.3, 0.2]])
    assert tally.report().intervals == {}
    assert set(eci.score([0.8, 0.6], [[0.4, 0.5], [0.3, 0.2]]).intervals) == set(eci.TERMS)


def test_a_negative_at_95_percent_counts_in_lists_and_in_a_rectangle() -> None:
    [near] = eci.limits([0.8], "relative", eci.NEAR)
    for found in (eci.per_query([0.8], [near, 0.8], [0, 0]), eci.per_query([0.8], [[near, 0.8]])):
        assert found[0, -2:].tolist() == [1.0, 2.0]


def test_what_is_not_finite_is_an_error_for_sets_too() -> None:
    with pytest.raises(ValueError, match="not finite"):
        eci.per_query_of_sets([0.8], [np.nan], [0, 1], np.ones((1, 1), bool))
