"""What a model says of a text does not depend on what else it is asked about."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from hardneg.models.sentence_transformers import CrossEncoder, Encoder

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "while",
    "dogs",
    "ran",
    "round",
    "old",
    "houses",
    "near",
    "rivers",
    "of",
    "ice",
]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, size=n)) for n in rng.integers(1, 40, 60)]


@pytest.fixture(params=[1, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many threads torch has, and others when the test wants."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_an_embedding_is_the_same_in_any_batch(minilm: str, texts: list[str], threads: int) -> None:
    import torch

    whole = Encoder(model=minilm).encode(texts, "passage")
    order = np.random.default_rng(1).permutation(len(texts))
    for size, some in ((32, order[:40]), (5, order), (1, order[:3]), (64, order[:7])):
        found = Encoder(model=minilm, batch_size=size).encode([texts[i] for i in some], "passage")
        assert found.tobytes() == whole[some].tobytes(), f"batches of {size}"
    torch.set_num_threads(5 - threads)
    assert Encoder(model=minilm).encode(texts, "passage").tobytes() == whole.tobytes(), "another number of threads"


def test_prompts_count_for_lengths_and_nothing_is_lost(minilm: str, texts: list[str]) -> None:
    prompted = Encoder(model=minilm, query_prompt="query: ").encode(texts, "query")
    plain = Encoder(model=minilm).encode([f"query: {text}" for text in texts], "query")
    np.testing.assert_allclose(prompted, plain, atol=1e-6)


def test_token_vectors_too(minilm: str, texts: list[str]) -> None:
    whole = Encoder(model=minilm).encode_tokens(texts[:20], "passage")
    for text, vectors in zip(texts[:5], whole, strict=False):
        [alone] = Encoder(model=minilm).encode_tokens([text], "passage")
        assert alone.tobytes() == vectors.tobytes()


def test_pairs_come_back_in_order(tiny_cross_encoder: str, texts: list[str], threads: int) -> None:
    queries, passages = texts[:30], texts[30:]
    whole = CrossEncoder(model=tiny_cross_encoder).predict(queries, passages)
    backwards = CrossEncoder(model=tiny_cross_encoder, batch_size=3).predict(queries[::-1], passages[::-1])
    np.testing.assert_allclose(backwards[::-1], whole, atol=1e-6)


def test_batches_are_worked_on_by_all_threads_and_torch_is_left_as_it_was(
    minilm: str, texts: list[str], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    seen = set()
    forward = SentenceTransformer.forward

    def noted(*given, **options):
        seen.add((threading.current_thread().name, torch.get_num_threads()))
        return forward(*given, **options)

    monkeypatch.setattr(SentenceTransformer, "forward", noted)
    Encoder(model=minilm).encode(texts[:40], "passage")
    assert {inside for _, inside in seen} == {1}
    assert (len(seen) > 1) == (threads > 1)
    assert torch.get_num_threads() == threads
