"""How much an approximate search finds is measured once a job, and said wherever a run is looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import WORDS, WORDS_IN_PAIRS, as_yaml, small_shards

from hardneg.cli import main
from hardneg.job.run_folder import Job

FEW = {"kind": "ivf", "nlist": 12, "nprobe": 1}


def write_subjects(folder: Path) -> None:
    """600 passages and 30 queries on 10 subjects."""
    rng = np.random.default_rng(0)
    words = [[f"w{subject}x{i}" for i in range(12)] + ["common", "words"] for subject in range(10)]
    corpus = [{"_id": f"p{i}", "text": " ".join(rng.choice(words[i % 10], 9))} for i in range(600)]
    queries = [{"_id": f"q{i}", "text": " ".join(rng.choice(words[i % 10], 4))} for i in range(30)]
    (folder / "qrels").mkdir(parents=True)
    for name, lines in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "qrels" / "train.tsv").write_text("".join(f"q{i}\tp{i}\t1\n" for i in range(30)))


@pytest.fixture
def job_with(tmp_path: Path) -> Callable[..., Path]:
    """A small job whose generator `semantic` searches by an index."""
    write_subjects(tmp_path / "data")

    def make(search: Any, name: str = "job", **more: Any) -> Path:
        job = {
            "data": {"kind": "beir", "path": "data"},
            "generators": {"semantic": {"kind": "dense", "depth": 20, "encoder": WORDS, "search": search}, **more},
            "scorers": {"target": {"kind": "bi_encoder", "encoder": WORDS}},
            "filters": {"repeats": {"kind": "duplicate"}},
            "select": {"kind": "top", "scorer": "target", "per_query": 2},
            "eci": {"scorer": "target"},
            "exports": {"all": {"kind": "jsonl"}},
            "deepen": 0,
            "output": f"runs/{name}",
            "cache": "cache",
        }
        (tmp_path / f"{name}.yaml").write_text(as_yaml(job))
        return tmp_path / f"{name}.yaml"

    return make


def recall_of(job: Path) -> dict[str, Any]:
    return json.loads((job.parent / "runs" / job.stem / "report.json").read_text())["recall"]


def test_it_is_said_on_the_terminal_the_page_the_card_and_in_the_manifest(
    job_with: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_shards(monkeypatch)
    job = job_with(FEW)
    assert main(["run", str(job)]) == 0
    shown, folder = " ".join(capsys.readouterr().out.split()), job.parent / "runs" / "job"
    found = recall_of(job)["semantic"]
    assert {**found, "value": 0, "low": 0, "high": 0} == {
        "value": 0, "low": 0, "high": 0, "kind": "ivf", "depth": 20, "queries": 30, "key": "nprobe",
    }  # fmt: skip
    assert 0 < found["low"] < found["value"] < found["high"] < 0.95
    line = f"semantic: IVF finds {found['value']:.1%} ({100 * found['low']:.1f} to {100 * found['high']:.1f}) of the exact 20 nearest, 30 queries"
    warning = f"of `semantic` finds {found['value']:.1%} of the exact 20 nearest passages; raise its `nprobe`, or search exactly"
    assert line in shown
    assert warning in shown
    assert line in (folder / "report.html").read_text()
    assert line in (folder / "exports" / "all" / "README.md").read_text()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["stages"]["recall.semantic"]["recall"] == found
    assert "recall" not in manifest["stages"]["generate.semantic"]


def test_what_is_measured_is_right_and_only_measures(job_with: Callable[..., Path]) -> None:
    """The mean over the queries of what the exact search finds too; more queries to check mine nothing again."""
    job, exact = job_with(FEW), job_with("blocks", "exact")
    found, wanted = (Job.read(path).run() for path in (job, exact))
    near = [
        [set(rows.tolist()) for batch in result.batches for rows in np.split(batch.rows, batch.offsets[1:-1])]
        for result in (found, wanted)
    ]
    shares = [len(own & exact) / len(exact) for own, exact in zip(*near, strict=True)]
    assert recall_of(job)["semantic"]["value"] == pytest.approx(np.mean(shares), abs=0.01)
    assert recall_of(exact) == {}
    again = Job.read(job_with(FEW | {"check": 7})).run()
    assert recall_of(job)["semantic"]["queries"] == 7
    assert {name.split(".")[0] for name in again.ran} == {"recall", "evaluate"}


def test_more_lists_are_another_search_in_the_same_index(job_with: Callable[..., Path], tmp_path: Path) -> None:
    low = job_with(FEW)
    Job.read(low).run()
    before = recall_of(low)["semantic"]["value"]
    high = job_with(FEW | {"nprobe": 12})
    assert {"generate.semantic", "recall.semantic"} <= set(Job.read(high).run().ran)
    assert recall_of(high)["semantic"]["value"] == 1 > before
    assert recall_of(high)["semantic"]["low"] < 1, "30 queries are no certainty"
    assert len([*(tmp_path / "cache" / "neighbours").glob("[!.]*")]) == 1


def test_a_search_inside_another_generator_is_measured(job_with: Callable[..., Path]) -> None:
    pool = {"kind": "dense", "depth": 20, "encoder": WORDS, "search": FEW}
    job = job_with(
        "blocks", reranked={"kind": "cross_encoder", "depth": 2, "candidates": pool, "model": WORDS_IN_PAIRS}
    )
    Job.read(job).run()
    assert list(recall_of(job)) == ["reranked"]


def test_shares_of_a_job_leave_it_to_the_merge(
    job_with: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small_shards(monkeypatch)
    whole, parts = job_with(FEW), job_with(FEW, "parts")
    Job.read(whole).run()
    for share in ("1/2", "2/2"):
        assert main(["run", str(parts), "--shard", share]) == 0
    assert main(["merge", str(parts)]) == 0
    assert recall_of(parts) == recall_of(whole)
    assert "recall.semantic" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (
            "flat",
            "search: expected `blocks`, `faiss`, `torch`, or a mapping with the key `kind`, one of: `hnsw`, `ivf`",
        ),
        ({"kind": "hsnw"}, "search: unknown kind 'hsnw' of indexes: did you mean `hnsw`?"),
        ({"kind": "hnsw", "efSearch": 9}, "search.efSearch: unknown key `efSearch`: did you mean `ef_search`?"),
        ({"kind": "hnsw", "m": 1}, "search.m: must be at least 2, not 1"),
        ({"kind": "ivf", "nprobe": True}, "expected a number, found true or false"),
    ],
)
def test_a_search_that_cannot_be(
    job_with: Callable[..., Path], capsys: pytest.CaptureFixture[str], search: Any, message: str
) -> None:
    assert main(["check", str(job_with(search))]) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert message in said
