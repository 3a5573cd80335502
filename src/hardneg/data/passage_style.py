"""What the corpus's passages look like: how long they are, and in which language."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hardneg.arrays import evenly
from hardneg.data.corpus import Corpus
from hardneg.data.scripts import UNSPACED

SAMPLE = 2_000
SPOKEN = 200
"""Passages whose language is looked at."""
READABLE = 40
"""Characters below which a text's language is not told."""


@dataclass(frozen=True, slots=True)
class PassageStyle:
    """Of passages of the corpus, evenly spaced: words at the 1st, 50th and 99th percentile; ISO 639-1 code of the
    language of most, None where there is no majority.
    """

    shortest: float
    usual: float
    longest: float
    language: str | None


@lru_cache(maxsize=2)
def passage_style(corpus: Corpus) -> PassageStyle:
    """A corpus's style."""
    rows = evenly(len(corpus), SAMPLE)
    texts = corpus.contents(rows)
    lengths = [count_words(text) for text in texts if text.strip()] or [1]
    spoken = Counter(found for text in texts[:: max(1, len(texts) // SPOKEN)] if (found := language(text)) is not None)
    most = next((found for found, count in spoken.most_common(1) if count * 2 > spoken.total()), None)
    shortest, usual, longest = np.percentile(lengths, [1, 50, 99]).tolist()
    return PassageStyle(shortest, usual, longest, most)


def count_words(text: str) -> int:
    """Words by white space; in scripts without it two letters are a word.

    >>> count_words("two words"), count_words("今天天气")
    (2, 2)
    """
    return len(UNSPACED.sub(" ", text).split()) + (len(UNSPACED.findall(text)) + 1) // 2


def language(text: str, sure: float = 0.0) -> str | None:
    """The language of a text by py3langid; None for a short text, and where it is less ``sure`` (a probability)."""
    if len(text) < READABLE:
        return None
    import py3langid

    ranked = py3langid.rank(text)  # logarithms of weights, best first
    probability = 1 / math.fsum(math.exp(weight - ranked[0][1]) for _, weight in ranked)
    return str(ranked[0][0]) if probability >= sure else None
