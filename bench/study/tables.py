"""The tables of docs/explanation/study.md, from the lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np
from bench.study import judge
from bench.study.regimes import Floats, Regime, equal, judged, single

SHOWN = {
    "probe: score": "**probe: score**",
    "probe: log-likelihood": "probe: log-likelihood",
    "probe: ndcg": "probe: nDCG",
    "probe: mrr": "probe: reciprocal rank",
    "other probe: score": "probe with the other loss",
    "probe, gentle: score": "probe, Adam 1e-3",
    "eci_v1": "eci_v1",
    "eci_v1@1": "eci_v1 of the hardest one",
    "eci_sem": "eci_sem",
    "hardness": "hardness",
    "safety": "safety",
    "-share above the positive": "few above the positive",
    "size": "size",
    "loss at start": "InfoNCE at the start",
    "loss at start, masked": "the same, masked",
    "gradient norm": "gradient norm",
    "gradient agreement": "gradient agreement (cosine)",
    "gradient step": "gradient agreement (product)",
    "effective number": "effective number",
    "diversity": "diversity",
    "-uniformity": "uniformity",
    "-estimated false": "few estimated false",
    "SimANS mass": "SimANS mass",
    "positive first": "positive first",
    "confidence": "cartography: confidence",
    "variability": "cartography: variability",
    "-hard to learn": "cartography: few hard to learn",
    "-shortcut": "no shortcut",
}

FIXED = (
    "dense.top.calibrated_self",
    "dense.top.calibrated_mini",
    "dense.top.veto_mini",
    "dense.top.veto_maxsim",
    "dense.top",
    "dense.mid",
    "random.top",
    "bm25.top.calibrated_self",
)


def names(regime: Regime, keep: Callable[[str], bool], predictor: str) -> list[str]:
    """The sets that have this predictor."""
    return [name for name in regime.sets if keep(name) and name in regime.predicted.get(predictor, {})]


def row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def head(cells: Sequence[object]) -> Iterator[str]:
    yield row(cells)
    yield "|" + " --- |" * len(cells)


def title(regime: Regime) -> str:
    name, encoder, loss = regime.key
    return f"{name}, {encoder}" + ("" if loss == "all" else f", {loss}")


def setup(regimes: list[Regime]) -> Iterator[str]:
    """What training does in each regime."""
    yield from head(
        ["regime", "rate", "before", "no hard negatives", "worst judged set", "best judged set", "sd over seeds"]
    )
    for regime in regimes:
        some = [name for name in regime.sets if judged(name)]
        truth = [regime.mean(name) for name in some]
        spread = float(np.mean([regime.spread(name) for name in some]))
        values = [regime.before, regime.mean("none"), min(truth), max(truth)]
        end = "-" if np.isnan(spread) else f"{spread:.4f}"
        yield row([title(regime), f"{regime.rate:g}", *(f"{value:.3f}" for value in values), end])


def agreement(regimes: list[Regime], alike: bool) -> Iterator[str]:
    """Spearman of every predictor with the truth; ``alike``: among sets of about seven negatives only."""
    yield from head(["predictor", *map(title, regimes), "mean", "lowest"])
    lines = []
    for predictor, label in SHOWN.items():
        cells = []
        for regime in regimes:
            some = names(regime, equal(regime) if alike else judged, predictor)
            values = [regime.predicted[predictor][name] for name in some]
            cells.append(judge.spearman(values, [regime.mean(name) for name in some]) if len(some) > 5 else np.nan)
        lines.append((label, cells))
    yield from numbers(lines, 2, max)
    some = [[n for n in r.sets if (equal(r) if alike else judged)(n)] for r in regimes]
    ceilings = [r.ceiling(n) for r, n in zip(regimes, some, strict=True)]
    yield row(["*ceiling*", *(f"*{c:.2f}*" for c in ceilings), f"*{np.mean(ceilings):.2f}*", f"*{min(ceilings):.2f}*"])
    yield row(["sets", *map(len, some), "", ""])


def numbers(lines: list[tuple[str, list[float]]], digits: int, best: Callable[[float, float], float]) -> Iterator[str]:
    """Rows, the best mean first, with the mean and the worst; those that lack a cell come last and have neither."""
    sign = -1 if best is max else 1
    for label, cells in sorted(
        lines, key=lambda line: (np.isnan(line[1]).any(), sign * np.nan_to_num(np.mean(line[1])))
    ):
        if not np.isnan(cells).all():
            worst = min(cells) if best is max else max(cells)
            whole = ["", ""] if np.isnan(cells).any() else [f"{np.mean(cells):.{digits}f}", f"{worst:.{digits}f}"]
            yield row([label, *("-" if np.isnan(c) else f"{c:.{digits}f}" for c in cells), *whole])


def regrets(regimes: list[Regime], alike: bool) -> Iterator[str]:
    """nDCG that the first choice lacks against the best judged set."""
    yield from head(["first choice of", *map(title, regimes), "mean", "most"])
    lines = []
    for predictor, label in SHOWN.items():
        cells = []
        for regime in regimes:
            some = names(regime, equal(regime) if alike else judged, predictor)
            values = np.array([regime.predicted[predictor][name] for name in some])
            truth = np.array([regime.mean(name) for name in some])
            cells.append(judge.regret(values, truth) if len(some) > 5 else np.nan)
        lines.append((label, cells))
    for name in FIXED:
        cells = []
        for regime in regimes:
            some = [n for n in regime.sets if (equal(regime) if alike else judged)(n)]
            cells.append(max(map(regime.mean, some)) - regime.mean(name) if name in regime.sets else np.nan)
        lines.append((f"always `{name}`", cells))
    cells = []
    for regime in regimes:
        some = [n for n in regime.sets if (equal(regime) if alike else judged)(n)]
        cells.append(max(map(regime.mean, some)) - np.mean([*map(regime.mean, some)]))
    lines.append(("*any, by chance*", cells))
    yield from numbers(lines, 4, min)


def detail(regimes: list[Regime], predictors: Sequence[str]) -> Iterator[str]:
    """Intervals over queries and sets, Kendall's tau, and the exact p of the single sources."""
    yield from head(["regime", "predictor", "Spearman (95 %)", "Kendall", "single sources", "p"])
    for regime in regimes:
        for predictor in predictors:
            some = names(regime, judged, predictor)
            if len(some) < 6:
                continue
            values = np.array([regime.predicted[predictor][n] for n in some])
            truth = [regime.mean(n) for n in some]
            low, high = judge.resampled(values, regime.matrix(some))
            alone = [n for n in some if single(n)]
            one = [regime.predicted[predictor][n] for n in alone]
            other = [regime.mean(n) for n in alone]
            yield row([
                title(regime), SHOWN[predictor].strip("*"),
                f"{judge.spearman(values, truth):.2f} ({low:.2f} to {high:.2f})", f"{judge.kendall(values, truth):.2f}",
                f"{judge.spearman(one, other):.2f} of {len(alone)}", chance(judge.exact_p(one, other)),
            ])  # fmt: skip


