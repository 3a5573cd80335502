"""One job on a real collection, however it is worked on: the same bytes in every export, and the same report."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nodes import Nodes
from support import WORDS, Listener, as_yaml
from twelve import bytes_of

from hardneg import progress
from hardneg.cli import main
from hardneg.errors import HardnegError
from hardneg.job.run_folder import Job

pytestmark = pytest.mark.engines

QUERIES, SIZE = 96, 24
"""So many are in the job and in a shard."""
JOB: dict[str, Any] = {
    "data": {"kind": "beir", "path": "data", "split": "test"},
    "generators": {
        "lexical": {"kind": "bm25", "depth": 10},
        "semantic": {"kind": "dense", "depth": 10, "encoder": WORDS},
        "easy": {"kind": "random", "depth": 5},
    },
    "controls": ["easy"],
    "scorers": {
        "target": {"kind": "bi_encoder", "encoder": WORDS},
        "doubt": {"kind": "false_negative", "encoder": WORDS},
    },
    "filters": {
        "repeats": {"kind": "duplicate"},
        "copies": {"kind": "copy"},
        "safe": {"kind": "eci_safety", "scorer": "doubt", "calibrated": 0.1},
        "near": {"kind": "eci_safety", "scorer": "target", "percentile": 0.95},
    },
    "select": {"kind": "top", "scorer": "target", "per_query": 4, "reuse": 30},
    "deepen": 1,
    "eci": {"scorer": "target"},
    "exports": {
        "tuples": {"kind": "sentence_transformers", "scores": True},
        "flag": {"kind": "flagembedding", "scores": True},
        "ids": {"kind": "tevatron", "form": "ids"},
        "tables": {"kind": "tables"},
        "pairs": {"kind": "cross_encoder"},
        "triples": {"kind": "msmarco"},
        "folder": {"kind": "beir"},
        "labels": {"kind": "gpl", "scorer": "target"},
        "chats": {"kind": "ms_swift", "negatives": 3},
        "named": {"kind": "automodel", "form": "corpus"},
        "all": {"kind": "jsonl", "dropped": True},
        "columns": {"kind": "parquet"},
    },
    "output": "runs/job",
    "cache": "cache",
}
"""Members that learn from the whole job, a deeper wave, and exports of every kind."""


@pytest.fixture
def job(collections: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the job, in an empty folder."""
    for module in ("graph", "reading"):
        monkeypatch.setattr(f"hardneg.pipeline.{module}.SHARD", SIZE)
    made(tmp_path, collections / "cranfield")
    return tmp_path / "job.yaml"


def made(folder: Path, whole: Path) -> Path:
    """Writes the job, and its data: all passages of a collection, and its first queries."""
    (folder / "data" / "qrels").mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl"):
        (folder / "data" / name).symlink_to(whole / name)
    head, *lines = (whole / "qrels" / "test.tsv").read_text().splitlines(keepends=True)
    first = list(dict.fromkeys(line.split("\t")[0] for line in lines))[:QUERIES]
    some = [line for line in lines if line.split("\t")[0] in first]
    (folder / "data" / "qrels" / "test.tsv").write_text("".join([head, *some]))
    (folder / "job.yaml").write_text(as_yaml(JOB))
    return folder / "job.yaml"


@pytest.fixture(scope="module")
def kept() -> dict[str, bytes]:
    """What one process makes of it, once a test has run it."""
    return {}


@pytest.fixture
def wanted(
    job: Path, collections: Path, tmp_path_factory: pytest.TempPathFactory, kept: dict[str, bytes]
) -> dict[str, bytes]:
    if not kept:
        alone = made(tmp_path_factory.mktemp("alone"), collections / "cranfield")
        result = Job.read(alone).run()
        assert {"learn.scorer.doubt", "learn.filter.near", "score.doubt.deeper1"} <= set(result.ran)
        assert len(result.batches) == 4
        kept |= bytes_of(alone.parent / "runs" / "job")
        assert len([name for name in kept if name.startswith("exports/")]) > 2 * len(JOB["exports"])
    return kept


def test_two_processes(job: Path, wanted: dict[str, bytes]) -> None:
    Job.read(job, {"engine": {"kind": "local", "workers": 2}}).run()
    assert bytes_of(job.parent / "runs" / "job") == wanted


SHARE = f"""
import os, signal, sys
from hardneg.cli import main
from hardneg.pipeline import graph, reading, store
graph.SHARD = reading.SHARD = {SIZE}
left, real = int(sys.argv[3]), store.Folder.write

def write(self, stage, shard, table):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    real(self, stage, shard, table)

store.Folder.write = write
sys.exit(main(["run", sys.argv[1], "--shard", sys.argv[2]]))
"""


def started(job: Path, share: str, writes: int = -1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SHARE, str(job), share, str(writes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_four_shares_at_once_of_which_one_is_killed(job: Path, wanted: dict[str, bytes]) -> None:
    """They begin together on an empty folder and an empty cache."""
    processes = [started(job, f"{index}/4", 5 if index == 2 else -1) for index in (1, 2, 3, 4)]
    said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, -signal.SIGKILL, 0, 0], said
    with pytest.raises(HardnegError, match=r"1 of 4 shards are not done \(shards 1: .*--shard 2/4`, and merge again"):
        Job.read(job).merge()
    again = started(job, "2/4")
    said.append(again.communicate())
    assert again.returncode == 0, said
    assert main(["merge", str(job)]) == 0
    ran = json.loads((job.parent / "runs" / "job" / "manifest.json").read_text())["ran"]
    assert not {"read", "generate.lexical", "generate.semantic", "merge", "score.target"} & set(ran)
    assert bytes_of(job.parent / "runs" / "job") == wanted
    assert not list((job.parent / "runs" / "job").rglob("*.unfinished"))
    made = [
        path.name for group in ("corpora", "bm25", "embeddings") for path in (job.parent / "cache" / group).iterdir()
    ]
    assert len(made) == 3, "one of each"


def test_a_cluster_of_three_nodes(job: Path, wanted: dict[str, bytes], nodes: Nodes) -> None:
    stages = {"score.target": {"concurrency": [1, 2], "cpus": 0.5}}
    heard = Listener(lambda _title: None)
    with progress.listening(heard):
        Job.read(job, {"engine": {"kind": "ray", "address": nodes.address, "stages": stages}}).run()
    assert bytes_of(job.parent / "runs" / "job") == wanted
    assert {"generate.semantic", "merge", "score.target", "filter.safe"} <= set(heard.titles)
    assert nodes.actors() == []
    assert not list(job.parent.glob("**/.seen-*"))
    assert Job.read(job).run().ran == []
