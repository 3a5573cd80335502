"""The first stage: the corpus goes into the cache, and the examples into shards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from hardneg import progress
from hardneg.arrays import offsets_of, owners_of
from hardneg.cache.folders import Cache
from hardneg.data import corpus, parquet
from hardneg.data.batch import Batch
from hardneg.data.equal_queries import shared_positives
from hardneg.data.records import Example
from hardneg.errors import DataError
from hardneg.pipeline.graph import SHARD
from hardneg.pipeline.stage import Stage
from hardneg.pipeline.store import Store
from hardneg.protocols import Reader


def read(reader: Reader, stage: Stage, store: Store, cache: Cache) -> dict[str, Any]:
    """Reads everything into the cache and the store. Returns the summary of the stage: counts and the corpus.

    Raises `DataError` where no query has a positive.
    """
    begin = time.monotonic()
    with progress.task("read corpus") as bar:
        built = corpus.build(cache, progress.counted(reader.passages(), bar))
    skipped = Counter(built.skipped)
    count = shards = 0
    seen: list[Batch] = []
    with progress.task("read examples") as bar:
        examples = _examples(reader, built, bar, skipped)
        while block := list(islice(examples, SHARD)):
            batch = _batch(block, built.corpus)
            store.write(stage, shards, parquet.examples_table(batch))
            seen.append(replace(batch, ids=(), queries=()))  # numbers alone
            shards, count = shards + 1, count + len(block)
    if not count:
        reasons = "; ".join(f"{n} times: {reason}" for reason, n in skipped.items()) or "there is no query"
        where = ", ".join(str(file) for file in reader.files())
        raise DataError(f"{where}: no query has a positive ({reasons}); nothing can be mined")
    equal = _share(seen, stage, store)
    return {
        "shards": shards,
        "corpus": built.corpus.fingerprint,
        "passages": len(built.corpus),
        "examples": count,
        "equal_queries": equal,
        "skipped": dict(sorted(skipped.items())),
        "seconds": round(time.monotonic() - begin, 3),
    }


def _share(seen: Sequence[Batch], stage: Stage, store: Store) -> int:
    """Writes the shards anew that have a query which stands under another id too, with the positives of both.

    Returns how many examples learn of a positive in that way.
    """
    lengths = [np.diff(batch.positive_offsets) for batch in seen]
    owners = owners_of(offsets_of(np.concatenate(lengths)))
    hashes, rows = (np.concatenate([getattr(b, name) for b in seen]) for name in ("query_hashes", "positive_rows"))
    shared = shared_positives(hashes, owners, rows)
    begin = 0
    for shard, own in enumerate(lengths):
        known = shared.of(begin, begin + len(own))
        begin += len(own)
        if len(known[0]):
            batch = parquet.examples_batch(store.read(stage, shard), seen[shard].corpus, frozenset())
            store.write(stage, shard, parquet.examples_table(replace(batch, shared=known)))
    return int(shared.gains.sum())


def _examples(reader: Reader, built: corpus.Built, bar: progress.Task, skipped: Counter[str]) -> Iterator[Example]:
    for read in progress.counted(reader.examples(built.corpus, built.empty), bar):
        if read.item is None:
            skipped[read.skipped or "skipped"] += 1
        else:
            yield read.item


def _batch(block: list[Example], passages: corpus.Corpus) -> Batch:
    rows = [[passages.row(identifier) for identifier in example.positives] for example in block]
    return Batch.of(
        passages,
        [example.id for example in block],
        [example.query for example in block],
        offsets_of([len(own) for own in rows]),
        np.array([row for own in rows for row in own], dtype=np.int64),
    )
