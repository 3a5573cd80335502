"""Each generator with the real thing behind it: bm25s, real encoders, a real cross-encoder, faiss."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates
from hardneg.errors import DataError, PartError
from hardneg.generators.bm25 import BM25
from hardneg.generators.cross_encoder import CrossEncoder
from hardneg.generators.dense import Dense
from hardneg.generators.file import File
from hardneg.generators.random import Random
from hardneg.models import sentence_transformers as models
from hardneg.models.late_interaction import LateInteraction
from hardneg.testing import HashedWords, check_generator

BatchOf = Callable[..., Batch]


def ids(batch: Batch, found: Candidates) -> list[list[str]]:
    return [batch.corpus.ids(found.rows[a:b]) for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


@pytest.fixture
def many(batch_of: BatchOf) -> Batch:
    """400 random passages over 60 words, 30 queries; q0 has 70 positives; one passage is there three times."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(60)]
    passages = {f"p{i}": " ".join(rng.choice(words, 12)) for i in range(400)}
    passages |= {"twin1": passages["p7"], "twin2": passages["p7"].upper()}
    queries = {f"q{i}": " ".join(rng.choice(words, 4)) for i in range(30)}
    positives = {name: [f"p{i}"] for i, name in enumerate(queries)} | {"q0": [f"p{i}" for i in range(70)]}
    return batch_of(passages, queries, positives)


def test_bm25_is_bm25s_without_positives_and_without_the_unrelated(many: Batch) -> None:
    import bm25s
    import Stemmer

    found = check_generator(BM25(depth=20), many)
    texts = many.corpus.contents(np.arange(len(many.corpus)))
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    tokens = bm25s.tokenize(list(many.queries), stopwords="en", stemmer=stemmer, show_progress=False)
    rows, scores = index.retrieve(tokens, k=len(texts), show_progress=False)
    offsets, barred = many.barred()
    for i in range(len(many)):
        allowed = ~np.isin(rows[i], barred[offsets[i] : offsets[i + 1]]) & (scores[i] > 0)
        mine = slice(found.offsets[i], found.offsets[i + 1])
        np.testing.assert_allclose(found.scores[mine], scores[i][allowed][:20], rtol=1e-6)
        assert len(found.rows[mine]) == min(20, allowed.sum())


def test_bm25_gives_nothing_for_unknown_words_and_stop_words(batch_of: BatchOf) -> None:
    batch = batch_of(
        queries={"a": "zzz qqq", "b": "the", "c": "cat"}, positives={"a": ["cat"], "b": ["cat"], "c": ["cats"]}
    )
    unknown, stop_word, known = ids(batch, check_generator(BM25(depth=5), batch))
    assert unknown == stop_word == []
    assert sorted(known) == ["cat", "copy", "dog"]


@pytest.mark.parametrize("method", ["robertson", "lucene", "atire", "bm25l", "bm25+"])
def test_no_method_proposes_a_passage_without_a_word_of_the_query(batch_of: BatchOf, method: str) -> None:
    batch = batch_of(queries={"a": "capital of italy"}, positives={"a": ["rome"]})
    assert ids(batch, check_generator(BM25(depth=5, method=method), batch)) == [["paris"]]


def test_bm25_settings_matter(batch_of: BatchOf) -> None:
    batch = batch_of(queries={"a": "the barking dog"}, positives={"a": ["cats"]})
    assert ids(batch, BM25(depth=9).generate(batch)) == [["dog", "dogs"]]  # barked, barking and dogs share stems
    assert ids(batch, BM25(depth=9, language="none").generate(batch)) == [["dog"]]
    assert len(BM25(depth=9, language="none", stopwords="none").generate(batch).rows) > 2


def test_depth_beyond_the_corpus(batch_of: BatchOf) -> None:
    batch = batch_of()
    for generator in (BM25(depth=999), Dense(encoder=HashedWords(), depth=999), Random(depth=999)):
        found = check_generator(generator, batch)
        assert len(found.rows) <= len(batch) * len(batch.corpus)
    single = batch_of({"only": "one passage"}, {"q": "one"}, {"q": ["only"]})
    for generator in (BM25(depth=5), Dense(encoder=HashedWords(), depth=5), Random(depth=5)):
        assert len(check_generator(generator, single).rows) == 0


