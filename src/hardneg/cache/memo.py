"""Numbers by content: what a model said of a text or a pair is kept on disk and never asked for again.

A memo is a folder of segments. A segment is one ``.npy`` file, sorted by key, that appears whole or not at all. Its
name is its checksum. Every block of new numbers becomes a segment as soon as it is there, so a run that is stopped
loses one block at most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
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
SEGMENTS = 64
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
    """The numbers of one model: float32 rows of one width, by key.

    ``name`` stands for everything that decides the numbers: the model's identity, its prompts, the role of the text.
    """

    def __init__(self, cache: Cache, name: str) -> None:
        self._cache, self._name = cache, name
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
        for file in sorted(self._folder.glob("*.npy")):
            try:
                if not _checked(file):
                    progress.note(f"{file}: has changed since it was written; its numbers are computed again")
                    file.unlink(missing_ok=True)
                    continue
                segment = mapped(file)
            except FileNotFoundError:  # put together with others just now
                continue
            known = np.ascontiguousarray(segment["high"])
            at = np.minimum(np.searchsorted(known, keys[:, 0]), len(known) - 1)
            hit = ~found & (known[at] == keys[:, 0]) & (segment["low"][at] == keys[:, 1])
            if hit.any():
                if values is None:
                    values = np.empty((len(keys), segment["value"].shape[1]), dtype=np.float32)
                values[hit] = segment["value"][at[hit]]
                found |= hit
        return found, values

    def _append(self, keys: Keys, values: Float32) -> None:
        segment = np.empty(
            len(keys), dtype=[("high", np.uint64), ("low", np.uint64), ("value", np.float32, (values.shape[1],))]
        )
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        segment["high"], segment["low"], segment["value"] = keys[order, 0], keys[order, 1], values[order]
        self._write(segment)
        if len(list(self._folder.glob("*.npy"))) > SEGMENTS:
            with self._cache.lock("memo", self._name):
                files = sorted(self._folder.glob("*.npy"))
                if len(files) < SEGMENTS:  # another process was faster
                    return
                everything = np.concatenate([mapped(file) for file in files])
                kept = self._write(everything[np.lexsort((everything["low"], everything["high"]))])
                for file in files:
                    if file != kept:
                        file.unlink(missing_ok=True)

    def _write(self, segment: NDArray[np.void]) -> Path:
        with self._cache.workspace("memo") as folder:
            make_folder(self._folder)
            file = folder / "segment.npy"
            np.save(file, segment)
            refuse_cut_array(file)
            sync(file)
            name = f"{_sum_of(file)}.npy"
            file.replace(self._folder / name)
            sync(self._folder)
        return self._folder / name


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
