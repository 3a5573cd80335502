"""How many unlabelled answers there are, told without labels: worlds in which the truth is known."""

import math

import numpy as np
import pytest

from hardneg import false_negatives
from hardneg.false_negatives import Agreement, Histogram, level, probability
from hardneg.false_negatives.level import DEPTH


def world(rng: np.random.Generator, queries: int, answers: int, *, passages: int = 2_000, skill: float = 3.0):
    """Two rankers that err independently. Every query has ``answers`` relevant passages; one of them is labelled.

    Relevant passages score ``skill`` standard deviations above the others with both rankers. Returned: the agreement at
    the head, and evidence and truth of every candidate within the 30 nearest of either ranker.
    """
    parts, evidences, truths = [], [], []
    for _ in range(queries):
        relevant = np.arange(passages) < answers
        scores = rng.normal(size=(2, passages)) + skill * relevant
        ranks = np.empty((2, passages))
        for view in range(2):
            order = [p for p in np.argsort(-scores[view]) if p != 0]
            ranks[view, order] = np.arange(1, passages)
            ranks[view, 0] = 1 + (scores[view, 1:] > scores[view, 0]).sum()
        own = np.log(ranks[:, 0])
        near = np.flatnonzero((ranks <= DEPTH).any(axis=0) & (np.arange(passages) > 0))
        query = np.log(ranks[:, near]).T
        u = query.mean(axis=1) - 0.17 * own.mean()
        owners = np.zeros(len(near), np.int64)
        parts.append(Agreement.of(query, u, owners, own[None], np.full((1, 2), passages)))
        evidences.append(u)
        truths.append(relevant[near])
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total, np.concatenate(evidences), np.concatenate(truths)


def estimated(found: Agreement, u: np.ndarray) -> float:
    told = level(found)
    return float(probability(u, told.value, told.slope).mean())


def test_more_answers_are_seen_without_labels() -> None:
    rng = np.random.default_rng(0)
    shares, truths = [], []
    for answers in (1, 4, 10):
        found, u, truth = world(rng, 150, answers)
        shares.append(estimated(found, u))
        truths.append(truth.mean())
    assert truths[0] == 0
    assert shares[0] < 0.02  # one answer, and it is labelled: next to nothing is false
    assert shares == sorted(shares)
    np.testing.assert_allclose(shares, truths, atol=0.06)


def test_rankers_that_agree_on_nothing_show_nothing() -> None:
    found, u, _ = world(np.random.default_rng(1), 150, 1, skill=0.0)
    assert estimated(found, u) < 0.03


def test_shards_show_what_the_whole_shows() -> None:
    one, _, _ = world(np.random.default_rng(2), 40, 4)
    other, _, _ = world(np.random.default_rng(3), 40, 4)
    there, back = level(one + other), level(other + one)
    assert there.value == pytest.approx(back.value, abs=1e-9)
    assert there.slope == pytest.approx(back.slope, abs=1e-12)
    assert level(one).spread > there.spread  # more queries, surer


def test_no_queries_leave_the_prior_and_say_how_unsure_it_is() -> None:
    none = Agreement.of(np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 2)))
    few, _, _ = world(np.random.default_rng(4), 3, 4)
    assert level(none).spread > level(few).spread > 0.6


def test_evidence_and_probability_by_hand() -> None:
    query, positive, own = np.log([[1.0, 4.0]]), np.log([[8.0, 2.0]]), np.log([[1.0, 3.0]])
    u = false_negatives.evidence(query, positive, own, np.array([0]))
    expected = (2 * math.log(2) + math.log(4)) / 3 - 0.17 * math.log(3) / 2
    assert u.tolist() == pytest.approx([expected])
    assert probability(u, 1.0, 2.0).tolist() == pytest.approx([1 / (1 + math.exp(2 * expected - 1))])


def test_a_ranker_without_a_rank_does_not_count() -> None:
    nan = np.nan
    own, owner = np.array([[0.5, 0.5]]), np.zeros(1, np.int64)
    both = false_negatives.evidence(np.array([[1.0, nan]]), np.array([[2.0, nan]]), own, owner)
    alone = false_negatives.evidence(np.array([[1.0]]), np.array([[2.0]]), own[:, :1], owner)
    np.testing.assert_allclose(both, alone)


def test_neighbours_have_a_third_of_the_say_and_controls_have_none() -> None:
    u = np.array([0.0, 3.0, 6.0, 1.0])
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [1, 0]], dtype=np.float32)
    offsets = np.array([0, 3, 4])
    every = false_negatives.smoothed(u, offsets, vectors, np.ones(4, bool))
    np.testing.assert_allclose(every, [0 + 4.5 / 3, 2 + 3 / 3, 4 + 1.5 / 3, 1.0])
    without = false_negatives.smoothed(u, offsets, vectors, np.array([True, True, False, True]))
    np.testing.assert_allclose(without, [1.0, 2.0, 4 + 1.5 / 3, 1.0])


def test_a_share_is_the_mean_probability_and_its_interval_moves_all_odds_together() -> None:
    rng = np.random.default_rng(6)
    values = rng.uniform(0, 0.2, 5_000)
    whole = Histogram.of(values)
    parts = Histogram.of(values[:1_000]) + Histogram.of(values[1_000:])
    share = whole.share(spread=0.5)
    assert share.value == pytest.approx(values.mean())
    odds = np.log(values / (1 - values))
    for bound, sign in ((share.low, -1), (share.high, 1)):
        assert bound == pytest.approx((1 / (1 + np.exp(-(odds + sign * 1.96 * 0.5)))).mean(), rel=0.03)
    assert parts.share(0.5).value == pytest.approx(share.value)
    assert (parts.share(0.5).low, parts.share(0.5).high) == pytest.approx((share.low, share.high))
    assert Histogram().share(1.0).value == 0
