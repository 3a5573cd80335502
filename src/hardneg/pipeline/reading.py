"""The first stage: the corpus goes into the cache, and the examples into shards."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from hardneg import progress
from hardneg.arrays import Int64, offsets_of, owners_of
from hardneg.cache.folders import Cache
from hardneg.data import corpus, parquet
from hardneg.data.batch import Batch
from hardneg.data.equal_queries import Hashes, repeated, shared_positives
from hardneg.data.records import UNUSABLE, Example, Read
from hardneg.errors import DataError
from hardneg.pipeline.graph import SHARD
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.store import Store
from hardneg.protocols import Reader

T = TypeVar("T")


def read(reader: Reader, stage: Stage, store: Store, cache: Cache) -> dict[str, Any]:
    """Reads everything into the cache and the store. Returns the summary of the stage: counts and the corpus.

    Raises `DataError` where no query has a positive.
    """
    begin = time.monotonic()
    bad: dict[tuple[str, int], str] = {}
    with progress.task("read corpus") as bar:
        built = corpus.build(cache, _usable(progress.counted(reader.passages(), bar), bad))
    skipped = Counter(built.skipped)
    count = shards = 0
    hashes = array("Q")
    with progress.task("read examples") as bar:
        found = _usable(progress.counted(reader.examples(built.corpus, built.empty), bar), bad)
        examples = _examples(found, skipped)
        while block := list(islice(examples, SHARD)):
            batch = _batch(block, built.corpus)
            store.write(stage, shards, parquet.examples_table(batch))
            hashes.frombytes(batch.query_hashes.tobytes())
            shards, count = shards + 1, count + len(block)
    if bad:
        skipped[UNUSABLE] = len(bad)
    if not count:
        reasons = "; ".join(f"{n} times: {reason}" for reason, n in skipped.items()) or "there is no query"
        where = ", ".join(str(file) for file in reader.files())
        raise DataError(f"{where}: no query has a positive ({reasons}); nothing can be mined")
    equal = _share(repeated(np.frombuffer(hashes, dtype=np.uint64)), shards, stage, store, built.corpus)
    if bad:
        store.write(bad_lines(stage), 0, _listed(bad))
        store.complete(bad_lines(stage), {"lines": len(bad)})
    return {
        "shards": shards,
        "corpus": built.corpus.fingerprint,
        "passages": len(built.corpus),
        "examples": count,
        "equal_queries": equal,
        "bad_lines": dict(sorted(Counter(Path(file).name for file, _ in bad).items())),
        "skipped": dict(sorted(skipped.items())),
        "seconds": round(time.monotonic() - begin, 3),
    }


def _share(equal: Hashes, shards: int, stage: Stage, store: Store, passages: corpus.Corpus) -> int:
    """Writes the shards anew that have a query which stands under another id too, with the positives of both.

    ``equal``: the hashes of those queries. Returns how many examples learn of a positive in that way.
    """
    if not len(equal):
        return 0
    found: list[tuple[Int64, Hashes, Int64, Int64]] = []  # by shard: numbers, hashes, counts and rows of positives
    for shard in range(shards):
        batch = parquet.examples_batch(store.read(stage, shard), passages, frozenset())
        own = np.flatnonzero(np.isin(batch.query_hashes, equal))
        rows = batch.positive_rows[np.isin(batch.positive_owners, own)]
        found.append((own, batch.query_hashes[own], np.diff(batch.positive_offsets)[own], rows))
    hashes, counts, rows = (np.concatenate(column) for column in list(zip(*found, strict=True))[1:])
    shared = shared_positives(hashes, owners_of(offsets_of(counts)), rows)
    begin = 0
    for shard, (own, *_) in enumerate(found):
        owners, known = shared.of(begin, begin + len(own))
        begin += len(own)
        if len(known):
            batch = parquet.examples_batch(store.read(stage, shard), passages, frozenset())
            store.write(stage, shard, parquet.examples_table(replace(batch, shared=(own[owners], known))))
    return int(shared.gains.sum())


def bad_lines(read: Stage) -> Stage:
    """Where the lines that cannot be used are listed, if there are any: columns ``file``, ``line`` and ``reason``."""
    return Stage("bad_lines", {}, (read,))


def _listed(bad: Mapping[tuple[str, int], str]) -> pa.Table:
    places = sorted(bad)
    columns = {"file": [file for file, _ in places], "line": [line for _, line in places]}
    return pa.table(columns | {"reason": [bad[place] for place in places]})


def _usable(found: Iterable[Read[T]], bad: dict[tuple[str, int], str]) -> Iterator[Read[T]]:
    """All but the lines that cannot be used, which go into ``bad``: a file that is read twice names each once."""
    for read in found:
        if read.problem is None:
            yield read
        else:
            bad.setdefault((read.file, read.line), read.problem)


def _examples(found: Iterable[Read[Example]], skipped: Counter[str]) -> Iterator[Example]:
    for read in found:
        if read.item is None:
            skipped[read.skipped or "skipped"] += read.count
        else:
            yield read.item


def _batch(block: list[Example], passages: corpus.Corpus) -> Batch:
    return Batch.of(
        passages,
        [example.id for example in block],
        [example.query for example in block],
        offsets_of([len(example.positives) for example in block]),
        passages.rows([identifier for example in block for identifier in example.positives]),
    )
