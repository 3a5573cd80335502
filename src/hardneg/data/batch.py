"""A batch: some examples with their candidates, in columns.

A job works on about a thousand examples at a time and has a hundred candidates for each, so what is known about them
is kept in flat arrays, and work on them is a few numpy calls. The notation of all shapes:

    n   examples of the batch
    m   candidates, of all examples, one after another; p   positives, likewise
    ``offsets``, int64 [n + 1]: the candidates of example i are offsets[i]:offsets[i + 1]

Iterating over a batch yields the same as objects (`data.NegativeSet`), for parts that are easier written that way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hardneg.arrays import Bool, Float32, Int64, offsets_of, owners_of, span
from hardneg.data.candidates import Scores, Selection, Source, Verdicts
from hardneg.data.corpus import Corpus, content_hash
from hardneg.data.records import Dropped, Negative, NegativeSet, Origin, Passage, Reason


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Examples in columns, with as much as the stages before have found out about them.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from hardneg.testing import make_batch
    >>> folder = tempfile.TemporaryDirectory()
    >>> batch = make_batch(Path(folder.name), {"d1": "a cat", "d2": "a dog"}, {"q1": "cats"}, {"q1": ["d1"]})
    >>> len(batch), [example.positives[0].text for example in batch]
    (1, ['a cat'])
    >>> folder.cleanup()
    """

    corpus: Corpus
    ids: Sequence[str]
    queries: Sequence[str]
    positive_offsets: Int64
    positive_rows: Int64
    query_hashes: NDArray[np.uint64]
    """Uint64 [n]: `corpus.content_hash` of the queries."""
    offsets: Int64
    rows: Int64
    texts: Sequence[str | None] | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)
    scores: Mapping[str, Scores] = field(default_factory=dict)
    verdicts: Mapping[str, Verdicts] = field(default_factory=dict)
    selection: Selection | None = None
    controls: frozenset[str] = frozenset()
    shared: tuple[Int64, Int64] | None = None
    """Owners and rows: the positives of all examples with an equal query, of examples that have not all of them. They
    are no candidates, and no positives to train on."""

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        ids: Sequence[str],
        queries: Sequence[str],
        positive_offsets: Int64,
        positive_rows: Int64,
        *,
        query_hashes: NDArray[np.uint64] | None = None,
        controls: frozenset[str] = frozenset(),
        shared: tuple[Int64, Int64] | None = None,
    ) -> Batch:
        """Examples that have no candidates yet."""
        if query_hashes is None:
            query_hashes = np.array([content_hash(query) for query in queries], dtype=np.uint64)
        offsets, rows = np.zeros(len(ids) + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
        return cls(
            corpus,
            ids,
            queries,
            positive_offsets,
            positive_rows,
            query_hashes,
            offsets,
            rows,
            controls=controls,
            shared=shared,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def owners(self) -> Int64:
        """Int64 [m]: the example of each candidate."""
        return owners_of(self.offsets)

    @property
    def positive_owners(self) -> Int64:
        """Int64 [p]: the example of each positive."""
        return owners_of(self.positive_offsets)

    def with_rows(self, offsets: Int64, rows: Int64) -> Batch:
        """The examples with these rows of the corpus as candidates, and nothing known of them."""
        return replace(self.without_candidates(), offsets=offsets, rows=rows)

    def candidates_of(self, i: int) -> slice:
        """The candidates of example ``i``, among all candidates."""
        return span(self.offsets, i)

    def positives_of(self, i: int) -> slice:
        """The positives of example ``i``, among all positives."""
        return span(self.positive_offsets, i)

    def without_candidates(self) -> Batch:
        """The examples alone."""
        return Batch.of(
            self.corpus,
            self.ids,
            self.queries,
            self.positive_offsets,
            self.positive_rows,
            query_hashes=self.query_hashes,
            controls=self.controls,
            shared=self.shared,
        )

    @property
    def known_positives(self) -> tuple[Int64, Int64]:
        """Owners and rows of the positives, and of those that another example with an equal query has."""
        owners, rows = self.shared or (np.zeros(0, np.int64), np.zeros(0, np.int64))
        return np.concatenate([self.positive_owners, owners]), np.concatenate([self.positive_rows, rows])

    @property
    def kept(self) -> Bool:
        """Bool [m]: the candidates that every filter keeps."""
        keep = np.ones(len(self.rows), dtype=bool)
        for verdicts in self.verdicts.values():
            keep &= ~verdicts.dropped & ~verdicts.unjudged
        return keep

    @property
    def refused(self) -> Bool:
        """Bool [m]: the candidates that some filter drops. What is neither kept nor refused was not looked at."""
        out = np.zeros(len(self.rows), dtype=bool)
        for verdicts in self.verdicts.values():
            out |= verdicts.dropped
        return out

    @property
    def trainable(self) -> Bool:
        """Bool [m]: the candidates that a generator proposed which is no control."""
        out = np.zeros(len(self.rows), dtype=bool)
        for name, source in self.sources.items():
            if name not in self.controls:
                out |= source.proposed
        return out

    @property
    def chosen(self) -> Bool:
        """Bool [m]: the candidates that are selected; none before there is a selection."""
        out = np.zeros(len(self.rows), dtype=bool)
        if self.selection is not None:
            out[self.selection.chosen] = True
        return out

    def texts_of(self, candidates: Int64) -> tuple[pa.Array, Int64]:
        """What a model reads of these candidates (numbers within 0..m-1), each text once: an Arrow array of texts, and
        int64 [len(candidates)] of places in it.
        """
        rows = self.rows[candidates]
        known = rows >= 0
        places = np.empty(len(rows), dtype=np.int64)
        texts, places[known] = self.corpus.texts_of(rows[known])
        if not known.all():
            new = [self._new_text(int(j)) for j in candidates[~known]]
            places[~known] = len(texts) + np.arange(len(new))
            texts = pa.concat_arrays([texts, pa.array(new, pa.string())])
        return texts, places

    def contents(self, candidates: Int64) -> list[str]:
        """What a model reads of these candidates (numbers within 0..m-1)."""
        texts, places = self.texts_of(candidates)
        strings = texts.to_pylist()
        return [strings[i] for i in places.tolist()]

    def passage(self, candidate: int) -> Passage:
        """One candidate's passage. A new text's id is a hash of it."""
        row = int(self.rows[candidate])
        if row >= 0:
            return self.corpus.passage(row)
        text = self._new_text(candidate)
        return Passage(id=new_id(text), text=text)

    def passage_ids(self, candidates: Int64) -> list[str]:
        """The ids of these candidates' passages."""
        rows = self.rows[candidates]
        known = iter(self.corpus.ids(rows[rows >= 0]))
        return [
            next(known) if row >= 0 else new_id(self._new_text(j))
            for row, j in zip(rows.tolist(), candidates.tolist(), strict=True)
        ]

    def _new_text(self, candidate: int) -> str:
        text = self.texts[candidate] if self.texts is not None else None
        if text is None:
            raise ValueError(f"candidate {candidate} is neither a row of the corpus nor a text")
        return text

    def hashes(self) -> NDArray[np.uint64]:
        """Uint64 [m]: `corpus.content_hash` of every candidate: equal for texts that count as the same."""
        out = self.corpus.hashes[np.maximum(self.rows, 0)] if len(self.corpus) else np.zeros(len(self.rows), np.uint64)
        for j in np.flatnonzero(self.rows < 0):
            out[j] = content_hash(self._new_text(int(j)))
        return out

    def barred(self) -> tuple[Int64, Int64]:
        """Rows of the corpus that cannot be negatives, as (offsets [n + 1], rows): the positives, those of examples
        with an equal query, and every passage whose text equals one of them or the query.
        """
        owners, rows = self.known_positives
        owners = np.concatenate([owners, np.arange(len(self))])
        hashes = np.concatenate([self.corpus.hashes[rows], self.query_hashes])
        pair_owners, rows = self.corpus.rows_with(hashes, owners)
        pairs = np.unique(pair_owners * max(len(self.corpus), 1) + rows)  # one number stands for (example, row)
        pair_owners, rows = np.divmod(pairs, max(len(self.corpus), 1))
        return offsets_of(np.bincount(pair_owners, minlength=len(self))), rows

    @property
    def relabelled(self) -> Bool:
        """Bool [m]: the candidates that a filter makes positives (its rule is called ``relabelled``)."""
        out = np.zeros(len(self.rows), dtype=bool)
        for verdicts in self.verdicts.values():
            if "relabelled" in verdicts.rules:
                out |= verdicts.broken == verdicts.rules.index("relabelled")
        return out

    def with_relabelled(self) -> Batch:
        """The batch with these among the positives, after those that were there."""
        moved = np.flatnonzero(self.relabelled)
        if not len(moved):
            return self
        owners = np.concatenate([self.positive_owners, self.owners[moved]])
        order = np.argsort(owners, kind="stable")
        scores = {
            name: replace(s, positives=np.concatenate([s.positives, s.negatives[moved]])[order])
            for name, s in self.scores.items()
        }
        return replace(
            self,
            positive_offsets=offsets_of(np.bincount(owners, minlength=len(self))),
            positive_rows=np.concatenate([self.positive_rows, self.rows[moved]])[order],
            scores=scores,
        )

    def scores_by(self, model: str) -> Float32:
        """Float32 [m]: the scores that generators with this model identity gave already, NaN where there is none."""
        out = np.full(len(self.rows), np.nan, dtype=np.float32)
        for source in self.sources.values():
            if source.model == model:
                out = np.where(source.proposed, source.score, out)
        return out

    def negative(self, j: int) -> Negative:
        """Candidate ``j`` as an object."""
        origins = tuple(_origin(name, s, j) for name, s in self.sources.items() if s.rank[j] > 0)
        scores = {name: float(s.negatives[j]) for name, s in self.scores.items() if not np.isnan(s.negatives[j])}
        return Negative(self.passage(j), origins, scores)

    def __iter__(self) -> Iterator[NegativeSet]:
        kept, refused = self.kept, self.refused
        for i, (identifier, query) in enumerate(zip(self.ids, self.queries, strict=True)):
            own, candidates = self.positives_of(i), self.candidates_of(i)
            numbers = range(candidates.start, candidates.stop)
            yield NegativeSet(
                identifier,
                query,
                tuple(self.corpus.passage(int(row)) for row in self.positive_rows[own]),
                {name: tuple(map(float, s.positives[own])) for name, s in self.scores.items()},
                tuple(self.negative(j) for j in numbers if kept[j]),
                tuple(Dropped(self.negative(j), self.reasons(j)) for j in numbers if refused[j]),
            )

    def reasons(self, j: int) -> dict[str, Reason]:
        """The reasons that filters gave against candidate ``j``, in job order."""
        return {name: reason for name, v in self.verdicts.items() if (reason := v.reason(j)) is not None}


def _origin(name: str, source: Source, j: int) -> Origin:
    """What generator ``name`` says of candidate ``j``."""
    origin = Origin(name, int(source.rank[j]), float(source.score[j]), source.model, source.prompt)
    if (writing := source.writing) is None:
        return origin
    return replace(origin, round=int(writing.rounds[j]), tokens=float(writing.tokens[j]), note=writing.notes[j])


def new_id(text: str) -> str:
    """Identifier of a passage that is not in the corpus: a hash of its text."""
    return "new-" + hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
