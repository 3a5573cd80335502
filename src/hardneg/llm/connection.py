"""Requests to an OpenAI-compatible server under way: sent again, slowed down, or given up together."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, Protocol

import tenacity
from pydantic import SecretStr
from typing_extensions import Self

from hardneg.data.chat import Completion, Request
from hardneg.errors import ModelError, PartError
from hardneg.llm import budget
from hardneg.llm.address import Loop, refusal
from hardneg.llm.api import completion_of
from hardneg.llm.failures import Failure, PassingError, RefusedError, failure_of
from hardneg.llm.keys import Redaction
from hardneg.llm.pace import Pace

BREAKER = 20
"""Different requests that fail one after another, with no success between, before the server is taken for gone."""
BACKOFF = tenacity.wait_random_exponential(multiplier=1.0, max=60.0)


@dataclass(slots=True)
class _Course:
    """How a request fares: when it had its first slot (waiting for that takes no patience), how often it failed, and
    how many answers may have been paid that did not arrive.
    """

    begun: float = 0.0
    failures: int = 0
    again: Counter[str] = field(default_factory=Counter)
    """Times that it was sent again, by reason."""
    lost: int = 0


class Settings(Protocol):
    """What a connection needs to know of a client: the fields of `llm.openai.OpenAI`, which says what each is."""

    @property
    def model(self) -> str: ...
    @property
    def base_url(self) -> str: ...
    @property
    def api_key_env(self) -> str | None: ...
    @property
    def environment_proxies(self) -> bool: ...
    @property
    def structured(self) -> bool: ...
    @property
    def extra(self) -> Mapping[str, Any]: ...
    @property
    def cap(self) -> Literal["max_tokens", "max_completion_tokens"]: ...
    @property
    def concurrency(self) -> int: ...
    @property
    def requests_per_minute(self) -> float | None: ...
    @property
    def tokens_per_minute(self) -> float | None: ...
    @property
    def attempts(self) -> int: ...
    @property
    def timeout(self) -> float: ...
    @property
    def patience(self) -> float: ...


class Connection:
    """The SDK's client in a thread of its own, with all that requests share: pace, breaker, the reason of the end."""

    def __init__(
        self,
        client: Settings,
        secret: SecretStr,
        arrived: Callable[[Request, Completion], None],
        lost: Callable[[Request], bool],
    ) -> None:
        self._part, self._secret, self._arrived, self._lost = client, secret, arrived, lost
        self._clean = Redaction(secret.get_secret_value() if client.api_key_env else None)
        clear = client.api_key_env is not None and not client.base_url.lower().startswith("https:")
        self._loop = Loop(partial(refusal, loopback_only=clear))
        self._thread = threading.Thread(target=self._loop.run_forever, name="hardneg-openai", daemon=True)
        self._failing: set[int] = set()
        self._count = 0
        self._end: BaseException | None = None

    def __enter__(self) -> Self:
        import openai

        self._thread.start()
        rates = (self._part.requests_per_minute, self._part.tokens_per_minute)
        own = [None if rate is None else rate * budget.current().part for rate in rates]
        self._pace = Pace(self._part.concurrency, *own)

        async def connect() -> openai.AsyncOpenAI:
            transport = openai.DefaultAioHttpClient(
                follow_redirects=False,
                timeout=self._part.timeout,
                trust_env=self._part.environment_proxies,
                verify=_certificates(),
            )
            return openai.AsyncOpenAI(
                api_key=self._secret.get_secret_value(),
                base_url=self._part.base_url,
                max_retries=0,
                timeout=self._part.timeout,
                http_client=transport,
            )

        try:
            self._client = asyncio.run_coroutine_threadsafe(connect(), self._loop).result()
        except BaseException:
            self._end_loop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        async def close() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._client.close()

        try:
            asyncio.run_coroutine_threadsafe(close(), self._loop).result(timeout=10)
        finally:
            self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        if not self._thread.is_alive():
            self._loop.close()

    def send(self, request: Request) -> Future[Completion]:
        """A future of the completion."""
        self._count += 1
        return asyncio.run_coroutine_threadsafe(self._answered(request, self._count), self._loop)

    def result(self, future: Future[Completion]) -> Completion:
        """What a future holds, or the error that ended everything."""
        try:
            return future.result()
        except CancelledError:
            if self._end is None:
                raise
            raise self._end from None

    async def _answered(self, request: Request, number: int) -> Completion:
        try:
            completion = await self._tried(request, number)
            self._arrived(request, completion)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._stop(error)
            raise
        return completion

    def _stop(self, error: BaseException) -> None:
        """Ends everything that is under way, for this reason."""
        if self._end is None:
            self._end = error
            here = asyncio.current_task()
            for task in asyncio.all_tasks():
                if task is not here:
                    task.cancel()

    async def _tried(self, request: Request, number: int) -> Completion:
        """The completion after as many attempts as it takes and the part allows."""
        course = _Course()

        def enough(_: tenacity.RetryCallState) -> bool:
            late = time.monotonic() - course.begun > self._part.patience
            return late or course.failures >= self._part.attempts

        def sent_again(state: Any) -> None:
            course.again[state.outcome.exception().kind] += 1

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(PassingError),
            stop=enough,
            wait=_wait,
            before_sleep=sent_again,
            reraise=True,
        )
        try:
            completion: Completion = await retrying(self._once, request, number, course)
        except RefusedError as error:
            completion = Completion(error=error.reason, failure="refused")
        except PassingError as error:
            completion = Completion(error=error.reason, failure="unreachable")
        return replace(completion, again=dict(course.again), lost=course.lost)

    async def _once(self, request: Request, number: int, course: _Course) -> Completion:
        """One attempt."""
        import openai
        from openai.types.chat import ChatCompletion

        async with self._pace.slot(request.most_read // 4 + request.sampling.max_tokens):
            course.begun = course.begun or time.monotonic()
            try:
                # not `chat.completions.create`: that walks the body against its types, which is half of all the work
                sent = self._client.post("/chat/completions", body=self._body(request), cast_to=ChatCompletion)
                answer = await asyncio.wait_for(sent, self._part.timeout)
                completion = completion_of(answer, self._clean)
            except (openai.APIError, asyncio.TimeoutError, ValueError, TypeError, AttributeError) as error:
                failure = self._failure(error)
            else:
                self._failing.clear()
                self._pace.went_well()
                return completion
        if isinstance(failure, PassingError) and failure.lost:
            course.lost += 1
            if not self._lost(request):
                return Completion(error=failure.reason, failure="unreachable")
        if isinstance(failure, PassingError) and failure.busy:
            self._pace.too_fast(failure.wait)  # it is there and well: patience alone ends this
        elif isinstance(failure, PassingError):
            course.failures += 1
            self._failing.add(number)
            if len(self._failing) >= BREAKER:
                raise ModelError(
                    f"{len(self._failing)} requests failed one after another at {self._part.base_url} "
                    f"({failure.reason}); see that the server is up and `base_url` is right, then run again: what is "
                    "answered is kept",
                    retryable=True,
                )
        raise failure

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._part.model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            self._part.cap: request.sampling.max_tokens,
        }
        for name in ("temperature", "top_p", "seed"):
            if (value := getattr(request.sampling, name)) is not None:
                body[name] = value
        if request.schema is not None and self._part.structured:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": dict(request.schema), "strict": True},
            }
        return body | dict(self._part.extra)

    def _failure(self, error: Exception) -> Failure:
        """What an error means for the request and for the run."""
        import openai

        if isinstance(error, openai.APIConnectionError) and self._loop.refused:
            return PartError(f"`base_url`: {self._part.base_url} {self._loop.refused}")
        return failure_of(error, self._part.base_url, self._part.model, self._part.api_key_env, self._clean)


def _certificates() -> ssl.SSLContext | bool:
    """The authorities that the environment names, if it does: they are no matter of proxies."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return ssl.create_default_context(cafile=file, capath=folder) if file or folder else True


def _wait(state: Any) -> float:
    """Seconds until the next attempt: what the server says, else a random time below a bound that doubles."""
    error = state.outcome.exception()
    drawn = BACKOFF(state)
    return drawn if error.wait is None else error.wait + drawn / 10
