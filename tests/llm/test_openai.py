"""The client against a real server that fails on demand: what each fault does to a request and to the run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
import tenacity

from hardneg.data.chat import Message, Prices, Request, Sampling
from hardneg.errors import ModelError, PartError
from hardneg.llm import connection, openai
from hardneg.llm.api import retry_after
from hardneg.llm.openai import OpenAI
from hardneg.llm.pace import Pace
from hardneg.testing import Fault, FaultServer, at_random
from hardneg.testing.fault_server import tokens

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def requests(count: int, **sampling: Any) -> list[Request]:
    return [
        Request((Message("system", "answer"), Message("user", f"question {i}")), Sampling(64, **sampling), SCHEMA)
        for i in range(count)
    ]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are a hundredth of what they are."""
    monkeypatch.setattr(connection, "BACKOFF", tenacity.wait_random_exponential(multiplier=0.01, max=0.6))


def client(server: FaultServer, **fields: Any) -> OpenAI:
    return OpenAI(**{"model": "any", "base_url": server.url, "concurrency": 8, "timeout": 1.0, **fields})


def test_the_request_is_the_apis() -> None:
    with FaultServer() as server:
        [found] = client(server).complete(requests(1, temperature=0.5, top_p=0.9, seed=7))
    [body] = server.bodies
    assert body["messages"] == [{"role": "system", "content": "answer"}, {"role": "user", "content": "question 0"}]
    assert (body["max_tokens"], body["temperature"], body["top_p"], body["seed"]) == (64, 0.5, 0.9, 7)
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert set(json.loads(found.text)) == {"text"}
    assert found.prompt_tokens == tokens("answer") + tokens("question 0") == 3
    assert found.completion_tokens == tokens(found.text)


def test_what_is_left_out_is_left_to_the_server() -> None:
    with FaultServer() as server:
        list(client(server, structured=False, extra={"top_k": 3}).complete(requests(1)))
    assert set(server.bodies[0]) == {"model", "messages", "max_tokens", "top_k"}


@pytest.mark.parametrize(
    "fault",
    [
        Fault.status(429),
        Fault.status(429, {"Retry-After": "0"}),
        Fault.status(429, {"Retry-After": "-5"}),
        Fault.status(429, {"Retry-After": "nan"}),
        Fault.status(429, {"retry-after-ms": "20"}),
        Fault.status(408),
        Fault.status(409),
        Fault.status(500),
        Fault.status(502),
        Fault.status(503),
        Fault.status(529),
        Fault.hang(),
        Fault.drip(),
        Fault.drop(),
        Fault.half(),
        Fault.raw(b'{"choices": [{"mess'),
        Fault.raw(b"<html>welcome</html>", "text/html"),
        Fault.raw(b'{"choices": []}'),
        Fault.raw(b"\xff\xfe\x00"),
        Fault.without("choices"),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.code}-{(fault.body or b'')[:12]!r}-{dict(fault.headers)}",
)
def test_a_failure_that_may_pass_is_tried_again(fault: Fault) -> None:
    with FaultServer([fault]) as server:
        found = list(client(server).complete(requests(3)))
    assert [completion.error for completion in found] == [None] * 3
    assert server.sent.total() == 4
    assert sorted(server.delivered.values()) == [1, 1, 1]


def test_a_servers_wait_is_kept() -> None:
    for dated in (False, True):
        soon = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=2.5), usegmt=True)
        with FaultServer([Fault.status(429, {"Retry-After": soon if dated else "1"})]) as server:
            begin = time.monotonic()
            [found] = client(server).complete(requests(1))
        assert found.error is None
        assert time.monotonic() - begin > 0.9


@pytest.mark.parametrize("wrong", [timedelta(days=-2), timedelta(days=2)])
def test_a_clock_that_is_wrong_makes_no_wait_longer_or_shorter(wrong: timedelta) -> None:
    theirs = datetime.now(timezone.utc) + wrong
    dates = {"Date": theirs, "Retry-After": theirs + timedelta(seconds=2)}
    told = Fault.status(429, {name: format_datetime(date, usegmt=True) for name, date in dates.items()})
    with FaultServer([told]) as server:
        begin = time.monotonic()
        [found] = client(server).complete(requests(1))
    assert found.error is None
    assert time.monotonic() - begin > 1.9


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "soon", ""])
def test_nonsense_is_no_wait(value: str) -> None:
    assert retry_after({"retry-after": value}) is None


def test_too_long_a_wait_ends_the_run() -> None:
    day = Fault.status(429, {"Retry-After": "86400"})
    with FaultServer([day]) as server, pytest.raises(ModelError, match="asks to wait 86400 s") as raised:
        list(client(server).complete(requests(1)))
    assert raised.value.retryable
    assert server.sent.total() == 1


