"""Histograms that are the same however the numbers arrive."""

from __future__ import annotations

import numpy as np
import pytest

from hardneg.report.binned import MOST, Binned


@pytest.mark.parametrize("scale", [0.01, 1.0, 37.0, 1e9])
def test_the_sum_depends_neither_on_order_nor_on_grouping(scale: float) -> None:
    values = np.random.default_rng(0).normal(size=500) * scale
    whole = Binned.of(values)
    for parts in (2, 7, 50):
        for some in (np.array_split(values, parts), np.array_split(values[::-1], parts)):
            summed = sum(map(Binned.of, some), start=Binned())
            assert (summed.exponent, summed.first) == (whole.exponent, whole.first)
            assert summed.counts.tolist() == whole.counts.tolist()
    assert len(whole.counts) <= MOST
    assert whole.counts.sum() == 500


def test_each_number_is_in_its_bin() -> None:
    found = Binned.of([-0.5, -0.001, 0.0, 0.0156, 0.9, np.nan, np.inf])
    edges = (found.first + np.arange(len(found.counts) + 1)) * found.width
    assert found.counts.tolist() == np.histogram([-0.5, -0.001, 0.0, 0.0156, 0.9], edges)[0].tolist()


def test_one_number_far_away_is_no_reason_for_a_long_array() -> None:
    found = Binned.of([0.1, 0.2]) + Binned.of([1e30])
    assert found.counts.sum() == 3
    assert len(found.counts) <= MOST
    assert Binned.of([0.1, 0.2, 1e30]).counts.tolist() == found.counts.tolist()
