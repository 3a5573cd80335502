"""Generators that search a corpus in parts find what they find in the whole, to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from hardneg.arrays import Float32
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.generators.bm25 import BM25
from hardneg.generators.cross_encoder import CrossEncoder
from hardneg.generators.dense import Dense
from hardneg.kinds import part
from hardneg.models import sentence_transformers as models
from hardneg.models.bm25_build import Method
from hardneg.models.late_interaction import LateInteraction
from hardneg.protocols import Partitioned, Role
from hardneg.testing import HashedWords, check_generator

BatchOf = Callable[..., Batch]


@pytest.fixture
def many(batch_of: BatchOf) -> Batch:
    """500 passages, with a word of their own each, common ones, one without words, and copies; some queries have words
    that few passages have, and one many positives.
    """
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(60)]
    passages = {f"p{i}": " ".join([*rng.choice(words, rng.integers(1, 30)), f"rare{i // 3}"]) for i in range(500)}
    passages |= {"p17": "the", "p499": passages["p3"], "p250": passages["p4"]}
    queries = {f"q{i}": " ".join([*rng.choice(words, 4), f"rare{7 * i}", "unknown"]) for i in range(24)}
    positives = {name: [f"p{i}"] for i, name in enumerate(queries)} | {"q0": [f"p{i}" for i in range(100, 240)]}
    return batch_of(passages, queries, positives)


def equal(one: Candidates, other: Candidates) -> None:
    for name in ("offsets", "rows", "scores"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert (mine.dtype, mine.tobytes()) == (theirs.dtype, theirs.tobytes()), name
    assert one.model == other.model


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("parts", [2, 5])
def test_bm25(many: Batch, method: Any, parts: int) -> None:
    equal(
        check_generator(BM25(depth=20, method=method, parts=parts), many), BM25(depth=20, method=method).generate(many)
    )


def test_more_parts_than_passages(batch_of: BatchOf) -> None:
    batch = batch_of()
    for generator in (BM25, lambda **own: Dense(encoder=HashedWords(), **own)):
        equal(check_generator(generator(depth=4, parts=11), batch), generator(depth=4).generate(batch))


@part
class Counting:
    """Notes what it encodes."""

    encoder: models.Encoder | HashedWords
    folder: Path

    def identity(self) -> str:
        return self.encoder.identity()

    def encode(self, texts: Sequence[str], role: Role) -> Float32:
        with (self.folder / "encoded").open("a") as file:
            file.writelines(f"{role} {text}\n" for text in texts)
        return self.encoder.encode(texts, role)

    def encode_tokens(self, texts: Sequence[str], role: Role) -> list[Float32]:
        return self.encoder.encode_tokens(texts, role)


@pytest.mark.parametrize("search", ["blocks", "faiss"])
def test_dense(
    many: Batch, batch_of: BatchOf, tmp_path: Path, tiny_encoder: str, search: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a real model, and each passage is encoded once, whatever the parts."""
    monkeypatch.setattr("hardneg.models.dense_search.ROWS_PER_BLOCK", 64)
    encoder = Counting(encoder=models.Encoder(model=tiny_encoder), folder=tmp_path)
    generator = Dense(encoder=encoder, depth=20, search=search, parts=3)
    found = check_generator(generator, many)
    assert len(list((many.corpus.cache.root / "embeddings").iterdir())) == 3
    equal(Dense(encoder=encoder, depth=20, search=search, parts=5).generate(many), found)
    equal(Dense(encoder=encoder, depth=20, search=search).generate(many), found)
    encoded = [line for line in (tmp_path / "encoded").read_text().splitlines() if line.startswith("passage")]
    assert len(encoded) == len(many.corpus)
    for group in (many.corpus.cache.root / "embeddings").iterdir():
        for file in group.iterdir():
            file.unlink()
        group.rmdir()
    equal(Dense(encoder=encoder, depth=20, search=search).generate(many), found)


def test_a_generator_with_candidates_from_parts(many: Batch) -> None:
    def reranked(parts: int) -> CrossEncoder:
        model = LateInteraction(encoder=HashedWords())
        return CrossEncoder(candidates=BM25(depth=9, parts=parts), model=model, depth=4)

    in_parts = reranked(3)
    assert isinstance(in_parts, Partitioned)
    whole = reranked(1).generate(many)
    equal(in_parts.generate(many), whole)
    equal(in_parts.merged(many, [in_parts.generate_part(many, number) for number in range(in_parts.parts)]), whole)
