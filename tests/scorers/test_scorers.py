"""Scores of candidates and positives, and how often models are asked."""

from collections.abc import Callable

import numpy as np
import pytest

from hardneg.data.batch import Batch
from hardneg.data.merge import merge
from hardneg.errors import PartError
from hardneg.generators.bm25 import BM25
from hardneg.generators.cross_encoder import CrossEncoder as Reranked
from hardneg.generators.dense import Dense
from hardneg.generators.random import Random
from hardneg.models import sentence_transformers as models
from hardneg.scorers.bi_encoder import BiEncoder
from hardneg.scorers.cross_encoder import CrossEncoder
from hardneg.scorers.false_negative import FalseNegative
from hardneg.scorers.late_interaction import LateInteraction
from hardneg.testing import check_scorer

BatchOf = Callable[..., Batch]


def candidates(batch: Batch, **generators: object) -> Batch:
    return merge(batch, {name: part.generate(batch) for name, part in generators.items()})


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that a real encoder is given, once per batch: a small batch is filled up with its own texts."""
    from sentence_transformers import SentenceTransformer

    seen: list[str] = []
    real = SentenceTransformer.encode
    monkeypatch.setattr(
        SentenceTransformer,
        "encode",
        lambda self, inputs, **k: (seen.extend(dict.fromkeys(inputs)), real(self, inputs, **k))[1],
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


LEVEL, SLOPE = 1.2, 1.7


def evidence(query: list[float], positive: list[float], own: list[float]) -> float:
    """From log ranks, one per ranker: for the query, for the positive, and of the positive for the query."""
    return float((2 * np.mean(query) + np.mean(positive)) / 3 - 0.17 * np.mean(own))


def probability(u: float) -> float:
    return float(1 / (1 + np.exp(SLOPE * u - LEVEL)))


def by_bm25_of(texts: list[str]) -> Callable[[str], np.ndarray]:
    """BM25's scores of all texts for a query, by bm25s itself."""
    import bm25s
    import Stemmer

    tokenize = {"stopwords": "english", "stemmer": Stemmer.Stemmer("english"), "show_progress": False}
    index = bm25s.BM25(k1=1.5, b=0.75)
    index.index(bm25s.tokenize(texts, return_ids=False, **tokenize), show_progress=False)

    def scores(text: str) -> np.ndarray:
        [tokens] = bm25s.tokenize([text], return_ids=False, **tokenize)
        return index.get_scores([token for token in tokens if token in index.vocab_dict])

    return scores


def log_rank(scores: np.ndarray, row: int) -> float:
    scores = np.round(scores, 5)
    return np.log(1 + (scores > scores[row]).sum() + ((scores == scores[row]).sum() - 1) / 2)


def by_hand(batch: Batch, model: str, reranked: np.ndarray | None = None) -> np.ndarray:
    """The probability of every candidate, the slow way: whole rankings, and neighbours one by one.

    ``reranked``: log ranks of the candidates by one more ranker, for the query alone.
    """
    from sentence_transformers import SentenceTransformer

    real = SentenceTransformer(model, device="cpu")
    texts = batch.corpus.contents(np.arange(len(batch.corpus)))
    passages = real.encode(texts, normalize_embeddings=True)
    by_bm25 = by_bm25_of(texts)
    found = []
    for j, i in enumerate(batch.owners):
        own, row = batch.positive_rows[batch.positives_of(i)], int(batch.rows[j])
        query = real.encode([batch.queries[i]], normalize_embeddings=True)[0]
        rankers = [
            (passages @ query, [passages @ passages[p] for p in own]),
            (by_bm25(batch.queries[i]), [by_bm25(texts[p]) for p in own]),
        ]
        found.append(
            evidence(
                [log_rank(scores, row) for scores, _ in rankers] + ([] if reranked is None else [reranked[j]]),
                [np.mean([log_rank(scores, row) for scores in of_positives]) for _, of_positives in rankers],
                [np.mean([log_rank(scores, p) for p in own]) for scores, _ in rankers],
            )
        )
    out = []
    for j, i in enumerate(batch.owners):
        others = [k for k in range(len(found)) if batch.owners[k] == i and k != j]
        others.sort(key=lambda k: -float(passages[batch.rows[k]] @ passages[batch.rows[j]]))
        neighbours = np.mean([found[k] for k in others[:5]]) if others else found[j]
        out.append(probability(2 / 3 * found[j] + neighbours / 3))
    return np.array(out)


