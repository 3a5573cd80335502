"""eci_sem: what must hold of it whatever the triples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg import eci

seeds = st.integers(0, 2**32 - 1)


def triples(seed: int, count: int, dimensions: int) -> tuple[np.ndarray, ...]:
    """c, l, rho, p, n of random triples."""
    rng = np.random.default_rng(seed)
    p, n = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, count, dimensions)))
    return rng.random(count), rng.random(count), rng.random(count), p, n


def moments(parts: tuple[np.ndarray, ...]) -> eci.Moments:
    return eci.Moments.of(*parts)


def value(parts: tuple[np.ndarray, ...]) -> float:
    return moments(parts).report().eci_sem


def test_by_hand() -> None:
    # one triple, w = 0.5 * 0.4 * 0.75 = 0.15, any direction: det(I + w r r^T) = 1 + w
    parts = (np.array([0.5]), np.array([0.4]), np.array([0.75]), np.array([[1.0, 0.0]]), np.array([[0.6, 0.8]]))
    report = moments(parts).report()
    assert report.eci_sem == pytest.approx(np.log(1.15))
    assert report.trace == pytest.approx(0.15)
    assert report.eci_sem_per_dimension == pytest.approx(np.log(1.15) / 2)
    assert (report.target_consistency, report.locality, report.lexical_residuality) == pytest.approx((0.5, 0.4, 0.75))


@given(seeds, st.integers(1, 30), st.integers(2, 20))
@settings(max_examples=50)
def test_doubling_every_triple_changes_nothing(seed: int, count: int, dimensions: int) -> None:
    parts = triples(seed, count, dimensions)
    assert value(tuple(np.concatenate([x, x]) for x in parts)) == pytest.approx(value(parts), abs=1e-12)


@given(seeds, st.integers(1, 40), st.integers(2, 40))
@settings(max_examples=50)
def test_the_gram_form_is_the_same_number(seed: int, count: int, dimensions: int) -> None:
    c, near, rho, p, n = triples(seed, count, dimensions)
    r = eci.residual_directions(p, n)
    weights = c * near * rho
    whole = np.linalg.slogdet(np.eye(dimensions) + (r * weights[:, None]).T @ r / count)[1]
    gram = np.linalg.slogdet(np.eye(count) + np.sqrt(np.outer(weights, weights)) * (r @ r.T) / count)[1]
    assert eci.eci_sem(weights, r) == pytest.approx(whole, abs=1e-9)
    assert gram == pytest.approx(whole, abs=1e-9)
    assert value((c, near, rho, p, n)) == pytest.approx(whole, abs=1e-9)


@given(seeds, st.integers(2, 40), st.integers(1, 5), st.randoms())
@settings(max_examples=50)
def test_merging_parts_in_any_order_is_the_same_as_one_pass(seed: int, count: int, pieces: int, random: object) -> None:
    parts = triples(seed, count, 8)
    shards = [tuple(x[begin::pieces] for x in parts) for begin in range(min(pieces, count))]
    random.shuffle(shards)
    assert sum(map(moments, shards), start=eci.Moments()).report().eci_sem == pytest.approx(value(parts), abs=1e-12)


@given(seeds)
@settings(max_examples=30)
def test_between_zero_and_the_trace_and_zero_for_weights_of_zero(seed: int) -> None:
    c, near, rho, p, n = triples(seed, 25, 6)
    report = moments((c, near, rho, p, n)).report()
    assert 0 < report.eci_sem <= report.trace
    assert value((c, near * 0, rho, p, n)) == 0
    assert value((c, near, rho, p, p)) == 0  # a negative that is the positive points nowhere


def test_an_empty_state_and_no_triples_are_zero() -> None:
    assert eci.Moments().report().eci_sem == 0
    assert eci.eci_sem([], np.zeros((0, 3))) == 0
    assert eci.Tally().report().sem is None


def test_float32_vectors_give_the_number_of_float64_ones() -> None:
    c, near, rho, p, n = triples(0, 5_000, 64)
    exact = value((c, near, rho, p, n))
    assert value((c, near, rho, p.astype(np.float32), n.astype(np.float32))) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("wrong", [(-1.0, 1.0), (np.nan, 1.0)])
def test_weights_that_make_no_sense_are_an_error(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="weights must be finite"):
        eci.eci_sem(wrong, np.eye(2))
    with pytest.raises(ValueError, match="temperature"):
        eci.target_consistency([0.1], [0.1], 0.0)


def test_parts_have_their_signs_and_edges() -> None:
    assert eci.target_consistency([1.0, -1.0], [-1.0, 1.0], 0.001).tolist() == [1.0, 0.0]  # and no overflow
    assert eci.locality([-1.0, 0.0, 0.3]).tolist() == [0.0, 0.0, 0.3]
    assert eci.lexical_residuality([2.0, 2.0], [2.0, 8.0]).tolist() == [0.0, 0.75]
    assert eci.lexical_residuality([0.1 + 0.2], [0.3]).tolist() == [0.0]  # a rounding above the whole


def test_a_triple_without_a_direction_has_no_weight_and_no_part_is_below_zero() -> None:
    same = [[1.0, 0.0]]
    report = eci.Moments.of([1.0], [1.0], [1.0], same, same).report()
    assert (report.triples, report.trace, report.eci_sem) == (1, 0.0, 0.0)
    with pytest.raises(ValueError, match="below 0"):
        eci.Moments.of([1.0], [-0.01], [1.0], same, [[0.0, 1.0]])