@pytest.mark.parametrize(("code", "words"), [(400, "context"), (422, "schema")])
def test_a_refusal_is_this_requests_alone(code: int, words: str) -> None:
    with FaultServer([Fault.status(code, message=f"{words} is wrong")]) as server:
        found = list(client(server, concurrency=1).complete(requests(3)))
    assert found[0].failure == "refused"
    assert words in (found[0].error or "")
    assert [completion.error for completion in found[1:]] == [None, None]
    assert server.sent.total() == 3


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_key_ends_the_run_at_once(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "sk-very-secret")
    plan = at_random(1.0, [Fault.status(code, message="bad key sk-very-secret")])
    with FaultServer(plan) as server, pytest.raises(ModelError, match="refuses the key in `THE_KEY`") as raised:
        list(client(server, api_key_env="THE_KEY").complete(requests(500)))
    assert not raised.value.retryable
    assert server.sent.total() <= 8
    assert server.headers[0]["Authorization"] == "Bearer sk-very-secret"
    chain: BaseException | None = raised.value
    while chain is not None:
        assert "sk-very-secret" not in str(chain) + repr(chain)
        chain = chain.__cause__


def test_an_unknown_model_ends_the_run() -> None:
    with FaultServer([Fault.status(404)]) as server, pytest.raises(ModelError, match="no model `any`"):
        list(client(server, concurrency=1).complete(requests(1)))


def test_no_redirect_is_followed() -> None:
    with FaultServer() as other, FaultServer([Fault.status(307, {"Location": other.url + "/chat/completions"})]) as one:
        [found] = client(one).complete(requests(1))
    assert found.failure == "refused"
    assert other.sent.total() == 0


def test_a_request_that_always_fails_is_given_up() -> None:
    with FaultServer([Fault.status(500)] * 3) as server:
        [found] = client(server, attempts=3).complete(requests(1))
    assert (found.failure, server.sent.total()) == ("unreachable", 3)


def test_the_total_time_is_kept() -> None:
    begin = time.monotonic()
    with FaultServer([Fault.hang()] * 50) as server:
        [found] = client(server, attempts=50, timeout=0.3, patience=1.0).complete(requests(1))
    assert found.failure == "unreachable"
    assert time.monotonic() - begin < 5
    assert server.sent.total() <= 5


def test_a_server_that_is_gone_stops_the_run() -> None:
    with FaultServer() as server:
        gone = client(server)
    with pytest.raises(ModelError, match=r"20 requests failed one after another at http://127.0.0.1:.*is up"):
        list(gone.complete(requests(200)))


def test_what_arrived_before_the_breaker_was_handed_on() -> None:
    arrived: list[Request] = []
    faults: list[Fault | None] = [None] * 10 + [Fault.drop()] * 1_000
    with FaultServer(faults) as server, pytest.raises(ModelError, match="failed one after another"):
        list(client(server).complete(requests(200), lambda request, _: arrived.append(request)))
    assert len(arrived) == 10


def test_a_thousand_requests_at_a_fifth_of_faults() -> None:
    faults = [
        Fault.status(429),
        Fault.status(429, {"retry-after-ms": "30"}),
        Fault.status(500),
        Fault.drop(),
        Fault.half(),
        Fault.raw(b'{"choi'),
    ]
    asked = requests(1_000)
    arrived: list[str] = []
    with FaultServer(at_random(0.2, faults)) as server:
        part = client(server, concurrency=32, attempts=10, timeout=20)
        found = list(part.complete(asked, lambda request, _: arrived.append(request.key(""))))
        straight = list(client(server, concurrency=1).complete(asked[:20]))
    assert [completion.error for completion in found] == [None] * 1_000
    assert sorted(arrived) == sorted(request.key("") for request in asked)
    assert [c.text for c in found[:20]] == [c.text for c in straight], "in order"
    assert 1_150 < server.sent.total() < 1_450
    assert server.most_under_way <= 32


def test_look_ahead_is_bounded() -> None:
    taken = 0

    def endless() -> Iterator[Request]:
        nonlocal taken
        for request in requests(10_000):
            taken += 1
            yield request

    with FaultServer(latency=0.02) as server:
        answers = client(server, concurrency=4).complete(endless())
        for _ in range(3):
            next(answers)
        answers.close()  # type: ignore[attr-defined]
    assert taken <= 4 * openai.LOOK_AHEAD + 3


def test_many_are_under_way_at_once() -> None:
    with FaultServer(latency=0.5) as server:
        list(client(server, concurrency=16).complete(requests(40)))
    assert server.most_under_way == 16


def test_requests_a_minute() -> None:
    begin = time.monotonic()
    with FaultServer() as server:
        list(client(server, requests_per_minute=600).complete(requests(80)))
    assert time.monotonic() - begin > 1.5, "60 at once, then 10 a second"


