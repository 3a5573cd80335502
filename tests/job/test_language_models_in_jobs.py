"""Jobs with a language model, from the command line, against a real server on loopback."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from asking import GRADES, answer, client_at, job_with
from support import REMOVED, WORDS, as_yaml, changed, files_of, write_data

from hardneg.cli import main
from hardneg.engines.local import Local
from hardneg.job.run_folder import Job
from hardneg.llm.answer_log import answers_of
from hardneg.testing import Fault, FaultServer, fault_server

Make = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("fresh_answers")


@pytest.fixture
def job(tmp_path: Path) -> Make:
    """Writes the job above, with its data, for a server at ``url``; ``changes`` as in `support.changed`."""
    write_data(tmp_path / "data")

    def make(url: str, changes: Mapping[str, Any] | None = None, *, name: str = "job", **client: Any) -> Path:
        file = tmp_path / f"{name}.yaml"
        file.write_text(as_yaml(changed(job_with(client_at(url, **client), name), changes or {})))
        return file

    return make


def test_a_job_from_generation_to_export(job: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer(answer=answer) as server:
        file = job(server.url, prices={"input": 1, "output": 2})
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
    origins = [json.loads(line) for line in (tmp_path / "job" / "provenance.jsonl").read_text().splitlines()]
    assert [line["query_id"] for line in origins] == [line["query_id"] for line in lines]


def test_parts_that_ask_stay_in_this_process_and_what_else_works_makes_room(
    job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    whole = Local.map

    def listened(self: Local, function: Any, shards: Any, *, stage: str = "", folders: Any = ()) -> Any:
        heard.append(stage)
        return whole(self, function, shards, stage=stage, folders=folders)

    monkeypatch.setattr(Local, "map", listened)
    monkeypatch.setattr(Local, "close", lambda self: heard.append("made room"))
    with FaultServer(answer=answer) as server:
        Job.read(job(server.url)).run()
    assert "generate.written" not in heard
    assert "score.judge" not in heard
    assert heard[:3] == ["generate.lexical", "made room", "merge"]
    assert heard[-1] == "made room"
    assert heard.count("made room") == 3, "for each part that asks, and at the end"


def test_a_threshold_changed_asks_for_nothing_that_is_known(job: Make, tmp_path: Path) -> None:
    with FaultServer(answer=answer) as server:
        file = job(server.url)
        assert main(["run", str(file)]) == 0
        sent = server.sent.total()
        job(server.url, {"filters.graded": REMOVED, "filters.grades": GRADES | {"max": 2}})
        answers_of.cache_clear()
        assert main(["run", str(file)]) == 0
        assert server.sent.total() == sent


SECRET = "sk-CANARY-0123456789abcdef"


def forms(secret: str) -> list[bytes]:
    moved = [base64.b64encode((" " * n + secret).encode()).decode()[8:24] for n in range(3)]
    return [form.encode() for form in (secret, *moved, urllib.parse.quote(secret), secret[:16])]


@pytest.mark.parametrize("echo", [False, True], ids=["well", "echoing"])
def test_the_key_is_nowhere(job: Make, tmp_path: Path, echo: bool) -> None:
    said = ["your key", SECRET, *(base64.b64encode((" " * n + SECRET).encode()).decode() for n in range(3))]
    echoes = Fault.status(400, message=" ".join([*said, urllib.parse.quote(f"key={SECRET}", safe="")]))
    passing = Fault.status(500, message=f"your key {SECRET} failed")
    faults = [passing] * 3 + [Fault.says(f"my key is {SECRET}")] * 2 + [echoes] * 99 if echo else []
    environment = {**os.environ, "CANARY_KEY": SECRET, "OPENAI_LOG": "debug"}
    with FaultServer(faults, answer=answer) as server:
        file = job(server.url, api_key_env="CANARY_KEY", concurrency=1)
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
        file = job(server.url, {"budget": {"max_tokens": 4000}})
        assert main(["run", str(file)]) == 1
        error = capsys.readouterr().err
        assert "the budget is used up" in error
        assert "raise `budget` and run again" in error
        sent = server.sent.total()
        assert sent >= 1
        job(server.url, {"budget": {"max_tokens": 1_000_000}})
        answers_of.cache_clear()
        assert main(["run", str(file)]) == 0
        assert max(server.delivered.values()) == 1, "nothing was paid twice"


OTHER_CLIENT = {"kind": "openai", "model": "any"}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a context that nothing is called": (
        {"generators.written.context": "lexcal"},
        "generators.written.context: no generator is called `lexcal`: did you mean `lexical`?",
    ),
    "a context that is the generator itself": (
        {"generators.written.context": "written"},
        "these parts mention each other in a circle: written → written",
    ),
    "contexts in a circle": (
        {"generators.lexical": {"kind": "llm", "context": "written", "client": OTHER_CLIENT}},
        "these parts mention each other in a circle: lexical → written → lexical",
    ),
    "a context of an earlier version": (
        {"generators.written.context": {"kind": "bm25"}},
        "generators.written.context: name a generator of the job: `context: lexical`",
    ),
    "a cascade that nothing is called": (
        {"scorers.judge.cascade": "saef"},
        "scorers.judge.cascade: no filter is called `saef`: did you mean `safe`?",
    ),
    "a cascade that is a scorer": (
        {"scorers.judge.cascade": "target"},
        "scorers.judge.cascade: no filter is called `target`; the job's filters are: `quality`, `safe`, `graded`",
    ),
    "a cascade of an earlier version": (
        {"scorers.judge.cascade": {"kind": "eci_safety", "scorer": "target", "margin": 0.0}},
        "scorers.judge.cascade: name a filter of the job: `cascade: safe`",
    ),
    "a cascade that waits for the judge": (
        {"scorers.judge.cascade": "graded"},
        "these parts mention each other in a circle: judge → graded → judge",
    ),
    "a cascade without a threshold": (
        {"filters.copies": {"kind": "copy"}, "scorers.judge.cascade": "copies"},
        "scorers.judge.cascade: name a filter with a threshold on a scorer, such as `eci_safety`",
    ),
    "a cascade that learns": (
        {"filters.safe": {"kind": "eci_safety", "scorer": "target", "percentile": 0.9}},
        "scorers.judge.cascade: that filter learns from the whole job first; give it its values",
    ),
    "a cascade whose scorer is missing": (
        {"filters.safe.scorer": "targett"},
        "filters.safe.scorer: no scorer is called `targett`: did you mean `target`?",
    ),
    "one judge alone": (
        {"filters.graded": {"kind": "relevance", "scorer": "judge", "relabel": True}},
        "`relabel` needs a second signal",
    ),
    "a second signal that nothing is called": (
        {"filters.graded.agree": "targett"},
        "filters.graded.agree: no scorer is called `targett`: did you mean `target`?",
    ),
    "a second judge that is the same model": (
        {"scorers.second": {"kind": "llm_judge", "client": OTHER_CLIENT}, "filters.graded.agree": "second"},
        "filters.graded.agree: that scorer asks the same model; one model has one vote",
    ),
    "a probability without a bound": (
        {
            "scorers.doubt": {"kind": "false_negative", "encoder": WORDS},
            "filters.graded.agree": "doubt",
            "filters.graded.agree_from": None,
        },
        "filters.graded.agree: that scorer gives probabilities; say from which one it agrees: `agree_from: 0.5`",
    ),
    "an unknown kind of client": (
        {"generators.written.client.kind": "opnai"},
        "unknown kind 'opnai' of clients: did you mean `openai`?",
    ),
    "a key in the job": (
        {"generators.written.client.api_key": "sk-abcdef"},
        "generators.written.client.api_key: a key does not belong in a job",
    ),
    "a key among what goes into each request": (
        {"generators.written.client.extra": {"provider": {"api_key": "abcdef-1"}}},
        "generators.written.client.extra.provider.api_key: a key does not belong in a job",
    ),
    "a key by its look": (
        {"generators.written.client.model": "sk-abcdef0123456789abcd"},
        "generators.written.client.model: a key does not belong in a job",
    ),
    "a key among the options of an engine": (
        {"generators.written.client": {"kind": "vllm", "model": "any", "engine": {"hf_token": "abcdef-1"}}},
        "generators.written.client.engine.hf_token: a key does not belong in a job",
    ),
    "a key for a name": (
        {"generators.written.client.api_key_env": "sk-abcdef"},
        "the name of an environment variable",
    ),
    "a budget in money without prices": (
        {"budget": {"max_cost": 5}},
        "budget.max_cost: the client of model `any` has no `prices`",
    ),
    "a misspelt budget": (
        {"budget": {"max_token": 5}},
        "budget.max_token: unknown key `max_token`: did you mean `max_tokens`?",
    ),
    "no budget at all": ({"budget": {"max_tokens": 0}}, "budget.max_tokens: must be at least 1, not 0"),
    "an unknown prompt": ({"generators.written.prompt": "nothing.v1"}, "no prompt is called 'nothing.v1'"),
    "fewer than no rounds": (
        {"generators.written.rounds": -1},
        "generators.written.rounds: must be at least 0, not -1",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_jobs(job: Make, capsys: pytest.CaptureFixture[str], case: str) -> None:
    changes, problem = WRONG[case]
    assert main(["check", str(job("http://127.0.0.1:9/v1", changes))]) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert "sk-abcdef" not in error
    assert "abcdef-1" not in error


def test_a_key_in_a_comment_or_of_a_named_variable_is_refused(
    job: Make, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is copied as it is: into the run's folder, and into the exports' cards."""
    monkeypatch.setenv("CANARY_KEY", "canary/and no prefix")
    file = job("http://127.0.0.1:9/v1", api_key_env="CANARY_KEY")
    well = file.read_text()
    for key in ("sk-abcdef0123456789abcd", "canary/and no prefix", urllib.parse.quote("canary/and no prefix", safe="")):
        file.write_text(f"# a remark\n# it was {key}\n{well}")
        assert main(["check", str(file)]) == 2
        error = capsys.readouterr().err
        assert f"{file.name}:2: a key does not belong in a job" in error
        assert key not in error
    file.write_text(well)
    assert main(["check", str(file)]) == 0


