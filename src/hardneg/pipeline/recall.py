"""How much of what is near an approximate search finds: measured once a job, on a few queries drawn from all."""

from __future__ import annotations

from typing import Any

import numpy as np

from hardneg.arrays import Float64, offsets_of, span, taken
from hardneg.false_negatives.share import wilson
from hardneg.pipeline import graph
from hardneg.pipeline.batches import Loader
from hardneg.protocols import Approximate, Approximation


def measured(part: Approximate, about: Approximation, loader: Loader, examples: int) -> dict[str, Any]:
    """The mean share that is found, with its 95 % interval, and what it was measured on.

    The queries are drawn by a fixed seed. Each costs one product with the whole matrix.
    """
    drawn = np.sort(np.random.default_rng(0).choice(examples, min(examples, about.queries), replace=False))
    queries: list[str] = []
    barred = [np.zeros(0, np.int64)]
    shards, places = np.divmod(drawn, graph.SHARD)
    for shard in np.unique(shards).tolist():
        batch = loader.examples(shard)
        offsets, rows = batch.barred()
        own = places[shards == shard]
        own = own[own < len(batch)]  # examples may have been left out
        queries += taken(batch.queries, own)
        barred += [rows[span(offsets, i)] for i in own.tolist()]
    offsets = offsets_of([len(rows) for rows in barred[1:]])
    shares = part.recall(loader.corpus, queries, offsets, np.concatenate(barred))
    return _interval(shares) | {"kind": about.kind, "depth": about.depth, "queries": len(shares), "key": about.key}


def _interval(shares: Float64) -> dict[str, float]:
    """Wilson's, for as many answers as would vary as much if each neighbour of a query were an answer of its own; where
    nothing varies, for as many as there are queries. Without any query anything is possible.
    """
    if not len(shares):  # all of the drawn examples were left out
        return {"value": 1.0, "low": 0.0, "high": 1.0}
    value, spread = float(shares.mean()), float(shares.var(ddof=1)) if len(shares) > 1 else 0.0
    answers = value * (1 - value) * len(shares) / spread if spread else len(shares)
    low, high = wilson(value, max(1, round(answers)))
    return {"value": value, "low": low, "high": high}
