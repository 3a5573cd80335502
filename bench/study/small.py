"""A part of the study in a minute: the Wikipedia summaries with few queries, the static encoder, 12 sets, two seeds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench.study import judge, tables, views
from bench.study.orders import Rows, Start, lists
from bench.study.sets import drawn, first, treatments
from bench.study.train import Training
from bench.study.truth import fit, measure, prepare

from hardneg.probe import probe

RATE = 2e-3
SEEDS = (0, 1)


def some_sets(start: Start) -> Iterator[tuple[str, Rows]]:
    """Sets of sources that need no other encoder than the target."""
    rng = np.random.default_rng(0)
    bm25, dense = lists(start.bm25.top), lists(start.dense.top)
    keep = treatments(start)
    n, count = len(start.own), len(start.passages)
    chance = rng.integers(0, count - 1, (n, 7))
    chance += chance >= start.own[:, None]
    for name, order in (("bm25", bm25), ("dense", dense)):
        yield f"{name}.top", first(order)
        yield f"{name}.mid", drawn(order, 10, 50)
        yield f"{name}.far", drawn(order, 100, 300)
        yield f"{name}.top.calibrated_self", first(order, keep=keep["calibrated_self"])
        yield f"{name}.top.margin", first(order, keep=keep["margin"])
    yield "positive.top", first(lists(views.best(start.passages[start.own] @ start.passages.T, start.own, 60)))
    yield "random.top", lists(chance)


def run(cache: Path) -> None:
    """Trains, asks the probe, prints both orders and how they agree."""
    begin = time.perf_counter()
    start, weights = prepare("few", "static", None, cache)
    sets = dict(some_sets(start))
    trained = {
        name: [float(measure(start, fit(start, weights, rows, Training(rate=RATE), seed))["ndcg"]) for seed in SEEDS]  # type: ignore[arg-type]
        for name, rows in sets.items()
    }
    scores = probe(start.queries, start.passages, start.own, sets)
    for line in tables.head(["set", "trained nDCG@10, two seeds", "probe (95 %)"]):
        print(line)
    for name in sorted(sets, key=lambda name: -np.mean(trained[name])):
        score = scores[name]
        cells = [
            name,
            " ".join(f"{v:.4f}" for v in trained[name]),
            f"{score.score:.4f} ({score.low:.4f} to {score.high:.4f})",
        ]
        print(tables.row(cells))
    agreement = judge.spearman([scores[n].score for n in sets], [float(np.mean(trained[n])) for n in sets])
    print(f"\nSpearman {agreement:.2f} over {len(sets)} sets; {time.perf_counter() - begin:.0f} s")
