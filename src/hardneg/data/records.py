"""The records, one object each. `batch.Batch` holds the same in columns; iterating over a batch yields these."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from hardneg.errors import DataError

T = TypeVar("T")


def normalise(text: str) -> str:
    r"""The form in which two texts count as the same: NFKC, case folded, runs of white space as one space.

    >>> normalise("  The\u00a0CAT\n sat ")
    'the cat sat'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that can be retrieved. ``text`` and ``title`` are as in the source; models read `contents`.

    >>> Passage("d1", "It stands in Paris.", "Eiffel Tower").contents
    'Eiffel Tower It stands in Paris.'
    """

    id: str
    text: str
    title: str = ""

    @property
    def contents(self) -> str:
        """Title and text joined by one space: what retrievers index and encoders read."""
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True, slots=True)
class Example:
    """A query with the ids of its labelled positives, at least one, all of them in the corpus.

    >>> Example("q1", "where is the eiffel tower", ("d1",)).positives
    ('d1',)
    """

    id: str
    query: str
    positives: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """What a reader found at one place: an item, or the reason for which it is skipped and counted.

    ``problem`` says what is wrong with a line that cannot be used: such lines are listed one by one. ``count``: of how
    many lines this is said.
    """

    item: T | None
    file: str
    line: int
    skipped: str | None = None
    problem: str | None = None
    count: int = 1


UNUSABLE = "line that cannot be used"


def unusable(found: Iterable[DataError]) -> Iterator[Read[Any]]:
    """What a reader says of the lines that it put aside."""
    for error in found:
        yield Read(None, error.file or "", error.line or 0, UNUSABLE, error.problem or str(error))


BELOW = "judgment below `min_grade`"
NO_TEXT = "judgment of a passage without text"
TWICE = "judgment that is there already"
NO_QUERY = "judgment of a query that cannot be used"


def unused(judgments: Mapping[str, int], file: Path) -> Iterator[Read[Any]]:
    """What a reader says of the judgments in ``file`` that make no positive: how many, by the reasons above."""
    for reason, count in judgments.items():
        if count:
            yield Read(None, str(file), 0, reason, count=count)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage proposed as a negative: ``passage_id`` names one of the corpus, or ``text`` is a new one.

    >>> Candidate(0.7, passage_id="d1"), Candidate(0.6, text="a new text")
    (Candidate(score=0.7, passage_id='d1', text=None), Candidate(score=0.6, passage_id=None, text='a new text'))
    """

    score: float
    passage_id: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who proposed a candidate: the generator's name in the job, the rank from 1, the generator's own score. Of a
    language model also the round of asking (from 0), the candidate's share of tokens, and what the model says of it.

    Scores of different generators are never compared.

    >>> Origin("lexical", rank=3, score=11.5).generator
    'lexical'
    """

    generator: str
    rank: int
    score: float
    model: str | None = None
    prompt: str | None = None
    round: int | None = None
    tokens: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a negative was dropped: ``value`` broke the ``rule`` of a filter, whose bound was ``limit``.

    >>> print(Reason("margin", 0.81, 0.75))
    margin: 0.8100 against 0.7500
    """

    rule: str
    value: float
    limit: float
    detail: str | None = None

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.rule}: {self.value:.4f} against {self.limit:.4f}{detail}"


@dataclass(frozen=True, slots=True)
class Negative:
    """A candidate with everything known about it.

    >>> Negative(Passage("d1", "a text"), (Origin("lexical", 1, 9.0),), {"target": 0.4}).scores["target"]
    0.4
    """

    passage: Passage
    origins: tuple[Origin, ...]
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A negative that filters refused: the reason of every filter that refused it, by filter name, in job order."""

    negative: Negative
    reasons: Mapping[str, Reason]


@dataclass(frozen=True, slots=True)
class NegativeSet:
    """One example with its negatives. ``positive_scores`` has one score a positive, by scorer name.

    >>> own = NegativeSet("q1", "a query", (Passage("d1", "a text"),), {"target": (0.8,)}, negatives=())
    >>> own.positive_scores["target"], own.dropped
    ((0.8,), ())
    """

    id: str
    query: str
    positives: tuple[Passage, ...]
    positive_scores: Mapping[str, tuple[float, ...]]
    negatives: tuple[Negative, ...]
    dropped: tuple[Dropped, ...] = ()
