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
    patterns, cell = np.unique(members, axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    positives = row_embeddings(encoder, batch.corpus, batch.positive_rows)
    scores = batch.scores[scorer]
    out = {pattern.tobytes(): eci.Moments() for pattern in patterns if pattern.any()}
    counts = np.diff(batch.positive_offsets)
    for number, pattern in enumerate(patterns):
        if not pattern.any():
            continue
        inside = np.flatnonzero(cell == number)
        for begin in range(0, len(inside), CANDIDATES_PER_BLOCK):
            some = inside[begin : begin + CANDIDATES_PER_BLOCK]
            owners = batch.owners[some]
            residuality = lexical_residuality(batch, some)
            vectors = candidate_embeddings(encoder, batch, some)
            for place in range(int(counts[owners].max(initial=0))):  # usually once: most queries have one positive
                has = counts[owners] > place
                own = batch.positive_offsets[:-1][owners[has]] + place
                out[pattern.tobytes()] += _of(
                    scores.positives[own], scores.negatives[some[has]], residuality[has], positives[own], vectors[has]
                )
    return out


def _of(plus: Floats, minus: Floats, residuality: Floats, positives: Floats, negatives: Floats) -> eci.Moments:
    near = eci.locality(dots(positives, negatives))
    return eci.Moments.of(eci.target_consistency(plus, minus), near, residuality, positives, negatives)


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
