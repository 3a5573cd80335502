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

from hardneg.chat import Usage
from hardneg.corpus import Corpus, content_hash
from hardneg.data import Candidate, Dropped, Negative, NegativeSet, Origin, Passage, Reason

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


def offsets_of(lengths: Sequence[int] | Ints) -> Ints:
    """Offsets of lists of these lengths.

    >>> offsets_of([2, 0, 3]).tolist()
    [0, 2, 2, 5]
    """
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def owners_of(offsets: Ints) -> Ints:
    """For every entry of the lists, the number of its list: the inverse of `offsets_of`.

    >>> owners_of(offsets_of([2, 0, 3])).tolist()
    [0, 0, 2, 2, 2]
    """
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def places_of(offsets: Ints) -> Ints:
    """For every entry of the lists, its position in its list, from 0."""
    return np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], np.diff(offsets))


def at_least(counts: Ints) -> Ints:
    """The next power of two of each count, 0 for 0: few distinct numbers that are large enough.

    >>> at_least(np.array([0, 1, 2, 3, 70])).tolist()
    [0, 1, 2, 4, 128]
    """
    return np.where(counts, 2 ** np.ceil(np.log2(np.maximum(counts, 1))), 0).astype(np.int64)


def taken(texts: Sequence[str], numbers: Ints) -> list[str]:
    """The texts of these numbers."""
    return [texts[int(i)] for i in numbers]


