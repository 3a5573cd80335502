"""Numbers of a set of negatives from one pass over the untrained target's embeddings: what anyone can have for nothing.

All are written so that more is better; those of which less is said to be better are negated, and named with a minus.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from bench.study.orders import Rows, Start
from bench.study.sets import probability
from numpy.typing import NDArray

from hardneg import eci

Floats = NDArray[np.float64]

SCALE = 20.0


@dataclass(eq=False)
class Flat:
    """One set, flat: ``rows`` [m] and ``owners`` [m]; n queries with their unit vectors."""

    start: Start
    rows: NDArray[np.int64]
    owners: NDArray[np.int64]

    @classmethod
    def of(cls, start: Start, sets: Rows) -> Flat:
        owners = np.repeat(np.arange(len(sets)), list(map(len, sets)))
        return cls(start, np.concatenate(sets).astype(np.int64), owners)

    @cached_property
    def minus(self) -> Floats:
        """s(q, n) [m]."""
        return self.start.similarities[self.owners, self.rows].astype(np.float64)

    def total(self, values: Floats) -> Floats:
        """The sum over each query's negatives [n]."""
        return np.bincount(self.owners, weights=values, minlength=len(self.start.plus))

    @cached_property
    def softmax(self) -> tuple[Floats, Floats]:
        """The share of the positive [n] and of each negative [m] in a query's softmax."""
        apart = np.exp(SCALE * (self.minus - self.start.plus[self.owners]))
        whole = 1 + self.total(apart)
        return 1 / whole, apart / whole[self.owners]


def parts(flat: Flat) -> dict[str, float]:
    """ECI of version 1, its parts, and eci_v1 of the hardest seven and of the hardest one."""
    plus, minus = flat.start.plus.astype(np.float64), flat.minus
    bounds = np.concatenate([[0], np.cumsum(np.bincount(flat.owners, minlength=len(plus)))])
    every = np.ones((len(minus), 1), dtype=bool)
    columns = eci.per_query_of_sets(plus, minus, bounds, every, (7, 1)).mean(axis=0)[0]
    terms = eci.terms_of(columns)
    out = {name: float(terms[name][0]) for name in ("eci_v1", "hardness", "safety", "size")}
    out |= {"eci_v1@7": float(terms["eci_v1"][1]), "eci_v1@1": float(terms["eci_v1"][2])}
    above = (minus >= plus[flat.owners]).mean()
    out["-share above the positive"] = -float(above)
    return out


def weights_of_words(start: Start) -> tuple[Floats, list[NDArray[np.int64]]]:
    """The idf of every word piece, and the distinct pieces of every text."""
    bags, count = start.bags, len(start.texts.passages)
    pieces = [np.unique(part) for part in np.split(bags.ids, bags.offsets[1:-1])]
    seen = np.bincount(np.concatenate(pieces[:count]), minlength=len(bags.vocabulary))
    return np.log(1 + count / (1 + seen)), pieces


def sem(flat: Flat, words: tuple[Floats, list[NDArray[np.int64]]], most: int = 8_000) -> float:
    """eci_sem, of at most 8,000 triples drawn by seed; words are word pieces."""
    start, (idf, pieces) = flat.start, words
    some = np.random.default_rng(0).permutation(len(flat.rows))[:most]
    rows, owners = flat.rows[some], flat.owners[some]
    p, n = start.passages[start.own[owners]], start.passages[rows]
    shared, whole = np.zeros(len(some)), np.zeros(len(some))
    for i, (row, owner) in enumerate(zip(rows, start.texts.train[owners] + len(start.texts.passages), strict=True)):
        whole[i] = idf[pieces[owner]].sum()
        shared[i] = idf[np.intersect1d(pieces[owner], pieces[row], assume_unique=True)].sum()
    consistency = eci.target_consistency(start.plus[owners], flat.minus[some])
    near = eci.locality(np.einsum("md,md->m", p, n))
    weights = consistency * near * eci.lexical_residuality(shared, whole)
    return eci.eci_sem(weights, eci.residual_directions(p, n))


