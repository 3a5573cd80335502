"""Scores of candidates and positives, and how often models are asked."""

from collections.abc import Callable

import numpy as np
import pytest

from hardneg.batch import Batch
from hardneg.generators.bm25 import BM25
from hardneg.generators.cross_encoder import CrossEncoder as Reranked
from hardneg.generators.dense import Dense
from hardneg.generators.random import Random
from hardneg.merge import merge
from hardneg.models import sentence_transformers as models
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.scorers.cross_encoder import CrossEncoder
from hardneg.scorers.late_interaction import LateInteraction
from hardneg.testing import check_scorer

BatchOf = Callable[..., Batch]


def candidates(batch: Batch, **generators: object) -> Batch:
    return merge(batch, {name: part.generate(batch) for name, part in generators.items()})


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that a real encoder is given."""
    from sentence_transformers import SentenceTransformer

    seen: list[str] = []
    real = SentenceTransformer.encode
    monkeypatch.setattr(
        SentenceTransformer, "encode", lambda self, inputs, **k: (seen.extend(inputs), real(self, inputs, **k))[1]
    )
    return seen


@pytest.mark.parametrize("dense_first", [True, False])
def test_bi_encoder_scores_are_cosines(batch_of: BatchOf, tiny_encoder: str, dense_first: bool) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = models.Encoder(model=tiny_encoder)
    generators = {"a": Random(depth=5)} | ({"b": Dense(encoder=encoder, depth=2)} if dense_first else {})
    batch = candidates(batch_of(), **generators)
    scores = check_scorer(BiEncoder(encoder=encoder), batch)
    real = SentenceTransformer(tiny_encoder, device="cpu")
    queries = real.encode(list(batch.queries), normalize_embeddings=True)
    passages = real.encode(batch.contents(np.arange(len(batch.rows))), normalize_embeddings=True)
    np.testing.assert_allclose(scores.negatives, (queries[batch.owners] * passages).sum(axis=1), atol=1e-5)
    positives = real.encode(batch.corpus.contents(batch.positive_rows), normalize_embeddings=True)
    np.testing.assert_allclose(scores.positives, (queries[batch.positive_owners] * positives).sum(axis=1), atol=1e-5)


def test_each_text_is_encoded_once(batch_of: BatchOf, tiny_encoder: str, encoded: list[str]) -> None:
    encoder = models.Encoder(model=tiny_encoder)
    batch = candidates(batch_of(), dense=Dense(encoder=encoder, depth=4), random=Random(depth=5))
    BiEncoder(encoder=encoder).score(batch)
    BiEncoder(encoder=encoder).score(batch)
    assert len(encoded) == len(set(encoded)) == 8 + 3


def test_without_a_dense_generator_only_what_is_asked_for_is_encoded(
    batch_of: BatchOf, tiny_encoder: str, encoded: list[str]
) -> None:
    batch = candidates(batch_of(), lexical=BM25(depth=1))
    BiEncoder(encoder=models.Encoder(model=tiny_encoder)).score(batch)
    wanted = {*batch.queries, *batch.contents(np.arange(len(batch.rows))), *batch.corpus.contents(batch.positive_rows)}
    assert sorted(encoded) == sorted(wanted)


def test_each_pair_is_scored_once_however_many_ask(
    batch_of: BatchOf, tiny_cross_encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentence_transformers import CrossEncoder as Real

    pairs: list[tuple[str, str]] = []
    real = Real.predict
    monkeypatch.setattr(Real, "predict", lambda self, some, *a, **k: (pairs.extend(some), real(self, some, *a, **k))[1])
    model = models.CrossEncoder(model=tiny_cross_encoder)
    generator = Reranked(candidates=Random(depth=5), model=model, depth=2)
    batch = candidates(batch_of(), reranked=generator, random=Random(depth=6))
    scores = check_scorer(CrossEncoder(model=model), batch)
    assert len(pairs) == len(set(pairs))
    again = Real(tiny_cross_encoder, device="cpu")
    texts = batch.contents(np.arange(len(batch.rows)))
    wanted = real(again, [(batch.queries[i], text) for i, text in zip(batch.owners, texts, strict=True)])
    np.testing.assert_allclose(scores.negatives, wanted, atol=1e-5)


def test_late_interaction_is_maxsim_of_the_same_encoder(batch_of: BatchOf, tiny_encoder: str) -> None:
    encoder = models.Encoder(model=tiny_encoder)
    batch = candidates(batch_of(), random=Random(depth=3))
    scores = check_scorer(LateInteraction(encoder=encoder), batch)
    [query] = encoder.encode_tokens([batch.queries[0]], "query")
    [passage] = encoder.encode_tokens(batch.contents(np.array([0])), "passage")
    assert scores.negatives[0] == pytest.approx((query @ passage.T).max(axis=1).mean(), abs=1e-5)


def test_no_candidates_at_all(batch_of: BatchOf, tiny_encoder: str) -> None:
    batch = candidates(batch_of())
    scores = check_scorer(BiEncoder(encoder=models.Encoder(model=tiny_encoder)), batch)
    assert len(scores.positives) == 4
