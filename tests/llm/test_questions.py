"""Questions: answered once, paid once, within the budget, and on through kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tenacity
from support import on_linux

from hardneg.cache.folders import Cache
from hardneg.data.chat import Message, Prices, Request, Sampling, Usage
from hardneg.errors import BudgetError, ModelError
from hardneg.llm import connection
from hardneg.llm.answer_log import answers_of
from hardneg.llm.budget import Budget, limited
from hardneg.llm.openai import OpenAI
from hardneg.llm.questions import Question, ask
from hardneg.prompts.shapes import Passages
from hardneg.testing import Fault, FaultServer, at_random, faults
from hardneg.testing.fault_server import tokens, well_formed
from hardneg.testing.faults import run


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BACKOFF", tenacity.wait_random_exponential(multiplier=0.01, max=0.6))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    answers_of.cache_clear()
    return Cache(tmp_path / "cache")


def questions(count: int, max_tokens: int = 200) -> list[Question]:
    return [
        Question((Message("user", f"question {i}"),), Sampling(max_tokens, seed=i), Passages, Passages.schema_for(2))
        for i in range(count)
    ]


def client(server: FaultServer, **fields: Any) -> OpenAI:
    return OpenAI(**{"model": "any", "base_url": server.url, "concurrency": 8, "timeout": 2.0, **fields})


def test_an_answer_is_asked_for_once(cache: Cache) -> None:
    with FaultServer() as server:
        first = ask(client(server), questions(5) + questions(2), cache, "ask")
        answers_of.cache_clear()  # another process
        second = ask(client(server, concurrency=1), questions(5), cache, "ask")
    assert server.sent.total() == 5
    assert [answer.value.negatives for answer in first[:5]] == [answer.value.negatives for answer in second]
    assert first[5].value == first[0].value
    assert first[5].usage == Usage(), "paid with the first"
    assert first[0].usage.requests == 1
    assert first[0].usage.completion_tokens > 0


@pytest.mark.parametrize(
    "bad",
    [
        Fault.says("I'd rather not."),
        Fault.says('{"negatives": ["one", "tw'),
        Fault.says('{"passages": ["one"]}'),
        Fault.says('{"negatives": ["one"], "negatives": []}'),
        Fault.says("   \n" * 500),
        Fault.says(None),
        Fault.says('{"negatives": ["one"]}', "length"),
        Fault.says('{"negatives": ["one"]}', "content_filter"),
        Fault.says("<think>hm"),
    ],
    ids=lambda fault: f"{(fault.content or 'null')[:20]!r}-{fault.finish}",
)
def test_an_invalid_answer_is_asked_for_once_more(cache: Cache, bad: Fault) -> None:
    with FaultServer([bad]) as server:
        [found] = ask(client(server), questions(1), cache, "ask")
        assert len(found.value.negatives) == 2
        assert found.usage.requests == 2
        assert found.usage.failed == 0
        assert len(server.bodies[1]["messages"]) == 3
        assert "cannot be used" in server.bodies[1]["messages"][-1]["content"]
        again = ask(client(server), questions(1), cache, "ask")
    assert server.sent.total() == 2, "both are in the log"
    assert again[0].value == found.value


def test_twice_invalid_is_a_failure_with_its_text(cache: Cache) -> None:
    with FaultServer([Fault.says("no"), Fault.says("no, again")]) as server:
        [found] = ask(client(server, max_failed=1.0), questions(1), cache, "ask")
    assert found.value is None
    assert found.raw == "no, again"
    assert found.error == "there is no JSON in the answer"
    assert (found.usage.requests, found.usage.failed) == (2, 1)


def test_more_than_was_asked_for_and_fewer_are_taken(cache: Cache) -> None:
    for count in (1, 3, 7):
        answers_of.cache_clear()
        with FaultServer(answer=lambda _, count=count: json.dumps({"negatives": ["text"] * count})) as server:
            [found] = ask(client(server, model=f"m{count}"), questions(1), cache, "ask")
        assert len(found.value.negatives) == count


def test_what_the_server_does_not_count_is_taken_for_the_most(cache: Cache) -> None:
    with FaultServer([Fault.without("usage")]) as server:
        [found] = ask(client(server), questions(1), cache, "ask")
    assert found.usage.completion_tokens == 200
    assert found.usage.prompt_tokens >= len("question 0")


def test_a_refused_request_is_a_failure_of_one(cache: Cache) -> None:
    with FaultServer([Fault.status(400, message="maximum context length")]) as server:
        found = ask(client(server, concurrency=1), questions(3), cache, "ask")
        assert [answer.value is None for answer in found] == [True, False, False]
        assert "maximum context length" in (found[0].error or "")
        ask(client(server), questions(3), cache, "ask")
    assert server.sent.total() == 4, "a failure is not kept for an answer"


def test_too_many_unanswered_requests_stop_the_run(cache: Cache) -> None:
    def first_twice() -> Any:
        seen: list[str] = []

        def plan(key: str, before: int) -> Fault | None:
            seen.append(key)
            return Fault.status(500) if key == seen[0] and before < 2 else None

        return plan

    with FaultServer(first_twice()) as server:
        part = client(server, concurrency=1, attempts=2)
        with pytest.raises(ModelError, match="1 of 10 requests were not answered after every try") as raised:
            ask(part, questions(10), cache, "ask")
        assert raised.value.retryable
        assert len(answers_of(cache, part.identity())) == 9
        ask(part, questions(10), cache, "ask")
        assert server.sent.total() == 12
    with FaultServer(first_twice()) as server:
        answers_of.cache_clear()
        tolerant = client(server, model="other", concurrency=1, attempts=2, max_failed=0.2)
        assert sum(answer.value is None for answer in ask(tolerant, questions(10), cache, "ask")) == 1


@pytest.mark.parametrize("concurrency", [1, 8])
def test_the_cap_on_tokens_is_never_passed(cache: Cache, concurrency: int) -> None:
    with FaultServer(latency=0.01) as server:
        part = client(server, concurrency=concurrency)
        with (
            limited(Budget(max_tokens=3_000)) as purse,
            pytest.raises(BudgetError, match=r"the budget is used up .*of 60"),
        ):
            ask(part, questions(60), cache, "ask")
        spent, there = purse.spent.tokens, len(answers_of(cache, part.identity()))
        assert 1_500 < spent <= 3_000
        assert purse.spent.requests == there == server.sent.total()
        answers_of.cache_clear()
        with limited(Budget(max_tokens=30_000)) as purse:
            found = ask(part, questions(60), cache, "ask")
        assert all(answer.value for answer in found)
        assert server.sent.total() == 60, "no answer was paid twice"
        assert purse.spent.tokens == sum(answer.usage.tokens for answer in found), "the earlier run's count too"


def test_the_cap_on_money(cache: Cache) -> None:
    prices = Prices(input=10, output=100)
    cap = Budget(max_cost=0.2)
    with FaultServer() as server, limited(cap) as purse, pytest.raises(BudgetError, match="in money"):
        ask(client(server, prices=prices), questions(60), cache, "ask")
    assert 0.05 < purse.spent.cost <= 0.2


def test_a_server_that_refuses_everything_stops_the_run(cache: Cache) -> None:
    refuse = at_random(1.0, [Fault.status(400, message="response_format is not known")])
    with (
        FaultServer(refuse) as server,
        pytest.raises(ModelError, match=r"10 of 10 requests were refused .*response_format"),
    ):
        ask(client(server), questions(10), cache, "ask")


def test_a_server_that_refuses_half_stops_nothing(cache: Cache) -> None:
    with FaultServer([Fault.status(400)] * 5) as server:
        found = ask(client(server, concurrency=1), questions(10), cache, "ask")
    assert sum(answer.failure == "refused" for answer in found) == 5


def test_what_was_lost_is_charged_once_however_often_it_is_asked_for(cache: Cache, tmp_path: Path) -> None:
    spent = []
    with FaultServer() as server:
        for own, times in ((cache, 1), (Cache(tmp_path / "other"), 3)):
            part = client(server)
            answers_of(own, part.identity()).lose(questions(1)[0].request.key(part.identity()))
            with limited(Budget()) as purse:
                ask(part, questions(1) * times, own, "ask")
            spent.append(purse.spent.tokens)
    assert spent[0] == spent[1] > 200


def test_the_second_asking_stops_nothing(cache: Cache) -> None:
    """The one that is asked again gets no answer at all: that is one failure of a hundred."""
    first: list[str] = []

    def plan(key: str, _: int) -> Fault | None:
        if not first:
            first.append(key)
            return Fault.says("no JSON")
        return Fault.status(500) if len(server.bodies[-1]["messages"]) == 3 else None

    with FaultServer(plan) as server:
        found = ask(client(server, attempts=2), questions(100), cache, "ask")
    assert sum(answer.value is None for answer in found) == 1


def test_an_answer_is_charged_once(cache: Cache) -> None:
    with FaultServer() as server, limited(Budget()) as purse:
        first = ask(client(server), questions(4), cache, "ask")
        second = ask(client(server), questions(4), cache, "ask")
    assert purse.spent.requests == 4
    assert purse.spent.tokens == sum(answer.usage.tokens for answer in first)
    assert {answer.usage.tokens for answer in second} == {0}


def test_what_was_set_aside_is_given_back_when_the_run_ends(cache: Cache) -> None:
    with FaultServer([Fault.status(401)]) as server, limited(Budget(max_tokens=10_000)) as purse:
        with pytest.raises(ModelError):
            ask(client(server, concurrency=1), questions(5), cache, "ask")
        assert purse.reserved_tokens == 0
        ask(client(server), questions(5), cache, "ask")


def test_what_was_set_aside_in_money_is_given_back_too(cache: Cache) -> None:
    prices = Prices(input=10, output=100)
    with FaultServer([Fault.status(401)]) as server, limited(Budget(max_cost=9.0)) as purse:
        with pytest.raises(ModelError):
            ask(client(server, concurrency=1, prices=prices), questions(5), cache, "ask")
        assert (purse.reserved_tokens, purse.reserved_cost) == (0, pytest.approx(0))
        assert purse.spent.cost == 0


@on_linux
@pytest.mark.parametrize("cap", [None, 3_000])
def test_answers_are_on_the_disk_when_the_asking_ends(cache: Cache, cap: int | None) -> None:
    with FaultServer() as server:

        def put(_: Path) -> None:
            with limited(Budget(max_tokens=cap)):
                if cap is None:
                    ask(client(server), questions(60), cache, "ask")
                else:
                    with pytest.raises(BudgetError):
                        ask(client(server), questions(60), cache, "ask")

        trial = run(put, cache.root.parent, faults.POWER, faults.END)
        assert trial.status == 0, trial
        assert len(answers_of(cache, client(server).identity())) == server.delivered.total() > 0


def generated(server: FaultServer) -> int:
    """Tokens of all that the server read and wrote, also for answers that did not arrive."""
    read = sum(tokens(message["content"]) for body in server.bodies for message in body["messages"])
    return read + sum(tokens(well_formed(body)) for body in server.bodies)


@pytest.mark.parametrize(
    ("fault", "reason", "paid"),
    [
        (Fault.half(), "connection lost", True),
        (Fault.drop(), "connection lost", True),
        (Fault.hang(), "no answer in time", True),
        (Fault.raw(b'{"choices": [{"mess'), "not the API's form", True),
        (Fault.status(504), "HTTP 504", True),
        (Fault.status(503), "HTTP 503", False),
        (Fault.status(429), "HTTP 429", False),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
def test_what_is_sent_again_is_counted_with_its_reason(cache: Cache, fault: Fault, reason: str, paid: bool) -> None:
    with FaultServer([fault, fault]) as server, limited(Budget()) as purse:
        [found] = ask(client(server, timeout=0.5), questions(1), cache, "ask")
    most = questions(1)[0].request.most_read + 200
    assert (found.usage.requests, found.usage.again) == (3, {reason: 2})
    assert found.tokens < most
    assert found.usage.tokens == found.tokens + (2 * most if paid else 0)
    assert purse.spent.tokens == found.usage.tokens
    assert purse.reserved_tokens == 0
    answers_of.cache_clear()
    with limited(Budget()) as again:  # the next run knows what the earlier one may have paid
        [known] = ask(client(server), questions(1), cache, "ask")
    assert (known.usage, again.spent.tokens) == (found.usage, found.usage.tokens)


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("fault", [Fault.half(), Fault.drop()], ids=lambda fault: fault.kind)
def test_answers_that_do_not_arrive_do_not_pass_the_cap(cache: Cache, fault: Fault, concurrency: int) -> None:
    def plan(key: str, before: int) -> Fault | None:
        return fault if before < 2 and int(key, 16) % 3 == 0 else None

    with FaultServer(plan) as server:
        part = client(server, concurrency=concurrency)
        with limited(Budget(max_tokens=6_000)) as purse, pytest.raises(BudgetError, match="the budget is used up"):
            ask(part, questions(60), cache, "ask")
        assert generated(server) <= purse.spent.tokens <= 6_000
        assert purse.reserved_tokens == 0
        there = len(answers_of(cache, part.identity()))
        assert there < 60
        answers_of.cache_clear()
        with limited(Budget(max_tokens=60_000)) as purse:
            found = ask(part, questions(60), cache, "ask")
        assert all(answer.value for answer in found)
        assert max(server.delivered.values()) == 1, "no answer was paid twice"
        assert generated(server) <= purse.spent.tokens == sum(answer.usage.tokens for answer in found)


def test_what_is_lost_counts_in_money(cache: Cache) -> None:
    prices = Prices(input=10, output=100)
    with FaultServer([Fault.half()]) as server, limited(Budget()) as purse:
        [found] = ask(client(server, prices=prices), questions(1), cache, "ask")
    lost = prices.of(questions(1)[0].request.most_read, 200)
    assert purse.spent.cost == pytest.approx(found.usage.cost)
    assert found.usage.cost > lost


def test_a_server_that_cannot_be_reached_costs_nothing(cache: Cache) -> None:
    with FaultServer() as server:
        gone = client(server, attempts=3, max_failed=1.0)
    with limited(Budget(max_tokens=500)) as purse:
        [found] = ask(gone, questions(1), cache, "ask")
    assert (found.failure, found.usage.again, purse.spent.tokens) == ("unreachable", {"cannot connect": 2}, 0)


def test_queries_whose_requests_failed_are_named(cache: Cache) -> None:
    asked = [replace(question, about=f"q{i}") for i, question in enumerate(questions(3))]
    faults = {"question 0": Fault.status(500), "question 1": Fault.status(400), "question 2": Fault.says("no")}
    with FaultServer(lambda *_: faults[server.bodies[-1]["messages"][0]["content"]]) as server:
        found = ask(client(server, attempts=2, max_failed=1.0), asked, cache, "ask")
    spent = sum((answer.usage for answer in found), start=Usage())
    assert (spent.unanswered, spent.unusable, spent.failed) == (("q0",), ("q1", "q2"), 3)


CHILD = textwrap.dedent("""
    import sys
    from pathlib import Path
    import tenacity
    from hardneg.cache.folders import Cache
    from hardneg.data.chat import Message, Sampling
    from hardneg.llm import connection, openai
    from hardneg.llm.questions import Question, ask
    from hardneg.prompts.shapes import Passages
    connection.BACKOFF = tenacity.wait_random_exponential(multiplier=0.01, max=0.6)
    client = openai.OpenAI(model="any", base_url=sys.argv[1], concurrency=32, attempts=10, timeout=5)
    asked = [
        Question((Message("user", f"question {i}"),), Sampling(200, seed=i), Passages, Passages.schema_for(2))
        for i in range(1000)
    ]
    found = ask(client, asked, Cache(Path(sys.argv[2])), "ask")
    assert all(answer.value for answer in found)
    print("\\n".join(answer.value.negatives[0] for answer in found))
""")


def test_a_thousand_requests_with_faults_and_kill_9(tmp_path: Path) -> None:
    """At a fifth of faults: all are answered once, in order, and nothing that was on disk is asked again."""
    faults = [Fault.status(429), Fault.status(500), Fault.drop(), Fault.half()]
    command = [sys.executable, "-c", CHILD]
    with FaultServer(at_random(0.2, faults), latency=0.02) as server:
        arguments = [server.url, str(tmp_path / "cache")]
        for wanted in (250, 600):
            child = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL)
            while server.delivered.total() < wanted:
                time.sleep(0.01)
                assert child.poll() is None
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        last = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True, timeout=120)
        paid = server.delivered.total()
    assert len(server.delivered) == 1_000
    assert paid <= 1_000 + 2 * 32, "only what was under way when it was killed"
    requests = [
        Request((Message("user", f"question {i}"),), Sampling(200, seed=i), Passages.schema_for(2))
        for i in range(1_000)
    ]
    with FaultServer() as well:
        wanted = [found.text for found in OpenAI(model="any", base_url=well.url).complete(requests)]
    assert last.stdout.splitlines() == [json.loads(text)["negatives"][0] for text in wanted]
