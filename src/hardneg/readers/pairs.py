"""Pairs that are in memory already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from hardneg.data.corpus import Corpus
from hardneg.data.records import Example, Passage, Read
from hardneg.errors import DataError
from hardneg.kinds import NEUTRAL, part


@part
class Pairs:
    """``queries`` [k] and ``positives`` [k], a pair each: rows with the same query give its positives together.

    Candidates come from ``corpus``, or from the positives, and each distinct text is one passage. Not for YAML.
    """

    queries: tuple[str, ...] = field(metadata=NEUTRAL)
    positives: tuple[str, ...] = field(metadata=NEUTRAL)
    corpus: tuple[str, ...] = field(default=(), metadata=NEUTRAL)

    def __post_init__(self) -> None:
        if len(self.queries) != len(self.positives):
            raise DataError(f"there are {len(self.queries)} queries and {len(self.positives)} positives")
        for name, texts in (("queries", self.queries), ("positives", self.positives), ("corpus", self.corpus)):
            wrong = next((place for place, text in enumerate(texts) if not isinstance(text, str)), None)
            if wrong is not None:
                raise DataError(f"row {wrong} of the {name} is no text: {texts[wrong]!r:.60}")

    def identity(self) -> str:
        """SHA-256 of all texts."""
        digest = hashlib.sha256()
        for texts in (self.queries, self.positives, self.corpus):
            for text in texts:
                encoded = text.encode()
                digest.update(len(encoded).to_bytes(8, "little") + encoded)
            digest.update(b"\xff")
        return digest.hexdigest()

    def files(self) -> list[Path]:
        """None."""
        return []

    def passages(self) -> Iterator[Read[Passage]]:
        """Every distinct text, named by its number."""
        for number, text in enumerate(self._texts()):
            yield Read(Passage(str(number), text), "corpus", number + 1)

    def _texts(self) -> list[str]:
        return list(dict.fromkeys([*self.corpus, *self.positives]))

    def examples(self, corpus: Corpus, empty: frozenset[str]) -> Iterator[Read[Example]]:
        """One example a distinct query, in the order of first appearance."""
        number = {text: str(place) for place, text in enumerate(self._texts())}
        own: dict[str, dict[str, None]] = {}
        for query, positive in zip(self.queries, self.positives, strict=True):
            own.setdefault(query, {})[number[positive]] = None
        for place, (query, names) in enumerate(own.items()):
            usable = tuple(name for name in names if name not in empty)
            reason = "query without text" if not query.strip() else None if usable else "positives without text"
            example = None if reason else Example(str(place), query, usable)
            yield Read(example, "queries", place + 1, reason)
