"""The truth: an encoder trained on a set of negatives, and what it then finds for queries that it never saw.

The loss is sentence-transformers' MultipleNegativesRankingLoss with hard negatives: the positives and all hard
negatives of a batch are the candidates of each of its queries (``own``: a query sees the positives and its own
negatives only). A candidate that is the query's own positive once more is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from bench.study.static import Bags
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Training:
    """How it is trained: everything that changes the result."""

    rate: float = 2e-3
    epochs: int = 3
    batch: int = 64
    scale: float = 20.0
    loss: str = "all"


def batches(count: int, plan: Training, seed: int) -> list[Ints]:
    """The queries of every step: each epoch goes through all of them in a new order; what is left over waits."""
    rng = np.random.default_rng(seed)
    steps = count // plan.batch
    return [part for _ in range(plan.epochs) for part in np.split(rng.permutation(count)[: steps * plan.batch], steps)]


def loss(queries: torch.Tensor, documents: torch.Tensor, rows: Ints, owners: Ints, plan: Training) -> torch.Tensor:
    """The mean cross-entropy of a batch: ``documents`` [b + m, d], the b positives first; ``rows`` [b + m] and
    ``owners`` [b + m] say which passage of the corpus each is and whose.
    """
    b = len(queries)
    logits = plan.scale * queries @ documents.T
    hidden = rows[None, :] == rows[:b, None]
    if plan.loss == "own":
        hidden |= (owners[None, :] != np.arange(b)[:, None]) & (np.arange(len(rows)) >= b)[None, :]
    hidden[np.arange(b), np.arange(b)] = False
    logits = logits.masked_fill(torch.from_numpy(hidden), -1e9)
    return torch.nn.functional.cross_entropy(logits, torch.arange(b))


def train_static(
    bags: Bags,
    weights: Floats,
    queries: Ints,
    passages: int,
    positives: Ints,
    negatives: Sequence[Sequence[int]],
    plan: Training,
    seed: int,
    watch: Callable[[int, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """The trained word table. Texts of ``bags``: first all passages, then all queries; ``queries`` [n] are query
    numbers, ``positives`` [n] and ``negatives`` (n lists) rows of passages. The rate falls linearly to 0.
    """
    table = torch.nn.Parameter(torch.from_numpy(weights[bags.vocabulary]))
    optimizer = torch.optim.Adam([table], lr=plan.rate, fused=True)
    steps = batches(len(queries), plan, seed)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / len(steps))
    for number, some in enumerate(steps):
        own = [np.asarray(negatives[i], dtype=np.int64) for i in some]
        rows = np.concatenate([positives[some], *own])
        owners = np.concatenate([np.arange(len(some)), np.repeat(np.arange(len(some)), [len(o) for o in own])])
        distinct, place = np.unique(rows, return_inverse=True)
        both = bags.embed(table, np.concatenate([distinct, queries[some] + passages]))  # one gradient of the table
        value = loss(both[len(distinct) :], both[torch.from_numpy(place)], rows, owners, plan)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        if watch is not None:
            watch(number, table)
    return table.detach()


def evaluate(queries: Floats, passages: Floats, relevant: Sequence[Sequence[int]]) -> tuple[Floats, Floats]:
    """nDCG@10 and recall@100 of each query over the whole corpus; every judged passage has gain 1."""
    ndcg, recall = np.zeros(len(queries), np.float32), np.zeros(len(queries), np.float32)
    discount = 1 / np.log2(np.arange(2, 12))
    for begin in range(0, len(queries), 256):
        scores = queries[begin : begin + 256] @ passages.T
        top = np.argpartition(-scores, 100, axis=1)[:, :100]
        top = np.take_along_axis(top, np.argsort(-np.take_along_axis(scores, top, 1), axis=1), 1)
        for i, found in enumerate(top, begin):
            hits = np.isin(found, relevant[i])
            ndcg[i] = (hits[:10] * discount).sum() / discount[: min(10, len(relevant[i]))].sum()
            recall[i] = hits.sum() / min(100, len(relevant[i]))
    return ndcg, recall
