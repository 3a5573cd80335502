"""Fields that are in no fingerprint are really neutral: with other values the results are the same to the byte."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support import REMOVED, files_of

from hardneg.data.batch import Batch
from hardneg.data.chat import Prices
from hardneg.generators.llm import LLM
from hardneg.job.run_folder import Job
from hardneg.llm.answer_log import answers_of
from hardneg.llm.openai import OpenAI
from hardneg.testing import FaultServer

CHANGES: Mapping[str, Mapping[str, Any]] = {
    "words": {
        "data.limits": {"total": 3, "ratio": 9},
        "data.path": "elsewhere",
        "generators.reranked.model.memory": 0,
    },
    "models": {
        "generators.semantic.encoder.batch_size": 2,
        "generators.semantic.encoder.device": "cpu",
        "generators.semantic.encoder.pickled_weights": True,
        "scorers.target.encoder.batch_size": 1,  # the last bit of a cross-encoder's score may depend on it
    },
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_is_neutral_changes_no_byte_of_a_result(make_job: Callable[..., Path], tmp_path: Path, kind: str) -> None:
    def made(name: str, changes: Mapping[str, Any]) -> dict[str, bytes]:
        job = make_job(name, {"generators.lexical": REMOVED} | changes, real=kind == "models", cache=f"cache-{name}")
        Job.read(job).run()
        found = files_of(tmp_path / "runs" / name)
        return {file: content for file, content in found.items() if not file.endswith("README.md")}  # shows the job

    plain = made("plain", {})
    shutil.copytree(tmp_path / "data", tmp_path / "elsewhere")
    assert made("changed", CHANGES[kind]) == plain


@pytest.mark.usefixtures("fresh_answers")
def test_what_is_neutral_in_a_client_changes_no_text(batch_of: Callable[..., Batch]) -> None:
    changes: list[dict[str, Any]] = [
        {"concurrency": 1},
        {"cap": "max_completion_tokens"},
        {"requests_per_minute": 60_000.0, "tokens_per_minute": 1e9},
        {"attempts": 1, "timeout": 9.0, "patience": 9.0, "max_failed": 0.5},
        {"prices": Prices(1.0, 2.0)},
    ]
    batch, texts = batch_of(), []
    with FaultServer() as server:
        for fields_changed in [{}, *changes]:
            client = OpenAI(model="any", base_url=server.url, **fields_changed)
            answers_of.cache_clear()
            shutil.rmtree(batch.corpus.cache.root / "answers", ignore_errors=True)
            texts.append(LLM(client=client).generate(batch).texts)
        assert server.sent.total() == len(texts) * len(batch), "each was really asked"
    assert texts[1:] == texts[:1] * len(changes)
