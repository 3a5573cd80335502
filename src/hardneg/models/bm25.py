"""BM25 indexes: built once a corpus and setting, on disk, memory-mapped."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hardneg import progress
from hardneg.arrays import Float32, Int64, offsets_of
from hardneg.data.corpus import Corpus
from hardneg.errors import PartError
from hardneg.files.npy import HEADERS
from hardneg.kinds import fingerprint
from hardneg.models.bm25_build import Counts, Method, write
from hardneg.models.bm25_processes import count, count_in_processes
from hardneg.models.bm25_words import Counted, Words, stopwords_of
from hardneg.models.devices import threads

if TYPE_CHECKING:
    import bm25s

QUERIES_PER_BLOCK = 256
PASSAGES_PER_BLOCK, BYTES_PER_BLOCK = 4_096, 1 << 22
BYTES_PER_PROCESS = 1 << 24
"""So much text is worth a process of its own, which takes a second to start."""
MOST_PROCESSES = 8
"""What more would count, this process could not write."""


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
        words = Words(self.language, stopwords_of(self.stopwords))
        numbers = [[number for number in words.numbers(text) if number >= 0] for text in texts]
        stems = list(words.stems)
        return [[stems[number] for number in own] for own in numbers]


def identity() -> str:
    """The versions of the libraries that decide words and scores."""
    return f"bm25s {version('bm25s')}, PyStemmer {version('PyStemmer')}, pairs of letters"


def works() -> bool:
    """Whether words are made, stemmed and found as they should be."""
    import bm25s

    settings = Settings()
    built = bm25s.BM25(method=settings.method)
    built.index(settings.tokens(["a cat sat", "dogs barked", "heavy rain"]), show_progress=False)
    none = np.zeros(0, np.int64)
    found = search(built, settings.tokens(["a barking dog"]), 1, np.zeros(2, np.int64), none, 3)
    return list(found.rows) == [1]


def index(settings: Settings, corpus: Corpus) -> bm25s.BM25 | None:
    """The index of a corpus. None when the corpus has no word to index."""

    def make(folder: Path) -> None:
        counts = Counts(folder)
        counts.add(counted_in(settings, corpus, range(len(corpus))))
        if counts.numbers:
            write(folder, counts, counts.statistics(), settings.method, settings.k1, settings.b, settings.delta)
        counts.remove()

    folder = corpus.cache.made("bm25", fingerprint([corpus.fingerprint, identity(), *astuple(settings)]), make)
    return _opened(folder, folder.stat().st_ino)


def counted_in(settings: Settings, corpus: Corpus, rows: range) -> Iterator[Counted]:
    """The words of consecutive passages of a corpus, some passages at a time."""
    whole = (corpus.path / "passages.arrow").stat().st_size
    most = max(1, min(PASSAGES_PER_BLOCK, BYTES_PER_BLOCK * len(corpus) // whole))
    blocks = [(begin, min(begin + most, rows.stop)) for begin in range(rows.start, rows.stop, most)]
    size = whole * len(rows) // len(corpus)
    task = settings.language, stopwords_of(settings.stopwords), corpus, blocks
    processes = min(threads(), MOST_PROCESSES, size // BYTES_PER_PROCESS) if sys.executable else 1
    counts = count(*task) if processes < 2 else count_in_processes(*task, processes)
    with progress.task("count words for BM25", len(rows)) as bar:
        for block in counts:
            yield block
            bar.advance(len(block.lengths))


@lru_cache(maxsize=2)
def _opened(folder: Path, _: int) -> bm25s.BM25 | None:
    """The index in a folder, by its inode too: a folder that was made again is another one."""
    return loaded(folder)


def loaded(folder: Path) -> bm25s.BM25 | None:
    """The index in a folder. None where it has no word."""
    import bm25s

    if not any(file.suffix == ".npy" for file in folder.iterdir()):
        return None
    with HEADERS:
        return bm25s.BM25.load(str(folder), mmap=True, show_progress=False)


class Found(NamedTuple):
    """Passages found, query by query and best first: ``owners`` [m] (rising), ``rows`` [m], ``scores`` [m]."""

    owners: Int64
    rows: Int64
    scores: Float32


def search(
    index: bm25s.BM25, queries: Sequence[Sequence[str]], depth: int, offsets: Int64, barred: Int64, size: int
) -> Found:
    """Up to ``depth`` passages of each query that share a word with it, equal scores by rising row.

    ``queries``: the words of each. Rows ``barred`` (those of query i between two ``offsets``) are left out. ``size``:
    the number of passages. Large batches are shared out over ``OMP_NUM_THREADS`` threads, or one a processor.
    """
    from hardneg.models.bm25_search import LAST, arrays_of, best, constant

    given: Any = index.nonoccurrence_array
    arrays = [*arrays_of(index), constant(np.zeros(0, np.float32) if given is None else given)]
    none = np.zeros(0, np.int64)
    known = [index.get_tokens_ids(list(words)) for words in queries]
    words, begins = np.array([word for own in known for word in own], np.int64), offsets_of([*map(len, known)])

    def found(begin: int) -> tuple[Int64, Int64]:
        end = min(begin + QUERIES_PER_BLOCK, len(queries))
        keys, counts = np.empty((end - begin, min(depth, size)), np.int64), np.empty(end - begin, np.int64)
        best(*arrays, words, begins[begin : end + 1], barred, offsets[begin : end + 1], size, keys, counts)
        return keys[np.arange(keys.shape[1]) < counts[:, None]], counts

    blocks = range(0, len(queries), QUERIES_PER_BLOCK)
    with ThreadPoolExecutor(threads()) as pool:
        parts = [(none, none), *(pool.map if len(blocks) > 1 else map)(found, blocks)]
    keys, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
    owners = np.repeat(np.arange(len(queries)), counts)
    return Found(owners, LAST - (keys & LAST), (keys >> 32).astype(np.int32).view(np.float32))
