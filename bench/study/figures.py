"""The figures of docs/explanation/study.md, drawn from the lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bench.study import judge
from bench.study.regimes import Regime, judged
from bench.study.tables import names, title


def draw(regimes: list[Regime], folder: Path) -> None:
    """`study_truth.svg`: predictor against truth; `study_regret.svg`: what a first choice costs."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update(
        {
            "svg.hashsalt": "hardneg",
            "svg.fonttype": "none",
            "font.size": 8,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    scatter([regime for regime in regimes if regime.key[1:] == ("static", "all")], folder / "study_truth.svg")
    bars(regimes, folder / "study_regret.svg")


def scatter(
    regimes: list[Regime], path: Path, predictors: tuple[str, ...] = ("probe: score", "eci_v1", "eci_sem")
) -> None:
    """One panel a regime and predictor: every judged set, trained nDCG@10 over the predictor."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        len(predictors),
        len(regimes),
        figsize=(1.7 * len(regimes), 1.6 * len(predictors)),
        squeeze=False,
        layout="constrained",
    )
    for line, predictor in zip(axes, predictors, strict=True):
        for panel, regime in zip(line, regimes, strict=True):
            some = names(regime, judged, predictor)
            x, y = [regime.predicted[predictor][n] for n in some], [regime.mean(n) for n in some]
            panel.scatter(x, y, s=7, c=["#b45309" if regime.sizes[n] < 6.5 else "#1d4ed8" for n in some], linewidths=0)
            panel.set_title(f"{title(regime)}: {judge.spearman(x, y):.2f}", fontsize=7)
            panel.tick_params(labelsize=5)
            panel.locator_params(nbins=4)
            panel.set_xlabel(predictor.removesuffix(": score"), fontsize=6)
    for line in axes:
        line[0].set_ylabel("trained nDCG@10", fontsize=6)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def bars(regimes: list[Regime], path: Path) -> None:
    """The regret of each first choice: the mean over regimes, a dot for each."""
    from matplotlib import pyplot as plt

    shown = {
        "probe: score": "probe",
        "eci_v1": "eci_v1",
        "eci_sem": "eci_sem",
        "hardness": "hardness",
        "loss at start": "InfoNCE at the start",
    }
    fixed = {
        "dense.top.calibrated_self": "always dense, calibrated",
        "random.top": "always random",
        "dense.mid": "always dense, ranks 11 to 50",
    }
    found: dict[str, list[float]] = {label: [] for label in [*shown.values(), *fixed.values()]}
    for regime in regimes:
        every = [regime.mean(n) for n in regime.sets if judged(n)]
        for predictor, label in shown.items():
            some = names(regime, judged, predictor)
            if some:
                values = np.array([regime.predicted[predictor][n] for n in some])
                found[label].append(judge.regret(values, np.array([regime.mean(n) for n in some])))
        for name, label in fixed.items():
            found[label].append(max(every) - regime.mean(name))
    order = sorted((label for label in found if found[label]), key=lambda label: -np.mean(found[label]))
    figure, axis = plt.subplots(figsize=(5.6, 2.4), layout="constrained")
    axis.barh(order, [np.mean(found[label]) for label in order], color="#93c5fd")
    for place, label in enumerate(order):
        axis.scatter(found[label], [place] * len(found[label]), s=8, color="#1e3a8a", zorder=3, linewidths=0)
    axis.set_xlabel("nDCG@10 lost against the best set (bar: mean; dots: regimes)")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
