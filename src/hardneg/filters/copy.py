"""Candidates that repeat the query or a positive in its own words."""

from __future__ import annotations

import numpy as np

from hardneg.bounds import Similarity
from hardneg.data.batch import Batch
from hardneg.data.candidates import Verdicts
from hardneg.data.word_weights import lexicon, words
from hardneg.kinds import part


@part
class Copy:
    """Drops a candidate that says nothing beyond the query, or the same as a positive, by IDF-weighted containment.

    Containment of A in B is the share of A's idf weight whose words B has too. ``query``: dropped when the candidate is
    contained in the query by so much; ``positive``: when the candidate is contained in a positive, or a positive in the
    candidate. Null switches a rule off.
    """

    query: Similarity | None = 0.9
    positive: Similarity | None = 0.9

    def judge(self, batch: Batch) -> Verdicts:
        """The value is the containment, the limit the highest that is kept is just below."""
        known = lexicon(batch.corpus)
        texts = batch.contents(np.arange(len(batch.rows)))
        of_text = {text: words(text) for text in set(texts)}
        positives = [words(text) for text in batch.corpus.contents(batch.positive_rows)]
        broken = np.full(len(texts), -1, dtype=np.int8)
        value = np.full(len(texts), np.nan, dtype=np.float32)
        limit = np.full(len(texts), np.nan, dtype=np.float32)
        for i, query in enumerate(batch.queries):
            of_query = words(query)
            own, candidates = positives[batch.positives_of(i)], batch.candidates_of(i)
            for j in range(candidates.start, candidates.stop):
                found = of_text[texts[j]]
                if self.query is not None:
                    share = known.containment(found, of_query)
                    if share >= self.query:
                        broken[j], value[j], limit[j] = 0, share, self.query
                        continue
                if self.positive is not None:
                    share = max((known.overlap(found, other) for other in own), default=0.0)
                    if share >= self.positive:
                        broken[j], value[j], limit[j] = 1, share, self.positive
        return Verdicts(("copies the query", "copies a positive"), broken, value, limit)
