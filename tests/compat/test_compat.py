"""The drop-in miner: row by row against the peer's own function, and every threshold by hand."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.util import mine_hard_negatives as the_peers
from support import PASSAGES

from hardneg.compat import mine_hard_negatives

QUERIES = [
    "where did the cat sit",
    "what is the capital of france",
    "loyal animals",
    "heavy rain on the town",
    "the capital of italy",
    "small animals that purr",
]
POSITIVES = [PASSAGES[name] for name in ("cat", "paris", "dogs", "rain", "rome", "cats")]
MORE = [PASSAGES["dog"], "a mat for cats", "a town in france", "the dog sat on the cat", "rain in rome"]
PAIRS = {"query": QUERIES, "passage": POSITIVES}
TWICE = {"query": [*QUERIES, *QUERIES[:3]], "passage": [*POSITIVES, MORE[0], MORE[2], POSITIVES[2]]}
FORMATS = ("triplet", "n-tuple", "labeled-pair", "labeled-list")


class Remembering(SentenceTransformer):
    """A model that encodes the same texts in the same way once, for both functions and all options."""

    def encode(self, inputs: Any, **options: Any) -> Any:
        if options.get("pool") is not None:
            return super().encode(inputs, **options)
        key = (tuple(inputs), repr(sorted(options.items())))
        if key not in self.known:
            self.known[key] = super().encode(inputs, **options)
        return self.known[key].copy() if isinstance(self.known[key], np.ndarray) else self.known[key].clone()


@pytest.fixture(scope="module")
def model(minilm: str) -> SentenceTransformer:
    model = Remembering(minilm, device="cpu")
    model.known = {}
    return model


@pytest.fixture(scope="module")
def reranker(tiny_cross_encoder: str) -> CrossEncoder:
    return CrossEncoder(tiny_cross_encoder, device="cpu")


def same(ours: Dataset, theirs: Dataset) -> None:
    """Same columns, same rows; scores up to rounding."""
    assert ours.column_names == theirs.column_names
    for name in ours.column_names:
        one, other = ours[name][:], theirs[name][:]
        if name in ("score", "scores"):
            flat = (
                [np.ravel(value) for value in (one, other)]
                if name == "score"
                else [np.array(list(itertools.chain.from_iterable(value))) for value in (one, other)]
            )
            np.testing.assert_allclose(flat[0], flat[1], atol=1e-5)
        else:
            assert one == other


OPTIONS: list[dict[str, Any]] = [
    {},
    {"range_min": 2},
    {"range_max": 4, "num_negatives": 2},
    {"max_score": 0.3},
    {"min_score": 0.1},
    {"absolute_margin": 0.2},
    {"relative_margin": 0.5},
    {"range_min": 1, "absolute_margin": 0.1, "max_score": 0.4, "min_score": 0.05, "num_negatives": 2},
    {"corpus": MORE},
    {"query_prompt": "query: ", "corpus_prompt": "passage: "},
    {"use_faiss": True, "absolute_margin": 0.1},
    {"include_positives": True, "output_format": "n-tuple"},
]


@pytest.mark.parametrize("pairs", [PAIRS, TWICE], ids=["one", "two"])
@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_rows_are_the_peers(
    model: SentenceTransformer, pairs: dict[str, list[str]], layout: str, options: dict[str, Any]
) -> None:
    given = {"corpus": [*POSITIVES, *MORE], "output_format": layout, "verbose": False} | options
    for scored in (False, True):
        both = [
            f(Dataset.from_dict(pairs), model, output_scores=scored, **given) for f in (mine_hard_negatives, the_peers)
        ]
        same(*both)
        assert len(both[0]) or "max_score" in options


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(
    "options", [{"max_score": 0.0}, {"absolute_margin": -0.3}, {"relative_margin": 0.0}, {}], ids=str
)
def test_a_cross_encoder_that_reorders_and_rescales(
    model: SentenceTransformer, reranker: CrossEncoder, layout: str, options: dict[str, Any]
) -> None:
    given = {
        "corpus": MORE,
        "output_format": layout,
        "output_scores": True,
        "cross_encoder": reranker,
        "verbose": False,
    }
    same(*(f(Dataset.from_dict(TWICE), model, **given, **options) for f in (mine_hard_negatives, the_peers)))


class Angles:
    """A model whose similarities to the one query are given by hand."""

    device = torch.device("cpu")
    model_card_data = SimpleNamespace(base_model="angles")

    def __init__(self, similarities: dict[str, float]) -> None:
        self.similarities = similarities

    def encode_query(self, texts: list[str], **_: object) -> np.ndarray:
        return np.array([[1.0, 0.0]] * len(texts), dtype=np.float32)

    def encode_document(self, texts: list[str], **_: object) -> np.ndarray:
        cosines = np.array([self.similarities[text] for text in texts])
        return np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1).astype(np.float32)

    def similarity(self, queries: Any, documents: Any) -> torch.Tensor:
        return torch.as_tensor(queries) @ torch.as_tensor(documents).T

    def similarity_pairwise(self, queries: Any, documents: Any) -> torch.Tensor:
        return (torch.as_tensor(queries) * torch.as_tensor(documents)).sum(dim=1)


def mined(similarities: dict[str, float], positives: tuple[str, ...] = ("p",), **options: Any) -> list[str]:
    """Negatives of the one query, best first."""
    pairs = Dataset.from_dict({"query": ["q"] * len(positives), "passage": list(positives)})
    given = {"num_negatives": 1, "range_max": 10, "output_format": "labeled-list", "verbose": False} | options
    found = mine_hard_negatives(pairs, Angles(similarities), corpus=list(similarities), **given)
    return found[0]["passage"][1:] if len(found) else []


def around(bound: float) -> dict[str, float]:
    """A positive at 0.75, and three candidates: at the bound, and the float32 numbers next to it."""
    at = np.float32(bound)
    below, above = np.nextafter(at, np.float32(0)), np.nextafter(at, np.float32(1))
    return {"p": 0.75, "below": float(below), "at": bound, "above": float(above)}


@pytest.mark.parametrize(
    ("options", "bound"),
    [({"absolute_margin": 0.25}, 0.5), ({"relative_margin": 0.5}, 0.375), ({"max_score": 0.5}, 0.5)],
    ids=str,
)
def test_exactly_at_below_and_above_a_bound(options: dict[str, float], bound: float) -> None:
    assert mined(around(bound), num_negatives=3, **options) == ["at", "below"]


def test_min_score_exactly_at_below_and_above() -> None:
    assert mined(around(0.5), num_negatives=3, min_score=0.5) == ["above", "at"]


def test_margins_are_measured_from_the_smallest_positive() -> None:
    given = {"p": 0.9, "r": 0.5, "near": 0.6, "far": 0.3}
    assert mined(given, ("p", "r"), absolute_margin=0.1, num_negatives=2) == ["far"]
    assert mined(given, ("p", "r"), relative_margin=0.1, num_negatives=2) == ["far"]
    assert mined(given, ("p", "r"), num_negatives=2) == ["near", "far"]


def test_a_relative_margin_of_a_negative_positive_is_stricter() -> None:
    assert mined({"p": -0.5, "nearer": -0.49, "far": -0.8}, relative_margin=0.05) == ["far"]


def test_range_min_counts_what_is_left_after_the_filters() -> None:
    given = {"p": 0.9, "a": 0.85, "b": 0.5, "c": 0.4, "d": 0.3}
    assert mined(given, range_min=1, absolute_margin=0.1, num_negatives=2) == ["c", "d"]  # a is filtered, b skipped


def test_range_max_counts_them_too() -> None:
    given = {"p": 0.9, "a": 0.85, "b": 0.5, "c": 0.4, "d": 0.3}
    # three are looked at, the positive among them
    assert mined(given, range_max=2, absolute_margin=0.1, num_negatives=2) == ["b"]
    assert mined(given, range_max=3, absolute_margin=0.1, num_negatives=2) == ["b", "c"]


@pytest.mark.parametrize(("layout", "rows"), [("triplet", 2), ("n-tuple", 0), ("labeled-pair", 3), ("labeled-list", 1)])
def test_short_sets_in_every_format(layout: str, rows: int) -> None:
    pairs = Dataset.from_dict({"query": ["q"], "passage": ["p"]})
    model = Angles({"p": 0.9, "a": 0.5, "b": 0.4})
    found, statistics = mine_hard_negatives(
        pairs, model, corpus=["a", "b"], num_negatives=3, output_format=layout, verbose=False, return_statistics=True
    )
    assert len(found) == rows
    assert statistics.missing == {"triplet": 1, "n-tuple": 1, "labeled-pair": 1, "labeled-list": 0}[layout]
    if layout == "labeled-list":
        assert found[0] == {"query": "q", "passage": ["p", "a", "b"], "labels": [1, 0, 0]}


def test_random_sampling_has_a_seed_and_keeps_the_order() -> None:
    given = {"p": 0.9} | {name: 0.8 - number / 50 for number, name in enumerate("abcdefghijklmno")}
    options = {"sampling_strategy": "random", "num_negatives": 4, "range_max": 15}
    first = mined(given, **options)
    assert mined(given, **options) == first
    assert first == sorted(first)
    assert any(mined(given, seed=seed, **options) != first for seed in range(1, 6))
    assert set(first) <= set(given) - {"p"}


def test_random_sampling_takes_no_filtered_candidate_while_there_are_others() -> None:
    given = {"p": 0.9, "a": 0.89, "b": 0.88, "c": 0.5, "d": 0.4}
    for seed in range(10):
        found = mined(given, absolute_margin=0.1, sampling_strategy="random", num_negatives=2, seed=seed)
        assert found == ["c", "d"]


def test_the_querys_text_and_near_duplicates_of_the_positive_can_be_left_out() -> None:
    given = {"p": 0.8, "q": 0.9, "near": 0.79, "far": 0.1}
    assert mined(given, num_negatives=3) == ["q", "near", "far"]
    assert mined(given, num_negatives=3, exclude_query=True) == ["near", "far"]
    assert mined(given, num_negatives=3, exclude_query=True, exclude_near=0.999) == ["far"]


def test_the_corpus_may_be_smaller_than_the_window_and_a_positive_is_never_a_negative() -> None:
    for use_faiss in (False, True):
        pairs = Dataset.from_dict({"query": ["q", "q"], "passage": ["p", "r"]})
        model = Angles({"p": 0.9, "r": 0.8, "n": 0.1})
        found = mine_hard_negatives(
            pairs, model, corpus=["n"], num_negatives=2, range_max=50, use_faiss=use_faiss, verbose=False
        )
        assert set(found["negative"][:]) == {"n"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_negatives": 0}, "num_negatives must be at least 1, got num_negatives=0"),
        ({"num_negatives": 10, "range_max": 3}, "Cannot mine 10 negatives per query: only 3 candidates remain"),
        ({"range_min": -1}, "range_min must be non-negative"),
        ({"range_min": 3, "range_max": 3}, "range_min must be smaller than range_max"),
        ({"output_format": "rows"}, "Invalid output_format: rows"),
        ({"sampling_strategy": "best"}, "Invalid sampling_strategy: best"),
        ({"faiss_batch_size": 0}, "faiss_batch_size must be a positive integer"),
    ],
)
def test_arguments_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mine_hard_negatives(Dataset.from_dict(PAIRS), Angles({}), verbose=False, **options)
    with pytest.raises(ValueError, match="empty"):
        mine_hard_negatives(Dataset.from_dict({"a": [], "b": []}), Angles({}))
    with pytest.raises(ValueError, match="at least two columns"):
        mine_hard_negatives(Dataset.from_dict({"a": ["x"]}), Angles({}))


def test_faiss_on_a_gpu_caps_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    faiss = pytest.importorskip("faiss")
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    with pytest.raises(ValueError, match="range_max was capped to 2047 because FAISS on GPU"):
        mine_hard_negatives(
            Dataset.from_dict(PAIRS), Angles({}), range_min=2040, num_negatives=10, use_faiss=True, verbose=False
        )


def test_what_is_not_finite_is_an_error() -> None:
    with pytest.raises(ValueError, match="not finite, for 'bad'"):
        mined({"p": 0.9, "bad": float("nan")})


def test_deprecated_arguments_warn_and_work(caplog: pytest.LogCaptureFixture) -> None:
    given = {"p": 0.9, "a": 0.85, "b": 0.5}
    with caplog.at_level(logging.WARNING):
        assert mined(given, margin=0.2) == ["b"]
        pairs = Dataset.from_dict({"query": ["q"], "passage": ["p"]})
        for options, names in (
            ({"as_triplets": True}, ["query", "passage", "negative"]),
            ({"as_triplets": False}, ["query", "passage", "negative_1"]),
            ({"output_format": "n-tuple-scores"}, ["query", "passage", "negative_1", "scores"]),
            ({"include_positives": True, "output_format": "triplet"}, ["query", "passage", "negative_1"]),
        ):
            found = mine_hard_negatives(
                pairs, Angles(given), corpus=list(given), num_negatives=1, verbose=False, **options
            )
            assert found.column_names == names
    assert caplog.text.count("deprecated") == 4
    assert "may still discard the positive values" not in caplog.text


def test_columns_by_name_and_by_place() -> None:
    pairs = Dataset.from_dict({"id": [1], "question": ["q"], "answer": ["p"]})
    model = Angles({"p": 0.9, "n": 0.1})
    options = {"corpus": ["n"], "num_negatives": 1, "verbose": False}
    found = mine_hard_negatives(pairs, model, "question", "answer", **options)
    assert found.to_dict() == {"question": ["q"], "answer": ["p"], "negative": ["n"]}


def test_statistics_are_printed_and_returned(capsys: pytest.CaptureFixture[str]) -> None:
    pairs = Dataset.from_dict({"query": ["q"], "passage": ["p"]})
    model = Angles({"p": 0.75, "a": 0.7, "b": 0.5, "c": 0.25})
    found, statistics = mine_hard_negatives(
        pairs, model, corpus=["a", "b", "c"], absolute_margin=0.1, num_negatives=3, return_statistics=True
    )
    assert found["negative"][:] == ["b", "c"]
    assert statistics.skipped["absolute_margin"][0] == 1
    assert statistics.negatives.tolist() == pytest.approx([0.5, 0.25])
    assert statistics.differences.tolist() == pytest.approx([0.25, 0.5])
    assert (statistics.missing, statistics.possible) == (1, 3)
    printed = capsys.readouterr().out
    assert "Setting range_max to 31 based on the provided parameters." in printed
    assert "Skipped 1 potential negatives" in printed
    assert "Could not find enough negatives for 1 samples (33.33%)" in printed
    assert "Consider adjusting the range_max and absolute_margin parameters" in printed
    assert "Mean           0.7500         0.3750         0.3750" in printed


def test_the_cache_is_of_the_weights_the_prompt_and_the_texts(
    model: SentenceTransformer, tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, folder = Dataset.from_dict(PAIRS), str(tmp_path / "cache")
    options = {"cache_folder": folder, "output_format": "n-tuple", "num_negatives": 2, "output_scores": True}
    first = mine_hard_negatives(pairs, model, verbose=False, **options)
    assert len(list(Path(folder).iterdir())) == 2
    with monkeypatch.context() as patch:
        patch.setattr(model, "encode_query", None)
        patch.setattr(model, "encode_document", None)
        same(mine_hard_negatives(pairs, model, verbose=False, **options), first)
    other = SentenceTransformer(tiny_encoder, device="cpu")
    found = mine_hard_negatives(pairs, other, verbose=False, **options)
    same(found, mine_hard_negatives(pairs, other, verbose=False, **(options | {"cache_folder": None})))
    mine_hard_negatives(pairs, model, verbose=False, query_prompt="query: ", **options)
    assert len([file for file in Path(folder).iterdir() if file.name.startswith("query_embeddings_")]) == 3
    for file in Path(folder).iterdir():  # half a file is made again
        file.write_bytes(file.read_bytes()[:100])
    same(mine_hard_negatives(pairs, model, verbose=False, **options), first)


@pytest.mark.engines
def test_several_processes_give_the_same_and_are_stopped(model: SentenceTransformer, monkeypatch) -> None:
    stopped = []
    real = SentenceTransformer.stop_multi_process_pool
    monkeypatch.setattr(
        SentenceTransformer, "stop_multi_process_pool", staticmethod(lambda pool: (stopped.append(1), real(pool))[1])
    )
    pairs = Dataset.from_dict(PAIRS)
    options = {"output_format": "n-tuple", "num_negatives": 2, "verbose": False}
    found = mine_hard_negatives(pairs, model, use_multi_process=["cpu"], **options)
    same(found, mine_hard_negatives(pairs, model, **options))
    assert stopped == [1]


def test_a_pool_is_stopped_when_encoding_fails() -> None:
    events = []

    class Failing(Angles):
        def start_multi_process_pool(self, target_devices: object) -> str:
            return "pool"

        def stop_multi_process_pool(self, pool: str) -> None:
            events.append(pool)

        def encode_document(self, texts: list[str], **_: object) -> np.ndarray:
            raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        mine_hard_negatives(Dataset.from_dict(PAIRS), Failing({}), use_multi_process=True, verbose=False)
    assert events == ["pool"]


def test_the_search_goes_in_blocks_of_queries(model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    model.similarity(np.zeros((1, 2)), np.zeros((1, 2)))
    real = model.similarity
    monkeypatch.setattr(
        type(model), "similarity", property(lambda self: lambda a, b: (sizes.append(len(a)), real(a, b))[1])
    )
    options = {"output_format": "n-tuple", "num_negatives": 2, "verbose": False}
    found = mine_hard_negatives(Dataset.from_dict(PAIRS), model, faiss_batch_size=4, **options)
    assert sizes == [4, 2]
    same(found, mine_hard_negatives(Dataset.from_dict(PAIRS), model, **options))


def test_bounds_are_as_precise_as_the_scores() -> None:
    score = float(np.float32(0.8))
    assert mined({"p": 0.9, "at": score}, max_score=0.8) == ["at"]