def test_a_server_that_is_down(job: Make, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = job("http://127.0.0.1:9/v1", attempts=1)
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
    with FaultServer(answer=answer, latency=0.1) as server:
        file = job(server.url, concurrency=1)
        command = [sys.executable, "-c", CHILD, "run", str(file)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
            while server.delivered.total() < 2:
                time.sleep(0.01)
                assert child.poll() is None
            child.send_signal(number)
            _, error = child.communicate(timeout=30)
        if number == signal.SIGINT:
            assert child.returncode == 130
            assert b"goes on where it was" in error
        assert not (tmp_path / "job" / "report.json").exists()
        assert main(["run", str(file)]) == 0
        assert sum(count - 1 for count in server.delivered.values()) <= 1, "at most the one that was under way"
    answers_of.cache_clear()
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


def counted_by(model: str) -> Callable[[str], int]:
    """How many tokens a real model makes of a text: not the rule by which the estimate guesses."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def test_an_estimate_is_near_to_what_it_costs(
    tmp_path: Path,
    collections: Path,
    minilm: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where it has asked a dozen times first."""
    monkeypatch.setattr(fault_server, "tokens", counted_by(minilm))
    told: dict[int, list[dict[str, Any]]] = {}
    with FaultServer(answer=obedient) as server:
        job = changed(
            job_with(client_at(server.url, prices={"input": 10, "output": 30})),
            {
                "data.path": str(collections / "cranfield"),
                "generators.lexical.depth": 10,
                "generators.written.rounds": 0,
                "scorers.judge.cascade": REMOVED,
                "scorers.judge.near": REMOVED,
                "filters.safe.margin": -2.0,
            },
        )
        file = tmp_path / "job.yaml"
        file.write_text(as_yaml(job))
        for ask in (0, 12):
            assert main(["estimate", str(file), "--json", "--ask", str(ask)]) == 0
            assert server.sent.total() == ask, "nothing is spent unless it is wished"
            told[ask] = json.loads(capsys.readouterr().out)["stages"]
        assert main(["run", str(file)]) == 0
        capsys.readouterr()
        usage = json.loads((tmp_path / "job" / "report.json").read_text())["usage"]
        assert main(["estimate", str(file)]) == 0
        assert "done" in capsys.readouterr().out
    for ask, stages in told.items():
        assert {stage["stage"] for stage in stages} == set(usage) == {"generate.written", "score.judge"}
        for stage in stages:
            real = usage[stage["stage"]]
            for what in ("requests", "prompt_tokens", "completion_tokens", "cost"):
                assert stage[what] == pytest.approx(real[what], rel=0.2), (ask, stage["stage"], what)


def test_an_estimate_of_a_job_without_a_model(job: Make, capsys: pytest.CaptureFixture[str]) -> None:
    nobody = {"generators.written": REMOVED, "scorers.judge": REMOVED, "filters.graded": REMOVED}
    assert main(["estimate", str(job("http://127.0.0.1:9/v1", nobody))]) == 0
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


def test_a_control_that_is_none_any_more_is_judged(job: Make) -> None:
    alone = {"generators.written.context": REMOVED}
    stages = [
        Job.read(job("http://127.0.0.1:9/v1", alone | {"controls": controls})).pipeline.stages.first
        for controls in (["lexical"], [])
    ]
    for group, name in (("score", "judge"), ("generate", "written")):
        assert getattr(stages[0], group)[name].fingerprint != getattr(stages[1], group)[name].fingerprint


def test_the_budget_and_the_report_know_what_was_sent(job: Make, tmp_path: Path) -> None:
    with FaultServer(answer=answer) as server:
        assert main(["run", str(job(server.url))]) == 0
        usage = json.loads((tmp_path / "job" / "report.json").read_text())["usage"]
        assert sum(spent["requests"] for spent in usage.values()) == server.sent.total()


def test_an_estimate_with_a_file_of_candidates(job: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "found.jsonl").write_text('{"query_id": "q1-0", "candidates": ["dog", "rain"]}\n')
    from_file = {"generators.lexical": {"kind": "file", "path": "found.jsonl"}}
    assert main(["estimate", str(job("http://127.0.0.1:9/v1", from_file))]) == 0
    assert "score.judge" in capsys.readouterr().out


def exports_of(folder: Path) -> dict[str, bytes]:
    """Without the cards, which quote the job."""
    found = files_of(folder).items()
    return {name: data for name, data in found if not name.startswith("stages") and not name.endswith("README.md")}


@pytest.mark.parametrize("who", ["the writer", "the judge"])
@pytest.mark.parametrize("killed", [None, 1, 3], ids=["not killed", "killed at once", "killed later"])
def test_what_no_server_answered_is_listed_and_asked_again_by_a_rerun(
    job: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], who: str, killed: int | None
) -> None:
    """The rerun gives what an undisturbed run gives, also where it is killed while it forgets what it had."""
    stage, mark = {"the writer": ("generate.written", "Write "), "the judge": ("score.judge", "<candidate 1")}[who]
    tolerant = {"attempts": 2, "max_failed": 0.9, "concurrency": 1}
    one_round = {"generators.written.rounds": 0}
    hit: list[str] = []

    def once(key: str, before: int) -> Fault | None:
        if not hit and mark in server.bodies[-1]["messages"][1]["content"]:
            hit.append(key)
        return Fault.status(503) if key in hit and before < 2 else None

    with FaultServer(answer=answer) as well:
        assert main(["run", str(job(well.url, one_round, name="undisturbed", **tolerant))]) == 0
    shutil.rmtree(tmp_path / "cache" / "answers")
    answers_of.cache_clear()
    with FaultServer(once, answer=answer) as server:
        file = job(server.url, one_round, **tolerant)
        assert main(["run", str(file)]) == 0
        report = json.loads((tmp_path / "job" / "report.json").read_text())
        [query] = report["usage"][stage]["unanswered"]
        assert report["usage"][stage]["again"] == {"HTTP 503": 1}
        [warning] = [line for line in report["warnings"] if f"`{stage}`" in line]
        assert f"not answered: run again to ask again: `{query}`" in warning
        assert exports_of(tmp_path / "job") != exports_of(tmp_path / "undisturbed")
        sent = server.sent.total()
        assert main(["check", str(file)]) == 0
        if killed is not None:
            kill_the_nth_drop(file, killed)
        answers_of.cache_clear()
        assert main(["run", str(file)]) == 0
        asked = sent + (2 if who == "the writer" else 1)
        assert server.sent.total() == asked, "that request alone, and the judge about what is written now"
        assert main(["run", str(file)]) == 0
        assert server.sent.total() == asked
    assert exports_of(tmp_path / "job") == exports_of(tmp_path / "undisturbed")
    report = json.loads((tmp_path / "job" / "report.json").read_text())
    assert report["usage"][stage]["unanswered"] == []


def kill_the_nth_drop(file: Path, number: int) -> None:
    """Runs the job in a process that dies in the middle of forgetting."""
    child = f"""
import os, sys
from hardneg.cli import main
from hardneg.pipeline.store import Folder
drop, left = Folder.drop, [{number}]
def counted(*arguments):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), 9)
    drop(*arguments)
Folder.drop = counted
sys.exit(main(sys.argv[1:]))
"""
    done = subprocess.run([sys.executable, "-c", child, "run", str(file)], check=False)
    assert done.returncode == -signal.SIGKILL