def test_dense_is_exact_whatever_the_blocks(many: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = HashedWords()
    generator = Dense(encoder=encoder, depth=15)
    whole = check_generator(generator, many)
    queries = encoder.encode(many.queries, "query")
    passages = encoder.encode(many.corpus.contents(np.arange(len(many.corpus))), "passage")
    similarities = queries @ passages.T
    offsets, barred = many.barred()
    for i in range(len(many)):
        similarities[i, barred[offsets[i] : offsets[i + 1]]] = -np.inf
        best = np.sort(similarities[i])[::-1][:15]
        np.testing.assert_allclose(whole.scores[whole.offsets[i] : whole.offsets[i + 1]], best, atol=1e-6)
    monkeypatch.setattr("hardneg.models.dense_search.ROWS_PER_BLOCK", 37)
    monkeypatch.setattr("hardneg.models.dense_search.QUERIES_PER_BLOCK", 4)
    small = generator.generate(many)
    np.testing.assert_allclose(small.scores, whole.scores, atol=1e-6)


def test_faiss_finds_the_same(many: Batch) -> None:
    blocks = check_generator(Dense(encoder=HashedWords(), depth=15), many)
    faiss = check_generator(Dense(encoder=HashedWords(), depth=15, search="faiss"), many)
    assert faiss.offsets.tolist() == blocks.offsets.tolist()
    np.testing.assert_allclose(faiss.scores, blocks.scores, atol=1e-6)


def test_dense_with_a_real_encoder_agrees_with_sentence_transformers(batch_of: BatchOf, tiny_encoder: str) -> None:
    from sentence_transformers import SentenceTransformer

    batch = batch_of()
    found = check_generator(Dense(encoder=models.Encoder(model=tiny_encoder), depth=3), batch)
    model = SentenceTransformer(tiny_encoder, device="cpu")
    similarities = model.similarity(
        model.encode(list(batch.queries)), model.encode(batch.corpus.contents(np.arange(8)))
    ).numpy()
    best = [np.sort(np.delete(similarities[0], [0, 7]))[::-1][:3]]  # without the positive and its copy
    np.testing.assert_allclose(found.scores[:3], best[0], atol=1e-5)


def test_cross_encoder_reranks_with_the_real_model(batch_of: BatchOf, tiny_cross_encoder: str) -> None:
    from sentence_transformers import CrossEncoder as Real

    batch = batch_of()
    generator = CrossEncoder(candidates=Random(depth=6), model=models.CrossEncoder(model=tiny_cross_encoder), depth=2)
    found = check_generator(generator, batch)
    pool = Random(depth=6).generate(batch)
    real = Real(tiny_cross_encoder, device="cpu")
    for i in range(len(batch)):
        texts = batch.corpus.contents(pool.rows[pool.offsets[i] : pool.offsets[i + 1]])
        scores = np.sort(real.predict([(batch.queries[i], text) for text in texts]))[::-1][:2]
        np.testing.assert_allclose(found.scores[found.offsets[i] : found.offsets[i + 1]], scores, atol=1e-5)


def test_late_interaction_reranks_by_maxsim(batch_of: BatchOf) -> None:
    batch = batch_of()
    model = LateInteraction(encoder=HashedWords(dimensions=512))
    found = check_generator(CrossEncoder(candidates=BM25(depth=8), model=model, depth=8), batch)
    [score] = found.scores[found.offsets[1] : found.offsets[2]][:1]
    assert ids(batch, found)[1] == ["rome"]
    assert score == pytest.approx(4 / 6, abs=0.05)  # of "what is the capital of france", "is the capital of" is in it


def test_random_is_a_draw_that_depends_on_the_example_alone(batch_of: BatchOf) -> None:
    batch = batch_of()
    all_of_them = ids(batch, check_generator(Random(depth=4), batch))
    alone = batch_of(queries={"q2": "what is the capital of france"}, positives={"q2": ["paris"]})
    assert ids(alone, Random(depth=4).generate(alone)) == [all_of_them[1]]
    assert ids(batch, Random(depth=4, seed=1).generate(batch)) != all_of_them
    for own, barred in zip(all_of_them, (["cat", "copy"], ["paris"], ["dogs", "cats"]), strict=True):
        assert len(own) == len(set(own)) == 4
        assert not set(own) & set(barred)


@pytest.mark.parametrize("part", [BM25, Random])
def test_depth_must_be_positive(part: type) -> None:
    with pytest.raises(PartError, match="`depth` must be at least 1, not 0"):
        part(depth=0)


def test_an_unknown_language_names_the_known_ones() -> None:
    with pytest.raises(PartError, match="`language` 'klingon' has no Snowball stemmer; there are: none, arabic"):
        BM25(language="klingon")


def test_bm25_of_a_corpus_without_a_word(batch_of: BatchOf) -> None:
    batch = batch_of({"a": "the", "b": "of a"}, {"q": "the cat"}, {"q": ["a"]})
    assert ids(batch, check_generator(BM25(depth=5), batch)) == [[]]


@pytest.mark.parametrize("fields", [{"k1": float("nan")}, {"b": 2.0}, {"delta": float("inf")}])
def test_bm25_refuses_what_makes_no_sense(fields: dict) -> None:
    with pytest.raises(PartError, match="`k1` and `delta` must be at least 0"):
        BM25(**fields)


def test_bm25_names_a_wrong_list_of_stop_words(batch_of: BatchOf) -> None:
    with pytest.raises(PartError, match="`stopwords` 'klingon' is no list that bm25s has"):
        BM25(stopwords="klingon").generate(batch_of())


FILES = {
    "a.run": "q1 Q0 rain 2 1.5 x\nq1 Q0 dog 1 2.5 x\nq3 Q0 dog 1 9 x\n",
    "b.jsonl": json.dumps({"query_id": "q1", "candidates": ["dog", "rain"], "scores": [2.5, 1.5]})
    + "\n"
    + json.dumps({"query_id": "q3", "candidates": [{"id": "dog", "score": 9}]})
    + "\n",
    "c.jsonl": json.dumps(
        {"query_id": "q1", "query": "where did the cat sit", "candidates": [{"text": "A dog barked at the cat"}]}
    )
    + "\n",
    "d.jsonl": json.dumps(
        {"query": "where did the cat sit", "pos": ["x"], "neg": ["a dog barked at the cat", "new text"]}
    )
    + "\n",
}


def test_a_file_brings_candidates(batch_of: BatchOf, tmp_path: Path) -> None:
    batch = batch_of()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    run, lines, texts, training = (check_generator(File(path=tmp_path / name), batch) for name in FILES)
    assert ids(batch, run) == ids(batch, lines) == [["dog", "rain"], [], ["dog"]]
    assert run.scores.tolist() == lines.scores.tolist() == [2.5, 1.5, 9.0]
    assert ids(batch, texts) == [["dog"], [], []]
    assert training.rows.tolist() == [batch.corpus.row("dog"), -1]
    assert training.texts == [None, "new text"]
    assert ids(batch, File(path=tmp_path / "a.run", depth=1).generate(batch)) == [["dog"], [], ["dog"]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.run", "q1 Q0 dog 1 nan x\n", r"x.run:1: the score of passage `dog` is 'nan'; scores must be finite"),
        ("x.run", "q1 Q0 dog\n", r"x.run:1: expected `query-id Q0 passage-id rank score tag`"),
        ("x.run", "q1 Q0 wolf 1 1.0 x\n", r"x.run:1: passage id `wolf` is not in the corpus"),
        (
            "x.jsonl",
            '{"query_id": "q1", "candidates": ["dog"], "scores": [NaN]}\n',
            r"x.jsonl:1: the score of candidate 1 is nan",
        ),
        (
            "x.jsonl",
            '{"query": "q", "pos": "p", "neg": [{"text": "n", "score": Infinity}]}\n',
            r"x.jsonl:1: `score` in `neg` must be",
        ),
    ],
)
def test_a_bad_file_is_named(batch_of: BatchOf, tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        File(path=tmp_path / name).generate(batch_of())
