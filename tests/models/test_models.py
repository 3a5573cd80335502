"""The loading code with real models, and what is cached under which name."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from hardneg.arrays import Float32
from hardneg.cache import memo
from hardneg.cache.folders import Cache
from hardneg.data.batch import Batch
from hardneg.errors import JobError, ModelError
from hardneg.kinds import part
from hardneg.models import embeddings, weights
from hardneg.models.late_interaction import LateInteraction
from hardneg.models.sentence_transformers import CrossEncoder, Encoder
from hardneg.protocols import Role
from hardneg.testing import HashedWords


@part
class TwoSided:
    """An encoder to which a text as a passage is the opposite of the text as a query."""

    def identity(self) -> str:
        return "two-sided"

    def encode(self, texts: Sequence[str], role: Role) -> Float32:
        vectors = HashedWords().encode(texts, role)
        return vectors if role == "query" else -vectors

    def encode_tokens(self, texts: Sequence[str], role: Role) -> list[Float32]:
        return [self.encode([text], role) for text in texts]


def test_embeddings_are_sentence_transformers_own_with_prompts(tiny_encoder: str) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = Encoder(model=tiny_encoder, query_prompt="query: ", passage_prompt="passage: ")
    real = SentenceTransformer(tiny_encoder, device="cpu")
    mine = encoder.encode(["the cat"], "query")
    np.testing.assert_allclose(mine, real.encode(["query: the cat"], normalize_embeddings=True), atol=1e-6)
    mine = encoder.encode(["the cat"], "passage")
    np.testing.assert_allclose(mine, real.encode(["passage: the cat"], normalize_embeddings=True), atol=1e-6)
    assert np.linalg.norm(mine) == pytest.approx(1, abs=1e-6)


def test_half_precision_is_another_model_whose_vectors_are_rounded(
    batch_of: Callable[..., Batch], tiny_encoder: str
) -> None:
    batch = batch_of()
    single, half = Encoder(model=tiny_encoder), Encoder(model=tiny_encoder, precision="float16")
    assert single.identity() == Encoder(model=tiny_encoder, precision="float32").identity() != half.identity()
    exact, rounded = (embeddings.row_embeddings(encoder, batch.corpus, np.arange(8)) for encoder in (single, half))
    assert rounded.tolist() == exact.astype(np.float16).astype(np.float32).tolist()


def test_token_embeddings_are_of_unit_length_and_without_padding(tiny_encoder: str) -> None:
    short, long = Encoder(model=tiny_encoder).encode_tokens(["cat", "the cat sat on the mat"], "passage")
    assert len(short) < len(long)
    np.testing.assert_allclose(np.linalg.norm(long, axis=1), 1, atol=1e-5)


def test_max_seq_length_cuts(tiny_encoder: str) -> None:
    cut = Encoder(model=tiny_encoder, max_seq_length=4)
    assert len(cut.encode_tokens(["the cat sat on the mat"], "passage")[0]) == 4


def test_equal_weights_are_one_identity_wherever_they_lie(
    tiny_encoder: str, other_encoder: str, tmp_path: Path
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "copy")
    identity = Encoder(model=tiny_encoder).identity()
    assert Encoder(model=str(tmp_path / "copy"), batch_size=7, device="cpu").identity() == identity
    assert Encoder(model=other_encoder).identity() != identity
    assert Encoder(model=tiny_encoder, query_prompt="query: ").identity() != identity
    assert Encoder(model=tiny_encoder, max_seq_length=8).identity() != identity


@pytest.mark.parametrize(
    "files",
    [
        {"config.json": "x", "other.json": "y"},
        {"config.json": "x", "vocab.txt": "y"},
        {"config.json": "y", "other.json": "x"},
        {"config.json": "xother.json\0y"},
        {"config.json": "xother.json\0\0y"},
        {"config.json": "x", "other.json": "y", "inner/config.json": ""},
        {"config.json": "xy", "other.json": ""},
    ],
)
def test_names_and_borders_of_files_are_in_the_identity(tmp_path: Path, files: dict[str, str]) -> None:
    """Of folders that have the same bytes, but for where a file ends and what it is called."""

    def identity(name: str, contents: dict[str, str]) -> str:
        for file, text in contents.items():
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(text)
        return weights.identity(str(tmp_path / name), None)

    first = {"config.json": "x", "other.json": "y"}
    assert (identity("one", first) == identity("other", files)) is (files == first)


def test_a_text_has_a_vector_for_each_role(tmp_path: Path) -> None:
    """An encoder may treat queries and passages in its own ways; the cache keeps the two apart."""
    cache, encoder = Cache(tmp_path), TwoSided()
    as_query, as_passage = (embeddings.embed(encoder, ["the cat"], role, cache) for role in ("query", "passage"))
    assert (as_query == -as_passage).all()
    assert (embeddings.embed(encoder, ["the cat"], "query", cache) == as_query).all()


def test_another_models_vectors_are_never_reused(tiny_encoder: str, other_encoder: str, tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    one = embeddings.embed(Encoder(model=tiny_encoder), ["the cat"], "query", cache)
    two = embeddings.embed(Encoder(model=other_encoder), ["the cat"], "query", cache)
    prompted = embeddings.embed(Encoder(model=tiny_encoder, query_prompt="cat "), ["the cat"], "query", cache)
    assert not np.allclose(one, two, atol=1e-3)
    assert not np.allclose(one, prompted, atol=1e-4)


def test_the_hubs_copy_is_found_without_a_network(
    tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    model = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(tiny_encoder, model / "snapshots" / commit)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    encoder = Encoder(model="someone/tiny")
    assert weights.identity("someone/tiny", None) == f"someone/tiny@{commit}"
    np.testing.assert_allclose(
        encoder.encode(["the cat"], "query"), Encoder(model=tiny_encoder).encode(["the cat"], "query"), atol=1e-6
    )


def test_a_model_that_is_nowhere_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"model folder `.*nowhere` does not exist"):
        Encoder(model=str(tmp_path / "nowhere")).identity()
    with pytest.raises(ModelError, match="neither a folder here nor to be had from the hub"):
        Encoder(model="someone/nowhere").identity()


def test_a_bi_encoder_is_no_cross_encoder(tiny_encoder: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a bi-encoder, not a cross-encoder"):
        CrossEncoder(model=tiny_encoder).predict(["a"], ["b"])
    shutil.copytree(tiny_encoder, tmp_path / "bert")
    (tmp_path / "bert" / "modules.json").unlink()
    with pytest.raises(ModelError, match="has no classification head"):
        CrossEncoder(model=str(tmp_path / "bert")).predict(["a"], ["b"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="cannot be loaded"):
        CrossEncoder(model=str(tmp_path / "empty")).predict(["a"], ["b"])


def test_a_folder_called_snapshots_is_read_for_what_it_holds(
    tiny_encoder: str, other_encoder: str, tmp_path: Path
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "one" / "snapshots" / "m")
    shutil.copytree(other_encoder, tmp_path / "two" / "snapshots" / "m")
    one, two = (Encoder(model=str(tmp_path / name / "snapshots" / "m")).identity() for name in ("one", "two"))
    assert one == Encoder(model=tiny_encoder).identity() != two


def test_cross_encoder_scores_do_not_depend_on_the_order_of_pairs(tiny_cross_encoder: str) -> None:
    from sentence_transformers import CrossEncoder as Real

    queries = ["the cat", "where did the cat sit", "a"]
    passages = ["the cat sat on the mat", "rome", "dogs are loyal animals"]
    mine = CrossEncoder(model=tiny_cross_encoder).predict(queries, passages)
    one_by_one = [
        Real(tiny_cross_encoder, device="cpu").predict([pair])[0] for pair in zip(queries, passages, strict=True)
    ]
    np.testing.assert_allclose(mine, one_by_one, atol=1e-5)
    assert len(set(mine.tolist())) == 3
    assert len(CrossEncoder(model=tiny_cross_encoder).predict([], [])) == 0


def test_what_is_not_finite_is_an_error_that_names_the_text(tiny_encoder: str, tmp_path: Path) -> None:
    import safetensors.torch

    shutil.copytree(tiny_encoder, tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    for tensor in tensors.values():
        tensor.fill_(float("nan"))
    safetensors.torch.save_file(tensors, file, metadata={"format": "pt"})
    broken = Encoder(model=str(tmp_path / "model"))
    with pytest.raises(ModelError, match="not finite for the query 'the cat'"):
        embeddings.embed(broken, ["the cat"], "query", Cache(tmp_path / "cache"))


class Counting(HashedWords):
    asked: list[str] = []  # noqa: RUF012

    def encode(self, texts, role):
        Counting.asked += list(texts)
        return super().encode(texts, role)


def test_the_matrix_goes_on_where_it_was_stopped(
    batch_of: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of()
    monkeypatch.setattr(embeddings, "BLOCK", 3)
    Counting.asked = []
    calls = []

    class Stopped(Counting):
        def encode(self, texts, role):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return super().encode(texts, role)

    with pytest.raises(KeyboardInterrupt):
        embeddings.matrix(Stopped(), batch.corpus)
    assert len(Counting.asked) == 6
    assert embeddings.find_matrix(Counting(), batch.corpus) is None
    whole = embeddings.matrix(Counting(), batch.corpus)
    assert len(Counting.asked) == 8
    np.testing.assert_allclose(whole, HashedWords().encode(batch.corpus.contents(np.arange(8)), "passage"))


def test_what_is_encoded_or_scored_at_once_is_of_about_one_length(
    batch_of: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [1, 9, 2, 8, 3, 7, 4, 6, 5]
    texts = {f"d{n}": " ".join(["word"] * n) for n in words}
    corpus = batch_of(texts, {"q": "word"}, {"q": ["d1"]}).corpus
    monkeypatch.setattr(embeddings, "BLOCK", 3)
    monkeypatch.setattr(memo, "BLOCK", 3)
    monkeypatch.setattr(Counting, "asked", [])
    whole = embeddings.matrix(Counting(), corpus)
    longest_first = [text.count("word") for text in Counting.asked]
    assert [sorted(longest_first[begin : begin + 3]) for begin in (0, 3, 6)] == [[7, 8, 9], [4, 5, 6], [1, 2, 3]]
    np.testing.assert_array_equal(whole, HashedWords().encode(corpus.contents(np.arange(9)), "passage"))

    blocks = []

    class Lengths(LateInteraction):
        def predict(self, queries, passages):
            blocks.append(sorted(text.count("word") for text in passages))
            return np.array([text.count("word") for text in passages], np.float32)

    scores = embeddings.score_pairs(Lengths(encoder=HashedWords()), ["q"] * 9, list(texts.values()), corpus.cache)
    assert blocks == [[7, 8, 9], [4, 5, 6], [1, 2, 3]]
    assert scores.tolist() == words


def test_late_interaction_by_hand() -> None:
    model = LateInteraction(encoder=HashedWords(dimensions=4096))
    scores = model.predict(["loyal animals", "loyal animals"], ["dogs are loyal", "loyal animals are dogs"])
    assert scores == pytest.approx([0.5, 1.0], abs=0.05)
    small = LateInteraction(encoder=HashedWords(dimensions=4096), memory=0)  # keeps nothing: the same answer
    assert small.predict(["loyal animals"], ["dogs are loyal"]) == pytest.approx(scores[:1])
