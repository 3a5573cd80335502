"""Batches in which all texts have equally many tokens: what a model says of a text does not depend on the others then.

Padding changes how sums are rounded, tiny matrices are multiplied in another way than others, and how one is split
among threads depends on its size. So batches are worked on side by side, each by one thread, which is also faster than
all threads on one batch. A bi-encoder on a CPU then gives a text the same bytes in any batch
(`tests/models/test_steady.py`). The head of a cross-encoder works on one row per pair, so its last bit may differ.
On a GPU batches are filled as usual: its arithmetic is not ours to promise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from hardneg import progress
from hardneg.arrays import Int64
from hardneg.protocols import Role

FEWEST_TOKENS = 64
"""A batch with fewer tokens in all is filled up with its own texts: below about 20 rows products are rounded in another
way."""
NAMES = {"query": ("query",), "passage": ("document", "passage", "corpus")}
"""What models call their prompts, as sentence-transformers looks for them."""


def encode(
    model: Any, texts: Sequence[str], role: Role, prompt: str | None, batch_size: int, **options: Any
) -> list[Any]:
    """What a ``SentenceTransformer`` gives for each text, in order. ``options`` are those of its ``encode``."""
    ask = model.encode_query if role == "query" else model.encode_document
    given = {"show_progress_bar": False, **options}
    if prompt is not None:
        given["prompt"] = prompt
    used = prompt if prompt is not None else _own_prompt(model, role)
    lengths = _lengths(model, [used + text for text in texts])
    if lengths is None:
        return list(ask(list(texts), batch_size=batch_size, **given))
    return _by_length(
        lambda some: ask([texts[i] for i in some], batch_size=len(some), **given), lengths, batch_size, FEWEST_TOKENS
    )


def predict(model: Any, queries: Sequence[str], passages: Sequence[str], batch_size: int) -> list[Any]:
    """What a ``CrossEncoder`` gives for each pair, in order."""

    def ask(some: Sequence[int], size: int) -> Any:
        pairs = [(queries[i], passages[i]) for i in some]
        return model.predict(pairs, batch_size=size, show_progress_bar=False)

    lengths = _lengths(model, list(queries), list(passages))
    if lengths is None:
        order = np.argsort([-len(q) - len(p) for q, p in zip(queries, passages, strict=True)], kind="stable")
        found = ask(order.tolist(), batch_size)
        return [found[place] for place in np.argsort(order, kind="stable")]
    return _by_length(lambda some: ask(some, len(some)), lengths, batch_size)


def _own_prompt(model: Any, role: Role) -> str:
    prompts: dict[str, str] = getattr(model, "prompts", None) or {}
    names = [name for name in (*NAMES[role], getattr(model, "default_prompt_name", None)) if name in prompts]
    return (prompts[names[0]] if names else "") or ""


def _lengths(model: Any, *texts: list[str]) -> Int64 | None:
    """How many tokens a model on a CPU reads of each text. None for a model that pads nothing, or is not on a CPU."""
    tokenizer: Any = getattr(model, "tokenizer", None)
    on_cpu = getattr(getattr(model, "device", None), "type", None) == "cpu"
    if not on_cpu or not hasattr(tokenizer, "pad") or not callable(tokenizer) or not texts[0]:
        return None
    most = getattr(model, "max_seq_length", None) or getattr(model, "max_length", None)
    found: Any = tokenizer(*texts, truncation=most is not None, max_length=most, add_special_tokens=True)
    return np.array([len(ids) for ids in found["input_ids"]], dtype=np.int64)


def _by_length(ask: Callable[[list[int]], Any], lengths: Int64, batch_size: int, fewest: int = 0) -> list[Any]:
    """What ``ask`` gives for each text. ``fewest``: how many tokens a batch has in all at least."""

    def answer(some: list[int]) -> Any:
        rows = max(len(some), -(-fewest // max(int(lengths[some[0]]), 1)))
        return ask((some * rows)[:rows])

    out: list[Any] = [None] * len(lengths)
    batches = list(_batches(lengths, batch_size))
    with progress.task("run the model", len(lengths)) as bar, _side_by_side() as each:
        for some, found in zip(batches, each(answer, batches), strict=True):
            for place, i in enumerate(some):
                out[i] = found[place]
            bar.advance(len(some))
    return out


def _batches(lengths: Int64, most: int) -> Iterator[list[int]]:
    """Places of texts of one length, at most ``most`` at a time, the longest first."""
    order = np.argsort(-lengths, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        for begin in range(0, len(group), most):
            yield group[begin : begin + most].tolist()


@contextmanager
def _side_by_side() -> Iterator[Callable[..., Iterator[Any]]]:
    """A `map` in as many threads as torch has, each of which computes alone."""
    import torch

    every = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(every, "model", torch.set_num_threads, (1,))

    def each(ask: Callable[[list[int]], Any], batches: Sequence[list[int]]) -> Iterator[Any]:
        # the first one alone: it brings the tokenizer into the state that the others leave it in
        yield from map(ask, batches[:1])
        yield from pool.map(ask, batches[1:]) if every > 1 else map(ask, batches[1:])

    try:
        yield each
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(every)
