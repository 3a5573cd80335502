"""The probe over sets of negatives that are given as texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hardneg.data.corpus import Corpus
from hardneg.errors import DataError
from hardneg.library.texts import Texts, batch_of, corpus_of
from hardneg.models.embeddings import embed, matrix
from hardneg.probe import ProbeScore, Recipe, probe
from hardneg.protocols import Encoder


def probe_of_texts(
    encoder: Encoder,
    corpus: Corpus | None,
    queries: Sequence[str],
    positives: Sequence[str],
    sets: Mapping[str, Sequence[Sequence[str]]],
    *,
    shared: bool,
    seed: int,
) -> dict[str, ProbeScore]:
    """`hardneg.probe.probe` of n queries with a positive each. Without a ``corpus``, all texts given are one."""
    every = [Texts.of(queries, positives, negatives) for negatives in sets.values()]
    if not every:
        raise DataError("give at least one set of negatives")
    known = corpus or corpus_of((text for texts in every for text in texts.passages()), None)
    written: dict[str, int] = {}
    rows, batch = {}, batch_of(every[0], known)
    for name, texts in zip(sets, every, strict=True):
        batch = batch_of(texts, known)
        own, new = batch.rows.copy(), np.flatnonzero(batch.rows < 0)
        own[new] = [len(known) + written.setdefault(text, len(written)) for text in batch.contents(new)]
        rows[name] = np.split(own, batch.offsets[1:-1])
    return probe(
        embed(encoder, queries, "query", known.cache),
        matrix(encoder, known),
        batch.positive_rows,
        rows,
        seed,
        written=embed(encoder, list(written), "passage", known.cache) if written else None,
        recipe=Recipe(shared=shared),
    )
