"""What is said to a language model and what comes back."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel

from hardneg.errors import PartError

Failure = Literal["refused", "unreachable"]

TEMPLATE = 64
"""Tokens that a chat template adds to a message, at most."""
RAW = 2_000
"""Characters of an answer that could not be used, kept in the record of it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is sampled. ``None`` leaves a value to the server; the same seed promises no identical text."""

    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise PartError(f"`temperature` must be between 0 and 2, not {self.temperature!r}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise PartError(f"`top_p` must be above 0 and at most 1, not {self.top_p!r}")


@dataclass(frozen=True, slots=True)
class Request:
    """A chat to be continued by one message; ``schema``: the JSON schema that the message is to meet; ``attempt`` tells
    a request from the same one asked before, and is not sent.

    >>> request = Request((Message("user", "hello"),), Sampling(max_tokens=5))
    >>> len(request.key("some model")), request.key("some model") == request.key("another")
    (32, False)
    """

    messages: Sequence[Message]
    sampling: Sampling
    schema: Mapping[str, Any] | None = None
    attempt: int = 0

    def key(self, model: str) -> str:
        """128 bits, as hexadecimal digits, of what decides the answer; ``model``: the client's identity."""
        chat = [[message.role, message.content] for message in self.messages]
        s = self.sampling
        whole = [model, chat, [s.max_tokens, s.temperature, s.top_p, s.seed], self.schema, self.attempt]
        return hashlib.blake2b(json.dumps(whole, sort_keys=True).encode(), digest_size=16).hexdigest()

    @property
    def most_read(self) -> int:
        """The most tokens that the chat can be: one a byte, and those of the template."""
        return sum(len(message.content.encode()) + TEMPLATE for message in self.messages)


@dataclass(frozen=True, slots=True)
class Question:
    """A chat, how its answer is sampled, the pydantic model that the answer must fit, and the JSON schema for servers
    that can hold the model to it (``shape``'s own unless one is given). ``about``: the id of the query; not
    sent.
    """

    messages: tuple[Message, ...]
    sampling: Sampling
    shape: type[BaseModel]
    schema: Mapping[str, Any] | None = None
    attempt: int = 0
    about: str | None = None

    @property
    def request(self) -> Request:
        """What is sent."""
        schema = self.schema or self.shape.model_json_schema()
        return Request(self.messages, self.sampling, schema, self.attempt)

    def again(self, answer: str, problem: str) -> Question:
        """The question again, with the answer that could not be used and what was wrong with it."""
        told = (
            f"That cannot be used: {problem}. Answer once more, with nothing but JSON of the form that was asked for."
        )
        turns = (Message("assistant", answer[:RAW]), Message("user", told))
        return replace(self, messages=(*self.messages, *turns))


@dataclass(frozen=True, slots=True)
class Usage:
    """What answers cost: their number, tokens read and written, money. They add up.

    >>> both = Usage(1, 100, 20) + Usage(2, 50, 10, failed=1, again={"HTTP 503": 1})
    >>> both.requests, both.tokens, both.failed, both.again
    (3, 180, 1, {'HTTP 503': 1})
    """

    requests: int = 0
    """Requests sent, those sent again included."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    failed: int = 0
    """Requests without a usable answer."""
    cost: float = 0.0
    """In the currency of the client's prices; 0 where there are none."""
    again: Mapping[str, int] = field(default_factory=dict)
    """Times that a request was sent again, by reason."""
    unanswered: Sequence[str] = ()
    """Ids of the queries with a request that the server did not answer; the next run asks again."""
    unusable: Sequence[str] = ()
    """Ids of the queries with a request that was refused, or whose answer was of no use, asked twice."""

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Usage:
        """One that was stored as JSON."""
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
        return cls(**values)

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.failed + other.failed,
            self.cost + other.cost,
            dict(sorted((Counter(self.again) + Counter(other.again)).items())),
            (*self.unanswered, *other.unanswered),
            (*self.unusable, *other.unusable),
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer to a request. ``finish`` is the server's word for how it ended (``stop``, ``length``, …).

    A request that failed for good has an ``error`` in place of a text: it was ``refused`` (asking again is of no use),
    or the server was ``unreachable`` for as long as the client tries. ``again`` counts by reason how often it was sent
    again, and ``lost`` how many answers may have been generated, and paid, that did not arrive.
    """

    text: str = ""
    finish: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None
    failure: Failure | None = None
    again: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Prices:
    """Money for a million tokens, read (``input``) and written (``output``).

    >>> Prices(input=0.5, output=1.5).of(1_000_000, 2_000_000)
    3.5
    """

    input: float
    output: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What so many tokens cost."""
        return (self.input * prompt_tokens + self.output * completion_tokens) / 1_000_000


def ignored(_request: Request, _completion: Completion) -> None:
    """For a client when nobody listens for arrivals."""


def unlimited(_request: Request) -> bool:
    """For a client when nobody counts what is lost: everything may be sent again."""
    return True
