"""BM25 indexes: built once a corpus and setting, on disk, memory-mapped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from hardneg import progress
from hardneg.arrays import Float32, Int64, among_first, at_least, owners_of
from hardneg.data.corpus import Corpus
from hardneg.data.scripts import spaced
from hardneg.errors import PartError
from hardneg.files.npy import HEADERS
from hardneg.kinds import fingerprint

if TYPE_CHECKING:
    import bm25s

UNKNOWN = "\0"
"""A word that no passage has."""
Method = Literal["robertson", "lucene", "atire", "bm25l", "bm25+"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides words and scores; the generator `bm25` says what each is."""

    language: str = "english"
    stopwords: str = "english"
    method: Method = "lucene"
    k1: float = 1.5
    b: float = 0.75
    delta: float = 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.k1 < math.inf and 0 <= self.b <= 1 and 0 <= self.delta < math.inf):
            given = f"{self.k1!r}, {self.delta!r}, {self.b!r}"
            raise PartError(f"`k1` and `delta` must be at least 0 and `b` within 0 and 1, not {given}")
        if self.language != "none":
            import Stemmer

            if self.language not in Stemmer.algorithms():
                known = ", ".join(Stemmer.algorithms())
                raise PartError(f"`language` {self.language!r} has no Snowball stemmer; there are: none, {known}")

    def tokens(self, texts: Iterable[str]) -> list[list[str]]:
        """The words of each text, as they are indexed. In scripts without spaces, pairs of letters (`data.scripts`)."""
        import bm25s
        import Stemmer

        stemmer = None if self.language == "none" else Stemmer.Stemmer(self.language)
        stopwords = [] if self.stopwords == "none" else self.stopwords
        try:
            tokens: list[list[str]] = bm25s.tokenize(  # pyright: ignore[reportAssignmentType]
                [spaced(text) for text in texts],
                stopwords=stopwords,
                stemmer=stemmer,  # pyright: ignore[reportArgumentType]
                return_ids=False,
                show_progress=False,
            )
        except ValueError as error:
            raise PartError(f"`stopwords` {self.stopwords!r} is no list that bm25s has ({error})") from error
        return tokens


def identity() -> str:
    """The versions of the libraries that decide words and scores."""
    return f"bm25s {version('bm25s')}, PyStemmer {version('PyStemmer')}, pairs of letters"


def works() -> bool:
    """Whether words are made, stemmed and found as they should be, by the backend that jobs use."""
    import bm25s

    settings = Settings()
    built = bm25s.BM25(method=settings.method, backend="numba")
    built.index(settings.tokens(["a cat sat", "dogs barked", "heavy rain"]), show_progress=False)
    rows, _ = built.retrieve(settings.tokens(["a barking dog"]), k=1, show_progress=False)
    return int(rows[0, 0]) == 1


def index(settings: Settings, corpus: Corpus) -> bm25s.BM25 | None:
    """The index of a corpus. None when the corpus has no word to index."""
    import bm25s

    def make(folder: Path) -> None:
        with progress.task("index corpus for BM25", len(corpus)) as bar:
            tokens = settings.tokens(corpus.contents(np.arange(len(corpus))))
            if not any(tokens):
                return
            built = bm25s.BM25(method=settings.method, k1=settings.k1, b=settings.b, delta=settings.delta)
            built.index(tokens, show_progress=False)
            built.save(str(folder), show_progress=False)
            bar.advance(len(corpus))

    name = fingerprint([corpus.fingerprint, identity(), *astuple(settings)])
    folder = corpus.cache.made("bm25", name, make)
    return _loaded(folder, folder.stat().st_ino)


@lru_cache(maxsize=2)
def _loaded(folder: Path, _: int) -> bm25s.BM25 | None:
    """The index in a folder, by its inode too: a folder that was made again is another one."""
    import bm25s

    if not any(file.suffix == ".npy" for file in folder.iterdir()):
        return None
    with HEADERS:
        loaded = bm25s.BM25.load(str(folder), mmap=True, show_progress=False)
    loaded.backend = "numba"
    return loaded


class Found(NamedTuple):
    """Passages found, query by query and best first: ``owners`` [m] (rising), ``rows`` [m], ``scores`` [m]."""

    owners: Int64
    rows: Int64
    scores: Float32


def search(
    index: bm25s.BM25, queries: Sequence[Sequence[str]], depth: int, offsets: Int64, barred: Int64, size: int
) -> Found:
    """Up to ``depth`` passages of each query, ties in the order of bm25s.

    ``queries``: the words of each. Rows ``barred`` (those of query i between two ``offsets``) are left out, and so are
    passages that share no word with the query. ``size``: the number of passages.
    """
    asked = [list(words) or [UNKNOWN] for words in queries]
    barred_pairs = owners_of(offsets) * size + barred
    # What cannot be used is retrieved too, so as many more are asked for; queries are grouped by how many that is, in
    # powers of two, so that one query with a thousand positives costs the others nothing.
    depths = np.minimum(depth + at_least(np.diff(offsets)), size)
    found: list[tuple[Int64, Int64, Float32]] = []
    for deep in np.unique(depths):
        group = np.flatnonzero(depths == deep)
        rows, scores = index.retrieve([asked[i] for i in group.tolist()], k=int(deep), show_progress=False)
        nothing = np.zeros(len(group))  # the score of a passage that shares no word with the query
        if index.nonoccurrence_array is not None:
            ids = (index.get_tokens_ids(asked[i]) for i in group.tolist())
            nothing = np.array([index.nonoccurrence_array[own].sum() + 1e-6 for own in ids])
        usable = (scores > nothing[:, None]) & ~np.isin(group[:, None] * size + rows, barred_pairs)
        found.append((np.repeat(group, usable.sum(axis=1)), rows[usable].astype(np.int64), scores[usable]))
    owner, row, score = (np.concatenate(column) for column in zip(*found, strict=True))
    if len(found) > 1:
        order = np.argsort(owner, kind="stable")  # within a query they are by score already
        owner, row, score = owner[order], row[order], score[order]
    first = among_first(owner, len(queries), depth)
    return Found(owner[first], row[first], score[first])
