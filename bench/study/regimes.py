"""The lines, put together: for every collection, encoder and loss the truth of each set beside its predictors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench.study import judge
from bench.study.lines import read
from numpy.typing import NDArray

from hardneg.probe import NATS

Floats = NDArray[np.float64]
Key = tuple[str, str, str]


@dataclass(eq=False)
class Regime:
    """``groups``: seed -> set -> nDCG@10 of 32 groups of held-out queries, of the seeds that trained on all sets;
    ``every``: of all seeds; ``predicted``: predictor -> set -> value.
    """

    key: Key
    before: float
    rate: float
    sizes: dict[str, float]
    false: dict[str, float]
    recall: dict[str, float]
    groups: dict[int, dict[str, Floats]]
    every: dict[int, dict[str, Floats]]
    predicted: dict[str, dict[str, float]]

    @property
    def sets(self) -> list[str]:
        """What every seed has trained on, in a fixed order."""
        first, *rest = [set(found) for found in self.groups.values()]
        return sorted(first.intersection(*rest))

    def mean(self, name: str) -> float:
        return float(np.mean([found[name].mean() for found in self.groups.values()]))

    def matrix(self, names: Iterable[str]) -> Floats:
        """nDCG@10 [s, 32], the mean over seeds."""
        return np.array([np.mean([found[name] for found in self.groups.values()], axis=0) for name in names])

    def spread(self, name: str) -> float:
        """The standard deviation over seeds."""
        values = [found[name].mean() for found in self.groups.values()]
        return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")

    def ceiling(self, names: list[str]) -> float:
        return judge.ceiling({s: np.array([found[n] for n in names]) for s, found in self.groups.items()})


def judged(name: str) -> bool:
    """What predictors are judged on: no unions, no oracle, no recipe (those repeat other sets), no empty set."""
    return "+" not in name and "oracle" not in name and not name.startswith("recipe") and name not in {"none", "before"}


def single(name: str) -> bool:
    """One set a source: its first seven."""
    return name.count(".") == 1 and name.endswith(".top") and judged(name)


def equal(regime: Regime) -> Callable[[str], bool]:
    """Judged sets of about seven negatives a query."""
    return lambda name: judged(name) and 6.5 <= regime.sizes[name] <= 7.5


OWN = "probe, own negatives only"


def mirrored(predicted: dict[str, dict[str, float]], loss: str) -> dict[str, dict[str, float]]:
    """Predictors for one loss: ``probe`` is the one with that loss, ``other probe`` the one with the other loss."""
    out = {name: values for name, values in predicted.items() if not name.startswith(("probe: ", OWN))}
    for name, values in predicted.items():
        for what, is_own in ((OWN + ": ", True), ("probe: ", False)):
            if name.startswith(what):
                out[("probe: " if is_own == (loss == "own") else "other probe: ") + name.removeprefix(what)] = values
    for name in [name for name in out if name.endswith(": mrr")]:  # hardneg.probe's score, from its parts
        nats = out[name.replace(": mrr", ": log-likelihood")]
        out[name.replace(": mrr", ": score")] = {s: value + float(NATS) * nats[s] for s, value in out[name].items()}
    return out


ORDER = ("all", "own", "static", "poor", "squad", "wordnet", "wiki", "kinds", "cranfield")


def place(key: Key) -> tuple[tuple[int, str], ...]:
    """Where a regime stands: by loss, encoder and collection, those without a place of their own last."""
    collection, encoder, loss = key
    return tuple((ORDER.index(name) if name in ORDER else len(ORDER), name) for name in (loss, encoder, collection))


def load(folder: Path) -> list[Regime]:
    """All regimes, each loss and encoder together."""
    truth: dict[Key, list[dict]] = defaultdict(list)
    for line in read(folder / "truth.jsonl"):
        if "ndcg" in line:
            truth[line["collection"], line["encoder"], line["loss"]].append(line)
    predicted: dict[tuple[str, str], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for line in read(folder / "predict.jsonl"):
        for name, value in line["values"].items():
            label = name if line["what"] in {"one pass", "learnt"} else f"{line['what']}: {name}"
            predicted[line["collection"], line["encoder"]][label][line["set"]] = value
    out = []
    for key, lines in sorted(truth.items(), key=lambda item: place(item[0])):
        groups: dict[int, dict[str, Floats]] = defaultdict(dict)
        for line in lines:
            if line["set"] != "before":
                groups[line["seed"]][line["set"]] = np.array(line["groups"])
        most = max(map(len, groups.values()))
        out.append(
            Regime(
                key,
                next((line["ndcg"] for line in lines if line["set"] == "before"), float("nan")),
                lines[0]["rate"],
                {line["set"]: line["size"] for line in lines},
                {line["set"]: line.get("false", 0.0) for line in lines},
                {line["set"]: line["recall"] for line in lines},
                {seed: found for seed, found in groups.items() if len(found) == most},
                dict(groups),
                mirrored(predicted[key[0], key[1]], key[2]),
            )
        )
    return out
