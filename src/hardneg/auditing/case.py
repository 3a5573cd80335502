"""One row as the checks see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hardneg.auditing.finding import Finding, Side
from hardneg.auditing.scores import Place, finite
from hardneg.data import training_rows as formats
from hardneg.data.training_rows import Row, Text
from hardneg.files.bad_lines import BadLines
from hardneg.files.text_lines import Limits


@dataclass(frozen=True, slots=True)
class Case:
    """A row, its ``number`` among those that can be read, and `data.corpus.content_hash` of its texts.

    ``hashes``: of the positives, then of the negatives. ``wrong``: the scores that are not finite.
    """

    row: Row
    number: int
    query: int
    hashes: tuple[int, ...]
    first: int
    """The number of its first passage among all passages of the file."""
    wrong: tuple[Place, ...] = ()

    @property
    def positives(self) -> tuple[int, ...]:
        """The hashes of the positives."""
        return self.hashes[: len(self.row.positives)]

    @property
    def sides(self) -> tuple[tuple[Side, tuple[Text, ...]], ...]:
        """Positives and negatives, each with what they are."""
        return ("positive", self.row.positives), ("negative", self.row.negatives)

    @property
    def negatives(self) -> list[tuple[int, Text, int]]:
        """Every negative: its number among all passages of the file, its text, its hash."""
        begin = len(self.row.positives)
        numbers = range(self.first + begin, self.first + len(self.hashes))
        return list(zip(numbers, self.row.negatives, self.hashes[begin:], strict=True))


Check = Callable[[Case], Iterator[Finding]]


def rows(path: Path, limits: Limits, bad: BadLines) -> Iterator[tuple[Row, tuple[Place, ...]]]:
    """The rows of a training file, and their scores that are not finite; those read as 0."""
    for line, record in formats.records(path, limits, bad):
        with bad:
            usable, wrong = finite(record)
            yield formats.row(usable, path, line), wrong
