"""How telling a word is: the inverse document frequency of a corpus's words."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np

from hardneg import progress
from hardneg.data.corpus import ROWS_PER_BLOCK, Corpus
from hardneg.data.records import normalise
from hardneg.data.scripts import spaced

WORD = re.compile(r"\w+")


def words(text: str) -> frozenset[str]:
    """The set of words of a text, normalised. In scripts without spaces, pairs of letters (`data.scripts`).

    >>> sorted(words("The cat, the CAT!"))
    ['cat', 'the']
    """
    return frozenset(WORD.findall(spaced(normalise(text))))


class Lexicon:
    """idf(w) = ln(1 + N / df(w)), N the number of passages; a word that the corpus lacks counts as if one had it."""

    def __init__(self, frequencies: dict[str, int], passages: int) -> None:
        self._frequencies, self._passages = frequencies, passages
        self._weights: dict[frozenset[str], float] = {}

    def idf(self, word: str) -> float:
        """How telling one word is, above 0."""
        return math.log1p(self._passages / self._frequencies.get(word, 1))

    def weight(self, found: frozenset[str]) -> float:
        """The sum of the idf of some words."""
        if found not in self._weights:
            if len(self._weights) > 1 << 16:
                self._weights.clear()
            self._weights[found] = math.fsum(map(self.idf, found))
        return self._weights[found]

    def containment(self, inner: frozenset[str], outer: frozenset[str]) -> float:
        """The share of the weight of ``inner`` whose words ``outer`` has too, in [0, 1]; 0 for no words."""
        whole = self.weight(inner)
        return self.weight(inner & outer) / whole if whole else 0.0

    def overlap(self, one: frozenset[str], other: frozenset[str]) -> float:
        """The containment of the lighter of the two in the other, in [0, 1]."""
        lighter = min(self.weight(one), self.weight(other))
        return self.weight(one & other) / lighter if lighter else 0.0


@lru_cache(maxsize=2)
def lexicon(corpus: Corpus) -> Lexicon:
    """A corpus's lexicon: counted once, kept in the cache."""

    def make(folder: Path) -> None:
        counts: Counter[str] = Counter()
        with progress.task("count words", len(corpus)) as bar:
            for begin in range(0, len(corpus), ROWS_PER_BLOCK):
                rows = np.arange(begin, min(begin + ROWS_PER_BLOCK, len(corpus)))
                for text in corpus.contents(rows):
                    counts.update(words(text))
                bar.advance(len(rows))
        (folder / "frequencies.json").write_text(json.dumps(dict(sorted(counts.items()))), encoding="utf-8")

    folder = corpus.cache.made("lexicon", f"2-{corpus.fingerprint}", make)
    return Lexicon(json.loads((folder / "frequencies.json").read_text(encoding="utf-8")), len(corpus))