def test_false_negative_probabilities_come_from_ranks(batch_of: BatchOf, tiny_encoder: str) -> None:
    encoder = models.Encoder(model=tiny_encoder)
    batch = candidates(batch_of(), random=Random(depth=7))
    scores = check_scorer(FalseNegative(encoder=encoder, level=LEVEL, slope=SLOPE), batch)
    np.testing.assert_allclose(scores.negatives, by_hand(batch, tiny_encoder), atol=1e-5)
    assert ((scores.positives > 0) & (scores.positives < 1)).all()


def test_false_negatives_of_blocks_are_the_same(batch_of: BatchOf, tiny_encoder: str, monkeypatch) -> None:
    encoder = models.Encoder(model=tiny_encoder)
    batch = candidates(batch_of(), random=Random(depth=7))
    whole = FalseNegative(encoder=encoder).score(batch)
    for name, value in (
        ("ranks.ROWS_PER_BLOCK", 3),
        ("ranks.TEXTS_PER_BLOCK", 2),
        ("embeddings.CANDIDATES_PER_BLOCK", 4),
    ):
        monkeypatch.setattr(f"hardneg.models.{name}", value)
    again = FalseNegative(encoder=encoder).score(batch)
    np.testing.assert_allclose(again.negatives, whole.negatives, atol=1e-6)
    np.testing.assert_allclose(again.positives, whole.positives, atol=1e-6)


def test_false_negative_of_a_new_text_has_no_rank_by_bm25(batch_of: BatchOf, tiny_encoder: str) -> None:
    from hardneg.arrays import offsets_of
    from hardneg.data.candidates import Candidates

    batch = batch_of()
    new = ["the cat sat on the mat quietly", "paris is a town of france", "loyal dogs"]
    made = Candidates(offsets_of([1, 1, 1]), np.full(3, -1), np.ones(3, np.float32), new)
    encoder = models.Encoder(model=tiny_encoder)
    batch = merge(batch, {"written": made})
    without = check_scorer(FalseNegative(encoder=encoder, lexical=False, level=LEVEL, slope=SLOPE), batch)
    with_lexical = check_scorer(FalseNegative(encoder=encoder, level=LEVEL, slope=SLOPE), batch)
    by_bm25 = by_bm25_of(batch.corpus.contents(np.arange(len(batch.corpus))))
    # ranked as if they were added to the corpus: one more than the passages above
    passages = encoder.encode(batch.corpus.contents(np.arange(len(batch.corpus))), "passage")
    for j, text in enumerate(new):
        own = encoder.encode([text], "passage")[0]
        query = encoder.encode([batch.queries[j]], "query")[0]
        rows = batch.positive_rows[batch.positive_offsets[j] : batch.positive_offsets[j + 1]]
        of_query = [np.log(1 + (passages @ query > own @ query).sum())]
        of_positive = [np.mean([np.log(1 + (passages @ passages[p] > own @ passages[p]).sum()) for p in rows])]
        depth = [np.mean([log_rank(passages @ query, p) for p in rows])]
        assert without.negatives[j] == pytest.approx(probability(evidence(of_query, of_positive, depth)), abs=1e-5)
        depth.append(np.mean([log_rank(by_bm25(batch.queries[j]), p) for p in rows]))
        assert with_lexical.negatives[j] == pytest.approx(probability(evidence(of_query, of_positive, depth)), abs=1e-5)


def test_a_reranker_counts_by_its_order_alone(batch_of: BatchOf, tiny_encoder: str, tiny_cross_encoder: str) -> None:
    encoder = models.Encoder(model=tiny_encoder)
    batch = candidates(batch_of(), random=Random(depth=7))
    reranker = models.CrossEncoder(model=tiny_cross_encoder)
    found = check_scorer(FalseNegative(encoder=encoder, reranker=reranker, level=LEVEL, slope=SLOPE), batch)
    pair = CrossEncoder(model=reranker).score(batch)
    logs = np.empty(len(batch.rows))
    for i in range(len(batch)):
        own = batch.owners == i
        pool = np.concatenate([pair.negatives[own], pair.positives[batch.positive_owners == i]])
        logs[own] = np.log([1 + (pool > score).sum() for score in pair.negatives[own]])
    np.testing.assert_allclose(found.negatives, by_hand(batch, tiny_encoder, logs), atol=1e-4)


def test_a_language_that_nothing_stems_is_refused() -> None:
    from hardneg.testing import HashedWords

    with pytest.raises(PartError, match="klingon"):
        FalseNegative(encoder=HashedWords(), language="klingon")
