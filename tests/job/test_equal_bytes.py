"""With a real encoder: the same job gives the same bytes, whatever lies in the cache and however it is worked on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import REMOVED, SMALL_SHARDS, write_data

from hardneg.cache.folders import Cache
from hardneg.models.embeddings import embed
from hardneg.models.sentence_transformers import Encoder

MakeJob = Callable[..., Path]
RUN = SMALL_SHARDS + "import sys\nfrom hardneg.cli import main\nsys.exit(main(['run', sys.argv[1]]))\n"


def made(path: Path, *, threads: int = 1, seed: int = 0) -> dict[str, bytes]:
    """What a run in a process of its own leaves behind for its user."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(seed)}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    run = path.parent / "runs" / path.stem
    files = [file for file in (run / "exports").rglob("*") if file.is_file() and file.name != "README.md"]
    out = {str(file.relative_to(run)): file.read_bytes() for file in (*files, run / "provenance.jsonl")}
    report = json.loads((run / "report.json").read_text())
    return out | {"report": json.dumps({key: value for key, value in report.items() if key != "exports"}).encode()}


@pytest.mark.engines
def test_cache_batch_size_workers_threads_and_seeds_change_nothing(
    make_job: MakeJob, tmp_path: Path, minilm: str
) -> None:
    write_data(tmp_path / "data", copies=8)
    encoder = {"kind": "sentence_transformers", "model": minilm}
    changes = {"generators.reranked": REMOVED, "scorers.referee": REMOVED, "filters.veto": REMOVED}
    changes |= {"generators.semantic.encoder": encoder, "scorers.target.encoder": encoder}

    def job(name: str, batch_size: int = 32, **values: object) -> Path:
        own = encoder | {"batch_size": batch_size}
        parts = changes | {"generators.semantic.encoder": own, "scorers.target.encoder": own}
        return make_job(name, changes=parts, cache=tmp_path / f"cache-{name}", **values)

    wanted = made(job("plain"))
    assert made(job("small", batch_size=3), threads=2, seed=1) == wanted
    assert made(job("workers", workers=2), seed=2) == wanted
    records = [json.loads(line) for line in (tmp_path / "data" / "corpus.jsonl").read_text().splitlines()]
    some = [f"{record.get('title', '')} {record['text']}".strip() for record in records[::3]]
    known = job("known")
    embed(Encoder(model=minilm), some, "passage", Cache(tmp_path / "cache-known"))
    assert made(known) == wanted
