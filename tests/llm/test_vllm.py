"""The real thing: vLLM's engine in process with a tiny model, and its server with a small one that follows instructions.

A model with random weights samples whatever the grammar lets through, which is what a client must stand.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_llm
from support import as_yaml, write_data

from hardneg.cli import main
from hardneg.llm.answer_log import answers_of

pytestmark = pytest.mark.engines

EXAMPLES = Path(__file__).parents[2] / "examples"
IN_PROCESS = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "WARNING",
}
ENGINE = {
    "dtype": "float32",
    "max_model_len": 2048,
    "enforce_eager": True,
    "max_num_seqs": 16,
    "structured_outputs_config": {"backend": "guidance"},
}


def write_job(
    folder: Path, encoder: str, client: dict[str, Any], prompt: str, max_tokens: int, *, judged: bool = False
) -> Path:
    """A job with a real encoder beside the language model, which also judges where it knows what it says."""
    target = {"kind": "sentence_transformers", "model": encoder}
    written = {"kind": "llm", "prompt": prompt, "context": "lexical", "per_query": 2, "rounds": 1}
    job: dict[str, Any] = {
        "data": {"kind": "beir", "path": "data"},
        "generators": {
            "lexical": {"kind": "bm25", "depth": 3},
            "semantic": {"kind": "dense", "depth": 3, "encoder": target},
            "written": written | {"max_tokens": max_tokens, "client": client},
        },
        "scorers": {"target": {"kind": "bi_encoder", "encoder": target}},
        "filters": {
            "quality": {"kind": "text_quality", "length": False},
            "copies": {"kind": "copy"},
            "safe": {"kind": "eci_safety", "scorer": "target", "margin": -1.0},
        },
        "select": {"kind": "top", "scorer": "target", "per_query": 3},
        "eci": {"scorer": "target"},
        "exports": {
            "all": {"kind": "jsonl", "dropped": True},
            "tuples": {"kind": "sentence_transformers", "format": "triplet"},
        },
        "cache": "cache",
        "output": "run",
    }
    if judged:
        job["scorers"]["judge"] = {"kind": "llm_judge", "client": client, "per_request": 8}
        job["filters"]["graded"] = {"kind": "relevance", "scorer": "judge", "max": 3}
    write_data(folder / "data")
    (folder / "job.yaml").write_text(as_yaml(job))
    return folder / "job.yaml"


@pytest.fixture(scope="module", autouse=True)
def with_vllm() -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed")


def written(output: Path) -> list[dict[str, Any]]:
    """Every text that the model wrote, chosen or refused, from the export."""
    lines = [json.loads(line) for line in (output / "exports" / "all" / "train.jsonl").read_text().splitlines()]
    found = [negative for line in lines for negative in (*line["negatives"], *line["dropped"])]
    return [n for n in found if any(origin["generator"] == "written" for origin in n["origins"])]


def check(output: Path, prompt: str) -> dict[str, Any]:
    """What must hold of a job whatever the model wrote."""
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    usage = report["usage"]["generate.written"]
    assert usage["requests"] >= 3
    assert usage["completion_tokens"] > 0
    assert 0 < len(written(output)) <= sum(found["written"] for found in report["rounds"]["written"])
    for negative in written(output):
        origin = next(origin for origin in negative["origins"] if origin["generator"] == "written")
        assert origin["prompt"].startswith(f"{prompt}@")
        assert origin["tokens"] > 0
        assert negative["text"].strip() == negative["text"] != ""
    assert (output / "exports" / "tuples" / "train.parquet").is_file()
    return report


IN_ONE_PROCESS = """
import json, sys
from pathlib import Path
from hardneg.cli import main
from hardneg.data.chat import Message, Request, Sampling
from hardneg.llm.vllm import VLLM
from hardneg.prompts.shapes import Grades, Passages
from hardneg.llm.answer_text import parsed
model, engine, found_file, job = sys.argv[1:]
client = VLLM(model=model, engine=json.loads(engine), feed=5)
asked = [
    Request((Message("system", "write"), Message("user", f"number {i}")), Sampling(600, 0.8, seed=i), Passages.schema_for(2))
    for i in range(7)
]
asked[3] = Request((Message("user", "far too long " * 2000),), Sampling(50))
asked.append(Request((Message("user", "grade"),), Sampling(900, 0.8), Grades.schema_for(2)))
arrived = []
found = list(client.complete(asked, lambda request, _: arrived.append(request)))
assert found[3].failure == "refused" and "context" in found[3].error, found[3]
assert arrived == asked
for i, answer in enumerate(found):
    if i != 3 and answer.finish == "stop":
        if i == 7:
            assert len(parsed(answer.text, Grades).grades) == 2
        else:
            assert len(parsed(answer.text, Passages).negatives) == 2
        assert answer.completion_tokens > 5 and answer.prompt_tokens > 10
