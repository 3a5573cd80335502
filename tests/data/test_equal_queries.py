"""One query text under several ids: a positive of one is no negative of another."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import small_shards

from hardneg.cli import main
from hardneg.data import parquet
from hardneg.data.batch import Batch
from hardneg.data.equal_queries import shared_positives
from hardneg.data.subset import subset
from hardneg.generators.dense import Dense
from hardneg.generators.random import Random
from hardneg.job.run_folder import Job
from hardneg.testing import HashedWords


def sharing(batch: Batch) -> Batch:
    found = shared_positives(batch.query_hashes, batch.positive_owners, batch.positive_rows)
    return replace(batch, shared=found.of(0, len(batch)))


@pytest.fixture
def batch(batch_of: Callable[..., Batch]) -> Batch:
    """Cats are asked for under three ids, one of them written otherwise."""
    queries = {"a": "small animals", "b": "rome", "c": "Small  ANIMALS", "d": "small animals"}
    return sharing(batch_of(queries=queries, positives={"a": ["cats"], "b": ["rome"], "c": ["dogs"], "d": ["cats"]}))


def test_what_an_equal_query_has_is_barred_and_nothing_else(batch: Batch) -> None:
    cats, dogs, rome = (batch.corpus.row(name) for name in ("cats", "dogs", "rome"))
    offsets, rows = batch.barred()
    assert [sorted(rows[b:e]) for b, e in itertools.pairwise(offsets)] == [
        [cats, dogs], [rome], [cats, dogs], [cats, dogs],
    ]  # fmt: skip
    assert batch.positive_rows.tolist() == [cats, rome, dogs, cats]  # what is trained on stays as it was
    for generator in (Dense(encoder=HashedWords(), depth=8), Random(depth=8)):
        found = generator.generate(batch)
        assert not {cats, dogs} & set(found.rows[: found.offsets[1]].tolist())


def test_a_subset_and_a_shard_on_the_disk_keep_it(batch: Batch) -> None:
    some = subset(batch, np.array([1, 2]))
    again = parquet.examples_batch(parquet.examples_table(some), batch.corpus, frozenset())
    for found in (some, again):
        owners, rows = found.shared
        assert owners.tolist() == [1, 1]
        assert sorted(batch.corpus.ids(rows)) == ["cats", "dogs"]


def test_a_job_never_trains_against_a_known_positive(
    make_job: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small_shards(monkeypatch)  # the two ids are in different shards
    path = make_job(changes={"select.per_query": 7, "filters": {}, "deepen": 1})
    data = tmp_path / "data"
    queries = (data / "queries.jsonl").read_text().splitlines(keepends=True)
    filler = [json.dumps({"_id": f"f{n}", "text": f"filler {n}"}) + "\n" for n in range(4)]
    again = json.dumps({"_id": "again", "text": "LOYAL animals "}) + "\n"
    (data / "queries.jsonl").write_text("".join([*queries, *filler, again]))
    with (data / "qrels" / "train.tsv").open("a") as file:
        file.write("".join(f"f{n}\train\t1\n" for n in range(4)) + "again\tdog\t1\n")
    assert main(["run", str(path)]) == 0
    assert "2  of them with positives that their query has under another id only" in capsys.readouterr().out
    result = Job.read(path).finished()
    assert result.report["read"]["equal_queries"] == 2
    seen = {}
    for batch in result.batches:
        for i, name in enumerate(batch.ids):
            seen[name] = set(batch.passage_ids(np.arange(*batch.offsets[i : i + 2])))
    assert not seen["q3-0"] & {"dogs", "cats", "dog"}
    assert not seen["again"] & {"dogs", "cats", "dog"}
    assert "cats" in seen["q1-0"]
    lines = map(json.loads, (tmp_path / "runs/job/exports/all/train.jsonl").read_text().splitlines())
    positives = {line["query_id"]: [p["id"] for p in line["positives"]] for line in lines}
    assert positives["again"] == ["dog"]
