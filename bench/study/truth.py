"""Trains the static encoders on every set, several seeds, and writes what each then finds."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from bench.study import static, texts
from bench.study.lines import Lines
from bench.study.orders import Start
from bench.study.sets import kept, product
from bench.study.train import Training, evaluate, train_static
from numpy.typing import NDArray

GROUPS = 32
"""Held-out queries are kept as means of so many groups, which is what intervals need and no more."""

RATES = (1e-3, 2e-3, 5e-3, 1e-2)

KEYS = ("collection", "encoder", "loss", "rate", "set", "seed")


def prepare(name: str, encoder: str, data: Path | None, cache: Path) -> tuple[Start, NDArray[np.float32]]:
    """A collection under an untrained static encoder, and that encoder's word table."""
    found = texts.load(name, data)
    bags = static.Bags.of(found.passages + found.queries)
    weights = static.start(encoder)
    embedded = bags.embed_all(torch.from_numpy(weights[bags.vocabulary]))
    n = len(found.passages)
    return Start(found, bags, cache / name, embedded[n + found.train], embedded[:n]), weights


def grouped(values: NDArray[np.float32]) -> list[float]:
    """The mean of each group of queries [32]."""
    return [round(float(values[g::GROUPS].mean()), 4) for g in range(GROUPS)]


def measure(start: Start, table: torch.Tensor) -> dict[str, object]:
    """nDCG@10 and recall@100 of held-out queries."""
    n = len(start.texts.passages)
    embedded = start.bags.embed_all(table)
    relevant = [start.texts.relevant[i] for i in start.texts.test]
    ndcg, recall = evaluate(embedded[n + start.texts.test], embedded[:n], relevant)
    return {
        "ndcg": round(float(ndcg.mean()), 5), "recall": round(float(recall.mean()), 5), "groups": grouped(ndcg)
    }  # fmt: skip


def rate_of(start: Start, weights: NDArray[np.float32], lines: Lines, name: str, encoder: str) -> float:
    """The rate at which training without hard negatives goes best: chosen once, the same for all sets."""
    best = (-1.0, 0.0)
    for rate in RATES:
        table = fit(start, weights, [[]] * len(start.own), Training(rate=rate), seed=99)
        best = max(best, (float(measure(start, table)["ndcg"]), rate))  # type: ignore[arg-type]
    lines.add({"collection": name, "encoder": encoder, "loss": "all", "rate": best[1], "set": "rate", "seed": 99})
    return best[1]


def fit(start: Start, weights: NDArray[np.float32], negatives, plan: Training, seed: int) -> torch.Tensor:
    return train_static(
        start.bags, weights, start.texts.train, len(start.texts.passages), start.own, negatives, plan, seed
    )


def run(
    name: str,
    encoder: str,
    data: Path | None,
    cache: Path,
    out: Path,
    loss: str = "all",
    rate: float | None = None,
    seeds: tuple[int, ...] = (0, 1, 2),
    only: tuple[str, ...] = (),
) -> None:
    """All runs of one collection, encoder and loss that are not there yet."""
    lines = Lines(out, *KEYS)
    start, weights = prepare(name, encoder, data, cache)
    if rate is None:
        known = [key for key in lines.done if key[0] == name and key[1] == encoder and key[4] == "rate"]
        rate = known[0][3] if known else rate_of(start, weights, lines, name, encoder)
    settings = {"collection": name, "encoder": encoder, "loss": loss, "rate": rate}
    if lines.lacks(**settings, set="before", seed=0):
        untrained = torch.from_numpy(weights[start.bags.vocabulary])
        lines.add({**settings, "set": "before", "seed": 0, "size": 0, **measure(start, untrained)})
    sets = kept(start, encoder) | {"recipe.product": product(start, static.model(weights), encoder)}
    judged = [set(start.texts.relevant[i]) for i in start.texts.train]
    for seed in seeds:
        for label, rows in sets.items():
            if (only and label not in only) or not lines.lacks(**settings, set=label, seed=seed):
                continue
            begin = time.perf_counter()
            table = fit(start, weights, rows, Training(rate=rate, loss=loss), seed)
            count = sum(map(len, rows))
            false = sum(int(r) in own for own, row in zip(judged, rows, strict=True) for r in row)
            lines.add({
                **settings, "set": label, "seed": seed, "size": round(count / len(rows), 2),
                "false": round(false / max(count, 1), 4), **measure(start, table),
                "seconds": round(time.perf_counter() - begin, 1),
            })  # fmt: skip
