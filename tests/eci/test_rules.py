"""The rules of safety: each exactly at, just below and just above its bound."""

import numpy as np
import pytest

from hardneg import eci


@pytest.mark.parametrize("plus", [0.8, 0.0, -2.5])
@pytest.mark.parametrize(
    ("rule", "threshold", "bound"),
    [
        ("margin", 0.05, lambda s: s - 0.05),
        ("margin", 0.0, lambda s: s),
        ("margin", -0.1, lambda s: s + 0.1),
        ("relative", 0.05, lambda s: s - abs(s) * 0.05),
        ("ceiling", 0.3, lambda s: 0.3),
    ],
)
def test_a_bound_is_inclusive_whatever_its_sign(plus: float, rule: str, threshold: float, bound: object) -> None:
    limit = bound(plus)
    at, below, above = limit, np.nextafter(limit, -np.inf), np.nextafter(limit, np.inf)
    limits = eci.limits([plus] * 3, rule, threshold)
    assert eci.keep([at, below, above], limits).tolist() == [True, True, False]


def test_relative_is_nv_retrievers_95_percent_for_positive_scores_and_stricter_for_negative_ones() -> None:
    assert eci.limits([0.8], "relative", 0.05) == pytest.approx([0.95 * 0.8])
    [limit] = eci.limits([-2.0], "relative", 0.05)
    assert limit == pytest.approx(-2.1)  # 0.95 x -2 = -1.9 would let a negative above the positive through


@pytest.mark.parametrize(("how", "wanted"), [("mean", [0.7, 0.9]), ("min", [0.5, 0.9]), ("max", [0.9, 0.9])])
def test_reference_of_several_positives(how: str, wanted: list[float]) -> None:
    assert eci.reference([0.5, 0.9, 0.7, 0.9], [0, 0, 0, 1], 2, how) == pytest.approx(wanted)


def test_an_example_without_a_positive_is_an_error() -> None:
    with pytest.raises(ValueError, match="example 1 has no positive"):
        eci.reference([0.5], [0], 2)


def test_what_is_not_finite_is_an_error() -> None:
    with pytest.raises(ValueError, match="not finite"):
        eci.keep([np.nan], [0.5])
    with pytest.raises(ValueError, match="not finite"):
        eci.reference([np.nan], [0], 1)


def test_percentile_compares_positions_among_the_positives_scores() -> None:
    scores = np.linspace(-4, 6, 101)  # a cross-encoder's: the position of s is (s + 4) / 10
    limits = eci.limits([6.0, 1.0, -4.0], "percentile", 0.8, quantiles=np.quantile(scores, np.linspace(0, 1, 11)))
    assert limits == pytest.approx([4.0, 0.0, -4.0])
    rescaled = eci.limits(np.exp([6.0, 1.0, -4.0]), "percentile", 0.8, np.exp(np.linspace(-4, 6, 1001)))
    assert np.log(rescaled) == pytest.approx(limits, abs=0.02)  # whatever the scale
    assert eci.limits([1.0], "percentile", 1.0, np.linspace(-4, 6, 11)) == pytest.approx([1.0])


def test_percentile_without_a_distribution_is_an_error() -> None:
    with pytest.raises(ValueError, match="quantiles"):
        eci.limits([1.0], "percentile", 0.8)


def test_percentile_where_positives_tie_is_by_position() -> None:
    quantiles = np.quantile([0.0, 0.2, 1.0, 1.0, 1.0], np.linspace(0, 1, 1001))  # a saturated model
    assert eci.safe([1.0, 0.1], [1.0, 1.0], "percentile", 0.5, quantiles).tolist() == [False, True]
    assert eci.safe([1.0], [1.0], "percentile", 1.0, quantiles).tolist() == [True]


def test_what_is_not_finite_is_an_error_for_percentile_too() -> None:
    with pytest.raises(ValueError, match="not finite"):
        eci.safe([np.nan], [0.5], "percentile", 0.5, [0.0, 1.0])


def test_thresholds_where_the_positive_is_at_the_end_of_the_scale() -> None:
    assert eci.thresholds([-1.0, 0.0, 1.0], [0.0] * 3, "relative").tolist() == [np.inf, 0.0, -np.inf]
    assert eci.thresholds([0.0, 0.5], [0.0] * 2, "percentile", [0.0, 1.0]).tolist() == [0.0, np.inf]


def test_no_scores_have_quantiles_of_zero() -> None:
    assert eci.quantiles_of([], 3).tolist() == [0.0, 0.0, 0.0]
