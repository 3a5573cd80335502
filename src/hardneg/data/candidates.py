"""What the parts of a job say of a batch's candidates: columns of proposals, scores, verdicts and the selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hardneg.arrays import Bool, Float32, Int64, among_first, offsets_of, owners_of, span
from hardneg.data.chat import Usage
from hardneg.data.corpus import Corpus
from hardneg.data.records import Candidate, Reason


@dataclass(frozen=True, slots=True)
class Writing:
    """How candidates came out of a language model: ``rounds`` int8 [m], the round of asking, from 0; ``tokens`` float32
    [m], each one's share of the tokens that its request read and wrote; ``notes``: what the model says of each.

    >>> Writing.of([0, 1], [120.0, 80.0], [None, "breaks: the year"]).at(np.array([1])).notes
    ['breaks: the year']
    """

    rounds: NDArray[np.int8]
    tokens: Float32
    notes: Sequence[str | None]

    @classmethod
    def of(cls, rounds: Sequence[int], tokens: Sequence[float], notes: Sequence[str | None]) -> Writing:
        """From lists."""
        return cls(np.array(rounds, np.int8), np.array(tokens, np.float32), notes)

    @classmethod
    def nothing(cls, count: int) -> Writing:
        """For ``count`` candidates that no language model proposed."""
        return cls.of([0] * count, [0.0] * count, [None] * count)

    def at(self, places: Int64) -> Writing:
        """The entries at these places. -1 stands for a candidate that the model did not propose."""
        known = places >= 0
        if not len(self.rounds):
            return Writing.nothing(len(places))
        return Writing(
            np.where(known, self.rounds[places], 0).astype(np.int8),
            np.where(known, self.tokens[places], 0).astype(np.float32),
            [self.notes[place] if place >= 0 else None for place in places.tolist()],
        )


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a generator proposes for a batch, best first in each example.

    ``rows`` int64 [m]: row of the corpus, or -1 where the passage is new and ``texts[j]`` is its text;
    ``scores`` float32 [m]: the generator's own; ``model``: identity of the model whose score that is, if it is one;
    ``prompt``, ``writing`` and ``usage`` (what all requests cost, those that gave nothing too) of a language model.

    >>> Candidates(np.array([0, 2]), np.array([5, -1]), np.array([0.9, 0.8], np.float32), [None, "new"]).texts
    [None, 'new']
    """

    offsets: Int64
    rows: Int64
    scores: Float32
    texts: Sequence[str | None] | None = None
    model: str | None = None
    prompt: str | None = None
    writing: Writing | None = None
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

    @classmethod
    def best_of(cls, found: Sequence[Candidates], depth: int) -> Candidates:
        """The ``depth`` best rows of an example, by falling score, then by row, of what was found in parts of a corpus.

        Each of ``found`` holds the best of its part, as rows of the whole corpus.
        """
        owners = np.concatenate([owners_of(part.offsets) for part in found])
        rows, scores = (np.concatenate([getattr(part, name) for part in found]) for name in ("rows", "scores"))
        count = len(found[0].offsets) - 1
        order = np.lexsort((rows, -scores, owners))
        order = order[among_first(owners[order], count, depth)]
        offsets = offsets_of(np.bincount(owners[order], minlength=count))
        return replace(found[0], offsets=offsets, rows=rows[order], scores=scores[order])


@dataclass(frozen=True, slots=True)
class Source:
    """One generator's view of the candidates. ``rank`` int32 [m]: from 1, 0 where it did not propose the candidate;
    ``score`` float32 [m]: its own score, NaN there.
    """

    rank: NDArray[np.int32]
    score: Float32
    model: str | None = None
    prompt: str | None = None
    writing: Writing | None = None

    @property
    def proposed(self) -> Bool:
        """Bool [m]: the candidates that this generator proposed."""
        return self.rank > 0


@dataclass(frozen=True, slots=True)
class Scores:
    """What a scorer says of a batch: ``negatives`` float32 [m], ``positives`` float32 [p]. Higher is more relevant.
    NaN stands for a candidate that a ``lazy`` scorer was not asked about.
    ``usage``: what a language model's answers cost.

    >>> Scores(np.array([0.4, 0.2], np.float32), np.array([0.8], np.float32)).negatives.shape
    (2,)
    """

    negatives: Float32
    positives: Float32
    usage: Usage | None = None


UNJUDGED = -2
"""Stands in `Verdicts.broken` for a candidate that was not needed, so that the filter's scorer was not asked."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a filter says of a batch.

    ``broken`` int8 [m]: -1 keeps the candidate, -2 says nothing of it (its scorer is ``lazy`` and was not asked), else
    the number, in ``rules``, of the rule that it breaks;
    ``value`` and ``limit`` float32 [m]: the number that was looked at and the bound that it was held against;
    ``detail``: a word of explanation a candidate, or None for all.

    >>> Verdicts.from_reasons([None, Reason("too long", 900, 500)]).dropped.tolist()
    [False, True]
    """

    rules: tuple[str, ...]
    broken: NDArray[np.int8]
    value: Float32
    limit: Float32
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
    def dropped(self) -> Bool:
        """Bool [m]: the candidates that break a rule."""
        return self.broken >= 0

    @property
    def unjudged(self) -> Bool:
        """Bool [m]: the candidates that were not looked at. They are neither dropped nor kept."""
        out: Bool = self.broken == UNJUDGED
        return out

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

    offsets: Int64
    chosen: Int64

    def of(self, i: int) -> Int64:
        """The numbers of the candidates chosen for example ``i``."""
        return self.chosen[span(self.offsets, i)]
