"""Dense retrieval: exact search over the embeddings of the whole corpus, in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from importlib.util import find_spec
from typing import Literal

import numpy as np

from hardneg.arrays import cut, offsets_of, within
from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.data.corpus import Corpus
from hardneg.errors import MissingExtraError
from hardneg.kinds import NEUTRAL, part
from hardneg.models import dense_search
from hardneg.models.dense_search import by_blocks, by_faiss
from hardneg.models.embeddings import embed, matrix
from hardneg.models.matrices import pieces_of
from hardneg.protocols import AnyEncoder


@part
class Dense:
    """The passages nearest to the query by cosine similarity under an encoder.

    The search is exact. ``search: blocks`` needs nothing but numpy and memory for one block of similarities (16 MiB,
    and twice that to sort the first); ``search: faiss`` uses ``faiss.knn`` over the same memory-mapped matrix (the
    extra ``faiss``).

    ``parts``: the corpus is encoded and searched in so many parts, one after the other, cut at multiples of 4,096
    passages. Candidates and similarities are those of the whole, to the last bit.
    """

    encoder: AnyEncoder
    depth: Count = 50
    search: Literal["blocks", "faiss"] = "blocks"
    parts: Count = field(default=1, metadata=NEUTRAL)

    def __post_init__(self) -> None:
        if self.search == "faiss" and find_spec("faiss") is None:
            raise MissingExtraError("faiss-cpu", "faiss", "`search: faiss`")

    def generate(self, batch: Batch) -> Candidates:
        """Up to ``depth`` candidates an example, by falling cosine similarity, ties by row."""
        if self.parts > 1:
            return self.merged(batch, [self.generate_part(batch, number) for number in range(self.parts)])
        return self._search(batch, range(len(batch.corpus)))

    def prepare(self, corpus: Corpus, number: int) -> None:
        """Encodes part ``number``."""
        if rows := self._rows(corpus, number):
            matrix(self.encoder, corpus, rows)

    def generate_part(self, batch: Batch, number: int) -> Candidates:
        """Those of part ``number`` of the corpus, from 0."""
        return self._search(batch, self._rows(batch.corpus, number))

    def _rows(self, corpus: Corpus, number: int) -> range:
        return cut(len(corpus), number, self.parts, dense_search.ROWS_PER_BLOCK)

    def merged(self, batch: Batch, found: Sequence[Candidates]) -> Candidates:
        """The best of what was found in the parts."""
        return Candidates.best_of(found, self.depth)

    def _search(self, batch: Batch, rows: range) -> Candidates:
        model, none = f"cosine@{self.encoder.identity()}", np.zeros(0, np.int64)
        found = [Candidates(np.zeros(len(batch) + 1, np.int64), none, none.astype(np.float32), model=model)]
        if rows:
            passages = matrix(self.encoder, batch.corpus, rows)
            queries = embed(self.encoder, batch.queries, "query", batch.corpus.cache)
            find, barred = by_faiss if self.search == "faiss" else by_blocks, batch.barred()
            for begin, piece in pieces_of(passages):
                own = range(rows.start + begin, rows.start + begin + len(piece))
                near, scores = find(queries, piece, min(self.depth, len(own)), *within(*barred, own))
                offsets, usable = offsets_of((near >= 0).sum(axis=1)), near >= 0
                found.append(Candidates(offsets, near[usable] + own.start, scores[usable], model=model))
        return found[-1] if len(found) < 3 else Candidates.best_of(found, self.depth)
