"""From pairs to a training set in one call."""

from pathlib import Path

import pytest
from datasets import Dataset
from support import PASSAGES

import hardneg
from hardneg import DataError
from hardneg.generators.random import Random
from hardneg.testing import HashedWords

PAIRS = {
    "question": ["where did the cat sit", "what is the capital of france", "loyal animals", "loyal animals"],
    "answer": [PASSAGES[name] for name in ("cat", "paris", "dogs", "cats")],
}
OPEN = {"calibrated": None, "per_query": 2, "corpus": list(PASSAGES.values())}


def mined(model: object, **options: object) -> hardneg.Mined:
    return hardneg.mine(Dataset.from_dict(PAIRS), model, **(OPEN | options))


def test_a_name_and_a_loaded_model_give_the_same(tiny_encoder: str) -> None:
    from sentence_transformers import SentenceTransformer

    by_name = mined(tiny_encoder, scores=True)
    loaded = mined(SentenceTransformer(tiny_encoder, device="cpu"), scores=True)
    assert by_name.dataset.column_names == ["anchor", "positive", "negative_1", "negative_2", "scores"]
    assert len(by_name.dataset) == 4  # a row a positive
    for name in by_name.dataset.column_names[:-1]:
        assert by_name.dataset[name][:] == loaded.dataset[name][:]
    assert by_name.report["controls"] == ["random"]
    assert set(by_name.report["hybrids"]) == {"bm25 + dense"}


def test_negatives_are_of_the_corpus_and_never_a_positive(tiny_encoder: str) -> None:
    rows = mined(tiny_encoder, output_format="triplet").dataset
    positives = {
        "where did the cat sit": {"cat", "copy"},
        "what is the capital of france": {"paris"},
        "loyal animals": {"dogs", "cats"},
    }
    for row in rows:
        assert row["negative"] in PASSAGES.values()
        assert row["negative"] not in {PASSAGES[name] for name in positives[row["anchor"]]}


@pytest.mark.parametrize("layout", ["triplet", "n-tuple", "labeled-pair", "labeled-list"])
def test_every_layout(layout: str) -> None:
    assert len(mined(HashedWords(), output_format=layout).dataset) > 0


def test_rules_and_generators_can_be_chosen(tiny_encoder: str) -> None:
    strict = mined(tiny_encoder, margin=-0.02)
    loose = mined(tiny_encoder, margin=-0.5)
    kept = [found.report["counts"]["kept"] for found in (strict, loose)]
    assert kept[0] < kept[1]
    with pytest.warns(UserWarning, match="1 queries repeat their negatives: they have fewer than 2"):
        doubtful = mined(tiny_encoder, calibrated=0.1)
    assert doubtful.report["dropped"]["doubtful"]["all"] > 0
    assert list(mined(tiny_encoder, generators={"easy": Random(depth=3)}).report["generated"]) == ["easy", "random"]


def test_a_cache_is_used_again(tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sentence_transformers import SentenceTransformer

    first = mined(tiny_encoder, cache=tmp_path)
    monkeypatch.setattr(SentenceTransformer, "encode", None)
    assert mined(tiny_encoder, cache=tmp_path).dataset.to_dict() == first.dataset.to_dict()


def test_texts_that_cannot_be_mined_are_counted_or_an_error(tiny_encoder: str) -> None:
    blank = Dataset.from_dict({"q": ["where did the cat sit", " "], "p": [PASSAGES["cat"], PASSAGES["dog"]]})
    assert hardneg.mine(blank, tiny_encoder, **OPEN).report["read"]["skipped"] == {"query without text": 1}
    with pytest.raises(DataError, match="no query has a positive"):
        hardneg.mine(Dataset.from_dict({"q": [" "], "p": ["x"]}), tiny_encoder, **OPEN)


def test_two_models_that_cannot_be_hashed_do_not_share_a_cache(tmp_path: Path) -> None:
    class Plain:
        def __init__(self, buckets: int) -> None:
            self.words = HashedWords(dimensions=buckets)

        def encode(self, texts: list[str]) -> object:
            return self.words.encode(texts, "query")

    one, other = (mined(Plain(size), scores=True, cache=tmp_path).dataset["scores"][:] for size in (8, 512))
    assert one != other


def test_short_sets_are_repeated_and_warned_about() -> None:
    with pytest.warns(UserWarning, match="1 queries repeat their negatives: they have fewer than 6"):
        found = mined(HashedWords(), per_query=7, output_format="n-tuple")
    assert "queries repeat their negatives" in found.report["warnings"][-1]


def test_a_set_without_any_negative_is_an_error() -> None:
    with pytest.raises(hardneg.HardnegError, match="no negative is left for any query"):
        mined(HashedWords(), margin=5.0)


def test_records_and_columns_are_data_sets_too() -> None:
    rows = [{"q": "where did the cat sit", "p": PASSAGES["cat"]}, {"q": "loyal animals", "p": PASSAGES["dogs"]}]
    columns = {name: [row[name] for row in rows] for name in ("q", "p")}
    options = OPEN | {"output_format": "triplet"}
    one, other = (hardneg.mine(data, HashedWords(), **options).dataset.to_dict() for data in (rows, columns))
    assert one == other
    with pytest.raises(DataError, match="name one split"):
        hardneg.mine({"train": Dataset.from_list(rows)}, HashedWords())


def test_columns_and_names_that_make_no_sense() -> None:
    pairs = Dataset.from_dict(
        {"p": [PASSAGES["cat"], PASSAGES["dogs"]], "q": ["where did the cat sit", "loyal animals"]}
    )
    found = hardneg.mine(pairs, HashedWords(), query="q", **(OPEN | {"output_format": "triplet"}))
    assert set(found.dataset["anchor"][:]) <= set(pairs["q"][:])
    with pytest.raises(DataError, match="there is no column `x`"):
        hardneg.mine(pairs, HashedWords(), query="x")
    with pytest.raises(DataError, match="needs two columns"):
        hardneg.mine(pairs.select_columns(["p"]), HashedWords())
    with pytest.raises(hardneg.PartError, match="`random` is the name of the control"):
        mined(HashedWords(), generators={"random": Random(depth=3)})
    with pytest.raises(DataError, match="row 1 of the positives is no text: None"):
        hardneg.mine(Dataset.from_dict({"q": ["a", "b"], "p": ["x", None]}), HashedWords())
