"""Approximate search beside exact search: what an index costs, and what it finds.

    python bench/approximate.py [--passages 100000] [--dimensions 384] [--depth 50] [--noise] [--only ivf]

Passages and queries have 24 hidden dimensions, in 1,000 clusters, and a little noise, somewhat like embeddings of text.
``--noise``: independent numbers, in which nothing is near to anything, the hardest case for every index. Each search
has a process of its own and one thread, and is timed by its processor, so that other work does not show. Memory is
private: what a process needs beyond what it maps. Found: the share of the exact nearest.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from dense import unit, watched
from numpy.lib.format import open_memmap

from hardneg.models.approximate import by_index, share_found
from hardneg.models.dense_search import by_blocks
from hardneg.models.indexes import HNSW, IVF
from hardneg.models.library_search import by_faiss

HIDDEN, CLUSTERS, NOISE = 24, 1_000, 0.3
SEARCHES: dict[str, Any] = {
    "exact, blocks": by_blocks,
    "exact, faiss": by_faiss,
    "hnsw, faiss": HNSW(),
    "hnsw, usearch": HNSW(library="usearch"),
    "ivf, nprobe 16": IVF(nprobe=16),
    "ivf": IVF(),
}


def vectors(seed: int, shape: tuple[int, int], noise: bool) -> Any:
    rng = np.random.default_rng(seed)
    if noise:
        return unit(rng, shape)
    shared = np.random.default_rng(0)  # the same clusters for passages and queries
    centres, spread = shared.standard_normal((CLUSTERS, HIDDEN)), shared.standard_normal((HIDDEN, shape[1]))
    hidden = centres[rng.integers(0, CLUSTERS, shape[0])] + 0.7 * rng.standard_normal((shape[0], HIDDEN))
    drawn = hidden @ spread / HIDDEN**0.5 + NOISE * rng.standard_normal(shape)
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def write(file: Path, passages: int, dimensions: int, noise: bool) -> None:
    matrix = open_memmap(file, "w+", np.float32, (passages, dimensions))  # type: ignore[no-untyped-call]
    for begin in range(0, passages, 50_000):
        matrix[begin : begin + 50_000] = vectors(begin + 2, (min(50_000, passages - begin), dimensions), noise)
    matrix.flush()


def measure(name: str, folder: Path, queries: Any, depth: int, out: Any) -> None:
    """In a process of its own."""
    search, matrix = SEARCHES[name], np.load(folder / "matrix.npy", mmap_mode="r")
    none = np.zeros(len(queries) + 1, np.int64), np.zeros(0, np.int64)
    row = {"build": 0.0, "building": 0, "disk": 0}
    if not callable(search):
        here = folder / name
        here.mkdir()
        _, row["build"], row["building"] = watched(lambda: search.build(here, matrix))
        row["disk"], find = (here / "index").stat().st_size, search.opened(here)
    near, row["search"], row["searching"] = watched(
        lambda: (
            search(queries, matrix, depth, *none) if callable(search) else by_index(find, queries, matrix, depth, *none)
        )
    )
    row["found"] = share_found(near[1], queries, matrix, depth, *none).mean()
    out.put(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"passages": 100_000, "queries": 1_000, "dimensions": 384, "depth": 50}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--noise", action="store_true")
    parser.add_argument("--only", default="", help="the searches whose names have this word")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    what = "noise" if options.noise else f"{CLUSTERS:,} clusters in {HIDDEN} hidden dimensions"
    print(f"{options.passages:,} passages x {options.dimensions}, {what}; {options.queries:,} queries", flush=True)
    print(
        "| search | built, s | while building, MB | on disk, MB | queries/s | while searching, MB "
        f"| found of {options.depth} |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="hardneg-bench-") as name:
        folder = Path(name)
        write(folder / "matrix.npy", options.passages, options.dimensions, options.noise)
        queries = vectors(1, (options.queries, options.dimensions), options.noise)
        for search in (name for name in SEARCHES if options.only in name):
            queue = context.Queue()
            process = context.Process(target=measure, args=(search, folder, queries, options.depth, queue))
            process.start()
            row = queue.get()
            process.join()
            built = (
                [f"{row['build']:.0f}", f"{row['building'] / 1e6:.0f}", f"{row['disk'] / 1e6:.0f}"]
                if row["disk"]
                else [""] * 3
            )
            rate, memory_of = len(queries) / row["search"], row["searching"] / 1e6
            print(
                f"| {search} | {' | '.join(built)} | {rate:,.0f} | {memory_of:.0f} | {row['found']:.1%} |", flush=True
            )


if __name__ == "__main__":
    main()
