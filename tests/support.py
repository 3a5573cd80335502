"""What several test modules need: a small collection, a job on it as a mapping, and changes to that job."""

import copy
import importlib.util
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from hardneg.data.batch import Batch
from hardneg.data.merge import merge
from hardneg.generators.dense import Dense
from hardneg.models.sentence_transformers import Encoder
from hardneg.scorers.bi_encoder import BiEncoder

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="faults are injected by the kernel of Linux")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process grows beyond ``size`` bytes: the system takes a part of what is written there."""
    import resource  # not there on Windows

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


PASSAGES = {
    "cat": "the cat sat on the mat",
    "cats": "cats are small animals that purr",
    "dog": "a dog barked at the cat",
    "dogs": "dogs are loyal animals",
    "rain": "heavy rain fell on the town",
    "rome": "rome is the capital of italy",
    "paris": "paris is the capital of france",
    "copy": "The cat sat on the  MAT",
}
QUERIES = {"q1": "where did the cat sit", "q2": "what is the capital of france", "q3": "loyal animals"}
POSITIVES = {"q1": ["cat"], "q2": ["paris"], "q3": ["dogs", "cats"]}

WORDS = {"kind": "hashed_words"}
"""An encoder that loads nothing: for jobs whose models are beside the point."""
WORDS_IN_PAIRS = {"kind": "late_interaction", "encoder": WORDS}
REMOVED = object()
"""In `changed`: the key goes."""


def job_on(
    name: str = "job", encoder: Mapping[str, Any] = WORDS, referee: Mapping[str, Any] = WORDS_IN_PAIRS
) -> dict[str, Any]:
    """A job with every kind of part that needs no language model, with its folders beside its file: ``data`` (see
    `write_data`), ``cache`` and ``runs/<name>``. A model that occurs twice is one object, which YAML writes as an
    anchor and its alias.
    """
    target, referee = dict(encoder), dict(referee)
    pool = {"kind": "random", "depth": 6}
    return {
        "data": {"kind": "beir", "path": "data"},
        "generators": {
            "lexical": {"kind": "bm25", "depth": 5},
            "semantic": {"kind": "dense", "depth": 5, "encoder": target},
            "reranked": {"kind": "cross_encoder", "depth": 3, "candidates": pool, "model": referee},
            "easy": {"kind": "random", "depth": 5},
        },
        "controls": ["easy"],
        "scorers": {
            "target": {"kind": "bi_encoder", "encoder": target},
            "referee": {"kind": "cross_encoder", "model": referee},
        },
        "filters": {
            "repeats": {"kind": "duplicate", "near": 0.9},
            "copies": {"kind": "copy"},
            "safe": {"kind": "eci_safety", "scorer": "target", "margin": -0.05},
            "veto": {"kind": "eci_safety", "scorer": "referee", "margin": -1.0},
        },
        "select": {"kind": "top", "scorer": "target", "per_query": 2, "reuse": 30},
        "eci": {"scorer": "target"},
        "exports": {
            "tuples": {"kind": "sentence_transformers", "scores": True},
            "flag": {"kind": "flagembedding"},
            "all": {"kind": "jsonl", "dropped": True},
        },
        "engine": {"kind": "local", "workers": 1},
        "output": f"runs/{name}",
        "cache": "cache",
    }


def changed(job: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A job with other values: ``{"filters.safe.margin": 0.3, "generators.lexical": REMOVED}``.

    A key that is there keeps its place; a new one comes last. Objects that are shared stay shared.
    """
    out = copy.deepcopy(dict(job))
    for path, value in changes.items():
        *above, last = path.split(".")
        inner = out
        for key in above:
            inner = inner[key]
        if value is REMOVED:
            del inner[last]
        else:
            inner[last] = value
    return out


def as_yaml(job: Mapping[str, Any]) -> str:
    """The text of a job's file."""
    return yaml.safe_dump(dict(job), sort_keys=False, width=1_000)


def line_with(text: str, what: str) -> int:
    """The number of the first line that holds ``what``."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if what in line)


def bench(name: str) -> ModuleType:
    """A module of the folder ``bench``, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).resolve().parents[1] / "bench" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SMALL_SHARDS = "from hardneg.pipeline import graph, reading\ngraph.SHARD = reading.SHARD = 4\n"
"""For a process of a test: a dozen examples are three shards."""


def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in this process."""
    for module in ("graph", "reading"):
        monkeypatch.setattr(f"hardneg.pipeline.{module}.SHARD", 4)


def files_of(folder: Path) -> dict[str, bytes]:
    """Shards and exports of a run, by name."""
    found = [*folder.glob("stages/*/*.parquet"), *(f for f in folder.glob("exports/**/*") if f.is_file())]
    found += folder.glob("provenance.jsonl")
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


def write_data(folder: Path, copies: int = 1) -> Path:
    """A BEIR folder of the small collection; ``copies`` repeats its queries with another word in each."""
    (folder / "qrels").mkdir(parents=True)
    lines = {
        "corpus.jsonl": [{"_id": name, "text": text} for name, text in PASSAGES.items()],
        "queries.jsonl": [
            {"_id": f"{q}-{n}", "text": text + f" {n}" * (n > 0)} for n in range(copies) for q, text in QUERIES.items()
        ],
    }
    for name, records in lines.items():
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    qrels = [f"{q}-{n}\t{p}\t1" for n in range(copies) for q, own in POSITIVES.items() for p in own]
    (folder / "qrels" / "train.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *qrels]) + "\n")
    return folder


def margin_that_leaves_a_short_set(batch: Batch, model: str) -> float:
    """A margin from the smallest positive score under which some example has fewer than two candidates
    left and some other has two, and which no score meets exactly."""
    encoder = Encoder(model=model)
    full = merge(batch, {"dense": Dense(encoder=encoder, depth=7).generate(batch)})
    scores = BiEncoder(encoder=encoder).score(full)
    lowest = np.full(len(batch), np.inf)
    np.minimum.at(lowest, batch.positive_owners, scores.positives.astype(np.float64))
    margins = np.sort(lowest[full.owners] - scores.negatives)
    for low, high in itertools.pairwise(margins):
        middle = (low + high) / 2
        left = np.bincount(full.owners[lowest[full.owners] - scores.negatives >= middle], minlength=len(batch))
        if left.min() < 2 <= left.max() and high - low > 1e-4:
            return float(middle)
    raise AssertionError("no margin leaves a short set")


class Listener:
    """Hears of progress. ``titles`` is what began; ``started`` is called with each."""

    def __init__(self, started: Callable[[str], object]) -> None:
        self.titles: list[str] = []
        self.started = started

    def start(self, title: str, total: int | None) -> int:
        self.titles.append(title)
        self.started(title)
        return 0

    def advance(self, task: int, amount: int) -> None: ...
    def stop(self, task: int) -> None: ...
    def note(self, text: str) -> None: ...
