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
from support import write_data

from hardneg.cli import main
from hardneg.llm.answer_log import answers_of

EXAMPLES = Path(__file__).parents[1] / "examples"
IN_PROCESS = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "WARNING",
}
ENGINE = (
    "{dtype: float32, max_model_len: 2048, enforce_eager: true, max_num_seqs: 16, "
    "structured_outputs_config: {backend: guidance}}"
)
JOB = """\
data: {{kind: beir, path: {data}}}
generators:
  lexical: {{kind: bm25, depth: 3}}
  semantic: {{kind: dense, depth: 3, encoder: &target {{kind: sentence_transformers, model: {encoder}}}}}
  written: {{kind: llm, prompt: {prompt}, per_query: 2, context: lexical, max_tokens: {max_tokens}, rounds: 1, client: &client {client}}}
scorers:
  target: {{kind: bi_encoder, encoder: *target}}
  judge: {{kind: llm_judge, client: *client, per_request: 8}}
filters:
  quality: {{kind: text_quality, length: false}}
  copies: {{kind: copy}}
  safe: {{kind: eci_safety, scorer: target, margin: -1.0}}
  graded: {{kind: relevance, scorer: judge, max: 3}}
select: {{kind: top, scorer: target, per_query: 3}}
eci: {{scorer: target}}
exports:
  all: {{kind: jsonl, dropped: true}}
  tuples: {{kind: sentence_transformers, format: triplet}}
cache: {cache}
output: {output}
"""


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


def test_a_job_with_the_engine_in_this_process(tmp_path: Path, tiny_encoder: str) -> None:
    data, model = write_data(tmp_path / "data"), tiny_llm.make(tmp_path / "llm")
    job = tmp_path / "job.yaml"
    client = f"{{kind: vllm, model: {model}, engine: {ENGINE}, max_failed: 1.0}}"
    values = {"data": data, "encoder": tiny_encoder, "client": client, "prompt": "query_only.v1", "max_tokens": 500}
    job.write_text(JOB.format(**values, cache=tmp_path / "cache", output=tmp_path / "run"))
    command = [sys.executable, "-m", "hardneg", "run", str(job), "--json"]
    first = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | IN_PROCESS)
    assert first.returncode == 0, first.stderr[-3000:]
    assert json.loads(first.stdout)["usage"], "nothing but the report goes to stdout"
    report = check(tmp_path / "run", "query_only.v1")
    assert report["usage"]["generate.written"]["failed"] <= 2, "guided decoding gives valid JSON unless it is cut off"
    log = [line for file in (tmp_path / "cache" / "answers").rglob("*.jsonl") for line in file.read_text().splitlines()]
    assert len(log) >= 6
    second = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | IN_PROCESS)
    assert json.loads(second.stdout) == json.loads(first.stdout)


ENGINE_TEST = """
import json, sys
from hardneg.data.chat import Message, Request, Sampling
from hardneg.llm.vllm import VLLM
from hardneg.prompts.shapes import Grades, Passages
from hardneg.llm.answer_text import parsed
import yaml
client = VLLM(model=sys.argv[1], engine=yaml.safe_load(sys.argv[2]), feed=5)
asked = [
    Request((Message("system", "write"), Message("user", f"number {i}")), Sampling(600, 0.8, seed=i), Passages.schema_for(2))
    for i in range(7)
]
asked[3] = Request((Message("user", "far too long " * 2000),), Sampling(50))
arrived = []
found = list(client.complete(asked, lambda request, _: arrived.append(request)))
assert found[3].failure == "refused" and "context" in found[3].error, found[3]
assert arrived == asked
for i, answer in enumerate(found):
    if i != 3 and answer.finish == "stop":
        assert len(parsed(answer.text, Passages).negatives) == 2
        assert answer.completion_tokens > 5 and answer.prompt_tokens > 10
alone = [next(client.complete([request])).text for request in asked[:2]]
print(json.dumps([sum(answer.finish == "stop" for answer in found), alone == [found[0].text, found[1].text]]))
"""


def test_order_refusals_and_grammar_of_the_engine(tmp_path: Path) -> None:
    model = tiny_llm.make(tmp_path / "llm")
    done = subprocess.run(
        [sys.executable, "-c", ENGINE_TEST, model, ENGINE],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | IN_PROCESS,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    stopped, _ = json.loads(done.stdout.splitlines()[-1])
    assert stopped >= 5


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
    job = tmp_path / "job.yaml"
    client = f"{{kind: openai, base_url: '{server}', model: smollm2, concurrency: 8, max_failed: 1.0}}"
    values = {"data": write_data(tmp_path / "data"), "encoder": minilm, "client": client, "prompt": "hard_negative.v1"}
    job.write_text(JOB.format(**values, max_tokens=200, cache=tmp_path / "cache", output=tmp_path / "run"))
    assert main(["run", str(job)]) == 0
    check(tmp_path / "run", "hard_negative.v1")
    answers_of.cache_clear()
    job.write_text(
        job.read_text().replace(server, "http://127.0.0.1:9/v1").replace(str(tmp_path / "run"), str(tmp_path / "two"))
    )
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
