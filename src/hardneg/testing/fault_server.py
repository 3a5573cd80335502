"""An OpenAI-compatible server on loopback that fails on demand: real HTTP, for tests of whatever asks one.

    with FaultServer(faults=[Fault.status(429, {"Retry-After": "1"}), None]) as server:
        client = OpenAI(model="any", base_url=server.url)

The first request meets the first fault, the second the second, and so on; None, and whatever comes after the list, is
answered well. ``python -m hardneg.testing.fault_server --latency 0.2`` runs it as a process of its own, for benches.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import Self

TEXT = """
river valley engine pressure summer theory of the and a with under north field market law glass winter music surface
early large number history model wing flow heat body layer speed plate point city
"""
WORDS = TEXT.split()


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail. Made by the functions below.

    >>> Fault.status(503).code
    503
    """

    kind: str
    code: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content: str | None = None
    finish: str = "stop"

    @classmethod
    def status(cls, code: int, headers: Mapping[str, str] | None = None, message: str = "a planned fault") -> Fault:
        """An HTTP error, as the API has it."""
        body = json.dumps({"error": {"message": message, "type": "planned", "code": code}}).encode()
        return cls("body", code, {"Content-Type": "application/json", **(headers or {})}, body)

    @classmethod
    def raw(cls, body: bytes, content_type: str = "application/json", code: int = 200) -> Fault:
        """This body, whatever it is."""
        return cls("body", code, {"Content-Type": content_type}, body)

    @classmethod
    def says(cls, content: str | None, finish: str = "stop") -> Fault:
        """A well-formed answer with this text (None: null)."""
        return cls("says", content=content, finish=finish)

    @classmethod
    def hang(cls) -> Fault:
        """No answer, ever."""
        return cls("hang")

    @classmethod
    def drip(cls) -> Fault:
        """An answer of which a byte comes every 50 ms."""
        return cls("drip")

    @classmethod
    def drop(cls) -> Fault:
        """The connection is closed without a word."""
        return cls("drop")

    @classmethod
    def half(cls) -> Fault:
        """The connection is closed in the middle of the answer."""
        return cls("half")

    @classmethod
    def without(cls, key: str) -> Fault:
        """An answer that lacks ``usage`` or ``choices``."""
        return cls("without", content=key)


Plan = Callable[[str, int], Fault | None]
"""From a request's hash and the number of times that it was sent before, to what happens."""


def at_random(rate: float, faults: Iterable[Fault], seed: int = 0) -> Plan:
    """A fault for this share of the requests sent, drawn by the request's hash: the same in every run."""
    choices = list(faults)

    def plan(key: str, before: int) -> Fault | None:
        draw = random.Random(f"{seed} {key} {before}")  # noqa: S311
        return draw.choice(choices) if draw.random() < rate else None

    return plan


