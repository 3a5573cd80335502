"""The probe: what a small map, trained on a set of negatives, makes of queries that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardneg.arrays import Pieces, Vectors
from hardneg.probe.score import ProbeScore, mean_and_interval
from hardneg.probe.training import Negatives, Recipe, apply, fit

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

FOLDS = 2

NATS = np.float32(0.03)
"""What a nat of log-likelihood counts beside the reciprocal rank. The likelihood sees every distractor and is precise,
but goes down with mere overconfidence; the rank does not, but is coarse. docs/explanation/study.md has both alone."""

QUERIES_AT_ONCE, PASSAGES_AT_ONCE = 512, 16_384


def probe(
    queries: ArrayLike,
    passages: ArrayLike | Pieces,
    positives: ArrayLike,
    sets: Mapping[str, Sequence[ArrayLike]],
    seed: int = 0,
    *,
    written: ArrayLike | None = None,
    distractors: int = 20_000,
    recipe: Recipe | None = None,
) -> dict[str, ProbeScore]:
    """A score of every set of negatives that predicts which trains the better retriever.

    ``queries`` float32 [n, d] and ``passages`` [N, d] (a memory map will do): unit vectors of the encoder that is to be
    trained. ``positives`` [n]: the row of each query's positive in ``passages``. ``sets``: name -> for each query the
    rows of its negatives, none or many; a row of N or more is row - N of ``written`` [w, d], vectors of texts that are
    not in the corpus. ``seed`` decides folds, batches and, where there are more than ``distractors``
    passages, which of them are asked about (and the positives with them).

    Half of the queries train a map, the other half ask it, and the other way round: each query's number comes from a
    map that did not see it. Two sets share all draws, so their difference is a paired one (`difference`); a set's score
    does not depend on the other sets. The same arguments give the same numbers on one machine.

    Memory: twice the vectors of the distractors, those of one set's distinct rows, the similarities of 512 queries.
    Raises ValueError for arrays that do not fit together, rows that do not exist, vectors that are not finite and fewer
    than four queries.
    """
    plan = recipe or Recipe()
    asked, rows = np.asarray(queries, dtype=np.float32), np.asarray(positives)
    corpus = passages if isinstance(passages, (np.ndarray, Pieces)) else np.asarray(passages, dtype=np.float32)
    extra = np.zeros((0, asked.shape[-1]), np.float32) if written is None else np.asarray(written, dtype=np.float32)
    _check(asked, corpus, rows, extra, seed, distractors)
    flat = {name: _flat(name, rows_of, len(asked), len(corpus) + len(extra)) for name, rows_of in sets.items()}
    bench = _Bench(asked, corpus, rows.astype(np.int64), extra, seed, distractors, plan)
    return {name: bench.score(*parts) for name, parts in flat.items()}


class _Bench:
    """All that does not depend on the set of negatives."""

    def __init__(
        self,
        queries: Floats,
        passages: Vectors,
        positives: Ints,
        written: Floats,
        seed: int,
        distractors: int,
        plan: Recipe,
    ) -> None:
        import torch

        draws = np.random.default_rng([seed, 0])
        some = draws.permutation(len(passages))[:distractors]
        self.rows = np.union1d(some, positives)
        self.passages, self.written, self.positives, self.plan, self.seed = passages, written, positives, plan, seed
        self.targets = np.searchsorted(self.rows, positives)
        self.asked = torch.from_numpy(queries)
        self.distractors = torch.from_numpy(_vectors(passages, written, self.rows))
        self.own = self.distractors[torch.from_numpy(self.targets)]

    def score(self, flat: Ints, offsets: Ints) -> ProbeScore:
        """Trains on each half and asks the other, as often as the recipe says."""
        import torch

        distinct, places = np.unique(flat, return_inverse=True)
        vectors = torch.from_numpy(_vectors(self.passages, self.written, distinct))
        negatives = Negatives(vectors, distinct, places, offsets)
        parts = [self._once(negatives, repeat) for repeat in range(self.plan.repeats)]
        means = np.asarray(np.mean(parts, axis=0), dtype=np.float32)
        return _scored(means, len(self.rows))

    def _once(self, negatives: Negatives, repeat: int) -> Floats:
        """Float32 [3, n]: each query's log-likelihood, reciprocal rank and nDCG@10 from a map that did not see it."""
        out = np.empty((3, len(self.asked)), dtype=np.float32)
        halves = np.array_split(np.random.default_rng([self.seed, 1, repeat]).permutation(len(self.asked)), FOLDS)
        for number, held_out in enumerate(halves):
            train = np.concatenate([half for other, half in enumerate(halves) if other != number])
            draws = [self.seed, 2, repeat, number]
            *_, weights = fit(self.asked, self.own, self.positives, negatives, train, self.plan, draws)
            likelihoods, ranks = self._ask(weights, held_out)
            out[:, held_out] = likelihoods, 1 / ranks, np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0)
        return out

    def _ask(self, weights: torch.Tensor, queries: Ints) -> tuple[Floats, Floats]:
        """The log-softmax of each query's positive among the distractors, and its rank there, equals shared."""
        import torch

        mapped = torch.cat([apply(weights, part) for part in torch.split(self.distractors, PASSAGES_AT_ONCE)])
        likelihoods, ranks = np.empty(len(queries), np.float32), np.empty(len(queries), np.float32)
        for begin in range(0, len(queries), QUERIES_AT_ONCE):
            some = queries[begin : begin + QUERIES_AT_ONCE]
            scores = self.plan.scale * apply(weights, self.asked[torch.from_numpy(some)]) @ mapped.T
            own = scores[torch.arange(len(some)), torch.from_numpy(self.targets[some])][:, None]
            above, equal = (scores > own).sum(dim=1), (scores == own).sum(dim=1)
            part = slice(begin, begin + len(some))
            likelihoods[part] = (own[:, 0] - torch.logsumexp(scores, dim=1)).numpy()
            ranks[part] = (above + (equal + 1) / 2).numpy()
        return likelihoods, ranks