def contrast(flat: Flat) -> dict[str, float]:
    """The loss before training, raw and masked as GISTEmbed masks, and what its softmax says."""
    plus, minus = flat.start.plus, flat.minus
    positive, negative = flat.softmax
    masked = np.where(minus > plus[flat.owners], 0.0, np.exp(SCALE * (minus - plus[flat.owners])))
    mass, square = flat.total(negative), flat.total(negative**2)
    some = square > 0
    apart = SCALE * (minus - plus[flat.owners])
    return {
        "loss at start": float(-np.log(positive).mean()),
        "loss at start, masked": float(np.log1p(flat.total(masked)).mean()),
        "effective number": float((mass[some] ** 2 / square[some]).sum() / len(plus)),
        "SimANS mass": float(np.exp(-0.5 * apart**2).mean()),
        "positive first": float((flat.total((minus >= plus[flat.owners]).astype(float)) == 0).mean()),
    }


def gradients(flat: Flat, folds: tuple[NDArray[np.int64], NDArray[np.int64]], dev: Floats) -> dict[str, float]:
    """The loss's gradient with respect to one map of queries and passages, at the identity: its size per query, and
    its agreement with ``dev`` [d, d], the gradient of the other half's log-likelihood over the corpus.
    """
    start = flat.start
    positive, negative = flat.softmax
    pull = np.zeros(start.queries.shape)
    np.add.at(pull, flat.owners, negative[:, None] * start.passages[flat.rows])
    pull -= (1 - positive)[:, None] * start.passages[start.own]
    own = pull[folds[0]].T @ start.queries[folds[0]] / len(folds[0])
    own = own + own.T
    agreement = float((own * dev).sum())
    size = float(np.linalg.norm(own) * np.linalg.norm(dev))
    return {
        "gradient norm": float(SCALE * np.linalg.norm(pull, axis=1).mean()),
        "gradient agreement": agreement / size if size > 0 else 0.0,
        "gradient step": agreement,
    }


def corpus_gradient(start: Start, queries: NDArray[np.int64]) -> Floats:
    """Float64 [d, d]: the gradient of the negative log-softmax of the positive among all passages, for some queries."""
    out = np.zeros((start.queries.shape[1],) * 2)
    for some in np.array_split(queries, max(1, len(queries) // 128)):
        logits = SCALE * start.similarities[some]
        share = np.exp(logits - logits.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        pull = share @ start.passages - start.passages[start.own[some]]
        out += pull.T @ start.queries[some]
    return (out + out.T) / len(queries)


def geometry(flat: Flat, most: int = 2_000) -> dict[str, float]:
    """Diversity of a query's negatives, alignment and uniformity."""
    start = flat.start
    bounds = np.concatenate([[0], np.cumsum(np.bincount(flat.owners, minlength=len(start.plus)))])
    spread = []
    for begin, end in pairwise(bounds):
        own = start.passages[flat.rows[begin:end]].astype(np.float64)
        spread.append(eci_log_det(own))
    rng = np.random.default_rng(0)
    pool = np.concatenate([start.own, flat.rows])
    x, y = start.passages[rng.choice(pool, most)], start.passages[rng.choice(pool, most)]
    distance = 2 - 2 * np.einsum("md,md->m", x, y)
    return {
        "diversity": float(np.mean(spread)),
        "-uniformity": float(-np.log(np.exp(-2 * distance).mean())),
    }


def eci_log_det(own: Floats) -> float:
    """ln det(I + N N^T) of a query's negatives [k, d]: 0 without any."""
    return float(np.linalg.slogdet(np.eye(len(own)) + own @ own.T)[1]) if len(own) else 0.0


def predictors(start: Start) -> Callable[[Rows], dict[str, float]]:
    """A function from a set to all its numbers; what does not depend on the set is computed once."""
    halves = np.random.default_rng(0).permutation(len(start.own))
    folds = (halves[::2], halves[1::2])
    dev = corpus_gradient(start, folds[1])
    doubt = probability(start, "dense", "bm25")
    words = weights_of_words(start)

    def of(sets: Rows) -> dict[str, float]:
        flat = Flat.of(start, sets)
        if not len(flat.rows):
            return {}
        false = np.concatenate([doubt(i, row) for i, row in enumerate(sets) if len(row)])
        out = parts(flat) | contrast(flat) | gradients(flat, folds, dev) | geometry(flat)
        out |= {"eci_sem": sem(flat, words), "-estimated false": -float(false.mean())}
        out["null: ln(1 + size)"] = float(np.log1p(out["size"]))
        return out

    return of
