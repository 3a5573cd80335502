"""Jobs with a language model, from the command line, against a real server on loopback."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_support import write_data

from hardneg.cli import main
from hardneg.llm.answer_log import answers_of
from hardneg.testing import Fault, FaultServer

JOB = """\
data: {{kind: beir, path: {data}}}
generators:
  lexical: {{kind: bm25, depth: 5}}
  written: {{kind: llm, per_query: 2, context: lexical, rounds: 1, client: &client {client}}}
scorers:
  target: {{kind: bi_encoder, encoder: {{kind: sentence_transformers, model: {encoder}}}}}
  judge: {{kind: llm_judge, client: *client, cascade: &safe {{kind: eci_safety, scorer: target, margin: 0.0}}, near: 2.0}}
filters:
  quality: {{kind: text_quality, length: false, language: false}}
  safe: *safe
  graded: {{kind: relevance, scorer: judge, max: 3, relabel: true}}
select: {{kind: top, scorer: target, per_query: 2}}
eci: {{scorer: target}}
{more}
exports:
  split: {{kind: beir, split: relabelled}}
  all: {{kind: jsonl, dropped: true}}
engine: {{kind: local, workers: 2}}
cache: {cache}
output: {output}
"""

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    answers_of.cache_clear()
    yield
    answers_of.cache_clear()


@pytest.fixture
def job(tmp_path: Path, tiny_encoder: str) -> Make:
    data = tmp_path / "data"
    write_data(data)

    def make(url: str, *, more: str = "", client: str = "", text: str = JOB, name: str = "job") -> Path:
        file = tmp_path / f"{name}.yaml"
        settings = f"{{kind: openai, base_url: '{url}', model: any, timeout: 5{client}}}"
        values = {"data": data, "client": settings, "encoder": tiny_encoder, "more": more}
        file.write_text(text.format(**values, cache=tmp_path / "cache", output=tmp_path / name))
        return file

    return make


def answer(body: dict[str, Any]) -> str:
    """Two texts, the second of which an assistant talks; grades 3 for what says `capital`, else 1."""
    said = body["messages"][1]["content"]
    if "<candidate 1" in said:
        count = said.count("<candidate ")
        own = [said.split(f"<candidate {n} ")[1].split("</candidate")[0] for n in range(1, count + 1)]
        return json.dumps(
            {"grades": [{"candidate": n, "grade": 3 if "capital" in t else 1} for n, t in enumerate(own, 1)]}
        )
    number = sum(map(ord, said)) % 1_000
    return json.dumps(
        {"negatives": [f"a small town number {number} in the rain", "As an AI language model I know no towns."]}
    )


def test_a_job_from_generation_to_export(job: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer(answer=answer) as server:
        file = job(server.url, client=", prices: {input: 1, output: 2}")
        assert main(["run", str(file)]) == 0
        printed = capsys.readouterr().out
        sent = server.sent.total()
        answers_of.cache_clear()
        assert main(["run", str(file)]) == 0
        assert server.sent.total() == sent, "a second run asks nothing"
    report = json.loads((tmp_path / "job" / "report.json").read_text())
    assert set(report["usage"]) == {"generate.written", "score.judge"}
    assert sum(spent["requests"] for spent in report["usage"].values()) >= sent
    assert report["usage"]["generate.written"]["cost"] > 0
    first, second = report["rounds"]["written"]
    assert (first["round"], first["written"], second["round"]) == (0, 6, 1)
    assert first["kept"] < first["written"], "assistant talk is refused"
    assert report["dropped"]["quality"]["rules"]["talk"] >= 3
    [pair] = report["judges"]
    assert pair["graded"] > 0
    assert "written: round 0:" in printed
    assert "score.judge:" in printed
    qrels = (tmp_path / "job" / "exports" / "split" / "qrels" / "relabelled.tsv").read_text().splitlines()
    assert "q2-0\tparis\t1" in qrels
    assert "q2-0\trome\t1" in qrels, "the judge's positives are in the new split"
    lines = [
        json.loads(line) for line in (tmp_path / "job" / "exports" / "all" / "train.jsonl").read_text().splitlines()
    ]
    talk = [d for line in lines for d in line["dropped"] if d["reasons"].get("quality")]
    assert {d["reasons"]["quality"]["rule"] for d in talk} == {"talk"}
    [origin] = talk[0]["origins"]
    assert origin["prompt"].startswith("hard_negative.v1@")
    assert origin["tokens"] > 0
    assert (tmp_path / "job" / "exports" / "split" / "__provenance__" / "examples.jsonl").is_file()


def test_a_threshold_changed_asks_for_nothing_that_is_known(job: Make, tmp_path: Path) -> None:
    with FaultServer(answer=answer) as server:
        file = job(server.url)
        assert main(["run", str(file)]) == 0
        sent = server.sent.total()
        file.write_text(file.read_text().replace("max: 3", "max: 2").replace("graded:", "grades:"))
        answers_of.cache_clear()
        assert main(["run", str(file)]) == 0
        assert server.sent.total() == sent


SECRET = "sk-CANARY-0123456789abcdef"


def forms(secret: str) -> list[bytes]:
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return [form.encode() for form in (secret, encoded, urllib.parse.quote(secret), secret[:16])]


@pytest.mark.parametrize("echo", [False, True], ids=["well", "echoing"])
def test_the_key_is_nowhere(job: Make, tmp_path: Path, echo: bool) -> None:
    faults = [Fault.status(code, message=f"your key {SECRET} failed") for code in ([500] * 3 + [401] if echo else [])]
    environment = {**os.environ, "CANARY_KEY": SECRET, "OPENAI_LOG": "debug"}
    with FaultServer(faults, answer=answer) as server:
        file = job(server.url, client=", api_key_env: CANARY_KEY, concurrency: 1")
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "ignore", "-m", "hardneg", "run", str(file)],
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == (1 if echo else 0), done.stderr.decode()
        assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {SECRET}"}
    everything = [done.stdout, done.stderr, *(f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())]
    for form in forms(SECRET):
        assert not any(form in text for text in everything)
    assert b"CANARY_KEY" in file.read_bytes()


def test_a_budget_ends_the_run_and_the_next_one_goes_on(job: Make, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer(answer=answer) as server:
        file = job(server.url, more="budget: {max_tokens: 4000}")
        assert main(["run", str(file)]) == 1
        error = capsys.readouterr().err
        assert "the budget is used up" in error
        assert "raise `budget` and run again" in error
        sent = server.sent.total()
        assert sent >= 1
        file.write_text(file.read_text().replace("4000", "1000000"))
        answers_of.cache_clear()
        assert main(["run", str(file)]) == 0
        assert max(server.delivered.values()) == 1, "nothing was paid twice"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            ("context: lexical", "context: lexcal"),
            "generators.written.context: no other generator is called `lexcal`: did you mean `lexical`?",
        ),
        (("context: lexical", "context: written"), "no other generator is called `written`"),
        (
            (
                "lexical: {kind: bm25, depth: 5}",
                "lexical: {kind: llm, context: written, client: {kind: openai, model: any}}",
            ),
            "goes in a circle",
        ),
        (
            ("cascade: &safe {kind: eci_safety, scorer: target", "cascade: &safe {kind: eci_safety, scorer: targett"),
            "scorers.judge: looks at the scorer `targett`",
        ),
        (
            (
                "scorers:\n",
                "scorers:\n  first: {kind: llm_judge, near: 1.0, client: {kind: openai, model: any}, cascade: {kind: eci_safety, scorer: target, margin: 0}}\n",
            ),
            "it must come before this one",
        ),
        (("kind: openai", "kind: opnai"), "unknown kind 'opnai' of clients: did you mean `openai`?"),
        (("model: any", "model: any, api_key: sk-abcdef"), "unknown key `api_key`: did you mean `api_key_env`?"),
        (("model: any", "model: any, api_key_env: sk-abcdef"), "the name of an environment variable"),
        (
            ("eci: {scorer: target}", "eci: {scorer: target}\nbudget: {max_cost: 5}"),
            "budget.max_cost: the client of model `any` has no `prices`",
        ),
        (
            ("eci: {scorer: target}", "eci: {scorer: target}\nbudget: {max_token: 5}"),
            "budget.max_token: unknown key `max_token`: did you mean `max_tokens`?",
        ),
        (("eci: {scorer: target}", "eci: {scorer: target}\nbudget: {max_tokens: 0}"), "budget.max_tokens: "),
        (("per_query: 2, context", "prompt: nothing.v1, context"), "no prompt is called 'nothing.v1'"),
    ],
)
def test_wrong_jobs(job: Make, capsys: pytest.CaptureFixture[str], change: tuple[str, str], problem: str) -> None:
    file = job("http://127.0.0.1:9/v1")
    text = file.read_text()
    assert change[0] in text
    file.write_text(text.replace(*change))
    assert main(["check", str(file)]) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert "sk-abcdef" not in error


def test_a_server_that_is_down(job: Make, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = job("http://127.0.0.1:9/v1", client=", attempts: 1")
    assert main(["run", str(file)]) == 1
    error = capsys.readouterr().err
    assert "run again: what is answered is kept" in error
    assert not (tmp_path / "job" / "report.json").exists()


# a shell in the background ignores Ctrl-C for its children
CHILD = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from hardneg.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill -9"])
def test_stopped_in_the_middle_of_a_shard(job: Make, tmp_path: Path, number: signal.Signals) -> None:
    def run(file: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, "run", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    with FaultServer(answer=answer, latency=0.4) as server:
        file = job(server.url, client=", concurrency: 1")
        child = run(file)
        while server.delivered.total() < 2:
            time.sleep(0.01)
            assert child.poll() is None
        child.send_signal(number)
        _, error = child.communicate(timeout=30)
        if number == signal.SIGINT:
            assert child.returncode == 130
            assert b"goes on where it was" in error
        child = run(file)
        child.communicate(timeout=60)
        assert child.returncode == 0
        assert sum(count - 1 for count in server.delivered.values()) <= 1, "at most the one that was under way"
    other = job("http://127.0.0.1:9/v1", name="again")  # the answers are there: no server is needed
    assert main(["run", str(other)]) == 0
    for export in ("split/corpus.jsonl", "all/train.jsonl"):
        assert (tmp_path / "again" / "exports" / export).read_bytes() == (
            tmp_path / "job" / "exports" / export
        ).read_bytes()


def obedient(body: dict[str, Any]) -> str:
    """So many passages of so many words as the prompt asks for; a grade a candidate."""
    said = body["messages"][1]["content"]
    if "<candidate 1" in said:
        return json.dumps({"grades": [{"candidate": n, "grade": 1} for n in range(1, said.count("<candidate ") + 1)]})
    [(count, words)] = re.findall(r"Write (\d+) passages of about (\d+) words", said)
    text = said.split("<positive 1 ")[1].split("</positive")[0].split()[1:] * int(words)
    own = [" ".join([f"number {n}", *text[: int(words)]]) for n in range(int(count))]
    return json.dumps({"negatives": own})


@pytest.mark.parametrize("ask", [0, 12])
def test_an_estimate_is_near_to_what_it_costs(
    tmp_path: Path, collections: Path, tiny_encoder: str, capsys: pytest.CaptureFixture[str], ask: int
) -> None:
    text = JOB.replace(", cascade: &safe {{kind: eci_safety, scorer: target, margin: 0.0}}, near: 2.0", "")
    text = text.replace("safe: *safe", "safe: {{kind: eci_safety, scorer: target, margin: -2.0}}").replace(
        "rounds: 1", "rounds: 0"
    )
    text = text.replace("depth: 5", "depth: 10")
    with FaultServer(answer=obedient) as server:
        client = f"{{kind: openai, base_url: '{server.url}', model: any, prices: {{input: 10, output: 30}}}}"
        values = {"data": collections / "cranfield", "client": client, "encoder": tiny_encoder, "more": ""}
        file = tmp_path / "job.yaml"
        file.write_text(text.format(**values, cache=tmp_path / "cache", output=tmp_path / "job"))
        assert main(["estimate", str(file), "--json", "--ask", str(ask)]) == 0
        assert server.sent.total() == ask, "nothing is spent unless it is wished"
        told = json.loads(capsys.readouterr().out)
        assert main(["run", str(file)]) == 0
        capsys.readouterr()
        usage = json.loads((tmp_path / "job" / "report.json").read_text())["usage"]
        assert main(["estimate", str(file)]) == 0
        assert "done" in capsys.readouterr().out
    for stage in told["stages"]:
        real = usage[stage["stage"]]
        for what in ("requests", "prompt_tokens", "completion_tokens", "cost"):
            assert stage[what] == pytest.approx(real[what], rel=0.2), (stage["stage"], what)


def test_an_estimate_of_a_job_without_a_model(job: Make, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        line
        for line in JOB.splitlines()
        if not re.match(r"  (written|judge|safe|graded|quality)|filters|exports|  (split|all)", line)
    ]
    text = "\n".join(lines).replace("context", "x")
    assert main(["estimate", str(job("http://127.0.0.1:9/v1", text=text))]) == 0
    assert "asks no language model" in capsys.readouterr().out


def test_a_server_that_refused_everything_is_mended(
    job: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultServer(lambda _key, _before: Fault.status(400, message="no response_format here")) as server:
        assert main(["run", str(job(server.url))]) == 1
    assert "no response_format here" in capsys.readouterr().err
    with FaultServer(answer=answer) as server:
        assert main(["run", str(job(server.url))]) == 0
        assert server.sent.total() > 0
    report = json.loads((tmp_path / "job" / "report.json").read_text())
    assert report["generated"]["written"] > 0


def test_a_control_that_is_none_any_more_is_judged(job: Make, tmp_path: Path) -> None:
    from hardneg.job.job import Job

    control = JOB.replace("{{kind: bm25, depth: 5}}", "{{kind: bm25, depth: 5, control: true}}").replace(
        "context: lexical, ", ""
    )
    names = [
        Job.read(job("http://127.0.0.1:9/v1", text=text)).pipeline.stages()
        for text in (control, control.replace(", control: true", ""))
    ]
    for stage in ("score", "generate"):
        name = {"score": "judge", "generate": "written"}[stage]
        assert getattr(names[0], stage)[name].fingerprint != getattr(names[1], stage)[name].fingerprint


def test_the_budget_and_the_report_know_what_was_sent(job: Make, tmp_path: Path) -> None:
    with FaultServer(answer=answer) as server:
        assert main(["run", str(job(server.url))]) == 0
        usage = json.loads((tmp_path / "job" / "report.json").read_text())["usage"]
        assert sum(spent["requests"] for spent in usage.values()) == server.sent.total()


def test_an_estimate_with_a_file_of_candidates(job: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "found.jsonl").write_text('{"query_id": "q1-0", "candidates": ["dog", "rain"]}\n')
    text = JOB.replace("{{kind: bm25, depth: 5}}", f"{{{{kind: file, path: {tmp_path / 'found.jsonl'}}}}}")
    assert main(["estimate", str(job("http://127.0.0.1:9/v1", text=text))]) == 0
    assert "score.judge" in capsys.readouterr().out
