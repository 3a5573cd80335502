"""Dense retrieval: exact search over the embeddings of the whole corpus, in blocks."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from hardneg.arrays import offsets_of
from hardneg.bounds import Count
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.errors import MissingExtraError
from hardneg.kinds import part
from hardneg.models.dense_search import by_blocks, by_faiss
from hardneg.models.embeddings import embed, matrix
from hardneg.protocols import AnyEncoder


@part
class Dense:
    """The passages nearest to the query by cosine similarity under an encoder.

    The search is exact. ``search: blocks`` needs nothing but numpy and memory for one block of similarities (16 MiB,
    and twice that to sort the first); ``search: faiss`` uses ``faiss.knn`` over the same memory-mapped matrix (the
    extra ``faiss``).
    """

    encoder: AnyEncoder
    depth: Count = 50
    search: Literal["blocks", "faiss"] = "blocks"

    def __post_init__(self) -> None:
        if self.search == "faiss" and find_spec("faiss") is None:
            raise MissingExtraError("faiss-cpu", "faiss", "`search: faiss`")

    def generate(self, batch: Batch) -> Candidates:
        """Up to ``depth`` candidates an example, by falling cosine similarity, ties by row."""
        passages = matrix(self.encoder, batch.corpus)
        queries = embed(self.encoder, batch.queries, "query", batch.corpus.cache)
        offsets, barred = batch.barred()
        find = by_faiss if self.search == "faiss" else by_blocks
        rows, scores = find(queries, passages, min(self.depth, len(passages)), offsets, barred)
        found = rows >= 0
        return Candidates(
            offsets_of(found.sum(axis=1)), rows[found], scores[found], model=f"cosine@{self.encoder.identity()}"
        )
