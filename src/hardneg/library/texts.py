"""Examples given as texts: checked, numbered, and as a batch of a job."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hardneg.arrays import Float, Int64, offsets_of
from hardneg.cache.folders import Cache
from hardneg.data import corpus
from hardneg.data.batch import Batch
from hardneg.data.records import Passage, Read
from hardneg.errors import DataError


@dataclass(frozen=True)
class Texts:
    """n examples: ``positives`` and ``negatives`` a list of texts for each query."""

    queries: Sequence[str]
    positives: Sequence[Sequence[str]]
    negatives: Sequence[Sequence[str]]

    @classmethod
    def of(
        cls,
        queries: Sequence[str],
        positives: Sequence[str] | Sequence[Sequence[str]],
        negatives: Sequence[Sequence[str]],
    ) -> Texts:
        """The examples as given. Raises `DataError` for what is no list of texts, naming the example."""
        if not len(queries) == len(positives) == len(negatives):
            raise DataError(
                f"{len(queries)} queries, {len(positives)} positives, {len(negatives)} lists of negatives: not as many"
            )
        own: list[list[str]] = [
            [entry] if isinstance(entry, str) or entry is None else list(entry) for entry in positives
        ]
        for number, entries in enumerate(own):
            if not entries:
                raise DataError(f"example {number} has no positive")
        for number, texts in enumerate(negatives):
            if isinstance(texts, str):
                raise DataError(f"example {number}: its negatives are a text; give a list of texts")
            if not all(isinstance(text, str) for text in (queries[number], *own[number], *texts)):
                raise DataError(f"example {number} holds something that is no text (None, perhaps)")
        return cls(queries, own, negatives)

    @property
    def positive_offsets(self) -> Int64:
        """Int64 [n + 1]: the positives of example i are between two of these."""
        return offsets_of(list(map(len, self.positives)))

    @property
    def offsets(self) -> Int64:
        """Int64 [n + 1]: the negatives of example i are between two of these."""
        return offsets_of(list(map(len, self.negatives)))

    def passages(self) -> Iterator[str]:
        """All positives, then all negatives."""
        for lists in (self.positives, self.negatives):
            for own in lists:
                yield from own


def corpus_of(texts: Iterable[str], cache: Path | None) -> corpus.Corpus:
    """The distinct texts as a corpus. Without a ``cache`` it lies in a folder that goes with the object."""
    folder = None
    if cache is None:
        folder = TemporaryDirectory(prefix="hardneg-")
        cache = Path(folder.name)
    distinct = dict.fromkeys(text for text in texts if text.strip())
    reads = (Read(Passage(str(number), text), "corpus", number + 1) for number, text in enumerate(distinct))
    built = corpus.build(Cache(cache), reads).corpus
    if folder is not None:
        weakref.finalize(built, folder.cleanup)
    return built


def batch_of(texts: Texts, passages: corpus.Corpus) -> Batch:
    """The examples as a batch. Negatives that the corpus lacks are new texts.

    Raises `DataError` for a positive that the corpus lacks.
    """
    rows = passages.find([text for own in texts.positives for text in own])
    if (rows < 0).any():
        i = int(np.searchsorted(texts.positive_offsets, int(np.argmin(rows)), side="right")) - 1
        raise DataError(f"a positive of example {i} is not in the `corpus`; add it, since it is ranked there")
    flat = [text for own in texts.negatives for text in own]
    found = passages.find(flat)
    names = [str(number) for number in range(len(texts.queries))]
    batch = Batch.of(passages, names, list(texts.queries), texts.positive_offsets, rows)
    new = [None if row >= 0 else text for row, text in zip(found.tolist(), flat, strict=True)]
    return replace(batch, offsets=texts.offsets, rows=found, texts=new if (found < 0).any() else None)


def flat_similarities(values: Any, offsets: Int64, what: str) -> Float:
    """Float64 [m] of an array [n], [n, k] or [m], or of lists, that has the shape of the texts it is about."""
    lengths = np.diff(offsets)
    if isinstance(values, np.ndarray) and values.dtype != object:
        fits = values.size == offsets[-1]
        if values.ndim == 2:
            fits = len(values) == len(lengths) and bool((lengths == values.shape[1]).all())
        if not fits or values.ndim not in (1, 2):
            raise DataError(f"similarities of shape {list(values.shape)} do not have the shape of the {what}")
        return values.astype(np.float64).reshape(-1)
    if len(values) and np.ndim(values[0]):
        if not np.array_equal([len(own) for own in values], lengths):
            raise DataError(f"the similarities of the {what} do not have the shape of the {what}")
        return np.fromiter((value for own in values for value in own), np.float64, int(offsets[-1]))
    flat = np.asarray([value for value in values if np.ndim(value) == 0], dtype=np.float64)
    if len(flat) != offsets[-1]:
        raise DataError(f"there are {len(flat)} similarities for {int(offsets[-1])} {what}")
    return flat
