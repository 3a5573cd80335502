"""Any OpenAI-compatible endpoint, by the `openai` SDK."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

import tenacity
from pydantic import SecretStr
from typing_extensions import Self

from hardneg.chat import Completion, Prices, Request
from hardneg.errors import HardnegError, ModelError, PartError
from hardneg.kinds import NEUTRAL, part
from hardneg.models.pace import Pace
from hardneg.models.tokens import count_tokens

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
BREAKER = 20
"""Different requests that fail one after another, with no success between, before the server is taken for gone."""
BACKOFF = tenacity.wait_random_exponential(multiplier=1.0, max=60.0)
LONGEST_RETRY_AFTER = 300.0
LOOK_AHEAD = 4
"""Requests taken from the caller and not yet handed back, as a multiple of ``concurrency``."""
OURS = {"model", "messages", "max_tokens", "max_completion_tokens", "n", "stream"}
BODY = 300
"""Characters of a server's error that are passed on."""


def ignored(_request: Request, _completion: Completion) -> None:
    """Nobody listens for arrivals."""


@part
class OpenAI:
    """A model behind an OpenAI-compatible endpoint: a vLLM server, a gateway, a provider.

    ``api_key_env`` is the name of the environment variable that holds the key, never the key. At most ``concurrency``
    requests are under way; ``requests_per_minute`` and ``tokens_per_minute`` keep below a provider's limits. A request
    that fails for a reason that passes (429, 408, 409, 5xx, connection, ``timeout`` in seconds) is sent again up to
    ``attempts`` times within ``patience`` seconds, after waits that grow at random or as the server says; being told to
    wait takes no attempt. More than
    ``max_failed`` of a step's requests unanswered stop the run.

    ``structured: false``: for servers that refuse ``response_format``. ``extra`` goes into each request's body. ``cap``
    is the API's name for the most tokens of an answer. ``prices``: money per million tokens. ``tokenizer``, a folder or
    a name on the hub, is what ``hardneg estimate`` counts with.

    The model's name stands for the model: a server that moves keeps the answers that are there.
    """

    model: str
    base_url: str = field(default="https://api.openai.com/v1", metadata=NEUTRAL)
    api_key_env: str | None = field(default=None, metadata=NEUTRAL)
    structured: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)
    cap: Literal["max_tokens", "max_completion_tokens"] = field(default="max_tokens", metadata=NEUTRAL)
    concurrency: int = field(default=64, metadata=NEUTRAL)
    requests_per_minute: float | None = field(default=None, metadata=NEUTRAL)
    tokens_per_minute: float | None = field(default=None, metadata=NEUTRAL)
    attempts: int = field(default=6, metadata=NEUTRAL)
    timeout: float = field(default=120.0, metadata=NEUTRAL)
    patience: float = field(default=600.0, metadata=NEUTRAL)
    max_failed: float = field(default=0.01, metadata=NEUTRAL)
    prices: Prices | None = field(default=None, metadata=NEUTRAL)
    tokenizer: str | None = field(default=None, metadata=NEUTRAL)

    def __post_init__(self) -> None:
        for name in ("concurrency", "attempts", "timeout", "patience", "requests_per_minute", "tokens_per_minute"):
            if (value := getattr(self, name)) is not None and not 0 < value < math.inf:
                raise PartError(f"`{name}` must be above 0, not {value!r}")
        if not 0 <= self.max_failed <= 1:
            raise PartError(f"`max_failed` must be between 0 and 1, not {self.max_failed!r}")
        if self.api_key_env is not None and not VARIABLE.fullmatch(self.api_key_env):
            raise PartError("`api_key_env` is the name of an environment variable that holds the key, not the key")
        if taken := sorted(OURS & set(self.extra)):
            raise PartError(f"`extra` must not hold `{taken[0]}`: that is said elsewhere, and the budget goes by it")
        _check_address(self.base_url, has_key=self.api_key_env is not None)

    def identity(self) -> str:
        """The model's name and what is sent beside the chat."""
        extra = f" with {sorted(self.extra.items())}" if self.extra else ""
        return f"{self.model}{extra}{'' if self.structured else ' unstructured'}"

    @property
    def count(self) -> Callable[[Request], int] | None:
        """Counts the tokens of a chat, where there is a tokenizer."""
        return None if self.tokenizer is None else partial(count_tokens, self.tokenizer, None)

    def complete(
        self, requests: Iterable[Request], arrived: Callable[[Request, Completion], None] = ignored
    ) -> Iterator[Completion]:
        """One completion a request, in order. Raises `ModelError` when the server refuses the key or the model, or
        when `BREAKER` different requests fail one after another.
        """
        secret = self._key()
        with _Connection(self, secret, arrived) as connection:
            under_way: deque[Future[Completion]] = deque()
            for request in requests:
                under_way.append(connection.send(request))
                while under_way and (under_way[0].done() or len(under_way) >= LOOK_AHEAD * self.concurrency):
                    yield connection.result(under_way.popleft())
            while under_way:
                yield connection.result(under_way.popleft())

    def _key(self) -> SecretStr:
        if self.api_key_env is None:
            return SecretStr("none")
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise PartError(f"the environment variable `{self.api_key_env}` (`api_key_env`) holds no key; set it")
        return SecretStr(key)


def _check_address(url: str, *, has_key: bool) -> None:
    """Refuses addresses that give a key away."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise PartError(f"`base_url` is no address ({error})") from error
    if parts.scheme not in ("http", "https") or not host:
        raise PartError("`base_url` must look like http://localhost:8000/v1 or https://host/v1")
    if parts.username or parts.password or parts.query:
        raise PartError("`base_url` must not hold a user, a password or a query; name the key by `api_key_env`")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    local = host == "localhost" or (address is not None and address.is_loopback)
    if address is not None and address.is_link_local:
        raise PartError(f"`base_url`: {host} is a link-local address, where clouds keep their metadata")
    if has_key and parts.scheme == "http" and not local:
        raise PartError(f"`base_url`: the key would go to {host} in the clear; use https, or leave out `api_key_env`")


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


class _Connection:
    """The SDK's client in a thread of its own, with all that requests share: pace, breaker, the reason of the end."""

    def __init__(self, part_: OpenAI, secret: SecretStr, arrived: Callable[[Request, Completion], None]) -> None:
        self._part, self._secret, self._arrived = part_, secret, arrived
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
                completion = _completion(answer)
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


def _completion(answer: Any) -> Completion:
    """A completion of the SDK's answer. Raises ValueError where the server's answer has not the API's form."""
    choices = getattr(answer, "choices", None)
    if not choices:
        raise ValueError("the server's answer has no choices")
    choice, usage = choices[0], getattr(answer, "usage", None)
    text = choice.message.content
    return Completion(
        text if isinstance(text, str) else "",
        choice.finish_reason or "stop",
        _count(getattr(usage, "prompt_tokens", None)),
        _count(getattr(usage, "completion_tokens", None)),
    )


def _count(value: Any) -> int | None:
    """A number of tokens; None for anything that is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _wait(state: Any) -> float:
    """Seconds until the next attempt: what the server says, else a random time below a bound that doubles."""
    error = state.outcome.exception()
    drawn = BACKOFF(state)
    return drawn if error.wait is None else error.wait + drawn / 10


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait (`retry-after-ms`, or `Retry-After` in seconds or as a date).

    None where it does not say, or says nonsense.

    >>> retry_after({"retry-after": "3"}), retry_after({"retry-after-ms": "250"}), retry_after({"retry-after": "nan"})
    (3.0, 0.25, None)
    """
    for name, unit in (("retry-after-ms", 1_000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, TypeError):
                continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None
