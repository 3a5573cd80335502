"""The filter as a stage in other people's code."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardneg import DataError, ECIFilter, ModelError, PartError, eci
from hardneg.testing import HashedWords

QUERIES = ["where did the cat sit", "capital of france", "loyal animals"]
POSITIVES = ["the cat sat on the mat", ["paris is the capital of france", "the capital is paris"], ["dogs are loyal"]]
NEGATIVES = [["a dog barked", "the cat sat there"], ["rome is the capital of italy"], []]


def given_similarities() -> tuple[list, list]:
    return [[0.8], [0.9, 0.7], [0.5]], [[0.3, 0.76], [0.7], []]


def test_from_similarities_by_hand() -> None:
    found = ECIFilter(margin=0.05)(QUERIES, POSITIVES, NEGATIVES, similarities=given_similarities())
    assert found.kept == [["a dog barked"], ["rome is the capital of italy"], []]
    [refused] = found.dropped
    assert refused[:3] == (0, 1, "the cat sat there")
    assert (refused.reason.rule, refused.reason.value) == ("margin", pytest.approx(0.76))
    assert refused.reason.limit == pytest.approx(0.75)
    assert found.report.before.above_positive == 0
    assert found.report.before.size == pytest.approx(1)
    assert found.report.after.size == pytest.approx(2 / 3)
    assert found.report.after.hardness == pytest.approx((0.3 + 0.7) / 2)
    low, high = found.report.after.intervals["eci_v1"]
    assert low <= found.report.after.eci_v1 <= high


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"margin": 3 / 64}, [True, True, True]),  # the second one is at 0.75 - 3/64 exactly
        ({"margin": 4 / 64}, [True, False, True]),
        ({"margin": 1 / 8}, [True, False, True]),  # the mean of 0.875 and 0.625 less 1/8 is 0.625: the third, exactly
        ({"margin": 1 / 8, "reference": "min"}, [True, False, False]),
        ({"margin": 1 / 4, "reference": "max"}, [True, False, True]),  # 0.875 - 1/4 is 0.625
        ({"relative": 1 / 16}, [True, True, True]),  # 0.75 less a sixteenth of it is the second, exactly
        ({"relative": 1 / 8}, [True, False, True]),
        ({"ceiling": 0.625}, [True, False, True]),
        ({"ceiling": float(np.nextafter(0.625, 0))}, [True, False, False]),
        ({"percentile": 1.0}, [True, True, True]),
        ({"percentile": 0.5, "quantiles": (0.0, 1.0)}, [True, False, False]),
        ({"percentile": 0.1, "quantiles": (0.0, 1.0)}, [False, False, False]),
    ],
)
def test_every_rule(fields: dict, kept: list[bool]) -> None:
    """Numbers that floats hold exactly, so that what is at a bound is at it."""
    plus, minus = [[0.75], [0.875, 0.625], [0.5]], [[0.25, 0.703125], [0.625], []]
    found = ECIFilter(**fields)(QUERIES, POSITIVES, NEGATIVES, similarities=(plus, minus))
    assert found.keep.tolist() == kept


@pytest.mark.parametrize("as_name", [False, True])
def test_with_a_real_model(tiny_encoder: str, as_name: bool) -> None:
    from sentence_transformers import SentenceTransformer

    real = SentenceTransformer(tiny_encoder, device="cpu")
    stage = ECIFilter(tiny_encoder if as_name else real, margin=0.0)
    found = stage(QUERIES, POSITIVES, NEGATIVES)
    q = real.encode(QUERIES, normalize_embeddings=True)
    n = real.encode(["a dog barked", "the cat sat there", "rome is the capital of italy"], normalize_embeddings=True)
    np.testing.assert_allclose(found.similarities, (q[[0, 0, 1]] * n).sum(axis=1), atol=1e-5)


def test_prompts_reach_a_real_model(tiny_encoder: str) -> None:
    from sentence_transformers import SentenceTransformer

    real = SentenceTransformer(tiny_encoder, device="cpu")
    found = ECIFilter(real, margin=0.0, query_prompt="cat ", passage_prompt="dog ")(["rain"], ["rome"], [["paris"]])
    q, n = (real.encode([text], normalize_embeddings=True)[0] for text in ("cat rain", "dog paris"))
    assert found.similarities[0] == pytest.approx(float(q @ n), abs=1e-5)


def test_each_text_is_encoded_once() -> None:
    seen: list[str] = []

    class Model:
        def encode(self, texts: list[str]) -> np.ndarray:
            seen.extend(texts)
            return HashedWords().encode(texts, "query")

    ECIFilter(Model(), margin=0.0)(["q", "q"], ["p", "p"], [["a", "b"], ["b", "p"]])
    assert sorted(seen) == ["a", "b", "p", "q"]


def test_it_is_deterministic_picklable_and_threads_may_share_it() -> None:
    stage = ECIFilter(HashedWords(), margin=0.0)
    again = pickle.loads(pickle.dumps(stage))
    wanted = stage(QUERIES, POSITIVES, NEGATIVES)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: again(QUERIES, POSITIVES, NEGATIVES), range(8)):
            assert found.kept == wanted.kept
            assert (found.similarities == wanted.similarities).all()


@given(st.lists(st.tuples(st.floats(-1, 1, width=32), st.lists(st.floats(-1, 1, width=32), max_size=4)), max_size=8))
def test_it_is_the_array_functions(rows: list[tuple[float, list[float]]]) -> None:
    texts = [[f"{i} {j}" for j in range(len(own))] for i, (_, own) in enumerate(rows)]
    found = ECIFilter(margin=0.1)(
        ["q"] * len(rows), ["p"] * len(rows), texts, similarities=([p for p, _ in rows], [own for _, own in rows])
    )
    limits = eci.limits([p for p, _ in rows], "margin", 0.1)
    keep = [eci.keep(own, limit).tolist() for (_, own), limit in zip(rows, limits, strict=True)]
    assert found.kept == [
        [t for t, k in zip(own, flags, strict=True) if k] for own, flags in zip(texts, keep, strict=True)
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["q"], ["p"], []), "not as many"),
        ((["q"], [[]], [["n"]]), "example 0 has no positive"),
        ((["q"], ["p"], ["n"]), "give a list of texts"),
    ],
)
def test_shapes_that_make_no_sense(arguments: tuple, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ECIFilter(HashedWords(), margin=0.1)(*arguments)


def test_numbers_that_make_no_sense() -> None:
    stage = ECIFilter(margin=0.1)
    with pytest.raises(DataError, match="not finite"):
        stage(["q"], ["p"], [["n"]], similarities=([0.5], [[np.nan]]))
    with pytest.raises(DataError, match="do not have the shape of the negatives"):
        stage(["q"], ["p"], [["n"]], similarities=([0.5], [[0.1, 0.2]]))
    with pytest.raises(DataError, match="do not have the shape of the positives"):
        stage(["q"], ["p"], [["n"]], similarities=(np.array([0.5, 0.6]), [[0.1]]))
    with pytest.raises(PartError, match="give the filter a `model`"):
        stage(["q"], ["p"], [["n"]])
    with pytest.raises(PartError, match="similarities alone need a rule on similarities"):
        ECIFilter()(["q"], ["p"], [["n"]], similarities=([0.5], [[0.1]]))
    with pytest.raises(PartError, match="here is both `margin` and `ceiling`"):
        ECIFilter(margin=0.1, ceiling=0.2)
    with pytest.raises(PartError, match="`on_empty` must be one of"):
        ECIFilter(margin=0.1, on_empty="explode")
    with pytest.raises(PartError, match="a model is a name"):
        ECIFilter(3, margin=0.1)


class Broken:
    """A model that answers with nonsense."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def encode(self, texts: list[str]) -> object:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.zeros((1, 2)), "length 0"),
        (np.full((1, 2), np.nan), "not finite"),
        (np.zeros((3, 2)), "shape"),
        ([1.0], "shape"),
    ],
)
def test_a_model_that_answers_nonsense_is_an_error(answer: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ECIFilter(Broken(answer), margin=0.1)(["q"], ["p"], [[]])


def stage(**options: object) -> ECIFilter:
    """Refuses whatever shares the word of its query: s(q, n) is 1 for these, s(q, p) is 1 too."""
    return ECIFilter(HashedWords(dimensions=512), ceiling=0.5, **options)


TRIPLETS = {"anchor": ["cat", "dog"], "positive": ["cat", "dog"], "negative": ["cat", "rain"], "note": [1, 2]}


def test_batches_of_triplets_lose_their_rows() -> None:
    inputs = ("anchor", "positive", "negative")
    found = stage(columns=inputs).batch(TRIPLETS)
    assert found == {"anchor": ["dog"], "positive": ["dog"], "negative": ["rain"], "note": [2]}
    assert stage(columns=inputs, on_empty="keep").batch(TRIPLETS) == TRIPLETS
    with pytest.raises(DataError, match="row 0 of the batch has no negative left"):
        stage(columns=inputs, on_empty="error").batch(TRIPLETS)
    with pytest.raises(DataError, match="there is no column `nothing`"):
        stage(columns=("anchor", "positive", "nothing")).batch(TRIPLETS)


N_TUPLES = {
    "query": ["cat", "dog"],
    "passage": ["cat", "dog"],
    "negative_1": ["cat", "rain"],
    "negative_2": ["town", "rome"],
    "negative_3": ["mat", "dog"],
    "scores": [[9, 1, 2, 3], [9, 4, 5, 6]],
    "dataset_name": ["a", "b"],
}


def test_batches_of_n_tuples_stay_rectangles() -> None:
    found = stage().batch(N_TUPLES)
    assert [found[f"negative_{k}"] for k in (1, 2, 3)] == [["town", "rain"], ["mat", "rome"], ["town", "rain"]]
    assert found["scores"] == [[9, 2, 3, 2], [9, 4, 5, 4]]
    assert found["dataset_name"] == ["a", "b"]
    assert stage(short="drop").batch(N_TUPLES)["query"] == []
    with pytest.raises(DataError, match="row 0 of the batch has 2 of 3 negatives left"):
        stage(short="error").batch(N_TUPLES)


@pytest.mark.parametrize("labels", ["labels", "scores"])
def test_batches_of_labeled_lists_keep_their_positives(labels: str) -> None:
    rows = {
        "query": ["cat", "dog"],
        "docs": [["cat", "cat cat", "town"], ["dog", "dog", "dog dog"]],
        labels: [[1, 0, 0], [1, 0, 0]],
    }
    assert stage().batch(rows) == {"query": ["cat"], "docs": [["cat", "town"]], labels: [[1, 0]]}


@pytest.mark.parametrize("rows", [{"a": ["x"], "b": ["y"]}, {"a": ["x"], "b": ["y"], "label": [1]}, {"a": ["x"]}])
def test_layouts_that_are_not_known_are_errors(rows: dict) -> None:
    with pytest.raises(DataError, match="no triplet, n-tuple or labeled list"):
        stage().batch(rows)


def test_percentile_in_batches_needs_its_distribution() -> None:
    with pytest.raises(PartError, match="`percentile` in batches needs `quantiles`"):
        ECIFilter(HashedWords(), percentile=0.5).batch(TRIPLETS)


def test_in_a_datasets_map() -> None:
    import datasets

    inputs = ("anchor", "positive", "negative")
    loaded = datasets.Dataset.from_dict(TRIPLETS)
    found = loaded.map(stage(columns=inputs).batch, batched=True, batch_size=1)
    assert found.to_dict() == {"anchor": ["dog"], "positive": ["dog"], "negative": ["rain"], "note": [2]}
    wide = datasets.Dataset.from_dict(N_TUPLES).map(stage().batch, batched=True)
    assert wide["negative_2"][:] == ["mat", "rome"]


def test_similarities_must_have_the_shape_of_the_texts() -> None:
    stage = ECIFilter(margin=0.1)
    texts = [["a", "b", "c"], ["d", "e", "f"]]
    for wrong in (np.zeros((3, 2)), np.zeros((1, 6)), np.zeros((2, 3, 1))):
        with pytest.raises(DataError, match="shape of the negatives"):
            stage(["q", "r"], ["p", "o"], texts, similarities=([0.5, 0.5], wrong))
    with pytest.raises(DataError, match="shape of the negatives"):
        stage(["q", "r"], ["p", "o"], [["a"], ["b", "c", "d"]], similarities=([0.5, 0.5], np.zeros((2, 2))))


def test_given_similarities_keep_their_precision() -> None:
    assert ECIFilter(ceiling=0.8)(["q"], ["p"], [["n"]], similarities=([0.9], [[0.8]])).kept == [["n"]]


def test_labels_and_scores_go_along_with_their_texts() -> None:
    rows = {"q": ["cat"], "docs": [["cat", "cat cat", "town"]], "labels": [[1, 0, 0]], "scores": [[0.9, 0.8, 0.1]]}
    found = stage(columns=("q", "docs")).batch(rows)
    assert found == {"q": ["cat"], "docs": [["cat", "town"]], "labels": [[1, 0]], "scores": [[0.9, 0.1]]}
    with pytest.raises(DataError, match="2 entries in `scores` for 3 texts"):
        stage(columns=("q", "docs")).batch(rows | {"scores": [[0.9, 0.8]]})


def test_rows_that_never_had_a_negative_are_not_lost_in_silence() -> None:
    rows = {"q": ["cat"], "docs": [["cat"]], "labels": [[1]]}
    assert stage().batch(rows)["q"] == []
    with pytest.raises(DataError, match="no negative left"):
        stage(on_empty="error").batch(rows)


def test_what_is_no_text_is_an_error() -> None:
    with pytest.raises(DataError, match="example 0 holds something that is no text"):
        ECIFilter(HashedWords(), margin=0.1)(["q"], ["p"], [["n", None]])
    assert ECIFilter(HashedWords(), percentile=0.5)([], [], []).kept == []


def test_ray_gives_arrays() -> None:
    rows = {name: np.array(values, dtype=object) for name, values in TRIPLETS.items()}
    assert stage(columns=("anchor", "positive", "negative")).batch(rows)["anchor"] == ["dog"]


def test_the_probe_takes_texts() -> None:
    rng = np.random.default_rng(0)
    topics = [f"topic{i % 40} detail{i}" for i in range(200)]
    queries, positives = [f"about {text}" for text in topics], [f"a page on {text}" for text in topics]
    near = [[positives[(i + 40) % 200]] for i in range(200)]
    strange = [["nothing of it at all"] for _ in range(200)]
    stage = ECIFilter(HashedWords(), ceiling=0.9)
    order = rng.permutation(200).tolist()
    found = stage.probe(queries, positives, {"near": near, "far": [[positives[i - 1]] for i in order], "new": strange})
    assert set(found) == {"near", "far", "new"}
    assert found["near"].distractors == found["new"].distractors
    assert (
        found["near"].log_likelihood
        != stage.probe(queries, positives, {"near": near}, shared=False)["near"].log_likelihood
    )
    with_corpus = ECIFilter(HashedWords(), ceiling=0.9, corpus=positives).probe(queries, positives, {"new": strange})
    assert np.isfinite(with_corpus["new"].score), "a text that the corpus lacks is a negative too"


def test_what_the_probe_cannot_work_on() -> None:
    with pytest.raises(PartError, match="model"):
        ECIFilter(margin=0.1).probe(["a"], ["b"], {"s": [["c"]]})
    with pytest.raises(DataError, match="at least one set"):
        ECIFilter(HashedWords(), margin=0.1).probe(["a"], ["b"], {})
    with pytest.raises(DataError, match="not as many"):
        ECIFilter(HashedWords(), margin=0.1).probe(["a"], ["b"], {"s": []})
