"""Requests to an OpenAI-compatible server under way: sent again, slowed down, or given up together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import tenacity
from pydantic import SecretStr
from typing_extensions import Self

from hardneg.data.chat import Completion, Request
from hardneg.errors import HardnegError, ModelError
from hardneg.llm.api import completion_of, retry_after
from hardneg.llm.pace import Pace

BREAKER = 20
"""Different requests that fail one after another, with no success between, before the server is taken for gone."""
BACKOFF = tenacity.wait_random_exponential(multiplier=1.0, max=60.0)
LONGEST_RETRY_AFTER = 300.0
BODY = 300
"""Characters of a server's error that are passed on."""


@dataclass(slots=True)
class _RefusedError(Exception):
    """This request will never be answered."""

    reason: str


@dataclass(slots=True)
class _PassingError(Exception):
    """A failure that may pass; ``wait``: seconds that the server asks for, if it does."""

    reason: str
    wait: float | None = None
    busy: bool = False


@dataclass(slots=True)
class _Course:
    """How a request fares: when it had its first slot (waiting for that takes no patience), and how often it failed."""

    begun: float = 0.0
    failures: int = 0


class Settings(Protocol):
    """What a connection needs to know of a client: the fields of `llm.openai.OpenAI`, which says what each is."""

    @property
    def model(self) -> str: ...
    @property
    def base_url(self) -> str: ...
    @property
    def api_key_env(self) -> str | None: ...
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

    def __init__(self, client: Settings, secret: SecretStr, arrived: Callable[[Request, Completion], None]) -> None:
        self._part, self._secret, self._arrived = client, secret, arrived
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hardneg-openai", daemon=True)
        self._failing: set[int] = set()
        self._count = 0
        self._end: BaseException | None = None

    def __enter__(self) -> Self:
        import openai

        self._thread.start()
        self._pace = Pace(self._part.concurrency, self._part.requests_per_minute, self._part.tokens_per_minute)

        async def connect() -> openai.AsyncOpenAI:
            transport = openai.DefaultAioHttpClient(follow_redirects=False, timeout=self._part.timeout)
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

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_PassingError),
            stop=enough,
            wait=_wait,
            reraise=True,
        )
        try:
            completion: Completion = await retrying(self._once, request, number, course)
        except _RefusedError as error:
            return Completion(error=error.reason, failure="refused")
        except _PassingError as error:
            return Completion(error=error.reason, failure="unreachable")
        return completion

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
                completion = completion_of(answer)
            except (openai.APIError, asyncio.TimeoutError, ValueError, TypeError, AttributeError) as error:
                failure = self._failure(error)
            else:
                self._failing.clear()
                self._pace.went_well()
                return completion
        if isinstance(failure, _PassingError) and failure.busy:
            self._pace.too_fast(failure.wait)  # it is there and well: patience alone ends this
        elif isinstance(failure, _PassingError):
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

    def _failure(self, error: Exception) -> HardnegError | _RefusedError | _PassingError:
        """What an error of the SDK means for the request and for the run."""
        import openai

        reason = self._told(error)
        if not isinstance(error, openai.APIStatusError):
            if isinstance(error, (openai.APIError, asyncio.TimeoutError)) and not str(error):
                reason = "no answer in time"
            return _PassingError(reason)
        status = error.status_code
        if status in (401, 403):
            key = self._part.api_key_env
            named = f"the key in `{key}`" if key else "the request without a key; name one by `api_key_env`"
            return ModelError(f"{self._part.base_url} refuses {named} (HTTP {status})")
        if status == 404:
            return ModelError(
                f"{self._part.base_url} knows no model `{self._part.model}`, or is not the API's address (HTTP 404: "
                f"{reason})"
            )
        if status in (408, 409, 429) or status >= 500:
            wait = retry_after(error.response.headers)
            if wait is not None and wait > LONGEST_RETRY_AFTER:
                return ModelError(
                    f"{self._part.base_url} asks to wait {wait:.0f} s (HTTP {status}); run again then: what is "
                    "answered is kept",
                    retryable=True,
                )
            return _PassingError(f"HTTP {status}: {reason}", wait, busy=status in (429, 529) or wait is not None)
        return _RefusedError(f"HTTP {status}: {reason}")

    def _told(self, error: Exception) -> str:
        """An error's words, short and without the key."""
        cause = f" ({type(error.__cause__).__name__})" if error.__cause__ is not None else ""
        words = " ".join(f"{type(error).__name__}: {error}".split())
        if self._part.api_key_env:  # before the cut, which could leave a part of it
            words = words.replace(self._secret.get_secret_value(), "[key]")
        return words[:BODY] + cause


def _wait(state: Any) -> float:
    """Seconds until the next attempt: what the server says, else a random time below a bound that doubles."""
    error = state.outcome.exception()
    drawn = BACKOFF(state)
    return drawn if error.wait is None else error.wait + drawn / 10