def _scored(means: Floats, distractors: int) -> ProbeScore:
    likelihoods, reciprocals, ndcgs = means
    values = reciprocals + NATS * likelihoods
    score, low, high = mean_and_interval(values)
    return ProbeScore(
        score=score,
        low=low,
        high=high,
        log_likelihood=float(likelihoods.mean(dtype=np.float64)),
        mrr=float(reciprocals.mean(dtype=np.float64)),
        ndcg=float(ndcgs.mean(dtype=np.float64)),
        distractors=distractors,
        values=values,
        log_likelihoods=likelihoods,
        ndcgs=ndcgs,
    )


def _vectors(passages: Vectors, written: Floats, rows: Ints) -> Floats:
    """Float32 [len(rows), d]; ``rows`` rise, and those of N or more are of ``written``."""
    cut = int(np.searchsorted(rows, len(passages)))
    inside = np.asarray(passages[rows[:cut]], dtype=np.float32)
    out: Floats = np.concatenate([inside, written[rows[cut:] - len(passages)]])
    if not np.isfinite(out).all():
        raise ValueError("a vector of a passage is not finite")
    return out


def _flat(name: str, rows_of: Sequence[ArrayLike], queries: int, limit: int) -> tuple[Ints, Ints]:
    """A set's rows, flat, and where each query's begin [n + 1]."""
    if len(rows_of) != queries:
        raise ValueError(f"set {name!r} has negatives of {len(rows_of)} queries, not of {queries}")
    parts = [np.asarray(rows) for rows in rows_of]
    flat = np.concatenate([part.reshape(-1) for part in parts]) if parts else np.zeros(0)
    if flat.size and not np.issubdtype(flat.dtype, np.integer):
        raise ValueError(f"rows of set {name!r} must be whole numbers, not {flat.dtype}")
    if flat.size and (flat.min() < 0 or flat.max() >= limit):
        raise ValueError(
            f"set {name!r} has row {int(flat.min() if flat.min() < 0 else flat.max())}; rows end at {limit - 1}"
        )
    return flat.astype(np.int64), np.cumsum([0, *(part.size for part in parts)])


def _check(
    queries: Floats, passages: Vectors, positives: NDArray[np.generic], written: Floats, seed: int, distractors: int
) -> None:
    if queries.ndim != 2 or passages.ndim != 2 or written.ndim != 2:
        raise ValueError("queries, passages and written must be matrices")
    if not queries.shape[1] == passages.shape[1] == written.shape[1]:
        found = [part.shape[1] for part in (queries, passages, written)]
        raise ValueError(f"queries, passages and written must have the same dimensions, not {found}")
    if len(queries) < 2 * FOLDS:
        raise ValueError(f"the probe needs at least {2 * FOLDS} queries, not {len(queries)}")
    if positives.shape != (len(queries),) or not np.issubdtype(positives.dtype, np.integer):
        raise ValueError(f"positives must be one row of passages for each of {len(queries)} queries")
    if positives.min() < 0 or positives.max() >= len(passages):
        raise ValueError(f"positives must be rows of passages, within 0 and {len(passages) - 1}")
    if not np.isfinite(queries).all():
        raise ValueError("a vector of a query is not finite")
    if seed < 0 or distractors < 1:
        raise ValueError("seed must be at least 0 and distractors at least 1")
