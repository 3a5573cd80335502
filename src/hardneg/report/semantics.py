"""The triples of eci_sem in a batch: each candidate with each positive of its query."""

from __future__ import annotations

import numpy as np

from hardneg import eci
from hardneg.batch import Batch, Bools, Floats, Ints
from hardneg.lexicon import lexicon, words
from hardneg.models.embeddings import candidate_embeddings, dots, row_embeddings
from hardneg.protocols import Encoder

CANDIDATES_PER_BLOCK = 8_192


def moments(batch: Batch, encoder: Encoder, scorer: str, members: Bools) -> dict[bytes, eci.Moments]:
    """Moments of the batch's candidates by the sets that they are in.

    ``members`` bool [m, sets]; a key is a row of it, as bytes, so a set's moments are the sum of those whose key has
    it. ``scorer`` has the similarities of ``encoder``. Embeddings come from the cache.
    """
    out: dict[bytes, eci.Moments] = {}
    used = np.flatnonzero(members.any(axis=1))
    if not len(used):
        return out
    patterns, cell = np.unique(members[used], axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    positives = row_embeddings(encoder, batch.corpus, batch.positive_rows)
    scores = batch.scores[scorer]
    counts, owners = np.diff(batch.positive_offsets), batch.owners
    for begin in range(0, len(used), CANDIDATES_PER_BLOCK):
        some, cells = used[begin : begin + CANDIDATES_PER_BLOCK], cell[begin : begin + CANDIDATES_PER_BLOCK]
        vectors, residuality = candidate_embeddings(encoder, batch, some), lexical_residuality(batch, some)
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
                    residuality[inside],
                    positives[own[own_cell]],
                    vectors[inside],
                )
    return out


def lexical_residuality(batch: Batch, candidates: Ints) -> Floats:
    """Float32 [len(candidates)]: the share of the query's words, weighed by idf, that the candidate lacks."""
    known = lexicon(batch.corpus)
    texts, places = batch.texts_of(candidates)
    of_text = [words(text) for text in texts.to_pylist()]
    owners = batch.owners[candidates]
    of_query = {int(i): words(batch.queries[int(i)]) for i in np.unique(owners)}
    shared = [
        1.0 - known.containment(of_query[owner], of_text[place])
        for owner, place in zip(owners.tolist(), places.tolist(), strict=True)
    ]
    return np.array(shared, dtype=np.float32)
