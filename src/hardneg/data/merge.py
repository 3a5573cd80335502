"""The union of what generators propose: one candidate a passage, with every origin kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hardneg.arrays import Bool, Int64, offsets_of, owners_of, places_of
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates, Source
from hardneg.data.corpus import content_hash


def merge(batch: Batch, proposals: Mapping[str, Candidates]) -> Batch:
    """The union of what the generators propose, with every origin kept.

    A passage that several generators propose is one candidate. A positive of this query, under whatever id it stands, a
    text that equals a positive's or the query, and a candidate without text are left out, whoever proposes them. Order
    within an example: that of the generators in the job, then rank.
    """
    names = list(proposals)
    owners = [owners_of(proposals[name].offsets) for name in names]
    ranks = [places_of(proposals[name].offsets) + 1 for name in names]
    new_texts: dict[str, int] = {}
    keys: list[Int64] = []  # row of the corpus, or its length + the number of a new text
    for name in names:
        key = proposals[name].rows.copy()
        for j in np.flatnonzero(key < 0):
            texts = proposals[name].texts
            text = texts[j] if texts is not None else None
            if text is None:
                raise ValueError(f"generator `{name}` proposed a candidate that is neither a row nor a text")
            key[j] = len(batch.corpus) + new_texts.setdefault(text, len(new_texts))
        keys.append(key)
    owner, key = (np.concatenate([np.zeros(0, np.int64), *arrays]) for arrays in (owners, keys))
    size = len(batch.corpus) + len(new_texts) + 1
    pairs, first, where = np.unique(owner * size + key, return_index=True, return_inverse=True)
    order = np.lexsort((first, pairs // size))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))

    text_list = list(new_texts)
    rows = pairs[order] % size
    new = rows >= len(batch.corpus)
    texts_column = None
    if new.any():
        texts_column = [
            text_list[row - len(batch.corpus)] if row >= len(batch.corpus) else None for row in rows.tolist()
        ]
    union = replace(
        batch,
        offsets=offsets_of(np.bincount(pairs[order] // size, minlength=len(batch))),
        rows=np.where(new, -1, rows),
        texts=texts_column,
    )
    begin = 0
    sources = {}
    for name, own_ranks in zip(names, ranks, strict=True):
        # backwards: of a passage that one generator names twice the best rank stays
        at = place[where[begin : begin + len(own_ranks)]][::-1]
        rank, score = np.zeros(len(rows), np.int32), np.full(len(rows), np.nan, np.float32)
        rank[at], score[at] = own_ranks[::-1], proposals[name].scores[::-1]
        writing = proposals[name].writing
        if writing is not None:
            origin = np.full(len(rows), -1, np.int64)
            origin[at] = np.arange(len(own_ranks))[::-1]
            writing = writing.at(origin)
        sources[name] = Source(rank, score, proposals[name].model, proposals[name].prompt, writing)
        begin += len(own_ranks)
    return _only(replace(union, sources=sources), _allowed(union))


def _allowed(batch: Batch) -> Bool:
    """Bool [m]: candidates that have text and are neither a positive, nor equal in text to one or to the query."""
    spread = np.uint64(0x9E3779B97F4A7C15)  # so that one number stands for (example, text)
    with np.errstate(over="ignore"):
        owner = batch.owners.astype(np.uint64) * spread
        known_owners, known_rows = batch.known_positives
        positive_owner = known_owners.astype(np.uint64) * spread
        query_owner = np.arange(len(batch), dtype=np.uint64) * spread
    positives = batch.corpus.hashes[known_rows] ^ positive_owner
    barred = np.concatenate([positives, batch.query_hashes ^ query_owner])
    hashes = batch.hashes()
    allowed: Bool = ~np.isin(hashes ^ owner, barred) & (hashes != np.uint64(content_hash("")))
    return allowed


def _only(batch: Batch, keep: Bool) -> Batch:
    """The batch with just these of its candidates; it has neither scores nor verdicts yet."""
    if keep.all():
        return batch
    return replace(
        batch,
        offsets=offsets_of(np.bincount(batch.owners[keep], minlength=len(batch))),
        rows=batch.rows[keep],
        texts=[batch.texts[j] for j in np.flatnonzero(keep)] if batch.texts is not None else None,
        sources={
            name: Source(
                s.rank[keep], s.score[keep], s.model, s.prompt, s.writing and s.writing.at(np.flatnonzero(keep))
            )
            for name, s in batch.sources.items()
        },
    )
