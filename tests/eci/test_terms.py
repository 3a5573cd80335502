"""The formula, against the paper's own table and by hand."""

import math

import numpy as np
import pytest

from hardneg import eci

# arXiv:2603.20990v1, Table 1: size, S, Delta, the printed ECI
TABLE_1 = {
    "BM25": (50, 0.577, 0.199, 1.16),
    "cross-encoder": (25, 0.606, 0.175, 0.88),
    "LLM": (3, 0.656, 0.110, 0.26),
    "BM25 + cross-encoder": (75, 0.587, 0.192, 1.25),
    "LLM + BM25": (53, 0.620, 0.152, 0.97),
    "LLM + BM25 + cross-encoder": (78, 0.621, 0.152, 1.06),
    "cross-encoder + LLM": (28, 0.631, 0.143, 0.79),
}


@pytest.mark.parametrize("row", TABLE_1)
def test_the_formula_gives_the_papers_table(row: str) -> None:
    size, hardness, safety, printed = TABLE_1[row]
    assert eci.eci_v1(hardness, safety, size) == pytest.approx(printed, abs=0.0075)


def test_every_term_by_hand() -> None:
    positives, negatives = [[0.9, 0.7], [0.6]], [[0.5, 0.3], [0.2]]
    hardness = eci.hardness(negatives)  # (0.4 + 0.2) / 2
    safety = eci.safety(positives, negatives)  # ((0.8 - 0.4) + (0.6 - 0.2)) / 2
    assert hardness == pytest.approx(0.3)
    assert safety == pytest.approx(0.4)
    assert eci.efficiency(hardness, safety) == pytest.approx(2 * 0.3 * 0.4 / 0.7)
    assert eci.capacity(1.5) == pytest.approx(math.log(2.5))
    assert eci.eci_v1(hardness, safety, 1.5) == pytest.approx(math.log(2.5) * 0.24 / 0.7)


def test_the_mean_is_over_examples_not_over_negatives() -> None:
    assert eci.hardness([[1.0], [0.0, 0.0, 0.0]]) == pytest.approx(0.5)


@pytest.mark.parametrize(("hardness", "safety"), [(0.5, 0.0), (0.5, -0.2), (0.0, 0.5), (-0.1, 0.5), (-0.1, -0.1)])
def test_the_strict_penalty_is_an_exact_zero(hardness: float, safety: float) -> None:
    assert eci.efficiency(hardness, safety) == 0.0
    assert eci.eci_v1(hardness, safety, 50) == 0.0


def test_no_negatives_is_zero() -> None:
    assert eci.eci_v1(0.5, 0.2, 0) == 0.0
    assert eci.hardness([[], []]) == 0.0
    assert eci.safety([[0.5]], [[]]) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_an_error_and_never_a_silent_zero(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        eci.hardness([[0.5, bad]])
    with pytest.raises(ValueError, match="not finite"):
        eci.safety([[bad]], [[0.5]])
    with pytest.raises(ValueError, match="finite"):
        eci.efficiency(bad, 0.5)
    with pytest.raises(ValueError, match="size"):
        eci.capacity(-1)
