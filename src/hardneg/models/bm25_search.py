"""Searches the arrays of a bm25s index, visiting only passages that share a word with the query.

bm25s clears and reads a score of every passage for every query. Here the passages that get a score are listed as they
get it. Scores are added in the order of the query's words, as bm25s adds them, so they are equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hardneg.arrays import Float32, Int32, Int64

T = TypeVar("T", bound=np.generic)
LAST = 2**31 - 1
"""The highest row there can be, and the lower half of a key."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Machine code of ``function``, kept beside this file or in numba's own cache for the processes to come."""
    kernel: Any = njit(nogil=True)(function)
    if hasattr(kernel, "enable_caching"):  # not with NUMBA_DISABLE_JIT
        with suppress(RuntimeError):  # neither can be written: each process compiles anew, which takes some seconds
            kernel.enable_caching()
    return kernel  # type: ignore[no-any-return]


def constant(array: NDArray[T]) -> NDArray[T]:
    """The array as one that cannot be written to, as one in a file is: kernels are compiled for that alone."""
    view: NDArray[T] = np.asarray(array).view()
    view.flags.writeable = False
    return view


def arrays_of(index: Any) -> list[Any]:
    """``data``, ``indices`` and ``indptr`` of an index of bm25s."""
    return [constant(index.scores[name]) for name in ("data", "indices", "indptr")]


@compiled
def add_up(data: Float32, indices: Int32, indptr: Int64, words: Int64, sums: Float32, touched: Int32) -> int:
    """Adds the scores of ``words`` to ``sums`` [N], zeros before, and lists the passages that have one in ``touched``
    [N + 1]. Returns how many these are.
    """
    count = 0
    for word in words:
        for i in range(indptr[word], indptr[word + 1]):
            if data[i] > 0:  # else it is in most passages (`robertson`), or rounding has made it less than nothing
                row = np.uint32(indices[i])
                before = sums[row]
                touched[count] = row
                count += before == 0
                sums[row] = before + data[i]
    return count


@compiled
def sink(heap: Int64, place: int, count: int, key: int) -> None:
    """Puts ``key`` in the place of a key that is no greater, in a heap that has the least first."""
    while True:
        child = 2 * place + 1
        if child >= count:
            break
        if child + 1 < count and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = key


@compiled
def order(heap: Int64, count: int) -> None:
    """Makes a heap of keys in any order."""
    for place in range(count // 2 - 1, -1, -1):
        sink(heap, place, count, heap[place])


@compiled
def best(
    data: Float32,
    indices: Int32,
    indptr: Int64,
    absent: Float32,
    words: Int64,
    offsets: Int64,
    barred: Int64,
    barred_offsets: Int64,
    size: int,
    keys: Int64,
    found: Int64,
) -> None:
    """Fills ``keys`` [queries, depth] with the best passages, best first, and ``found`` with the number of each query.

    A key is the bits of the score above those of `LAST` - row, so keys are ordered by score, then by row. ``absent``:
    scores of words that a passage lacks; empty where they are 0. ``size``: the number of passages, N.
    """
    depth = keys.shape[1]
    sums, touched, heap = np.zeros(size, np.float32), np.empty(size + 1, np.int32), np.empty(depth, np.int64)
    bits = sums.view(np.int32)  # in the order of the numbers, where these are above 0
    for query in range(len(found)):
        own = words[offsets[query] : offsets[query + 1]]
        base = np.float32(0)
        if len(absent):
            for word in own:
                base += absent[word]
        for i in range(barred_offsets[query], barred_offsets[query + 1]):
            sums[barred[i]] = -np.inf  # and stays that, whatever is added
        count, held, least = add_up(data, indices, indptr, own, sums, touched), 0, 1
        for i in range(count):
            row = np.uint32(touched[i])
            sums[row] += base
            score = bits[row]
            sums[row] = 0
            if score >= least:
                key = np.int64(score) << 32 | (LAST - np.int64(row))
                if held < depth:
                    heap[held] = key
                    held += 1
                    if held == depth:
                        order(heap, held)
                elif key > heap[0]:
                    sink(heap, 0, depth, key)
                if held == depth:
                    least = heap[0] >> 32
        for i in range(barred_offsets[query], barred_offsets[query + 1]):
            sums[barred[i]] = 0
        if held < depth:
            order(heap, held)
        found[query] = held
        for last in range(held - 1, -1, -1):
            keys[query, last] = heap[0]
            sink(heap, 0, last, heap[last])
