"""Dense retrieval over the embeddings of the whole corpus: exact, or by an index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from functools import partial
from importlib.util import find_spec

import numpy as np

from hardneg.arrays import Float32, Float64, Int64, Vectors, cut, offsets_of, within
from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.data.corpus import Corpus
from hardneg.errors import MissingExtraError, PartError
from hardneg.kinds import NEUTRAL, kind_of, part
from hardneg.models import dense_search
from hardneg.models.approximate import by_index, find_in, share_found
from hardneg.models.dense_search import by_blocks
from hardneg.models.embeddings import embed, matrix
from hardneg.models.library_search import by_faiss, by_torch
from hardneg.protocols import AnyEncoder, AnySearch, Approximation

Search = Callable[[Float32, Vectors, int, Int64, Int64], tuple[Int64, Float32]]
EXTRAS = {"faiss": ("faiss-cpu", "faiss"), "torch": ("torch", "st")}


@part
class Dense:
    """The passages nearest to the query by cosine similarity under an encoder.

    The search is exact, unless ``search`` is an index. ``blocks`` needs nothing but numpy and memory for one block of
    similarities (16 MiB, and twice that to sort the first); ``faiss`` uses ``faiss.knn`` over the same memory-mapped
    matrix (the extra ``faiss``); ``torch`` multiplies on the encoder's device, or on the GPU where there is one.

    An index, ``{kind: hnsw}`` or ``{kind: ivf}``, is built once and kept in the cache. It may miss some of the nearest:
    the report says how many. What it finds has its exact similarity.

    ``parts``: the corpus is encoded and searched in so many parts, one after the other, cut at multiples of 4,096
    passages. Candidates and similarities are those of the whole, to the last bit where embeddings are made on a CPU.
    """

    encoder: AnyEncoder
    depth: Count = 50
    search: AnySearch = "blocks"
    parts: Count = field(default=1, metadata=NEUTRAL)

    def __post_init__(self) -> None:
        if isinstance(self.search, str) and self.search in EXTRAS and find_spec(self.search) is None:
            raise MissingExtraError(*EXTRAS[self.search], f"`search: {self.search}`")
        if self.parts > 1 and not isinstance(self.search, str):
            raise PartError("`parts`: an index is searched whole; leave `parts` out, or search exactly")

    @property
    def approximation(self) -> Approximation | None:
        """None where the search is exact, or is not to be checked."""
        index = self.search
        if isinstance(index, str) or not index.check:
            return None
        return Approximation(kind_of(index), self.depth, index.check, index.key)

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

    def merged(self, batch: Batch, found: Sequence[Candidates]) -> Candidates:
        """The best of what was found in the parts."""
        return Candidates.best_of(found, self.depth)

    def _rows(self, corpus: Corpus, number: int) -> range:
        return cut(len(corpus), number, self.parts, dense_search.ROWS_PER_BLOCK)

    def _search(self, batch: Batch, rows: range) -> Candidates:
        model = f"cosine@{self.encoder.identity()}"
        if not rows:
            none = np.zeros(0, np.int64)
            return Candidates(np.zeros(len(batch) + 1, np.int64), none, none.astype(np.float32), model=model)
        passages = matrix(self.encoder, batch.corpus, rows)
        queries = embed(self.encoder, batch.queries, "query", batch.corpus.cache)
        near, scores = self._found(batch.corpus, queries, passages, *within(*batch.barred(), rows))
        found = near >= 0
        return Candidates(offsets_of(found.sum(axis=1)), near[found] + rows.start, scores[found], model=model)

    def recall(self, corpus: Corpus, queries: Sequence[str], offsets: Int64, barred: Int64) -> Float64:
        """Float64 [n]: which share of the ``depth`` exact nearest of each query is found."""
        vectors, passages = embed(self.encoder, queries, "query", corpus.cache), matrix(self.encoder, corpus)
        _, found = self._found(corpus, vectors, passages, offsets, barred)
        return share_found(found, vectors, passages, found.shape[1], offsets, barred)

    def _found(
        self, corpus: Corpus, queries: Float32, passages: Vectors, offsets: Int64, barred: Int64
    ) -> tuple[Int64, Float32]:
        depth = min(self.depth, len(passages))
        if not isinstance(self.search, str):
            find = find_in(self.search, self.encoder, corpus)
            return by_index(find, queries, passages, depth, offsets, barred)
        device = getattr(self.encoder, "device", None)
        exact: dict[str, Search] = {"blocks": by_blocks, "faiss": by_faiss, "torch": partial(by_torch, device=device)}
        return exact[self.search](queries, passages, depth, offsets, barred)
