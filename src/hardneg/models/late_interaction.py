"""MaxSim over the token embeddings of a bi-encoder: a strong reranker that needs no training."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import field

import numpy as np

from hardneg.arrays import Float32
from hardneg.kinds import NEUTRAL, fingerprint, part
from hardneg.models.loaded import Loaded
from hardneg.models.vectors import encoded_tokens, same_width
from hardneg.protocols import AnyEncoder, Encoder, Role


@part
class LateInteraction:
    """Relevance by late interaction (ColBERT, arXiv:2004.12832, section 3.2), as a mean over the query's tokens.

    score(q, p) = mean over tokens i of q of max over tokens j of p of cos(q_i, p_j), in [-1, 1]. ``memory`` bounds the
    token embeddings that are kept, in MiB.
    """

    encoder: AnyEncoder
    memory: int = field(default=1024, metadata=NEUTRAL)

    def identity(self) -> str:
        """That of the encoder."""
        return fingerprint(["late interaction", self.encoder.identity()])

    def predict(self, queries: Sequence[str], passages: Sequence[str]) -> Float32:
        """Float32 [k] in [-1, 1]. Each distinct text is encoded once as long as ``memory`` holds."""
        scores = np.empty(len(queries), dtype=np.float32)
        # pairs of one passage after another, so that a passage's tokens are needed once
        order = sorted(range(len(queries)), key=lambda i: (len(passages[i]), passages[i], queries[i]))
        tokens = TOKENS.get(self, self.identity(), lambda: _Tokens(self.encoder, self.memory << 20))
        for begin in range(0, len(order), 2_048):
            part = order[begin : begin + 2_048]
            of_query = tokens.of([queries[i] for i in part], "query")
            of_passage = tokens.of([passages[i] for i in part], "passage")
            for i in part:
                similarities = of_query[queries[i]] @ of_passage[passages[i]].T
                scores[i] = similarities.max(axis=1).mean()
        return scores


class _Tokens:
    """Token embeddings of texts, the most recently used ones kept up to ``limit`` bytes."""

    def __init__(self, encoder: Encoder, limit: int) -> None:
        self._encoder, self._limit, self._bytes = encoder, limit, 0
        self._known: OrderedDict[tuple[str, str], Float32] = OrderedDict()
        self._width: int | None = None

    def of(self, texts: Sequence[str], role: Role) -> dict[str, Float32]:
        distinct = list(dict.fromkeys(texts))
        missing = [text for text in distinct if (role, text) not in self._known]
        for text, vectors in zip(missing, encoded_tokens(self._encoder, missing, role) if missing else [], strict=True):
            width = int(vectors.shape[1])
            self._width = self._width or width
            same_width(self._encoder, width, self._width, text, role)
            self._known[role, text] = vectors
            self._bytes += vectors.nbytes
        out = {}
        for text in distinct:
            self._known.move_to_end((role, text))
            out[text] = self._known[role, text]
        while self._bytes > self._limit:
            self._bytes -= self._known.popitem(last=False)[1].nbytes
        return out


TOKENS: Loaded[_Tokens] = Loaded(2)