Path(found_file).write_text(str(sum(answer.finish == "stop" for answer in found)))
sys.exit(main(["run", job, "--json"]))  # with the same engine
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: str) -> tuple[Path, str]:
    """The folder of a run with the engine in its process, and what went to stdout. The engine is started once."""
    folder = tmp_path_factory.mktemp("engine")
    model = tiny_llm.make(folder / "llm")
    client = {"kind": "vllm", "model": model, "engine": ENGINE, "max_failed": 1.0}
    job = write_job(folder, tiny_encoder, client, "query_only.v1", 500)
    done = subprocess.run(
        [sys.executable, "-c", IN_ONE_PROCESS, model, json.dumps(ENGINE), folder / "stopped", job],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | IN_PROCESS,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout


def test_order_refusals_and_grammar_of_the_engine(engine: tuple[Path, str]) -> None:
    """What the process asserts; and most answers end by themselves, as their grammar wants."""
    folder, _ = engine
    assert int((folder / "stopped").read_text()) >= 5


def test_a_job_with_the_engine_in_its_process(engine: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, printed = engine
    assert json.loads(printed)["usage"], "nothing but the report goes to stdout"
    report = check(folder / "run", "query_only.v1")
    assert report["usage"]["generate.written"]["failed"] <= 2, "guided decoding gives valid JSON unless it is cut off"
    log = [line for file in (folder / "cache" / "answers").rglob("*.jsonl") for line in file.read_text().splitlines()]
    assert len(log) >= 3
    answers_of.cache_clear()
    assert main(["run", str(folder / "job.yaml"), "--json"]) == 0, "needs no engine"
    assert json.loads(capsys.readouterr().out) == json.loads(printed)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real vLLM server with SmolLM2-135M-Instruct."""
    sys.path.insert(0, str(EXAMPLES))
    folder = tmp_path_factory.mktemp("smollm2")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run(
        [sys.executable, EXAMPLES / "local_llm.py", folder / "model"], env=environment, check=True, capture_output=True
    )
    from local_llm import serving

    with serving(folder / "model", log=folder / "log") as url:
        yield url


def test_a_job_with_a_real_server(server: str, tmp_path: Path, minilm: str, capsys: pytest.CaptureFixture[str]) -> None:
    answers_of.cache_clear()
    client = {"kind": "openai", "base_url": server, "model": "smollm2", "concurrency": 8, "max_failed": 1.0}
    job = write_job(tmp_path, minilm, client, "hard_negative.v1", 200, judged=True)
    assert main(["run", str(job)]) == 0
    check(tmp_path / "run", "hard_negative.v1")
    answers_of.cache_clear()
    job.write_text(job.read_text().replace(server, "http://127.0.0.1:9/v1").replace("output: run", "output: two"))
    assert main(["run", str(job)]) == 0, "answers that are there need no server"
    capsys.readouterr()


def test_the_servers_refusals(server: str) -> None:
    from hardneg.data.chat import Message, Request, Sampling
    from hardneg.errors import ModelError
    from hardneg.llm.openai import OpenAI

    long = Request((Message("user", "far too long " * 3_000),), Sampling(50))
    short = Request((Message("user", "Say hello."),), Sampling(8, 0.0))
    found = list(OpenAI(model="smollm2", base_url=server).complete([long, short]))
    assert found[0].failure == "refused"
    assert found[1].text
    with pytest.raises(ModelError, match="knows no model `other`"):
        list(OpenAI(model="other", base_url=server).complete([short]))