class FaultServer:
    """The server. ``answer`` makes the text of a good answer of the request's body; the default fits its schema."""

    def __init__(
        self,
        faults: Iterable[Fault | None] | Plan = (),
        *,
        latency: float = 0.0,
        answer: Callable[[dict[str, Any]], str] | None = None,
        port: int = 0,
    ) -> None:
        self._plan = faults if callable(faults) else None
        self._script = [] if callable(faults) else list(faults)
        self.latency, self._answer, self._port = latency, answer or well_formed, port
        self.sent: Counter[str] = Counter()
        """Times that each request came, by its hash."""
        self.delivered: Counter[str] = Counter()
        """Good answers that each request got."""
        self.bodies: list[dict[str, Any]] = []
        """The first thousand requests."""
        self.headers: list[dict[str, str]] = []
        self.under_way = self.most_under_way = 0

    @property
    def url(self) -> str:
        """The ``base_url`` for clients."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)
        self._loop.close()

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run(ready))

    async def _run(self, ready: threading.Event) -> None:
        from aiohttp import web

        self._stopped = asyncio.Event()
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", self._chat)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        await site.start()
        self._port = runner.addresses[0][1]
        ready.set()
        await self._stopped.wait()
        await runner.cleanup()

    async def _chat(self, request: Any) -> Any:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._answered(request)
        finally:
            self.under_way -= 1

    async def _answered(self, request: Any) -> Any:
        from aiohttp import web

        raw = await request.read()
        body = json.loads(raw)
        key = hashlib.sha256(raw).hexdigest()
        if len(self.bodies) < 1_000:
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
        number, before = self.sent.total(), self.sent[key]
        self.sent[key] += 1
        if self._plan is not None:
            fault = self._plan(key, before)
        else:
            fault = self._script[number] if number < len(self._script) else None
        if self.latency:
            await asyncio.sleep(self.latency)
        if fault is None:
            answer = web.json_response(_document(body, self._answer(body)))
            self.delivered[key] += 1
            return answer
        if fault.kind == "body":
            return web.Response(body=fault.body, status=fault.code, headers=dict(fault.headers))
        if fault.kind == "says":
            return web.json_response(_document(body, fault.content, fault.finish))
        if fault.kind == "without":
            document = _document(body, self._answer(body))
            return web.json_response({name: value for name, value in document.items() if name != fault.content})
        return await self._broken(request, fault, json.dumps(_document(body, self._answer(body))).encode())

    async def _broken(self, request: Any, fault: Fault, whole: bytes) -> Any:
        from aiohttp import web

        if fault.kind == "hang":
            await asyncio.sleep(3_600)
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(whole))})
        if fault.kind == "half":
            await response.prepare(request)
            await response.write(whole[: len(whole) // 2])
        if fault.kind == "drip":
            await response.prepare(request)
            for place in range(len(whole)):
                await response.write(whole[place : place + 1])
                await asyncio.sleep(0.05)
        if request.transport is not None:
            request.transport.abort()
        return response


def _document(body: Mapping[str, Any], content: str | None, finish: str = "stop") -> dict[str, Any]:
    """A completion as the API has it."""
    read = sum(tokens(message["content"]) for message in body["messages"])
    written = tokens(content or "")
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }


def tokens(text: str) -> int:
    """About as many as a real vocabulary makes of a text: pieces of eight letters, or of two signs."""
    return len(re.findall(r"\d|[^\W\d]{1,8}|[^\w\s]{1,2}|\n", text))


def well_formed(body: Mapping[str, Any]) -> str:
    """An answer that fits the request's JSON schema, drawn by its content; words where there is no schema."""
    draw = random.Random(json.dumps([body["messages"], body.get("seed")]))  # noqa: S311
    form = body.get("response_format")
    if form is None:
        return _words(draw)
    schema = form["json_schema"]["schema"]
    return json.dumps(_instance(schema, schema.get("$defs", {}), draw))


def _instance(schema: Mapping[str, Any], definitions: Mapping[str, Any], draw: random.Random) -> Any:
    if "$ref" in schema:
        return _instance(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions, draw)
    if "enum" in schema:
        return draw.choice(schema["enum"])
    kind = schema.get("type")
    if kind == "object":
        return {name: _instance(inner, definitions, draw) for name, inner in schema["properties"].items()}
    if kind == "array":
        return [_instance(schema["items"], definitions, draw) for _ in range(schema.get("minItems", 3))]
    whole = {"integer": draw.randint(schema.get("minimum", 0), schema.get("maximum", 3)), "boolean": False}
    return whole[kind] if kind in whole else _words(draw)


def _words(draw: random.Random) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(30, 60))).capitalize() + "."


def main() -> None:
    """Serves until it is killed; prints its address."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--latency", type=float, default=0.2, help="seconds until an answer")
    options.add_argument("--port", type=int, default=0)
    given = options.parse_args()
    with FaultServer(latency=given.latency, port=given.port) as server:
        print(server.url, flush=True)  # noqa: T201
        threading.Event().wait()


if __name__ == "__main__":
    main()
