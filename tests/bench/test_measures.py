"""Measures of the benches, by hand."""

import numpy as np
import pytest
from support import bench

measures = bench("measures")


def test_shares_by_hand() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    labels = np.array([False, True, False, False, True])
    assert measures.false_share(scores, labels, 0.4)[0] == pytest.approx(1 / 2)
    assert measures.mean_kept(scores, scores, 0.4)[0] == pytest.approx(0.15)
    assert measures.lost(scores, labels, 0.5)[0] == 0  # the highest one catches half
    assert measures.lost(scores, labels, 0.8)[0] == pytest.approx(2 / 3)
    twice = np.array([[2, 2, 2, 2, 2]])
    assert measures.lost(scores, labels, 0.8, twice)[0] == pytest.approx(2 / 3)


def test_calibration_by_hand() -> None:
    probabilities = np.array([0.05, 0.05, 0.95, 1.0])
    labels = np.array([False, True, True, True])
    assert measures.calibration_error(probabilities, labels) == pytest.approx((2 * 0.45 + 2 * 0.025) / 4)
    assert [entry["count"] for entry in measures.reliability(probabilities, labels)] == [2, 2]


def test_ties_do_not_depend_on_the_order() -> None:
    for labels in ([True, False, False, False], [False, False, False, True]):
        assert measures.lost(np.ones(4), np.array(labels), 0.8)[0] == 1
    assert np.isnan(measures.lost(np.ones(4), np.zeros(4, dtype=bool), 0.8)[0])
