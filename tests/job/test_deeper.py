"""Candidates from deeper ranks, for examples that the filters leave short."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hardneg.job.run_folder import Job

MakeJob = Callable[..., Path]
ONE_DEEP = {"generators.lexical.depth": 1, "generators.semantic.depth": 1, "generators.reranked.depth": 1}


def chosen(job: Job) -> dict[str, list[str]]:
    """The chosen passages of every query, by id."""
    out = {}
    for batch in job.finished().batches:
        for i, query in enumerate(batch.ids):
            own = np.flatnonzero((batch.owners == i) & batch.chosen)
            out[query] = sorted(batch.corpus.ids(batch.rows[own]))
    return out


def run(path: Path) -> tuple[Job, dict]:
    job = Job.read(path)
    job.run()
    return job, json.loads((job.output / "report.json").read_text())


def test_short_examples_get_more_and_the_others_stay_as_they_were(make_job: MakeJob) -> None:
    shallow, before = run(make_job("shallow", ONE_DEEP | {"deepen": 0, "filters.safe.margin": 0.02}))
    deep, after = run(make_job("deep", ONE_DEEP | {"deepen": 2, "filters.safe.margin": 0.02}))
    lines = [json.loads(line) for line in (shallow.output / "short.jsonl").read_text().splitlines()]
    short = {line["query_id"] for line in lines}
    assert short, "nothing is short: the test shows nothing"
    assert before["counts"]["short examples"] + before["counts"]["examples without a negative"] == len(short)
    assert after["counts"]["chosen"] > before["counts"]["chosen"]
    was, now = chosen(shallow), chosen(deep)
    for query in was:
        if query in short:
            assert len(now[query]) >= len(was[query])
        else:
            assert now[query] == was[query]
    assert sum(len(now[query]) for query in short) > sum(len(was[query]) for query in short)


def test_nobody_short_computes_nothing_more(make_job: MakeJob) -> None:
    path = make_job("wide", {"select.per_query": 1, "filters.safe.margin": -1.0, "filters.veto": {"kind": "copy"}})
    job = Job.read(path)
    result = job.run()
    assert not json.loads((job.output / "report.json").read_text())["counts"]["short examples"]
    assert not [name for name in result.ran if name.startswith("generate.") and "deeper" in name]
    assert not [name for name, state, _ in job.state() if state != "cached"]


def test_a_second_run_of_a_deepened_job_computes_nothing(make_job: MakeJob) -> None:
    path = make_job("again", ONE_DEEP | {"filters.safe.margin": 0.02})
    job, _ = run(path)
    first = {file: file.read_bytes() for file in job.output.rglob("exports/**/*") if file.is_file()}
    assert not Job.read(path).run().ran
    assert first == {file: file.read_bytes() for file in first}
