"""Reading holds what it needs of the data for a block, not for the job."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from hardneg.cache.folders import Cache
from hardneg.data import corpus
from hardneg.files import spilled
from hardneg.protocols import Reader
from hardneg.readers.beir import BEIR
from hardneg.readers.msmarco import MSMARCO
from hardneg.readers.training_file import TrainingFile

FEW, MANY = 200, 1_700
MOST = 64
"""Bytes a query that reading may take, the check of ids included."""


def beir(folder: Path, count: int) -> BEIR:
    (folder / "qrels").mkdir()
    (folder / "corpus.jsonl").write_text('{"_id": "d", "text": "a passage"}\n')
    queries = (json.dumps({"_id": f"q{n}", "text": f"a query with the number {n}"}) for n in range(count))
    (folder / "queries.jsonl").write_text("\n".join(queries))
    (folder / "qrels" / "train.tsv").write_text("".join(f"q{n}\td\t1\n" for n in range(count)))
    return BEIR(path=folder)


def msmarco(folder: Path, count: int) -> MSMARCO:
    names = {name: folder / f"{name}.tsv" for name in ("collection", "queries", "qrels")}
    names["collection"].write_text("d\ta passage\n")
    names["queries"].write_text("".join(f"q{n}\ta query with the number {n}\n" for n in range(count)))
    names["qrels"].write_text("".join(f"q{n}\t0\td\t1\n" for n in range(count)))
    return MSMARCO(**names)


def rows(folder: Path, count: int) -> TrainingFile:
    lines = (json.dumps({"query": f"a query with the number {n}", "positive": "a passage"}) for n in range(count))
    (folder / "train.jsonl").write_text("\n".join(lines))
    return TrainingFile(path=folder / "train.jsonl")


def most(reader: Reader, cache: Path, count: int) -> int:
    """The most bytes of Python's objects while the examples go by."""
    built = corpus.build(Cache(cache), reader.passages())
    tracemalloc.start()
    try:
        assert sum(1 for _ in reader.examples(built.corpus, built.empty)) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", [beir, msmarco, rows])
def test_examples_take_no_memory_by_their_number(
    tmp_path: Path, make: Callable[[Path, int], Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spilled, "FEW", 100)
    monkeypatch.setattr(spilled, "MEMORY", 1)
    found = []
    for count in (FEW, FEW, MANY):  # the first time, modules are loaded too
        folder = tmp_path / str(len(found))
        folder.mkdir()
        found.append(most(make(folder, count), tmp_path / "cache", count))
    assert found[2] - found[1] <= MOST * (MANY - FEW), found
