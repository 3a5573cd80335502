"""Exact dense search, side by side with faiss, over one memory-mapped matrix.

    python bench/dense.py [--passages 100000] [--queries 1000] [--dimensions 384] [--depth 100] [--rounds 5] [--full]

Random unit vectors lie in a file. `models.dense_search.by_blocks` and `faiss.IndexFlatIP` (which copies the matrix) at
its best batch size find the same rows. Rounds alternate; medians and quartiles are printed, as is one product of the
same matrices, the limit. Private memory beyond queries and result is that of a process of its own. Then one
query has 1,000 positives: what that costs all others. ``--full``: a million passages.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from growth import memory
from in_turn import in_turn
from numpy.lib.format import open_memmap

from hardneg.models.dense_search import ROWS_PER_BLOCK, by_blocks

BATCHES = (256, 512, 1_024)


def unit(rng: np.random.Generator, shape: tuple[int, int]) -> Any:
    drawn = rng.standard_normal(shape, dtype=np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def write(file: Path, passages: int, dimensions: int) -> Any:
    rng = np.random.default_rng(0)
    matrix = open_memmap(file, "w+", np.float32, (passages, dimensions))  # type: ignore[no-untyped-call]
    for begin in range(0, passages, 50_000):
        part = matrix[begin : begin + 50_000]
        part[:] = unit(rng, part.shape)
    matrix.flush()
    return np.load(file, mmap_mode="r")


def ours(queries: Any, matrix: Any, depth: int, barred: Any = None) -> Any:
    """``barred``: rows that the first query must not find."""
    rows = np.zeros(0, np.int64) if barred is None else barred
    offsets = np.full(len(queries) + 1, len(rows))
    offsets[0] = 0
    return by_blocks(queries, matrix, depth, offsets, rows)


def product(queries: Any, matrix: Any) -> None:
    for low in range(0, len(matrix), ROWS_PER_BLOCK):
        queries @ matrix[low : low + ROWS_PER_BLOCK].T


def faiss_search(index: Any, queries: Any, depth: int, batch: int) -> Any:
    return [index.search(queries[begin : begin + batch], depth) for begin in range(0, len(queries), batch)]


def alternate(rounds: int, runs: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    return {name: [spent.wall for spent in own] for name, own in in_turn(rounds, runs).items()}


def show(times: dict[str, list[float]], peer: str) -> None:
    for name, own in times.items():
        low, median, high = statistics.quantiles(own, n=4)
        ratio = statistics.median(times[peer]) / median
        print(f"  {name:24} {median:7.3f} s ({low:.3f} to {high:.3f})  {ratio:5.2f} x the speed of {peer}")


def watched(work: Callable[[], Any]) -> tuple[Any, float, int]:
    """What work gives, its processor seconds, and the private memory that it adds."""
    most, over, before, begin = 0, threading.Event(), memory()["RssAnon"], time.process_time()

    def look() -> None:
        nonlocal most
        while not over.wait(0.005):
            most = max(most, memory()["RssAnon"])

    watch = threading.Thread(target=look)
    watch.start()
    try:
        found = work()
    finally:
        over.set()
        watch.join()
    return found, time.process_time() - begin, max(0, most - before)


def extra(file: Path, queries: Any, depth: int, out: Any) -> None:
    """In a process of its own: the most private memory that a search adds."""
    matrix = np.load(file, mmap_mode="r")
    out.put(watched(lambda: ours(queries, matrix, depth))[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"passages": 100_000, "queries": 1_000, "dimensions": 384, "depth": 100, "rounds": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    passages = 1_000_000 if options.full else options.passages
    queries = unit(np.random.default_rng(1), (options.queries, options.dimensions))
    with tempfile.TemporaryDirectory(prefix="hardneg-bench-") as folder:
        file = Path(folder) / "matrix.npy"
        matrix = write(file, passages, options.dimensions)

        import faiss

        index = faiss.IndexFlatIP(options.dimensions)
        index.add(matrix)
        found, _ = ours(queries, matrix, options.depth)
        theirs = index.search(queries, options.depth)[1]
        same = np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, theirs, strict=True)]) / options.depth
        print(f"{passages:,} passages x {options.dimensions}, {options.queries:,} queries, depth {options.depth}")
        print(f"{same:.4%} of the rows are the same", flush=True)
        runs: dict[str, Callable[[], Any]] = {"by_blocks": lambda: ours(queries, matrix, options.depth)}
        runs |= {
            f"IndexFlatIP, batch {batch}": functools.partial(faiss_search, index, queries, options.depth, batch)
            for batch in BATCHES
        }
        times = alternate(options.rounds, runs | {"the product alone": lambda: product(queries, matrix)})
        show(times, min((n for n in runs if n.startswith("Index")), key=lambda n: statistics.median(times[n])))
        del index
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        process = context.Process(target=extra, args=(file, queries, options.depth, queue))
        process.start()
        print(f"  private memory that a search adds: {queue.get() / 1e6:.0f} MB")
        process.join()
        many = np.sort(np.random.default_rng(2).choice(passages, 1_000, replace=False))
        print("one query with 1,000 positives")
        both = {
            "without": lambda: ours(queries, matrix, options.depth),
            "with": lambda: ours(queries, matrix, options.depth, many),
        }
        show(alternate(options.rounds, both), "without")


if __name__ == "__main__":
    main()
