"""Dense retrieval over the embeddings of the whole corpus: exact, or by an index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec

from hardneg.arrays import Float32, Float64, Int64, Stored, offsets_of
from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.data.corpus import Corpus
from hardneg.errors import MissingExtraError
from hardneg.kinds import kind_of, part
from hardneg.models.approximate import by_index, find_in, share_found
from hardneg.models.dense_search import by_blocks
from hardneg.models.embeddings import embed, matrix
from hardneg.models.library_search import by_faiss, by_torch
from hardneg.protocols import AnyEncoder, AnySearch, Approximation

Search = Callable[[Float32, Stored, int, Int64, Int64], tuple[Int64, Float32]]
EXTRAS = {"faiss": ("faiss-cpu", "faiss"), "torch": ("torch", "st")}


@part
class Dense:
    """The passages nearest to the query by cosine similarity under an encoder.

    The search is exact, unless ``search`` is an index. ``blocks`` needs nothing but numpy and memory for one block of
    similarities (16 MiB, and twice that to sort the first); ``faiss`` uses ``faiss.knn`` over the same memory-mapped
    matrix (the extra ``faiss``); ``torch`` multiplies on the encoder's device, or on the GPU where there is one.

    An index, ``{kind: hnsw}`` or ``{kind: ivf}``, is built once and kept in the cache. It may miss some of the nearest:
    the report says how many. What it finds has its exact similarity.
    """

    encoder: AnyEncoder
    depth: Count = 50
    search: AnySearch = "blocks"

    def __post_init__(self) -> None:
        if isinstance(self.search, str) and self.search in EXTRAS and find_spec(self.search) is None:
            raise MissingExtraError(*EXTRAS[self.search], f"`search: {self.search}`")

    @property
    def approximation(self) -> Approximation | None:
        """None where the search is exact, or is not to be checked."""
        index = self.search
        if isinstance(index, str) or not index.check:
            return None
        return Approximation(kind_of(index), self.depth, index.check, index.key)

    def generate(self, batch: Batch) -> Candidates:
        """Up to ``depth`` candidates an example, by falling cosine similarity, ties by row."""
        queries = embed(self.encoder, batch.queries, "query", batch.corpus.cache)
        rows, scores = self._found(batch.corpus, queries, matrix(self.encoder, batch.corpus), *batch.barred())
        found = rows >= 0
        return Candidates(
            offsets_of(found.sum(axis=1)), rows[found], scores[found], model=f"cosine@{self.encoder.identity()}"
        )

    def recall(self, corpus: Corpus, queries: Sequence[str], offsets: Int64, barred: Int64) -> Float64:
        """Float64 [n]: which share of the ``depth`` exact nearest of each query is found."""
        vectors, passages = embed(self.encoder, queries, "query", corpus.cache), matrix(self.encoder, corpus)
        _, found = self._found(corpus, vectors, passages, offsets, barred)
        return share_found(found, vectors, passages, found.shape[1], offsets, barred)

    def _found(
        self, corpus: Corpus, queries: Float32, passages: Stored, offsets: Int64, barred: Int64
    ) -> tuple[Int64, Float32]:
        depth = min(self.depth, len(passages))
        if not isinstance(self.search, str):
            find = find_in(self.search, self.encoder, corpus)
            return by_index(find, queries, passages, depth, offsets, barred)
        device = getattr(self.encoder, "device", None)
        exact: dict[str, Search] = {"blocks": by_blocks, "faiss": by_faiss, "torch": partial(by_torch, device=device)}
        return exact[self.search](queries, passages, depth, offsets, barred)
