"""The corpus: passages in a memory-mapped Arrow file of the cache folder, by row and by id.

Nothing of a corpus is held in memory but what is asked for. The folder is named by a hash of the passages, so equal
corpora are one folder, whatever files they were read from.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hardneg.arrays import Int64
from hardneg.cache.folders import Cache
from hardneg.data.records import Passage, Read, normalise
from hardneg.errors import DataError, StoreError
from hardneg.files.checksums import refuse_cut_array
from hardneg.files.npy import mapped

SCHEMA = pa.schema([("id", pa.large_string()), ("title", pa.large_string()), ("text", pa.large_string())])
ROWS_PER_BLOCK = 65_536
FORMAT = b"corpus 1"
"""To be raised when the files of a corpus, or `data.normalise`, come to mean something else."""


def content_hash(text: str) -> int:
    """64 bits that are equal for texts that count as the same (`data.normalise`)."""
    return int.from_bytes(hashlib.blake2b(normalise(text).encode(), digest_size=8).digest(), "little")


def id_hash(identifier: str) -> int:
    """64 bits of a passage's id."""
    return int.from_bytes(hashlib.blake2b(identifier.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Corpus:
    """An opened corpus of N passages. `build` makes one; constructing opens a finished folder.

    Rows are int64 in 0..N-1, in the order of the source.
    """

    path: Path
    cache: Cache

    @property
    def fingerprint(self) -> str:
        """SHA-256 over every passage's id, title and text, in order."""
        return self.path.name

    @cached_property
    def _table(self) -> pa.Table:
        try:
            return pa.ipc.open_file(pa.memory_map(str(self.path / "passages.arrow"))).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(
                f"{self.path}: the corpus cannot be opened ({error}); delete that folder and run again"
            ) from error

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __reduce__(self) -> tuple[type, tuple[Path, Cache]]:
        return Corpus, (self.path, self.cache)

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """Uint64 [N], memory-mapped: `content_hash` of every passage's contents."""
        return mapped(self.path / "hashes.npy")

    @cached_property
    def _hash_order(self) -> Int64:
        return mapped(self.path / "hash_order.npy")

    def places(self, hashes: NDArray[np.uint64]) -> Int64:
        """Int64 [k], within 0..N: where each of these `content_hash` stands, or would, among all in rising order."""
        return np.searchsorted(self.hashes, hashes, sorter=self._hash_order)

    @cached_property
    def _by_id(self) -> tuple[NDArray[np.uint64], Int64]:
        return mapped(self.path / "ids.npy").view(np.ndarray), mapped(self.path / "id_order.npy").view(np.ndarray)

    def row(self, identifier: str) -> int:
        """The row of an id; KeyError when the corpus has none such."""
        hashes, order = self._by_id
        wanted = np.uint64(id_hash(identifier))
        for place in range(int(hashes.searchsorted(wanted)), len(hashes)):
            if hashes[place] != wanted:
                break
            row = int(order[place])
            if self._ids[row].as_py() == identifier:
                return row
        raise KeyError(identifier)

    @cached_property
    def _ids(self) -> pa.ChunkedArray:
        return self._table["id"]

    def rows(self, identifiers: Sequence[str]) -> Int64:
        """Int64 [k]: the rows of ids that the corpus has. Raises KeyError where it lacks one."""
        hashes, order = self._by_id
        if not len(hashes) or not identifiers:
            return np.array([self.row(identifier) for identifier in identifiers], dtype=np.int64)
        wanted = np.array([id_hash(identifier) for identifier in identifiers], dtype=np.uint64)
        rows = np.asarray(order[np.minimum(hashes.searchsorted(wanted), len(hashes) - 1)], dtype=np.int64)
        for place, (found, identifier) in enumerate(zip(self.ids(rows), identifiers, strict=True)):
            if found != identifier:  # two ids with one hash, or none
                rows[place] = self.row(identifier)
        return rows

    def __contains__(self, identifier: str) -> bool:
        try:
            self.row(identifier)
        except KeyError:
            return False
        return True

    def rows_with(self, hashes: NDArray[np.uint64], owners: Int64) -> tuple[Int64, Int64]:
        """Every (owner, row) such that the row's `content_hash` is one of the owner's ``hashes``."""
        order = self._hash_order
        begin, end = self.places(hashes), np.searchsorted(self.hashes, hashes, "right", sorter=order)
        counts = end - begin
        within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(owners, counts), np.asarray(order[np.repeat(begin, counts) + within], dtype=np.int64)

    def find(self, contents: Sequence[str]) -> Int64:
        """Int64 [k]: for each text the first row whose contents count as the same, -1 where there is none."""
        return self.with_hashes(np.array([content_hash(text) for text in contents], dtype=np.uint64))

    def with_hashes(self, hashes: NDArray[np.uint64]) -> Int64:
        """Int64 [k]: the first row with each of these `content_hash`, -1 where there is none."""
        if not len(self):
            return np.full(len(hashes), -1, dtype=np.int64)
        rows = self._hash_order[np.minimum(self.places(hashes), len(self) - 1)]
        return np.where(self.hashes[rows] == hashes, rows, -1)

    def passage(self, row: int) -> Passage:
        """The passage of a row."""
        [record] = self._table.slice(row, 1).to_pylist()
        return Passage(record["id"], record["text"], record["title"])

    def column(self, name: str, rows: Int64) -> pa.Array:
        """``id``, ``title`` or ``text`` of these rows, as an Arrow array."""
        blocks = self._table[name].chunks
        if not blocks:
            return pa.array([], SCHEMA.field(name).type)
        if len(blocks) == 1:
            return blocks[0].take(pa.array(rows))
        order = np.argsort(rows, kind="stable")  # `ChunkedArray.take` puts the whole column together first
        rising, begins = rows[order], np.cumsum([0, *map(len, blocks)])[:-1]
        bounds = [0, *rising.searchsorted(begins[1:]).tolist(), len(rising)]
        parts = [
            block.take(pa.array(rising[low:high] - begin))
            for block, begin, low, high in zip(blocks, begins, bounds[:-1], bounds[1:], strict=True)
            if low < high
        ]
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        return pa.concat_arrays([pa.array([], SCHEMA.field(name).type), *parts]).take(pa.array(places))

    def by_size(self, rows: range) -> Int64:
        """Int64 [len(rows)]: consecutive rows, the longest passages first, equally long ones in their order."""
        columns = [self._table[name].slice(rows.start, len(rows)) for name in ("title", "text")]
        title, text = (pc.call_function("binary_length", [column]).to_numpy() for column in columns)
        return rows.start + np.argsort(-(title + text), kind="stable")

    def ids(self, rows: Int64) -> list[str]:
        """Ids of these rows."""
        return list(self.column("id", rows).to_pylist())

    def contents_column(self, rows: Int64) -> pa.Array:
        """What a model reads of these rows, as an Arrow array: title and text joined by one space (`data.Passage`)."""
        title, text = self.column("title", rows), self.column("text", rows)
        joined = pc.call_function("binary_join_element_wise", [title, text, pa.scalar(" ", pa.large_string())])
        return pc.call_function("utf8_trim_whitespace", [joined])

    def contents(self, rows: Int64) -> list[str]:
        """What a model reads of these rows; equal rows share one string."""
        texts, places = self.texts_of(rows)
        strings = texts.to_pylist()
        return [strings[i] for i in places.tolist()]

    def texts_of(self, rows: Int64) -> tuple[pa.Array, Int64]:
        """What a model reads of these rows, each row once: an Arrow array of strings, and int64 [len(rows)] of places
        in it.
        """
        distinct, places = np.unique(rows, return_inverse=True)
        return self.contents_column(distinct).cast(pa.string()), places


@dataclass(frozen=True, slots=True)
class Built:
    """A corpus, the passages left out of it by reason, and the ids of those that had no text."""

    corpus: Corpus
    skipped: dict[str, int]
    empty: frozenset[str]


def build(cache: Cache, passages: Iterable[Read[Passage]]) -> Built:
    """Writes a corpus into the cache, reading ``passages`` once; an equal one that is there already is used.

    Passages without text are left out and counted. Raises `DataError` for an id that occurs twice.
    """
    skipped: dict[str, int] = {}
    empty: set[str] = set()
    digest = hashlib.sha256(FORMAT)
    lines = array("I")
    id_hashes, hashes = array("Q"), array("Q")
    file = ""
    with cache.workspace("corpus") as folder:
        with pa.OSFile(str(folder / "passages.arrow"), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            block: list[Passage] = []
            for read in passages:
                passage = read.item
                reason = read.skipped or (None if passage and passage.contents else "passage without text")
                if passage is None or reason:
                    skipped[reason or "passage"] = skipped.get(reason or "passage", 0) + 1
                    if passage is not None:
                        empty.add(passage.id)
                    continue
                file = read.file
                lines.append(read.line)
                for value in (passage.id, passage.title, passage.text):
                    encoded = value.encode()
                    digest.update(len(encoded).to_bytes(8, "little") + encoded)
                id_hashes.append(id_hash(passage.id))
                hashes.append(content_hash(passage.contents))
                block.append(passage)
                if len(block) == ROWS_PER_BLOCK:
                    writer.write_batch(_record_batch(block))
                    block = []
            if block:
                writer.write_batch(_record_batch(block))
        _save(folder / "hashes.npy", np.frombuffer(hashes, dtype=np.uint64))
        del hashes  # what is in a file is not held in memory too
        ids = np.frombuffer(id_hashes, dtype=np.uint64)
        order = np.argsort(ids, kind="stable")
        _save(folder / "id_order.npy", order)
        _save(folder / "ids.npy", ids[order])
        del ids, id_hashes
        _refuse_duplicates(folder, order, lines, file)
        del order, lines
        _save(folder / "hash_order.npy", np.argsort(mapped(folder / "hashes.npy"), kind="stable"))
        path = cache.publish(folder, "corpora", digest.hexdigest())
    return Built(Corpus(path, cache), skipped, frozenset(empty))


def _save(file: Path, array: NDArray[np.generic]) -> None:
    """Writes an array that is mapped before the folder is sealed."""
    np.save(file, array)
    refuse_cut_array(file)


def _record_batch(passages: Sequence[Passage]) -> pa.RecordBatch:
    columns = [[p.id for p in passages], [p.title for p in passages], [p.text for p in passages]]
    return pa.record_batch([pa.array(column, pa.large_string()) for column in columns], schema=SCHEMA)


def _refuse_duplicates(folder: Path, order: Int64, lines: array[int], file: str) -> None:
    hashes = mapped(folder / "ids.npy")
    suspects = np.flatnonzero(hashes[1:] == hashes[:-1])
    if not len(suspects):
        return
    table = pa.ipc.open_file(pa.memory_map(str(folder / "passages.arrow"))).read_all()
    for place in suspects:
        first, second = sorted((int(order[place]), int(order[place + 1])))
        identifier = table["id"][second].as_py()
        if table["id"][first].as_py() == identifier:
            raise DataError.at(
                file,
                lines[second],
                f"passage id `{identifier}` already appears on line {lines[first]}; ids must be unique",
            )
