"""Builds a BM25 index in bounded memory, in the files and with the numbers of bm25s.

The words of some passages at a time are counted and laid aside on the disk (`Counts`). When all are counted, the scores
are computed for some words at a time and appended to the index (`write`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import feather

from hardneg import progress
from hardneg.arrays import Float32, Int32, Int64, offsets_of
from hardneg.models.bm25_words import Counted

ENTRIES, WORDS = 1 << 20, 1 << 16
"""So many entries and words at most are sorted at once, unless one word alone has more entries."""
Method = Literal["robertson", "lucene", "atire", "bm25l", "bm25+"]


class Statistics(NamedTuple):
    """What scores depend on beside the passage: how many passages a corpus has and how many words, with repetitions;
    and its different ``words``, with the number of passages that have each (``frequencies``).
    """

    passages: int
    length: int
    words: pa.Array
    frequencies: Int64

    def with_those_of(self, other: Statistics, *, new_words: bool = False) -> Statistics:
        """Of both corpora as one, for the words of this one; then, with ``new_words``, for those of the other alone."""
        places = pc.call_function("index_in", [other.words], pc.SetLookupOptions(value_set=self.words))
        known = places.is_valid().to_numpy(zero_copy_only=False)
        words, frequencies = self.words, self.frequencies.copy()
        frequencies[places.drop_null().to_numpy()] += other.frequencies[known]
        if new_words:
            words = pa.concat_arrays([words, other.words.filter(pa.array(~known))])
            frequencies = np.concatenate([frequencies, other.frequencies[~known]])
        return Statistics(self.passages + other.passages, self.length + other.length, words, frequencies)


@dataclass
class Counts:
    """How often the passages of a corpus have each word, laid aside in files of a folder."""

    folder: Path
    numbers: dict[str, int] = field(default_factory=dict)
    """Words in the order in which they occur first, numbered."""
    frequencies: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    lengths: list[Int32] = field(default_factory=list)
    ends: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    """Up to where the files of words and of entries were filled by each block of passages."""
    passages: int = 0

    FILES = ("word", "passages", "row", "times")

    @classmethod
    def load(cls, folder: Path) -> Counts:
        """What `save` has kept."""
        of = statistics_in(folder)
        lengths, ends = (np.load(folder / f"{name}.npy") for name in ("lengths", "ends"))
        numbers = {word: number for number, word in enumerate(of.words.to_pylist())}
        return cls(folder, numbers, of.frequencies, [lengths], [tuple(end) for end in ends.tolist()], of.passages)

    def save(self) -> None:
        """Keeps in the folder what is not in its files yet."""
        of = self.statistics()
        table = pa.table({"word": of.words, "frequency": of.frequencies})
        feather.write_feather(table, str(self.folder / "words.arrow"), compression="uncompressed")
        np.save(self.folder / "lengths.npy", np.concatenate([np.zeros(0, np.int32), *self.lengths]))
        np.save(self.folder / "ends.npy", np.array(self.ends, np.int64))
        (self.folder / "size.json").write_text(json.dumps([of.passages, of.length]), encoding="utf-8")

    def add(self, blocks: Iterable[Counted]) -> None:
        """Lays aside what was counted in consecutive passages."""
        files = {name: self._file(name).open("wb") for name in self.FILES}
        try:
            for block in blocks:
                self._add(block, files)
        finally:
            for file in files.values():
                file.close()

    def _add(self, block: Counted, files: dict[str, Any]) -> None:
        for word in block.new:
            self.numbers[word] = len(self.numbers)
        self.frequencies = np.concatenate([self.frequencies, np.zeros(len(block.new), np.int64)])
        self.frequencies[block.numbers] += block.passages
        words, passages = block.numbers.astype(np.int32), block.passages.astype(np.int32)
        columns = words, passages, block.rows + np.int32(self.passages), block.times
        for name, column in zip(self.FILES, columns, strict=True):
            files[name].write(column.data)
        self.ends.append((self.ends[-1][0] + len(words), self.ends[-1][1] + len(block.rows)))
        self.lengths.append(block.lengths.astype(np.int32))
        self.passages += len(block.lengths)

    def statistics(self) -> Statistics:
        """Those of these passages alone."""
        length = int(sum(own.sum() for own in self.lengths))
        return Statistics(self.passages, length, pa.array(list(self.numbers), pa.large_string()), self.frequencies)

    def by_words(self) -> Iterator[tuple[Int32, Int32, Int32]]:
        """Words, rows and times of the entries of some words after others, all of them by word, then by row."""
        word, passages, row, times = (np.memmap(self._file(name), np.int32, "r") for name in self.FILES)
        blocks = [(a, b, c) for (a, c), (b, _) in zip(self.ends[:-1], self.ends[1:], strict=True)]
        offsets = offsets_of(self.frequencies)
        low = 0
        while low < len(self.frequencies):
            high = int(np.searchsorted(offsets, offsets[low] + ENTRIES, "right")) - 1
            high = min(max(high, low + 1), low + WORDS, len(self.frequencies))
            parts: list[tuple[Any, Any, Any]] = []
            for number, (begin, end, first) in enumerate(blocks):
                from_, to = begin + np.searchsorted(word[begin:end], [low, high])
                if from_ < to:
                    here = passages[from_:to]
                    own = slice(first, first + int(here.sum()))
                    parts.append((np.repeat(word[from_:to] - low, here), row[own], times[own]))
                    blocks[number] = begin, end, own.stop
            words, rows, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
            order = np.argsort(words.astype(np.uint16), kind="stable")
            yield words[order] + low, rows[order], counts[order]
            low = high

    def remove(self) -> None:
        """Removes the files."""
        for name in self.FILES:
            self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self.folder / f".{name}.counts"


def statistics_in(folder: Path) -> Statistics:
    """The statistics of counts that were saved in a folder, memory-mapped."""
    table = feather.read_table(str(folder / "words.arrow"), memory_map=True)
    passages, length = json.loads((folder / "size.json").read_text(encoding="utf-8"))
    return Statistics(passages, length, table["word"].combine_chunks(), table["frequency"].to_numpy())


def write(folder: Path, counts: Counts, of: Statistics, method: str, k1: float, b: float, delta: float) -> None:
    """Writes the index of counted passages, scored by the statistics ``of`` a corpus, which they may be a part of.

    The words of ``of`` are those of the passages in their order, and maybe others after them.
    """
    from bm25s.scoring import _select_idf_scorer, _select_tfc_scorer
    from bm25s.utils.json_functions import dumps

    mean, lengths = np.float64(of.length / of.passages), np.concatenate(counts.lengths)
    inverse, parts_of = _select_idf_scorer(method), _select_tfc_scorer(method)
    distinct, which = np.unique(of.frequencies, return_inverse=True)
    weights = np.array([inverse(int(count), N=of.passages) for count in distinct])
    weight = weights.astype(np.float32)[which]
    absent: Float32 | None = None
    if method in {"bm25l", "bm25+"}:
        nothing = parts_of(tf_array=0, l_d=mean, l_avg=mean, k1=k1, b=b, delta=delta)
        absent = np.asarray((weights * nothing).astype(np.float32)[which])
        np.save(folder / "nonoccurrence_array.index.npy", absent)
    offsets = offsets_of(np.pad(counts.frequencies, (0, len(of.words) - len(counts.frequencies))))
    np.save(folder / "indptr.csc.index.npy", offsets)
    with (
        (folder / "data.csc.index.npy").open("wb") as data,
        (folder / "indices.csc.index.npy").open("wb") as indices,
        progress.task("write BM25 index", int(offsets[-1])) as bar,
    ):
        for file, kind in ((data, "<f4"), (indices, "<i4")):
            header = {"descr": kind, "fortran_order": False, "shape": (int(offsets[-1]),)}
            np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
        for words, rows, times in counts.by_words():
            tf = times.astype(np.float32)
            scores = weight[words] * parts_of(tf_array=tf, l_d=lengths[rows], l_avg=mean, k1=k1, b=b, delta=delta)
            if absent is not None:
                scores -= absent[words]
            data.write(scores.astype("<f4").data)
            indices.write(rows.astype("<i4").data)
            bar.advance(len(rows))
    vocabulary = {word: number for number, word in enumerate([*of.words.to_pylist(), ""])}  # the last as bm25s adds it
    (folder / "vocab.index.json").write_text(dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    parameters = {"k1": k1, "b": b, "delta": delta, "method": method, "idf_method": method}
    kinds = {"dtype": "float32", "int_dtype": "int32", "num_docs": len(lengths)}
    parameters |= kinds | {"version": version("bm25s"), "backend": "numpy"}
    (folder / "params.index.json").write_text(json.dumps(parameters, indent=4), encoding="utf-8")
