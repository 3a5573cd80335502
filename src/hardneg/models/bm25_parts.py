"""BM25 indexes of parts of a corpus, with the scores that the index of the whole corpus has.

The words of each part are counted once, and the counts kept. The index of a part is written from its own counts and the
statistics of all parts, so that it needs memory for one part alone.
"""

from __future__ import annotations

from dataclasses import astuple
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hardneg.arrays import cut
from hardneg.data.corpus import Corpus
from hardneg.kinds import fingerprint
from hardneg.models.bm25 import Settings, counted_in, identity, loaded
from hardneg.models.bm25_build import Counts, statistics_in, write

if TYPE_CHECKING:
    import bm25s


def index_of_part(settings: Settings, corpus: Corpus, number: int, count: int) -> bm25s.BM25 | None:
    """The index of part ``number``, from 0, of ``count`` parts of a corpus. None where it has no word to index."""
    folder = folder_of_part(settings, corpus, number, count)
    return None if folder is None else _opened(folder, folder.stat().st_ino)


@lru_cache(maxsize=1)
def _opened(folder: Path, _: int) -> bm25s.BM25 | None:
    _opened.cache_clear()  # the part before goes first
    return loaded(folder)


def folder_of_part(settings: Settings, corpus: Corpus, number: int, count: int) -> Path | None:
    """The folder of that index, made if need be. None where the part has no passage.

    The methods ``bm25l`` and ``bm25+`` give passages a score for words that they lack, so an index for these has the
    words of all parts.
    """

    def make(folder: Path) -> None:
        # beginning with its own, so that processes that make one index each count a part each
        parts = [cut(len(corpus), (number + other) % count, count) for other in range(count)]
        own, *others = (_counts(settings, corpus, part) for part in parts if part)
        counts = Counts.load(own)
        of = counts.statistics()
        for other in others:
            of = of.with_those_of(statistics_in(other), new_words=settings.method in {"bm25l", "bm25+"})
        if counts.numbers:
            write(folder, counts, of, settings.method, settings.k1, settings.b, settings.delta)

    rows = cut(len(corpus), number, count)
    name = fingerprint([corpus.fingerprint, identity(), *astuple(settings), rows.start, rows.stop])
    return corpus.cache.made("bm25", name, make) if rows else None


def _counts(settings: Settings, corpus: Corpus, rows: range) -> Path:
    """The folder with the counts of a part."""

    def make(folder: Path) -> None:
        counts = Counts(folder)
        counts.add(counted_in(settings, corpus, rows))
        counts.save()

    words = [identity(), settings.language, settings.stopwords, rows.start, rows.stop]
    return corpus.cache.made("bm25_counts", fingerprint([corpus.fingerprint, *words]), make)
