"""Indexes for approximate search, by faiss and usearch: a graph (HNSW), and lists of neighbours (IVF)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from hardneg import progress
from hardneg.arrays import Float32, Int64, Vectors
from hardneg.bounds import Count, Natural
from hardneg.errors import MissingExtraError
from hardneg.kinds import NEUTRAL, part
from hardneg.models.devices import threads
from hardneg.protocols import Find

FILE = "index"
RESIDUALS = False
"""Lists hold whole vectors. What is left without the centre would be rounded less, and similarities are computed
anew.
"""
ROWS_PER_BLOCK = 16_384
LEAST_EF = 128
PER_LIST, TRAINED_ON = 39, 64
"""faiss wants so many vectors a list at least; so many are drawn to find its centre."""


@part
class HNSW:
    """Approximate search by a graph of near neighbours (HNSW, arXiv:1603.09320).

    ``m``: links of a passage to others (usearch: connectivity). ``ef_construction``: how many are looked at to choose
    them. ``ef_search``: how many are looked at for a query; left out, twice as many as are looked for, at least 128.
    More of each finds more and takes longer.

    ``threads`` build the graph. With 1 the same corpus gives the same graph. With more it is another one each time, and
    a job in another cache may find a few other candidates. ``check``: the queries whose neighbours are also searched
    for exactly, to say how many are found; 0: none.
    """

    key: ClassVar[str] = "ef_search"

    library: Literal["faiss", "usearch"] = "faiss"
    m: Annotated[int, Field(ge=2, le=512)] = 32
    ef_construction: Count = 200
    ef_search: Count | None = None
    threads: Count = 1
    check: Natural = field(default=200, metadata=NEUTRAL)

    def __post_init__(self) -> None:
        _needs(self.library)

    def identity(self) -> str:
        """The version of the library."""
        return _version(self.library)

    def settings(self) -> list[object]:
        """What decides the index, beside the vectors."""
        return [self.identity(), self.m, self.ef_construction, self.threads]

    def build(self, folder: Path, vectors: Vectors) -> None:
        """Writes the graph of ``vectors`` [N, d] into ``folder``, with the vectors in half precision."""
        (_faiss_graph if self.library == "faiss" else _usearch_graph)(self, folder / FILE, vectors)

    def opened(self, folder: Path) -> Find:
        """What searches the graph in ``folder``, memory-mapped."""
        if self.library == "usearch":
            return partial(self._by_usearch, _usearch_index(folder / FILE))
        faiss = _faiss()
        return partial(self._by_faiss, faiss.read_index(str(folder / FILE), faiss.IO_FLAG_MMAP_IFC))

    def _width(self, count: int) -> int:
        return max(self.ef_search or max(2 * count, LEAST_EF), count)

    def _by_faiss(self, index: Any, queries: Float32, count: int) -> Int64:
        width = _faiss().SearchParametersHNSW(efSearch=self._width(count))
        rows: Int64 = index.search(queries, count, params=width)[1]
        return rows

    def _by_usearch(self, index: Any, queries: Float32, count: int) -> Int64:
        index.expansion_search = self._width(count)
        found = index.search(queries, count, threads=threads())
        keys = np.full((len(queries), count), -1, np.int64)
        for own, one in zip(keys, [found] if len(queries) == 1 else found, strict=True):  # one query has no list
            own[: len(one)] = one.keys
        return keys


@part
class IVF:
    """Approximate search in lists of passages that are near to each other (an inverted file, by faiss).

    ``nlist``: the number of lists; left out, four times the square root of the number of passages. A list has 39
    passages on average at least, so that small corpora have fewer lists. ``nprobe``: how many lists are searched for a
    query; more finds more and takes longer. It is built several times as fast as a graph, by all processors, and the
    same corpus gives the same lists.

    ``check``: the queries whose neighbours are also searched for exactly, to say how many are found; 0: none.
    """

    key: ClassVar[str] = "nprobe"

    nlist: Count | None = None
    nprobe: Count = 64
    check: Natural = field(default=200, metadata=NEUTRAL)

    def __post_init__(self) -> None:
        _needs("faiss")

    def identity(self) -> str:
        """The version of the library."""
        return _version("faiss")

    def settings(self) -> list[object]:
        """What decides the index, beside the vectors."""
        return [self.identity(), self.nlist]

    def build(self, folder: Path, vectors: Vectors) -> None:
        """Writes the lists of ``vectors`` [N, d] into ``folder``, with the vectors in half precision."""
        faiss = _faiss()
        size, width = vectors.shape
        lists = max(1, min(self.nlist or round(4 * size**0.5), size // PER_LIST))
        kind = faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(width), width, lists, kind, faiss.METRIC_INNER_PRODUCT, RESIDUALS
        )
        drawn = np.random.default_rng(0).choice(size, min(size, TRAINED_ON * lists), replace=False)
        with progress.task("find the centres of lists", 1) as bar:
            index.train(np.asarray(vectors[np.sort(drawn)], np.float32))
            bar.advance(1)
        for _, block in _blocks(vectors):
            index.add(block)
        _write(index, folder / FILE)

    def opened(self, folder: Path) -> Find:
        """What searches the lists in ``folder``, memory-mapped."""
        faiss = _faiss()
        return partial(self._find, faiss.read_index(str(folder / FILE), faiss.IO_FLAG_MMAP))

    def _find(self, index: Any, queries: Float32, count: int) -> Int64:
        lists = _faiss().SearchParametersIVF(nprobe=self.nprobe)
        rows: Int64 = index.search(queries, count, params=lists)[1]
        return rows


def _faiss_graph(part: HNSW, file: Path, vectors: Vectors) -> None:
    faiss = _faiss()
    width = vectors.shape[1]
    index = faiss.IndexHNSWSQ(width, faiss.ScalarQuantizer.QT_fp16, part.m, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = part.ef_construction
    with _faiss_threads(part.threads):
        for _, block in _blocks(vectors):
            if not index.ntotal:
                index.train(block)
            index.add(block)
    _write(index, file)


def _usearch_graph(part: HNSW, file: Path, vectors: Vectors) -> None:
    from usearch.index import Index

    width = vectors.shape[1]
    index = Index(ndim=width, metric="ip", dtype="f16", connectivity=part.m, expansion_add=part.ef_construction)
    for low, block in _blocks(vectors):
        index.add(np.arange(low, low + len(block), dtype=np.uint64), block, threads=part.threads)
    try:
        index.save(str(file))
    except RuntimeError as error:
        raise OSError(str(error)) from error
    if file.stat().st_size != index.serialized_length:
        raise OSError(f"the disk did not take the whole of {file.name}")


def _usearch_index(file: Path) -> Any:
    from usearch.index import Index

    return Index.restore(str(file), view=True, enable_key_lookups=False)


def _blocks(vectors: Vectors) -> Iterator[tuple[int, Float32]]:
    """The first row of each block of vectors, and the block."""
    with progress.task("build index of neighbours", len(vectors)) as bar:
        for low in range(0, len(vectors), ROWS_PER_BLOCK):
            block = np.asarray(vectors[low : low + ROWS_PER_BLOCK], np.float32)
            yield low, block
            bar.advance(len(block))


def _write(index: Any, file: Path) -> None:
    """Writes an index of faiss. Python does the writing, so that a full disk is an OSError."""
    faiss = _faiss()
    with file.open("wb") as stream:
        faiss.write_index(index, faiss.PyCallbackIOWriter(stream.write, 1 << 20))


@contextmanager
def _faiss_threads(count: int) -> Iterator[None]:
    faiss = _faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _faiss() -> Any:
    """faiss, whose type stubs lack half of it."""
    return import_module("faiss")


PACKAGES = {"faiss": "faiss-cpu", "usearch": "usearch"}


def _needs(library: str) -> None:
    if find_spec(library) is None:
        raise MissingExtraError(PACKAGES[library], library, f"an index of {library}")


def _version(library: str) -> str:
    """A library's name and version, whatever the package is called: there is faiss-gpu too."""
    try:
        return f"{library} {version(PACKAGES[library])}"
    except PackageNotFoundError:
        return f"{library} {_faiss().__version__}"
