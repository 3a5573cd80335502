"""The single sources: each puts candidates of every training query into an order, without the labelled positive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from bench.study import views
from bench.study.static import Bags
from bench.study.texts import Texts
from bench.study.views import View
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = list[NDArray[np.int64]]


@dataclass(eq=False)
class Start:
    """A collection under the untrained target: unit vectors of training queries [n, d] and passages [N, d]."""

    texts: Texts
    bags: Bags
    cache: Path
    queries: Floats
    passages: Floats

    @cached_property
    def own(self) -> NDArray[np.int64]:
        """The rows of the labelled positives [n]."""
        return self.texts.positives[self.texts.train]

    @cached_property
    def plus(self) -> Floats:
        """s+ [n]."""
        return np.einsum("nd,nd->n", self.queries, self.passages[self.own])

    @cached_property
    def similarities(self) -> Floats:
        """Float32 [n, N]."""
        return self.queries @ self.passages.T

    @cached_property
    def dense(self) -> View:
        """The target itself as a retriever."""
        return View.of(self.similarities, self.passages[self.own] @ self.passages.T, self.own)

    @cached_property
    def bm25(self) -> View:
        return views.kept(self.cache / "bm25.npz", lambda: views.bm25(self.texts))

    @cached_property
    def mini(self) -> View:
        """The whole of MiniLM as a retriever: an encoder other than the target."""
        path = self.cache / "mini_embeddings.npz"
        return views.kept(
            self.cache / "mini.npz", lambda: views.mini(self.texts, views.mini_embeddings(self.texts, path))
        )

    @cached_property
    def maxsim(self) -> Callable[[int, NDArray[np.int64]], Floats]:
        """A reranker that needs no training: MaxSim over MiniLM's word vectors."""
        return views.maxsim(self.bags, self.texts)


def lists(rows: NDArray[np.integer]) -> Rows:
    return [row.astype(np.int64) for row in rows]


def without(left: NDArray[np.int32], right: NDArray[np.int32], depth: int = 100) -> Rows:
    """What is among the first ``depth`` of ``left`` and not among those of ``right``, in the order of ``left``."""
    return [a[~np.isin(a, b)].astype(np.int64) for a, b in zip(left[:, :depth], right[:, :depth], strict=True)]


def orders(start: Start, seed: int = 0) -> dict[str, Rows]:
    """Every single source: name -> for each training query its candidates, best first."""
    rng = np.random.default_rng(seed)
    bm25, dense, mini = start.bm25.top, start.dense.top, start.mini.top
    near = start.mini.for_query.astype(np.float32)
    reranked = np.take_along_axis(
        bm25[:, :100], np.argsort(np.take_along_axis(near, bm25[:, :100].astype(np.int64), 1), 1, kind="stable"), 1
    )
    of_positive = views.best(start.passages[start.own] @ start.passages.T, start.own, 100)
    drawn = rng.integers(0, len(start.passages) - 1, (len(bm25), 310))
    drawn += drawn >= start.own[:, None]  # any passage but the positive
    return {
        "bm25": lists(bm25),
        "dense": lists(dense),
        "mini": lists(mini),
        "reranked": lists(reranked),
        "maxsim": [row[np.argsort(-start.maxsim(i, row), kind="stable")] for i, row in enumerate(lists(bm25[:, :100]))],
        "positive": lists(of_positive),
        "dense-bm25": without(dense, bm25),
        "bm25-dense": without(bm25, dense),
        "random": [np.array(list(dict.fromkeys(row.tolist())), dtype=np.int64) for row in drawn],
        "simans": simans(start, rng),
    }


def simans(start: Start, rng: np.random.Generator, among: int = 200, a: float = 0.5, scale: float = 20.0) -> Rows:
    """Drawn without replacement from the target's first 200 with weight exp(-a (z - z+)^2), z = scale * similarity:
    those about as near as the positive (SimANS, arXiv:2210.11773, with b = 0).
    """
    out = []
    for row, top in enumerate(start.dense.top[:, :among]):
        apart = scale * (start.similarities[row, top] - start.plus[row])
        keys = -a * apart.astype(np.float64) ** 2 + rng.gumbel(size=len(top))
        out.append(top[np.argsort(-keys)].astype(np.int64))
    return out
