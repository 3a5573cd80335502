"""The words of texts, as `bm25s.tokenize` makes them with a stemmer, and how often passages have them."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

import numpy as np

from hardneg.arrays import Int32, Int64
from hardneg.data.scripts import spaced
from hardneg.errors import PartError

PATTERN = re.compile(r"(?u)\b\w\w+\b")
STOPWORD = -1


def stopwords_of(name: str) -> frozenset[str]:
    """The stop words of a list of bm25s's. Raises `PartError` where there is no such list."""
    from bm25s.tokenization import _infer_stopwords

    try:
        return frozenset(() if name == "none" else _infer_stopwords(name))
    except ValueError as error:
        raise PartError(f"`stopwords` {name!r} is no list that bm25s has ({error})") from error


FORMS = 250_000
"""So many forms of words are kept at most; then all are forgotten, and stemmed anew when they occur again."""


class Words(dict[str, int]):
    """The number of every word form that occurred: that of its stem in ``stems``, `STOPWORD` for a stop word."""

    def __init__(self, language: str, stopwords: frozenset[str]) -> None:
        import Stemmer

        super().__init__()
        self.stems: dict[str, int] = {}
        """Stems in the order in which they occurred first, numbered."""
        self._stemmed = str if language == "none" else Stemmer.Stemmer(language).stemWord
        self._stopwords = stopwords

    def __missing__(self, form: str) -> int:
        stop = form in self._stopwords
        number = STOPWORD if stop else self.stems.setdefault(self._stemmed(form), len(self.stems))
        if len(self) == FORMS:
            self.clear()
        self[form] = number
        return number

    def numbers(self, text: str) -> Iterable[int]:
        """The numbers of a text's words, in order, stop words included. Pairs of letters serve as words in scripts
        without spaces (`data.scripts`).
        """
        return map(self.__getitem__, PATTERN.findall(spaced(text).lower()))


class Counted(NamedTuple):
    """How often some passages have each word: entries by rising number of the word, then by rising row.

    ``new``: words that did not occur before, in the order of their numbers. ``numbers`` [w]: words of these passages,
    rising; ``passages`` [w]: how many have each. ``rows``, ``times`` [m]. ``lengths`` [n]: the number of words of each
    passage, stop words left out.
    """

    new: list[str]
    numbers: Int64
    passages: Int64
    rows: Int32
    times: Int32
    lengths: Int64


def counted(words: Words, texts: Iterable[str]) -> Counted:
    """Counts the words of texts, numbered as in ``words.stems``, to which new ones are added."""
    known, flat, ends = len(words.stems), array("i"), array("q", [0])
    for text in texts:
        flat.extend(words.numbers(text))
        ends.append(len(flat))
    found = np.frombuffer(flat, np.int32) if flat else np.zeros(0, np.int32)
    count = len(ends) - 1
    rows = np.repeat(np.arange(count), np.diff(ends))[found >= 0]
    occurrences = found[found >= 0] * np.int64(count) + rows
    occurrences.sort()
    first = np.flatnonzero(np.diff(occurrences, prepend=-1))
    of_word, row = np.divmod(occurrences[first], max(count, 1))
    numbers, passages = np.unique(of_word, return_counts=True)
    times = np.diff(first, append=len(occurrences)).astype(np.int32)
    new = list(islice(words.stems, known, None))
    return Counted(new, numbers, passages, row.astype(np.int32), times, np.bincount(rows, minlength=count))