@dataclass(frozen=True, slots=True)
class Asked:
    """How candidates came out of a language model: ``rounds`` int8 [m], the round of asking, from 0; ``tokens`` float32
    [m], each one's share of the tokens that its request read and wrote; ``notes``: what the model says of each.

    >>> Asked.of([0, 1], [120.0, 80.0], [None, "breaks: the year"]).at(np.array([1])).notes
    ['breaks: the year']
    """

    rounds: NDArray[np.int8]
    tokens: Floats
    notes: Sequence[str | None]

    @classmethod
    def of(cls, rounds: Sequence[int], tokens: Sequence[float], notes: Sequence[str | None]) -> Asked:
        """From lists."""
        return cls(np.array(rounds, np.int8), np.array(tokens, np.float32), notes)

    def at(self, places: Ints) -> Asked:
        """Those at these places; -1 stands for a candidate that the model did not propose."""
        known = places >= 0
        if not len(self.rounds):
            return Asked.of([0] * len(places), [0.0] * len(places), [None] * len(places))
        return Asked(
            np.where(known, self.rounds[places], 0).astype(np.int8),
            np.where(known, self.tokens[places], 0).astype(np.float32),
            [self.notes[place] if place >= 0 else None for place in places.tolist()],
        )


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a generator proposes for a batch, best first in each example.

    ``rows`` int64 [m]: row of the corpus, or -1 where the passage is new and ``texts[j]`` is its text;
    ``scores`` float32 [m]: the generator's own; ``model``: identity of the model whose score that is, if it is one;
    ``prompt``, ``asked`` and ``usage`` (what all requests cost, those that gave nothing too) of a language model.

    >>> Candidates(np.array([0, 2]), np.array([5, -1]), np.array([0.9, 0.8], np.float32), [None, "new"]).texts
    [None, 'new']
    """

    offsets: Ints
    rows: Ints
    scores: Floats
    texts: Sequence[str | None] | None = None
    model: str | None = None
    prompt: str | None = None
    asked: Asked | None = None
    usage: Usage | None = None

    @classmethod
    def from_lists(
        cls, lists: Sequence[Sequence[Candidate]], corpus: Corpus, *, model: str | None = None
    ) -> Candidates:
        """From one list of `data.Candidate` an example."""
        flat = [candidate for candidates in lists for candidate in candidates]
        ids = [candidate.passage_id for candidate in flat]
        return cls(
            offsets=offsets_of([len(candidates) for candidates in lists]),
            rows=np.array([-1 if i is None else corpus.row(i) for i in ids], dtype=np.int64),
            scores=np.array([candidate.score for candidate in flat], dtype=np.float32),
            texts=[candidate.text for candidate in flat],
            model=model,
        )


@dataclass(frozen=True, slots=True)
class Source:
    """One generator's view of the candidates. ``rank`` int32 [m]: from 1, 0 where it did not propose the candidate;
    ``score`` float32 [m]: its own score, NaN there.
    """

    rank: NDArray[np.int32]
    score: Floats
    model: str | None = None
    prompt: str | None = None
    asked: Asked | None = None

    @property
    def proposed(self) -> Bools:
        """Bool [m]: the candidates that this generator proposed."""
        return self.rank > 0


@dataclass(frozen=True, slots=True)
class Scores:
    """What a scorer says of a batch: ``negatives`` float32 [m], ``positives`` float32 [p]. Higher is more relevant.
    ``usage``: what a language model's answers cost.

    >>> Scores(np.array([0.4, 0.2], np.float32), np.array([0.8], np.float32)).negatives.shape
    (2,)
    """

    negatives: Floats
    positives: Floats
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a filter says of a batch.

    ``broken`` int8 [m]: -1 keeps the candidate, else the number, in ``rules``, of the rule that it breaks;
    ``value`` and ``limit`` float32 [m]: the number that was looked at and the bound that it was held against;
    ``detail``: a word of explanation a candidate, or None for all.

    >>> Verdicts.from_reasons([None, Reason("too long", 900, 500)]).dropped.tolist()
    [False, True]
    """

    rules: tuple[str, ...]
    broken: NDArray[np.int8]
    value: Floats
    limit: Floats
    detail: Sequence[str | None] | None = None

    @classmethod
    def from_reasons(cls, reasons: Sequence[Reason | None]) -> Verdicts:
        """From one reason, or None to keep it, a candidate."""
        rules = tuple(sorted({reason.rule for reason in reasons if reason}))
        number = {rule: i for i, rule in enumerate(rules)}
        return cls(
            rules,
            np.array([number[r.rule] if r else -1 for r in reasons], dtype=np.int8),
            np.array([r.value if r else np.nan for r in reasons], dtype=np.float32),
            np.array([r.limit if r else np.nan for r in reasons], dtype=np.float32),
            [r.detail if r else None for r in reasons],
        )

    @property
    def dropped(self) -> Bools:
        """Bool [m]: the candidates that break a rule."""
        return self.broken >= 0

    def reason(self, j: int) -> Reason | None:
        """Why candidate ``j`` is dropped; None when it is kept."""
        if self.broken[j] < 0:
            return None
        detail = self.detail[j] if self.detail is not None else None
        return Reason(self.rules[self.broken[j]], float(self.value[j]), float(self.limit[j]), detail)


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen candidates of a batch, in the order in which a trainer shall see them.

    ``offsets`` int64 [n + 1] of the lists of chosen ones, ``chosen`` int64: numbers of candidates, within 0..m-1.

    >>> np.diff(Selection(np.array([0, 2, 3]), np.array([4, 0, 7])).offsets).tolist()
    [2, 1]
    """

    offsets: Ints
    chosen: Ints


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
    positive_offsets: Ints
    positive_rows: Ints
    query_hashes: NDArray[np.uint64]
    """Uint64 [n]: `corpus.content_hash` of the queries."""
    offsets: Ints
    rows: Ints
    texts: Sequence[str | None] | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)
    scores: Mapping[str, Scores] = field(default_factory=dict)
    verdicts: Mapping[str, Verdicts] = field(default_factory=dict)
    selection: Selection | None = None
    controls: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        ids: Sequence[str],
        queries: Sequence[str],
        positive_offsets: Ints,
        positive_rows: Ints,
        *,
        query_hashes: NDArray[np.uint64] | None = None,
        controls: frozenset[str] = frozenset(),
    ) -> Batch:
        """Examples that have no candidates yet."""
        if query_hashes is None:
            query_hashes = np.array([content_hash(query) for query in queries], dtype=np.uint64)
        offsets, rows = np.zeros(len(ids) + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
        return cls(
            corpus, ids, queries, positive_offsets, positive_rows, query_hashes, offsets, rows, controls=controls
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def owners(self) -> Ints:
        """Int64 [m]: the example of each candidate."""
        return owners_of(self.offsets)

    @property
    def positive_owners(self) -> Ints:
        """Int64 [p]: the example of each positive."""
        return owners_of(self.positive_offsets)

    @property
    def kept(self) -> Bools:
        """Bool [m]: the candidates that no filter drops."""
        keep = np.ones(len(self.rows), dtype=bool)
        for verdicts in self.verdicts.values():
            keep &= ~verdicts.dropped
        return keep

    @property
    def trainable(self) -> Bools:
        """Bool [m]: the candidates that a generator proposed which is no control."""
        out = np.zeros(len(self.rows), dtype=bool)
        for name, source in self.sources.items():
            if name not in self.controls:
                out |= source.proposed
        return out

    def texts_of(self, candidates: Ints) -> tuple[pa.Array, Ints]:
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

    def contents(self, candidates: Ints) -> list[str]:
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

    def barred(self) -> tuple[Ints, Ints]:
        """Rows of the corpus that cannot be negatives, as (offsets [n + 1], rows): the positives, and every passage
        whose text equals a positive's or the query.
        """
        owners = np.concatenate([self.positive_owners, np.arange(len(self))])
        hashes = np.concatenate([self.corpus.hashes[self.positive_rows], self.query_hashes])
        pair_owners, rows = self.corpus.rows_with(hashes, owners)
        pairs = np.unique(pair_owners * max(len(self.corpus), 1) + rows)  # one number stands for (example, row)
        pair_owners, rows = np.divmod(pairs, max(len(self.corpus), 1))
        return offsets_of(np.bincount(pair_owners, minlength=len(self))), rows

    @property
    def relabelled(self) -> Bools:
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

    def scores_by(self, model: str) -> Floats:
        """Float32 [m]: the scores that generators with this model identity gave already, NaN where there is none."""
        out = np.full(len(self.rows), np.nan, dtype=np.float32)
        for source in self.sources.values():
            if source.model == model:
                out = np.where(source.proposed, source.score, out)
        return out

    def negative(self, j: int) -> Negative:
        """Candidate ``j`` as an object."""
        origins = tuple(_origin(name, s, j) for name, s in self.sources.items() if s.rank[j] > 0)
        return Negative(self.passage(j), origins, {name: float(s.negatives[j]) for name, s in self.scores.items()})

    def __iter__(self) -> Iterator[NegativeSet]:
        kept = self.kept
        for i, (identifier, query) in enumerate(zip(self.ids, self.queries, strict=True)):
            begin, end = int(self.positive_offsets[i]), int(self.positive_offsets[i + 1])
            numbers = range(int(self.offsets[i]), int(self.offsets[i + 1]))
            yield NegativeSet(
                identifier,
                query,
                tuple(self.corpus.passage(int(row)) for row in self.positive_rows[begin:end]),
                {name: tuple(map(float, s.positives[begin:end])) for name, s in self.scores.items()},
                tuple(self.negative(j) for j in numbers if kept[j]),
                tuple(Dropped(self.negative(j), self.reasons(j)) for j in numbers if not kept[j]),
            )

    def reasons(self, j: int) -> dict[str, Reason]:
        """The reasons that filters gave against candidate ``j``, in job order."""
        return {name: reason for name, v in self.verdicts.items() if (reason := v.reason(j)) is not None}


def _origin(name: str, source: Source, j: int) -> Origin:
    """What generator ``name`` says of candidate ``j``."""
    origin = Origin(name, int(source.rank[j]), float(source.score[j]), source.model, source.prompt)
    if (asked := source.asked) is None:
        return origin
    return replace(origin, round=int(asked.rounds[j]), tokens=float(asked.tokens[j]), note=asked.notes[j])


def new_id(text: str) -> str:
    """Identifier of a passage that is not in the corpus: a hash of its text."""
    return "new-" + hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
