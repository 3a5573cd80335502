"""What is fitted is judged on a collection that it was not fitted to: leave one collection out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from bench.study import judge
from bench.study.regimes import Regime, judged
from bench.study.tables import head, names, row, title
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]

ONE_PASS = (
    "eci_v1", "eci_sem", "hardness", "safety", "size", "loss at start", "loss at start, masked", "gradient norm",
    "gradient agreement", "effective number", "diversity", "-uniformity", "-estimated false", "SimANS mass",
)  # fmt: skip

WEIGHTS = (0.0, 0.03, 0.1, 0.3, 1.0, 1e6)
"""What a nat of log-likelihood may count beside the reciprocal rank."""


def ranks(values: list[float]) -> Floats:
    """Ranks of the sets of one regime, with mean 0 and deviation 1: regimes do not compare otherwise."""
    out = rankdata(values)
    return (out - out.mean()) / max(float(out.std()), 1e-9)


def matrix(regime: Regime, predictors: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Ranks of predictors [s, p] and of the truth [s]."""
    some = [n for n in names(regime, judged, predictors[0]) if all(n in regime.predicted[p] for p in predictors)]
    return np.stack([ranks([regime.predicted[p][n] for n in some]) for p in predictors], axis=1), ranks(
        [*map(regime.mean, some)]
    )


def ridge(x: Floats, y: Floats, penalty: float = 10.0) -> Floats:
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)


def left_out(regimes: list[Regime]) -> Iterator[str]:
    """Spearman on each regime of what was fitted to the other collections."""
    found = [regime for regime in regimes if names(regime, judged, "probe: mrr")]
    yield from head(["fitted to the other collections", *map(title, found), "mean"])
    for label, predictors in (
        ("ridge regression of 14 one-pass numbers", ONE_PASS),
        ("the same and the probe", (*ONE_PASS, "probe: score")),
    ):
        cells = []
        for regime in found:
            others = [matrix(other, predictors) for other in found if other.key[0] != regime.key[0]]
            weights = ridge(np.concatenate([x for x, _ in others]), np.concatenate([y for _, y in others]))
            x, y = matrix(regime, predictors)
            cells.append(judge.spearman(x @ weights, y))
        yield row([label, *(f"{c:.2f}" for c in cells), f"{np.mean(cells):.2f}"])
    cells = []
    for regime in found:
        others = [other for other in found if other.key[0] != regime.key[0]]
        weight = max(WEIGHTS, key=lambda w: float(np.mean([mixed(other, w) for other in others])))
        cells.append(mixed(regime, weight))
    yield row(["the probe's weight of a nat", *(f"{c:.2f}" for c in cells), f"{np.mean(cells):.2f}"])
    for weight in WEIGHTS:
        cells = [mixed(regime, weight) for regime in found]
        yield row([f"(the weight {weight:g} everywhere)", *(f"{c:.2f}" for c in cells), f"{np.mean(cells):.2f}"])


def mixed(regime: Regime, weight: float) -> float:
    """Spearman of reciprocal rank + weight * log-likelihood."""
    some = names(regime, judged, "probe: mrr")
    mrr, nats = (np.array([regime.predicted[f"probe: {w}"][n] for n in some]) for w in ("mrr", "log-likelihood"))
    return judge.spearman(mrr + weight * nats, [regime.mean(n) for n in some])
