"""How well a score finds what it is to find, against scikit-learn and by hand."""

from functools import partial

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hardneg.report import detection

RNG = np.random.default_rng(0)
SCORES = RNG.random(400).round(2)  # with ties
LABELS = RNG.random(400) < 0.2 + 0.3 * SCORES
OWNERS = np.sort(RNG.integers(0, 40, 400))


def test_auc_is_scikit_learns_weights_included() -> None:
    weights = RNG.integers(0, 4, (3, 400))
    assert detection.auc(SCORES, LABELS)[0] == pytest.approx(roc_auc_score(LABELS, SCORES))
    for weight, found in zip(weights, detection.auc(SCORES, LABELS, weights), strict=True):
        assert found == pytest.approx(roc_auc_score(LABELS, SCORES, sample_weight=weight))
    assert np.isnan(detection.auc(SCORES, np.zeros(400, dtype=bool))[0])


def test_intervals_are_over_queries_and_seeded() -> None:
    measure = partial(detection.auc, SCORES, LABELS)
    value, low, high = detection.with_interval(measure, OWNERS, 40)
    assert low < value < high
    assert high - low < 0.2
    assert detection.with_interval(measure, OWNERS, 40) == (value, low, high)


def test_one_query_more_often_in_a_resample_counts_whole() -> None:
    # all entries of one query: every resample weighs them alike, so the measure never changes
    value, low, high = detection.with_interval(partial(detection.auc, SCORES, LABELS), np.zeros(400, int), 1)
    assert (low, high) == pytest.approx((value, value))
