"""Numbers by content: what a model said of a text or a pair is kept on disk and never asked for again.

A memo is a folder of segments. A segment is one ``.npy`` file, sorted by key, that appears whole or not at all. Its
name is its checksum. Every block of new numbers becomes a segment as soon as it is there, so a run that is stopped
loses one block at most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.format import dtype_to_descr, write_array_header_1_0
from numpy.typing import NDArray

from hardneg import progress
from hardneg.arrays import Bool, Float32, Int64
from hardneg.cache.folders import Cache, used
from hardneg.files.checksums import refuse_cut_array
from hardneg.files.durable import make_folder, sync
from hardneg.files.npy import mapped
from hardneg.files.text_lines import file_hash

Keys = NDArray[np.uint64]

BLOCK = 2_048
SEGMENTS = 16
"""The most segments of about one size: one more, and they are put together."""
SMALL = 20
"""Up to two to the power of so many bytes, segments are of one size; above, up to sixteen times another."""
SINGLE: np.dtype[Any] = np.dtype(np.float32)
MEMO = "memo"
"""The group of the cache that memos lie in."""


def keys_of(*parts: Sequence[str]) -> Keys:
    """Uint64 [k, 2]: 128 bits for each of k tuples of texts, given as columns.

    >>> keys_of(["a", "a"], ["b", "c"]).shape
    (2, 2)
    """
    digests = bytearray()
    for texts in zip(*parts, strict=True):
        digest = hashlib.blake2b(digest_size=16)
        for text in texts:
            encoded = text.encode()
            digest.update(len(encoded).to_bytes(8, "little"))
            digest.update(encoded)
        digests += digest.digest()
    return np.frombuffer(bytes(digests), dtype=np.uint64).reshape(-1, 2)


class Memo:
    """The numbers of one model: rows of one width, by key; float32, and on the disk of the type ``kept_as``.

    ``name`` stands for everything that decides the numbers: the model's identity, its prompts, the role of the text.
    """

    def __init__(self, cache: Cache, name: str, kept_as: np.dtype[Any] = SINGLE) -> None:
        self._cache, self._name, self._kept_as = cache, name, kept_as
        self._folder = cache.root / MEMO / name

    def get(
        self, keys: Keys, compute: Callable[[Int64], Float32], *, keep: bool = True, sizes: Sequence[int] | None = None
    ) -> Float32:
        """Float32 [k, width]: the rows of ``keys`` (uint64 [k, 2]).

        ``compute`` is called with the numbers, within 0..k-1, of keys that are not known, each distinct key once, at
        most `BLOCK` at a time, and returns float32 [that many, width]. ``keep=False`` stores nothing new: for numbers
        that the caller keeps elsewhere. ``sizes`` [k]: the largest come first, so that a block is of about one size.
        """
        distinct, first, where = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        found, values = self._look_up(distinct)
        missing = np.flatnonzero(~found)
        rank = first if sizes is None else np.argsort(np.argsort(-np.asarray(sizes), kind="stable"))[first]
        missing = missing[np.argsort(rank[missing], kind="stable")]
        for begin in range(0, len(missing), BLOCK):
            part = missing[begin : begin + BLOCK]
            new = np.asarray(compute(first[part]), dtype=np.float32).reshape(len(part), -1)
            if keep:
                self._append(distinct[part], new)
            if values is None:
                values = np.empty((len(distinct), new.shape[1]), dtype=np.float32)
            values[part] = new
        if values is None:
            return np.zeros((0, 0), dtype=np.float32)
        return values[where.reshape(-1)]

    def _look_up(self, keys: Keys) -> tuple[Bool, Float32 | None]:
        found = np.zeros(len(keys), dtype=bool)
        values: Float32 | None = None
        if not self._folder.is_dir() or not len(keys):
            return found, values
        used(self._folder)
        files = sorted(self._folder.glob("*.npy"), reverse=True)
        seen = set(files)
        while files:
            file = files.pop()
            try:
                if not _checked(file):
                    progress.note(f"{file}: has changed since it was written; its numbers are computed again")
                    file.unlink(missing_ok=True)
                    continue
                segment = mapped(file)
            except FileNotFoundError:  # put together with others just now, in a new one
                new = set(self._folder.glob("*.npy")) - seen
                files += sorted(new, reverse=True)
                seen |= new
                continue
            at = np.minimum(_places(segment["high"], keys[:, 0]), len(segment) - 1)
            hit = ~found & (segment["high"][at] == keys[:, 0]) & (segment["low"][at] == keys[:, 1])
            if hit.any():
                if values is None:
                    values = np.empty((len(keys), segment["value"].shape[1]), dtype=np.float32)
                values[hit] = segment["value"][at[hit]]
                found |= hit
        return found, values

    def _append(self, keys: Keys, values: Float32) -> None:
        segment = np.empty(
            len(keys), dtype=[("high", np.uint64), ("low", np.uint64), ("value", self._kept_as, (values.shape[1],))]
        )
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        segment["high"], segment["low"], segment["value"] = keys[order, 0], keys[order, 1], values[order]
        self._write([segment], segment.dtype)
        if len(self._alike()) > SEGMENTS:
            with self._cache.lock("memo", self._name):
                files = self._alike()
                if len(files) < SEGMENTS:  # another process was faster
                    return
                try:
                    if not all(map(_checked, files)):  # the next look finds it and says so
                        return
                    segments = [mapped(file) for file in files]
                except FileNotFoundError:
                    return
                kept = self._write(_in_order(segments), segments[0].dtype)
                for file in files:
                    if file != kept:
                        file.unlink(missing_ok=True)

    def _alike(self) -> list[Path]:
        """The segments whose sizes are as those of most others: a large one is not written anew with every few small
        ones.
        """
        groups: dict[int, list[Path]] = {}
        for file in sorted(self._folder.glob("*.npy")):
            with suppress(FileNotFoundError):
                groups.setdefault(max(file.stat().st_size.bit_length() - SMALL, 0) // 4, []).append(file)
        return max(groups.values(), key=len, default=[])

    def _write(self, blocks: Iterable[NDArray[np.void]], kind: np.dtype[np.void]) -> Path:
        with self._cache.workspace("memo") as folder:
            make_folder(self._folder)
            file = folder / "segment.npy"
            with file.open("wb") as stream:
                _head(stream, kind, rows := 0)
                for block in blocks:
                    stream.write(block.tobytes())
                    rows += len(block)
                stream.seek(0)
                _head(stream, kind, rows)
            refuse_cut_array(file)
            sync(file)
            target = self._folder / f"{_sum_of(file)}.npy"
            file.replace(target)
            sync(self._folder)
        _intact.add((target, target.stat().st_mtime_ns))
        return target


def _head(stream: BinaryIO, kind: np.dtype[np.void], rows: int) -> None:
    """Writes the head of a ``.npy`` file, which is as long whatever ``rows`` is."""
    write_array_header_1_0(stream, {"descr": dtype_to_descr(kind), "fortran_order": False, "shape": (rows,)})  # type: ignore[no-untyped-call]


def _places(rising: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> Int64:
    """`numpy.searchsorted`, which would read all of a column of a mapped array to have it in one piece."""
    low, high = np.zeros(len(wanted), np.int64), np.full(len(wanted), len(rising), np.int64)
    while (low < high).any():
        middle = np.minimum((low + high) // 2, len(rising) - 1)
        less = (rising[middle] < wanted) & (low < high)
        low, high = np.where(less, middle + 1, low), np.where(less, high, np.minimum(middle, high))
    return low


def _in_order(segments: Sequence[NDArray[np.void]]) -> Iterator[NDArray[np.void]]:
    """The rows of sorted segments in one order, a block at a time, each key once: two processes may have computed the
    same at the same time.
    """
    parts = max(1, sum(map(len, segments)) // BLOCK)
    bounds = np.array([(number << 64) // parts for number in range(1, parts)], dtype=np.uint64)
    ends = [[*_places(segment["high"], bounds).tolist(), len(segment)] for segment in segments]
    begins = [0] * len(segments)
    for stops in zip(*ends, strict=True):
        block = np.concatenate([s[begin:stop] for s, begin, stop in zip(segments, begins, stops, strict=True)])
        begins = list(stops)
        block = block[np.lexsort((block["low"], block["high"]))]
        again = (block["high"][1:] == block["high"][:-1]) & (block["low"][1:] == block["low"][:-1])
        if len(block):
            yield block[np.concatenate([[True], ~again])]


_intact: set[tuple[Path, int]] = set()
"""Segments that this process has checked, with the time of their last change."""


def _checked(file: Path) -> bool:
    """`whole`, for a segment that is read once by a process."""
    state = (file, file.stat().st_mtime_ns)
    if state not in _intact and whole(file):
        _intact.add(state)
    return state in _intact


def whole(file: Path) -> bool:
    """Whether a segment is what it was when it got its name."""
    return _sum_of(file) == file.stem


def _sum_of(file: Path) -> str:
    return file_hash(file)[:32]
