"""The first stage: the corpus goes into the cache, and the examples into shards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from hardneg import progress
from hardneg.arrays import offsets_of
from hardneg.cache.folders import Cache
from hardneg.data import corpus, parquet
from hardneg.data.batch import Batch
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
    with progress.task("read examples") as bar:
        examples = _examples(reader, built, bar, skipped)
        while block := list(islice(examples, SHARD)):
            store.write(stage, shards, parquet.examples_table(_batch(block, built.corpus)))
            shards, count = shards + 1, count + len(block)
    if not count:
        reasons = "; ".join(f"{n} times: {reason}" for reason, n in skipped.items()) or "there is no query"
        where = ", ".join(str(file) for file in reader.files())
        raise DataError(f"{where}: no query has a positive ({reasons}); nothing can be mined")
    return {
        "shards": shards,
        "corpus": built.corpus.fingerprint,
        "passages": len(built.corpus),
        "examples": count,
        "skipped": dict(sorted(skipped.items())),
        "seconds": round(time.monotonic() - begin, 3),
    }


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