def chance(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


RECIPES = ("recipe.product", "recipe.sentence_transformers", "recipe.flagembedding", "random.top", "none")


def recipes(regimes: list[Regime]) -> Iterator[str]:
    """Trained nDCG@10 of what tools make by default, and hardneg's less each other, with 95 % intervals."""
    ours, st, flag, rand, none = RECIPES
    tools = ["hardneg", "sentence-transformers", "hardneg less it", "FlagEmbedding", "hardneg less it"]
    yield from head(["regime", "seeds", "before", "none", "random", *tools])
    every: list[list[Floats]] = []
    for regime in regimes:
        seeds = [found for found in regime.every.values() if all(name in found for name in RECIPES)]
        if seeds:
            every.append([apart(seeds, ours, other) for other in (st, flag)])
            cells = {name: f"{np.mean([found[name].mean() for found in seeds]):.4f}" for name in RECIPES}
            first = [title(regime), len(seeds), f"{regime.before:.4f}", cells[none], cells[rand], cells[ours]]
            second = [f"{cells[st]} ({regime.sizes[st]:.1f} each)", less(every[-1][0]), cells[flag], less(every[-1][1])]
            yield row([*first, *second])
    mean = [less(np.mean(draws, axis=0)) for draws in zip(*every, strict=True)]
    yield row(["*mean*", "", "", "", "", "", "", mean[0], "", mean[1]])


def picks(regimes: list[Regime]) -> Iterator[str]:
    """What the probe chooses among the sets of about seven negatives, less what the tools make by default."""
    _, st, flag, *_ = RECIPES
    others = ["sentence-transformers", "FlagEmbedding", "always dense, calibrated", "always random"]
    yield from head(["regime", "the probe's choice", "nDCG@10", *(f"less {other}" for other in others)])
    every: list[list[Floats]] = []
    for regime in regimes:
        some = names(regime, equal(regime), "probe: score")
        if some and st in regime.sets:
            chosen = max(some, key=lambda name: regime.predicted["probe: score"][name])
            fixed = [st, flag, "dense.top.calibrated_self", "random.top"]
            every.append([apart([*regime.groups.values()], chosen, other) for other in fixed])
            yield row([title(regime), f"`{chosen}`", f"{regime.mean(chosen):.4f}", *map(less, every[-1])])
    if every:
        yield row(["*mean*", "", "", *(less(np.mean(draws, axis=0)) for draws in zip(*every, strict=True))])


def cell(regime: Regime, name: str) -> str:
    return f"{regime.mean(name):.4f} ({regime.spread(name):.4f})"


def apart(seeds: list[dict[str, Floats]], one: str, other: str, resamples: int = 2_000) -> Floats:
    """The difference of two sets [1 + resamples], the first the observed one; held-out queries (groups) and seeds are
    resampled, paired.
    """
    rng = np.random.default_rng(0)
    difference = np.array([found[one] - found[other] for found in seeds])
    count, groups = difference.shape
    draws = [difference.mean()]
    for _ in range(resamples):
        draws.append(difference[rng.integers(0, count, count)][:, rng.integers(0, groups, groups)].mean())
    return np.array(draws)


def less(draws: Floats) -> str:
    """A difference with its 95 % interval."""
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return f"{draws[0]:+.4f} ({low:+.4f} to {high:+.4f})"


def losses(regimes: list[Regime]) -> Iterator[str]:
    """How alike the truths of one collection are under other losses, encoders and the trainer."""
    yield from head(["one", "other", "sets", "Spearman"])
    for one, other in combinations(regimes, 2):
        same = [n for n in one.sets if n in other.sets and judged(n)]
        if one.key[0] == other.key[0] and len(same) > 5:
            value = judge.spearman([*map(one.mean, same)], [*map(other.mean, same)])
            yield row([title(one), title(other), len(same), f"{value:.2f}"])


def sets(regime: Regime) -> Iterator[str]:
    """Every set of one regime, the best first."""
    yield from head(
        [
            "set",
            "size",
            "nDCG@10 (sd over seeds)",
            "recall@100",
            "judged relevant",
            "probe",
            "eci_v1",
            "eci_sem",
            "hardness",
            "safety",
        ]
    )
    for name in sorted(regime.sets, key=lambda n: -regime.mean(n)):
        numbers = [
            regime.predicted.get(p, {}).get(name) for p in ("probe: score", "eci_v1", "eci_sem", "hardness", "safety")
        ]
        yield row([
            f"`{name}`", regime.sizes[name], cell(regime, name), f"{regime.recall[name]:.3f}",
            f"{100 * regime.false[name]:.1f} %", *("" if n is None else f"{n:.3f}" for n in numbers),
        ])  # fmt: skip


ASKED = ("probe: score", "eci_v1", "eci_sem", "hardness", "safety", "loss at start", "gradient agreement")


def attention(regime: Regime) -> Iterator[str]:
    """An encoder with attention: what every set gave, what was said of it, and how well each predictor ordered them."""
    yield from head(["set", "negatives", "false", "nDCG@10", *(SHOWN[name].strip("*") for name in ASKED)])
    for name in sorted(regime.sets, key=lambda n: -regime.mean(n)):
        said = [regime.predicted.get(p, {}).get(name) for p in ASKED]
        cells = ["" if value is None else f"{value:.3f}" for value in said]
        yield row(
            [f"`{name}`", f"{regime.sizes[name]:.1f}", f"{regime.false[name]:.1%}", f"{regime.mean(name):.4f}", *cells]
        )
    cells, count = [], len([name for name in regime.sets if judged(name)])
    for predictor in ASKED:
        some = names(regime, judged, predictor)
        values = [regime.predicted[predictor][name] for name in some]
        cells.append(f"{judge.spearman(values, [*map(regime.mean, some)]):.2f}" if len(some) > 5 else "")
    yield row([f"*Spearman, {count} sets*", "", "", f"before {regime.before:.4f}", *cells])
