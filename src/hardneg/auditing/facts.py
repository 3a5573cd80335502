"""What is to be known of a whole file before a row of it can be judged: numbers alone, no texts."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hardneg import progress
from hardneg.arrays import Bool, Float32, Int64, offsets_of, owners_of, places_of
from hardneg.auditing.case import Case, rows
from hardneg.auditing.scores import Place
from hardneg.data.corpus import content_hash, id_hash
from hardneg.data.training_rows import Row
from hardneg.errors import DataError
from hardneg.files.bad_lines import BadLines
from hardneg.files.text_lines import Limits

Hashes = NDArray[np.uint64]
D = TypeVar("D", np.int64, np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """A file of n rows that can be read, with p passages: of each row the positives, then the negatives.

    ``lines`` int64 [n]; ``queries`` uint64 [n] and ``passages`` uint64 [p]: `data.corpus.content_hash`; ``offsets``
    int64 [n + 1]: the passages of each row; ``negative`` bool [p]. ``first`` int64 [n]: the number of the first row
    that is equal, and whose scores are finite if any equal one's are. ``reused``: hashes of ids that stand for two
    texts, of queries and of passages. ``pairs``: each row is a query with one passage and a label.
    """

    lines: Int64
    queries: Hashes
    passages: Hashes
    offsets: Int64
    negative: Bool
    first: Int64
    reused: tuple[frozenset[int], frozenset[int]]
    pairs: bool

    @property
    def asked(self) -> Hashes:
        """Uint64 [p]: the query of each passage."""
        return self.queries[owners_of(self.offsets)]

    def counts(self) -> Int64:
        """Int64 [n]: the negatives of each row."""
        return np.bincount(owners_of(self.offsets)[self.negative], minlength=len(self.lines)).astype(np.int64)

    def typical(self) -> int:
        """The number of negatives that most rows have, the higher one of two; 0 for a file of labelled pairs."""
        if self.pairs or not len(self.lines):
            return 0
        found = np.bincount(self.counts())
        return int(len(found) - 1 - np.argmax(found[::-1]))

    def known_positives(self) -> Int64:
        """Int64 [p]: of each negative the line in which it is a positive of the same query; 0 where there is none."""
        keys = pair_keys(self.asked, self.passages)
        lines = self.lines[owners_of(self.offsets)]
        known, place = np.unique(keys[~self.negative], return_index=True)
        where = lines[~self.negative][place]
        out = np.zeros(len(keys), np.int64)
        if len(known):
            at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
            out = np.where((known[at] == keys) & self.negative, where[at], 0)
        return out

    def told(self, keys: Hashes, values: Float32) -> Float32:
        """Float32 [p]: what is known of each negative's pair (`pair_keys`), NaN for nothing."""
        out = np.full(len(self.passages), np.nan, np.float32)
        if len(keys):
            order = np.argsort(keys)
            wanted = pair_keys(self.asked, self.passages)
            at = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
            found = (keys[order][at] == wanted) & self.negative
            out[found] = values[order][at][found]
        return out

    def case(self, number: int, row: Row, wrong: tuple[Place, ...]) -> Case:
        """Row ``number`` as the checks see it."""
        begin, end = int(self.offsets[number]), int(self.offsets[number + 1])
        hashes = tuple(self.passages[begin:end].tolist())
        return Case(row, number, int(self.queries[number]), hashes, begin, wrong)


def pair_keys(queries: Hashes, passages: Hashes) -> Hashes:
    """Uint64 [k]: one number for each pair of a query and a passage."""
    with np.errstate(over="ignore"):
        keys: Hashes = queries * np.uint64(0x9E3779B97F4A7C15) + passages * np.uint64(0xC2B2AE3D27D4EB4F)
        return keys


def gather(path: Path, limits: Limits, bad: BadLines) -> Facts:
    """Reads a file once. Lines that cannot be read are for ``bad``; raises the first such error where all are."""
    lines, queries, passages, equal = array("q"), array("Q"), array("Q"), array("q")
    lengths, positives, wrong = array("q"), array("q"), array("b")
    ids: tuple[array[int], ...] = tuple(array("Q") for _ in range(4))
    labelled = False
    with progress.task("read the file") as bar:
        for row, unusable in progress.counted(rows(path, limits, bad), bar):
            query = content_hash(row.query)
            own = [content_hash(text.contents) for text in (*row.positives, *row.negatives)]
            p = len(row.positives)
            labelled |= len(own) == 1 and not p
            lines.append(row.line)
            queries.append(query)
            passages.extend(own)
            lengths.append(len(own))
            positives.append(p)
            wrong.append(bool(unusable))
            equal.append(hash((query, tuple(sorted(own[:p])), tuple(sorted(own[p:])))))  # of numbers: no seed in it
            if row.query_id:
                ids[0].append(id_hash(row.query_id))
                ids[1].append(query)
            for text, found in zip((*row.positives, *row.negatives), own, strict=True):
                if text.id is not None:
                    ids[2].append(id_hash(text.id))
                    ids[3].append(found)
    if not lines and bad.found:
        raise bad.found[0]
    if not lines:
        raise DataError(f"{path}: there is no row in it")
    offsets = offsets_of(_array(lengths, np.int64))
    return Facts(
        _array(lines, np.int64),
        _array(queries, np.uint64),
        _array(passages, np.uint64),
        offsets,
        places_of(offsets) >= np.repeat(_array(positives, np.int64), np.diff(offsets)),
        _first(_array(equal, np.int64), np.array(wrong, dtype=np.bool_)),
        (_reused(ids[0], ids[1]), _reused(ids[2], ids[3])),
        labelled and max(lengths) == 1,
    )


def _first(equal: Int64, wrong: Bool) -> Int64:
    """Of each entry the first that is equal, ``wrong`` ones last."""
    order = np.argsort(wrong, kind="stable")
    known, place = np.unique(equal[order], return_index=True)
    return order[place][np.searchsorted(known, equal)].astype(np.int64)


def _reused(ids: Sequence[int], texts: Sequence[int]) -> frozenset[int]:
    """The ids that stand for more than one text."""
    pairs = np.unique(np.stack([_array(ids, np.uint64), _array(texts, np.uint64)]), axis=1)
    found, counts = np.unique(pairs[0], return_counts=True)
    return frozenset(found[counts > 1].tolist())


def _array(values: Sequence[int], dtype: type[D]) -> NDArray[D]:
    return np.array(values, dtype=dtype)