def test_the_pace_falls_and_recovers() -> None:
    import asyncio

    async def scenario() -> tuple[float, float]:
        pace = Pace(100, None, None)
        for _ in range(50):
            pace.too_fast(None)  # one episode
        low = pace.limit
        for _ in range(200):
            pace.went_well()
        return low, pace.limit

    low, high = asyncio.run(scenario())
    assert low == pytest.approx(70)
    assert low < high < 80


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"api_key_env": "sk-abc-123"}, "the name of an environment variable"),
        ({"base_url": "http://models.example.org/v1", "api_key_env": "K"}, "in the clear"),
        ({"base_url": "https://user:word@example.org/v1"}, "must not hold a user"),
        ({"base_url": "https://example.org/v1?key=abc"}, "must not hold a user"),
        ({"base_url": "file:///etc/passwd"}, "must look like"),
        ({"base_url": "http://host:port/v1"}, "no address"),
        ({"concurrency": 0}, "`concurrency` must be at least 1, not 0"),
        ({"timeout": float("nan")}, "`timeout` must be above 0"),
        ({"max_failed": 2}, "`max_failed` must be at least 0 and at most 1, not 2"),
        ({"extra": {"max_tokens": 9_000}}, "`extra` must not hold `max_tokens`"),
        ({"extra": {"n": 4}}, "`extra` must not hold `n`"),
    ],
)
def test_wrong_fields(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(PartError, match=problem) as raised:
        OpenAI(model="any", **fields)
    assert "sk-abc-123" not in str(raised.value)


def test_a_key_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with FaultServer() as server, pytest.raises(PartError, match="`NO_SUCH_KEY`"):
        list(client(server, api_key_env="NO_SUCH_KEY").complete(requests(1)))


def test_where_the_server_is_does_not_count() -> None:
    one = OpenAI(model="m", base_url="http://localhost:1/v1", concurrency=2, prices=Prices(input=1, output=1))
    assert one.identity() == OpenAI(model="m").identity()
    assert one.identity() != OpenAI(model="m", extra={"top_k": 1}).identity()


def test_being_told_to_wait_is_no_failure() -> None:
    burst = [Fault.status(429, {"Retry-After": "0"})] * 30 + [Fault.status(503, {"retry-after-ms": "5"})] * 30
    with FaultServer(burst) as server:
        found = list(client(server, concurrency=64, attempts=20, timeout=30.0).complete(requests(100)))
    assert [completion.error for completion in found] == [None] * 100


def test_waiting_for_a_slot_takes_no_patience() -> None:
    seen: list[str] = []

    def last_fails_once(key: str, before: int) -> Fault | None:
        if key not in seen:
            seen.append(key)
        return Fault.status(500) if len(seen) == 8 and key == seen[-1] and not before else None

    with FaultServer(last_fails_once, latency=0.2) as server:
        found = list(client(server, concurrency=2, patience=0.7).complete(requests(8)))
    assert [completion.error for completion in found] == [None] * 8


@pytest.mark.parametrize("pad", range(150, 260, 9))
def test_no_part_of_a_key_is_left_where_a_message_is_cut(pad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "sk-0123456789abcdefghij")
    echo = Fault.status(400, message="x" * pad + "sk-0123456789abcdefghij")
    with FaultServer([echo]) as server:
        [found] = client(server, api_key_env="THE_KEY").complete(requests(1))
    assert "sk-0" not in (found.error or "")


@pytest.mark.parametrize("value", ["12", -5, 1.5, True, None])
def test_a_count_of_tokens_that_is_none(value: Any) -> None:
    usage = {"prompt_tokens": value, "completion_tokens": 3}
    body = {
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}],
        "usage": usage,
    }
    with FaultServer([Fault.raw(json.dumps(body).encode())]) as server:
        [found] = client(server).complete(requests(1))
    assert (found.text, found.prompt_tokens, found.completion_tokens) == ("x", None, 3)


def test_the_name_of_the_cap() -> None:
    with FaultServer() as server:
        list(client(server, cap="max_completion_tokens").complete(requests(1)))
    assert server.bodies[0]["max_completion_tokens"] == 64
    assert "max_tokens" not in server.bodies[0]


def test_a_storm_of_429_passes() -> None:
    """For a while everything is refused: being told to wait takes no attempt, and nothing gives up."""
    begin = time.monotonic()
    storm = Fault.status(429)
    with FaultServer(lambda _key, _before: storm if time.monotonic() - begin < 2 else None) as server:
        found = list(client(server, concurrency=32, attempts=2, timeout=30.0).complete(requests(100)))
    assert [completion.error for completion in found] == [None] * 100
    assert server.most_under_way <= 32


def test_tokens_a_minute() -> None:
    begin = time.monotonic()
    with FaultServer() as server:
        list(client(server, tokens_per_minute=30_000).complete(requests(40)))
    assert time.monotonic() - begin > 1, "3,000 at once, then 500 a second; a request may be 100"


def test_a_body_of_fifty_megabytes_is_an_unusable_answer() -> None:
    with FaultServer([Fault.raw(b'{"x": "' + b"a" * 50_000_000 + b'"}')]) as server:
        [found] = client(server, timeout=20).complete(requests(1))
    assert found.error is None
    assert server.sent.total() == 2
