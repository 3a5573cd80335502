"""Any OpenAI-compatible endpoint, by the `openai` SDK."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import field
from functools import partial
from typing import Any, Literal

from pydantic import SecretStr

from hardneg.bounds import Count, Positive, Share
from hardneg.data.chat import Completion, Prices, Request, ignored, unlimited
from hardneg.errors import PartError
from hardneg.kinds import NEUTRAL, NameOrPath, part
from hardneg.llm import address, keys
from hardneg.llm.connection import Connection
from hardneg.llm.tokens import count_tokens

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LOOK_AHEAD = 4
"""Requests taken from the caller and not yet handed back, as a multiple of ``concurrency``."""
OURS = {"model", "messages", "max_tokens", "max_completion_tokens", "n", "stream"}


@part
class OpenAI:
    """A model behind an OpenAI-compatible endpoint: a vLLM server, a gateway, a provider.

    ``api_key_env`` is the name of the environment variable that holds the key, never the key. At most ``concurrency``
    requests are under way; ``requests_per_minute`` and ``tokens_per_minute`` keep below a provider's limits. A request
    that fails for a reason that passes (429, 408, 409, 5xx, connection, ``timeout`` in seconds) is sent again up to
    ``attempts`` times within ``patience`` seconds, after waits that grow at random or as the server says; being told to
    wait takes no attempt. More than ``max_failed`` of a step's requests unanswered stop the run.

    ``environment_proxies``: whether requests go by the proxies that ``HTTPS_PROXY`` and its like name. A key goes by
    https alone, but to this machine. Metadata addresses of clouds are refused.

    ``structured: false``: for servers that refuse ``response_format``. ``extra`` goes into each request's body. ``cap``
    is the API's name for the most tokens of an answer. ``prices``: money per million tokens. ``tokenizer``, a folder or
    a name on the hub, is what ``hardneg estimate`` counts with.

    The model's name stands for the model: a server that moves keeps the answers that are there.
    """

    model: str
    base_url: str = field(default="https://api.openai.com/v1", metadata=NEUTRAL)
    api_key_env: str | None = field(default=None, metadata=NEUTRAL)
    environment_proxies: bool = field(default=False, metadata=NEUTRAL)
    structured: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)
    cap: Literal["max_tokens", "max_completion_tokens"] = field(default="max_tokens", metadata=NEUTRAL)
    concurrency: Count = field(default=64, metadata=NEUTRAL)
    requests_per_minute: Positive | None = field(default=None, metadata=NEUTRAL)
    tokens_per_minute: Positive | None = field(default=None, metadata=NEUTRAL)
    attempts: Count = field(default=6, metadata=NEUTRAL)
    timeout: Positive = field(default=120.0, metadata=NEUTRAL)
    patience: Positive = field(default=600.0, metadata=NEUTRAL)
    max_failed: Share = field(default=0.01, metadata=NEUTRAL)
    prices: Prices | None = field(default=None, metadata=NEUTRAL)
    tokenizer: NameOrPath | None = field(default=None, metadata=NEUTRAL)

    def __post_init__(self) -> None:
        if self.api_key_env is not None and not VARIABLE.fullmatch(self.api_key_env):
            raise PartError("`api_key_env` is the name of an environment variable that holds the key, not the key")
        if taken := sorted(OURS & set(self.extra)):
            raise PartError(f"`extra` must not hold `{taken[0]}`: that is said elsewhere, and the budget goes by it")
        keys.refuse(self.extra, "extra")
        address.check(self.base_url, has_key=self.api_key_env is not None, proxies=self.environment_proxies)

    def identity(self) -> str:
        """The model's name and what is sent beside the chat."""
        extra = f" with {sorted(self.extra.items())}" if self.extra else ""
        return f"{self.model}{extra}{'' if self.structured else ' unstructured'}"

    @property
    def count(self) -> Callable[[Request], int] | None:
        """Counts the tokens of a chat, where there is a tokenizer."""
        return None if self.tokenizer is None else partial(count_tokens, self.tokenizer, None)

    def complete(
        self,
        requests: Iterable[Request],
        arrived: Callable[[Request, Completion], None] = ignored,
        lost: Callable[[Request], bool] = unlimited,
    ) -> Iterator[Completion]:
        """One completion a request, in order. Raises `ModelError` when the server refuses the key or the model, or
        when `connection.BREAKER` different requests fail one after another.
        """
        secret = self._key()
        with Connection(self, secret, arrived, lost) as connection:
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
