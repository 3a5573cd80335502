"""Some examples of a batch without the others, and examples put back in their places with other candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hardneg.arrays import Int64, offsets_of, span, taken
from hardneg.data.batch import Batch
from hardneg.data.candidates import UNJUDGED, Candidates, Scores, Source, Verdicts, Writing


def subset(batch: Batch, examples: Int64) -> Batch:
    """The examples with these numbers (rising, within 0..n-1), without candidates."""
    own = [batch.positive_rows[batch.positives_of(i)] for i in examples.tolist()]
    shared = None
    if batch.shared is not None:
        owners, rows = batch.shared
        some = np.isin(owners, examples)
        shared = np.searchsorted(examples, owners[some]), rows[some]
    return Batch.of(
        batch.corpus,
        taken(batch.ids, examples),
        taken(batch.queries, examples),
        offsets_of([len(rows) for rows in own]),
        np.concatenate([np.zeros(0, np.int64), *own]),
        query_hashes=batch.query_hashes[examples],
        controls=batch.controls,
        shared=shared,
    )


def with_only(batch: Batch, candidates: Int64) -> Batch:
    """All examples with these candidates alone (numbers, rising, within 0..m-1), and who proposed them."""
    return replace(
        batch.without_candidates(),
        offsets=offsets_of(np.bincount(batch.owners[candidates], minlength=len(batch))),
        rows=batch.rows[candidates],
        texts=None if batch.texts is None else [batch.texts[j] for j in candidates.tolist()],
        sources={name: _at(source, candidates) for name, source in batch.sources.items()},
    )


def _at(source: Source, candidates: Int64) -> Source:
    writing = None if source.writing is None else source.writing.at(candidates)
    return replace(source, rank=source.rank[candidates], score=source.score[candidates], writing=writing)


def proposals_for(found: Candidates, examples: Int64) -> Candidates:
    """The candidates of the examples with these numbers. What they cost is left out: it is counted already."""
    spans = [np.arange(*span(found.offsets, i).indices(len(found.rows))) for i in examples.tolist()]
    at = np.concatenate([np.zeros(0, np.int64), *spans])
    return replace(
        found,
        offsets=offsets_of([len(own) for own in spans]),
        rows=found.rows[at],
        scores=found.scores[at],
        texts=None if found.texts is None else [found.texts[j] for j in at.tolist()],
        writing=None if found.writing is None else found.writing.at(at),
        usage=None,
    )


def splice(batch: Batch, examples: Int64, other: Batch) -> Batch:
    """The batch in which example ``examples[i]`` has the candidates of example i of ``other``, with all said of them.

    Both have the same sources, scores and verdicts by name. Scores of positives stay those of ``batch``.
    """
    theirs = np.full(len(batch), -1, np.int64)
    theirs[examples] = np.arange(len(examples))
    m = len(batch.rows)
    parts = [
        np.arange(*batch.candidates_of(i).indices(m))
        if theirs[i] < 0
        else m + np.arange(*other.candidates_of(int(theirs[i])).indices(len(other.rows)))
        for i in range(len(batch))
    ]
    at = np.concatenate([np.zeros(0, np.int64), *parts])
    texts = None
    if batch.texts is not None or other.texts is not None:
        both = [*(batch.texts or [None] * m), *(other.texts or [None] * len(other.rows))]
        texts = [both[j] for j in at.tolist()]
    return replace(
        batch,
        offsets=offsets_of([len(own) for own in parts]),
        rows=np.concatenate([batch.rows, other.rows])[at],
        texts=texts,
        sources={name: _source(source, other.sources[name], at) for name, source in batch.sources.items()},
        scores={
            name: Scores(np.concatenate([s.negatives, other.scores[name].negatives])[at], s.positives, s.usage)
            for name, s in batch.scores.items()
        },
        verdicts={name: _verdicts(v, other.verdicts[name], at) for name, v in batch.verdicts.items()},
    )


def _source(one: Source, other: Source, at: Int64) -> Source:
    writing = None
    if one.writing is not None or other.writing is not None:
        first, second = (s.writing or Writing.nothing(len(s.rank)) for s in (one, other))
        writing = Writing(
            np.concatenate([first.rounds, second.rounds]),
            np.concatenate([first.tokens, second.tokens]),
            [*first.notes, *second.notes],
        ).at(at)
    rank, score = np.concatenate([one.rank, other.rank])[at], np.concatenate([one.score, other.score])[at]
    return Source(rank, score, one.model or other.model, one.prompt or other.prompt, writing)


def _verdicts(one: Verdicts, other: Verdicts, at: Int64) -> Verdicts:
    rules = tuple(dict.fromkeys([*one.rules, *other.rules]))
    broken = np.concatenate([_renumbered(v, rules) for v in (one, other)])[at]
    detail: Sequence[str | None] | None = None
    if one.detail is not None or other.detail is not None:
        both = [*(one.detail or [None] * len(one.broken)), *(other.detail or [None] * len(other.broken))]
        detail = [both[j] for j in at.tolist()]
    value, limit = (np.concatenate([getattr(one, name), getattr(other, name)])[at] for name in ("value", "limit"))
    return Verdicts(rules, broken, value, limit, detail)


def _renumbered(verdicts: Verdicts, rules: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    number: Mapping[str, int] = {rule: i for i, rule in enumerate(rules)}
    # the last entries are for -2, not looked at, and -1, kept
    new = np.array([*(number[rule] for rule in verdicts.rules), UNJUDGED, -1], dtype=np.int8)
    return new[verdicts.broken]
