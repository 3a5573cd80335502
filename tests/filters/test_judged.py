"""What becomes of people's answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardneg.data.batch import Batch, new_id
from hardneg.data.candidates import Candidates
from hardneg.data.merge import merge
from hardneg.errors import DataError, PartError
from hardneg.filters.judged import Judged
from hardneg.generators.random import Random
from hardneg.job.run_folder import Job
from hardneg.testing import check_filter


def written(path: Path, *answers: tuple[str, str, str]) -> Path:
    records = [{"query_id": q, "passage_id": p, "answer": answer, "annotator": path.stem} for q, p, answer in answers]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def rules(judge: Judged, batch: Batch) -> dict[tuple[str, str], str]:
    verdicts = check_filter(judge, batch)
    return {
        (batch.ids[batch.owners[j]], batch.passage(j).id): verdicts.rules[verdicts.broken[j]]
        for j in np.flatnonzero(verdicts.dropped).tolist()
    }


def test_relevant_is_a_positive_unsure_goes_and_the_rest_stays(batch_of: Callable[..., Batch], tmp_path: Path) -> None:
    batch = batch_of()
    text = "a text that a model wrote"
    own = Candidates(np.array([0, 1, 1, 1]), np.array([-1]), np.ones(1, np.float32), [text])
    full = merge(batch, {"all": Random(depth=8).generate(batch), "written": own})
    ada = written(
        tmp_path / "ada.jsonl",
        ("q1", "dog", "relevant"),
        ("q1", new_id(text), "relevant"),
        ("q1", "rain", "not relevant"),
        ("q2", "rome", "unsure"),
        ("q3", "cat", "relevant"),  # "copy" has the same text
        ("q3", "dog", "relevant"),
        ("unknown", "dog", "relevant"),
    )
    bob = written(tmp_path / "bob.jsonl", ("q3", "dog", "not relevant"))
    judge = Judged(files=(ada, bob))
    assert rules(judge, full) == {
        ("q1", "dog"): "relabelled",
        ("q1", new_id(text)): "relevant",
        ("q2", "rome"): "unsure",
        ("q3", "cat"): "relabelled",
        ("q3", "copy"): "relevant",
        ("q3", "dog"): "unsure",
    }
    found = replace(full, verdicts={"people": judge.judge(full)}).with_relabelled()
    assert [p.id for p in next(iter(found)).positives] == ["cat", "dog"]


def test_files_are_read_beside_the_job_and_their_content_decides(make_job: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    file = written(tmp_path / "people" / "ada.jsonl", ("q1-0", "rain", "not relevant"))
    path = make_job(changes={"filters.people": {"kind": "judged", "files": ["people/ada.jsonl"]}})
    Job.read(path).run()
    assert Job.read(path).run().ran == []
    chosen = next(iter(Job.read(path).finished().batches))
    [first] = [chosen.passage(int(j)).id for j in chosen.selection.of(0)[:1]]
    written(file, ("q1-0", first, "relevant"))
    job = Job.read(path)
    assert {name: what for name, what, _ in job.state()}["filter.people"] == "to do"
    batch = next(iter(job.run().batches))
    assert first not in [batch.passage(int(j)).id for j in batch.selection.of(0)]
    rows = [json.loads(line) for line in (tmp_path / "runs/job/exports/all/train.jsonl").read_text().splitlines()]
    assert first in json.dumps(next(row for row in rows if row["query_id"] == "q1-0")["positives"])


def test_the_name_of_a_file_decides_too(tmp_path: Path) -> None:
    """Two people who say different things are unsure; the same two files as one person's are the later answer."""
    first, second = tmp_path / "ada.tsv", tmp_path / "bob.tsv"
    first.write_text("q1\tdog\t1\n")
    second.write_text("q1\tdog\t0\n")
    apart = Judged(files=(first, second)).identity()
    assert Judged(files=(first, second)).identity() == apart
    other = second.rename(tmp_path / "ada.second.tsv")
    assert Judged(files=(first, other)).identity() != apart


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="at least one file"):
        Judged(files=())
    with pytest.raises(DataError, match="there is no such file"):
        Judged(files=(tmp_path / "nobody.jsonl",)).identity()
