"""The triples of eci_sem in a batch: each candidate with each positive of its query."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hardneg import eci
from hardneg.arrays import Bool, Float64, Int64
from hardneg.data.batch import Batch
from hardneg.data.word_weights import lexicon, words
from hardneg.models.embeddings import candidate_embeddings, dots, row_embeddings
from hardneg.protocols import Encoder

CANDIDATES_PER_BLOCK = 8_192


def moments(batch: Batch, encoder: Encoder, scorer: str, members: Bool) -> dict[bytes, eci.Moments]:
    """Moments of the batch's candidates by the sets that they are in.

    ``members`` bool [m, sets]; a key is a row of it, as bytes, so a set's moments are the sum of those whose key has
    it. ``scorer`` has the similarities of ``encoder``. Embeddings come from the cache.
    """
    out: dict[bytes, eci.Moments] = {}
    used = np.flatnonzero(members.any(axis=1))
    if not len(used):
        return out
    patterns, cell = eci.distinct(members[used])
    positives = row_embeddings(encoder, batch.corpus, batch.positive_rows)
    scores = batch.scores[scorer]
    counts, owners = np.diff(batch.positive_offsets), batch.owners
    residuality = lexical_residuality(batch, used)
    for begin in range(0, len(used), CANDIDATES_PER_BLOCK):
        some, cells = used[begin : begin + CANDIDATES_PER_BLOCK], cell[begin : begin + CANDIDATES_PER_BLOCK]
        vectors = candidate_embeddings(encoder, batch, some)
        for place in range(int(counts[owners[some]].max())):  # usually once: most queries have one positive
            has = np.flatnonzero(counts[owners[some]] > place)
            own = batch.positive_offsets[:-1][owners[some[has]]] + place
            consistency = eci.target_consistency(scores.positives[own], scores.negatives[some[has]])
            near = eci.locality(dots(positives[own], vectors[has]))
            for number in np.unique(cells[has]):
                own_cell = cells[has] == number
                inside, key = has[own_cell], patterns[number].tobytes()
                out[key] = out.get(key, eci.Moments()) + eci.Moments.of(
                    consistency[own_cell],
                    near[own_cell],
                    residuality[begin + inside],
                    positives[own[own_cell]],
                    vectors[inside],
                )
    return out


def lexical_residuality(batch: Batch, candidates: Int64) -> Float64:
    """Float64 [len(candidates)]: the share of the query's words, weighed by idf, that the candidate lacks.

    Words are numbered, and texts that share a word with their query are found by one product of sparse matrices.
    """
    from scipy.sparse import csr_array

    known = lexicon(batch.corpus)
    texts, places = batch.texts_of(candidates)
    owners = batch.owners[candidates]
    asked, rows = np.unique(owners, return_inverse=True)
    numbers: dict[str, int] = {}
    of_query = [sorted(words(batch.queries[int(i)])) for i in asked]  # sums are rounded by their order
    for found in of_query:
        for word in found:
            numbers.setdefault(word, len(numbers))
    idf = np.array([known.idf(word) for word in numbers])

    def matrix(lists: Iterable[Iterable[str]], weights: Float64) -> csr_array:
        """A row a text: the weights of its words, of those that some query has."""
        columns = [[numbers[word] for word in found if word in numbers] for found in lists]
        flat = np.fromiter((c for row in columns for c in row), np.int64)
        ends = np.cumsum([0, *map(len, columns)])
        return csr_array((weights[flat], flat, ends), shape=(len(columns), len(numbers)))

    q = matrix(of_query, idf)
    d = matrix(map(words, texts.to_pylist()), np.ones(len(idf)))
    shared = np.asarray(q[rows].multiply(d[places]).sum(axis=1)).reshape(-1)
    whole = np.asarray(q.sum(axis=1)).reshape(-1)[rows]
    return eci.lexical_residuality(shared, whole)
