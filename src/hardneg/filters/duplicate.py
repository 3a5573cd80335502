"""Candidates that are there already: the same text, or nearly the same, as a better candidate or a positive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hardneg.arrays import Float32, Float64, Int64
from hardneg.bounds import Similarity
from hardneg.data.batch import Batch
from hardneg.data.candidates import Verdicts
from hardneg.data.records import normalise
from hardneg.errors import PartError
from hardneg.kinds import part
from hardneg.models.embeddings import candidate_embeddings, row_embeddings
from hardneg.protocols import AnyEncoder

PERMUTATIONS = 128
SHINGLE = 3
FIRST = 16


@part
class Duplicate:
    """Drops a candidate whose text equals an earlier candidate's of the same example, after normalisation.

    ``near`` also drops near-duplicates of an earlier candidate or of a positive: from that Jaccard similarity of word
    triples, estimated by 128 MinHashes (``by: minhash``, datasketch), or from that cosine similarity under ``encoder``
    (``by: cosine``). Earlier is by the order of the generators in the job, then rank; candidates of a control alone
    come after all others, so that a control changes nothing.
    """

    near: Similarity | None = None
    by: Literal["minhash", "cosine"] = "minhash"
    encoder: AnyEncoder | None = None

    def __post_init__(self) -> None:
        if self.by == "cosine" and (self.near is None or self.encoder is None):
            raise PartError("`by: cosine` needs `near` and an `encoder`")

    def judge(self, batch: Batch) -> Verdicts:
        """The value is the similarity (1 for equal texts), the limit ``near``."""
        order = np.lexsort((~batch.trainable, batch.owners))  # stable: within an example controls go last
        broken = np.full(len(batch.rows), -1, dtype=np.int8)
        value = np.full(len(batch.rows), np.nan, dtype=np.float32)
        limit = np.full(len(batch.rows), np.nan, dtype=np.float32)
        hashes = batch.hashes()
        if self.near is not None:
            _, first, where = np.unique(hashes, return_index=True, return_inverse=True)
            candidates, positives = self._features(batch, first)
            for i in range(len(batch)):
                part = order[batch.candidates_of(i)]
                broken[part], value[part] = self._near(candidates[where[part]], positives[batch.positives_of(i)])
            limit[broken >= 0] = self.near
        pairs = np.stack([batch.owners.astype(np.uint64), hashes])[:, order]
        _, first = np.unique(pairs, axis=1, return_index=True)
        equal = np.ones(len(batch.rows), dtype=bool)
        equal[order[first]] = False
        broken[equal], value[equal], limit[equal] = 0, 1, 1
        return Verdicts(
            ("same text", "nearly the same as a candidate", "nearly the same as a positive"), broken, value, limit
        )

    def _features(self, batch: Batch, candidates: Int64) -> tuple[NDArray[Any], NDArray[Any]]:
        """What is compared, of some candidates and of all positives: MinHashes or embeddings, one row each."""
        if self.by == "cosine" and self.encoder is not None:
            positives = row_embeddings(self.encoder, batch.corpus, batch.positive_rows)
            return candidate_embeddings(self.encoder, batch, candidates), positives
        return _minhashes(batch.contents(candidates)), _minhashes(batch.corpus.contents(batch.positive_rows))

    def _near(self, candidates: NDArray[Any], positives: NDArray[Any]) -> tuple[NDArray[np.int8], Float32]:
        """The rule that each candidate of one example breaks, or -1, and the similarity that breaks it."""
        compare = np.matmul if self.by == "cosine" else _jaccard
        near = self.near or 1.0
        broken = np.full(len(candidates), -1, dtype=np.int8)
        to_positive = compare(candidates, positives.T).max(axis=1, initial=-1)
        value = to_positive.astype(np.float32)
        broken[to_positive >= near] = 2
        similarities = np.tril(compare(candidates, candidates.T), -1)
        for j in np.flatnonzero((similarities >= near).any(axis=1) & (broken < 0)):
            earlier = np.where(broken[:j] < 0, similarities[j, :j], -1)
            if earlier.max() >= near:
                broken[j], value[j] = 1, earlier.max()
        return broken, value


def _minhashes(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Uint64 [len(texts), 128]: the MinHashes of each text's word triples."""
    import datasketch

    if not texts:
        return np.zeros((0, PERMUTATIONS), dtype=np.uint64)
    shingles = []
    for text in texts:
        found = normalise(text).split()
        triples = (" ".join(found[i : i + SHINGLE]) for i in range(max(len(found) - SHINGLE + 1, 1)))
        shingles.append([triple.encode() for triple in triples])
    return np.array([sketch.hashvalues for sketch in datasketch.MinHash.bulk(shingles, num_perm=PERMUTATIONS)])


def _jaccard(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> Float64:
    """Float64 [a, b]: estimated Jaccard similarities of MinHashes [a, 128] and [128, b]; pairs whose first hashes have
    little in common are not looked at further and count as 0.
    """
    out = np.zeros((len(left), right.shape[1]))
    likely = (left[:, :FIRST, None] == right[None, :FIRST]).sum(axis=1) >= FIRST // 4
    rows, columns = np.nonzero(likely)
    out[rows, columns] = (left[rows] == right.T[columns]).mean(axis=1)
    return out
