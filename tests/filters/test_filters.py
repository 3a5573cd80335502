"""Each filter drops what it should, keeps what it should, and says why."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates, Scores
from hardneg.data.merge import merge
from hardneg.data.records import Candidate
from hardneg.data.word_weights import lexicon, words
from hardneg.errors import PartError
from hardneg.filters.copy import Copy
from hardneg.filters.duplicate import Duplicate
from hardneg.filters.eci_safety import ECISafety
from hardneg.testing import HashedWords, check_filter

BatchOf = Callable[..., Batch]


def with_texts(batch: Batch, *lists: list[str]) -> Batch:
    proposals = Candidates.from_lists([[Candidate(0.0, text=text) for text in own] for own in lists], batch.corpus)
    return merge(batch, {"new": proposals})


def scored(batch: Batch, negatives: list[float], positives: list[float]) -> Batch:
    scores = Scores(np.array(negatives, np.float32), np.array(positives, np.float32))
    return replace(batch, scores={"target": scores})


@pytest.fixture
def safety_batch(batch_of: BatchOf) -> Callable[[list[float], list[float]], Batch]:
    """One query with positives and negatives of these scores."""

    def make(negatives: list[float], positives: list[float]) -> Batch:
        passages = {f"p{i}": f"positive {i}" for i in range(len(positives))}
        batch = batch_of(passages | {"other": "other"}, {"q": "query"}, {"q": list(passages)})
        return scored(with_texts(batch, [f"negative {i}" for i in range(len(negatives))]), negatives, positives)

    return make


@pytest.mark.parametrize(
    ("part", "positives", "limit"),
    [
        (ECISafety(scorer="target", margin=0.25), [0.75], 0.5),
        (ECISafety(scorer="target", margin=0.25), [-0.75], -1.0),
        (ECISafety(scorer="target", relative=0.5), [0.5], 0.25),
        (ECISafety(scorer="target", relative=0.5), [-0.5], -0.75),
        (ECISafety(scorer="target", ceiling=0.5), [0.1], 0.5),
        (ECISafety(scorer="target", margin=0.0), [0.5, 1.0], 0.75),
        (ECISafety(scorer="target", margin=0.0, reference="min"), [0.5, 1.0], 0.5),
        (ECISafety(scorer="target", margin=0.0, reference="max"), [0.5, 1.0], 1.0),
    ],
)
def test_safety_at_just_below_and_just_above(
    safety_batch: Callable[[list[float], list[float]], Batch], part: ECISafety, positives: list[float], limit: float
) -> None:
    at = np.float32(limit)
    scores = [float(at), float(np.nextafter(at, np.float32(-9))), float(np.nextafter(at, np.float32(9)))]
    verdicts = check_filter(part, safety_batch(scores, positives))
    assert verdicts.dropped.tolist() == [False, False, True]
    reason = verdicts.reason(2)
    assert reason is not None
    assert (reason.rule, reason.limit) == (part.rule, pytest.approx(limit))
    assert reason.value == pytest.approx(limit, abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "give exactly one of `margin`, `relative`, `ceiling`, `percentile`, `calibrated`; here is none"),
        ({"margin": 0.1, "ceiling": 0.5}, "here is both `margin` and `ceiling`"),
        ({"margin": float("nan")}, "`margin` must be a finite number, not nan"),
        ({"margin": float("inf")}, "`margin` must be a finite number, not inf"),
        ({"relative": 1.0}, "`relative` must be at least 0 and below 1, not 1.0"),
        ({"relative": -0.01}, "`relative` must be at least 0 and below 1, not -0.01"),
        ({"calibrated": 1.01}, "`calibrated` must be at least 0 and at most 1, not 1.01"),
        ({"calibrated": -0.01}, "`calibrated` must be at least 0 and at most 1, not -0.01"),
        ({"percentile": 1.01}, "`percentile` must be at least 0 and at most 1, not 1.01"),
        ({"margin": 0.1, "quantiles": (0.0, 1.0)}, "`quantiles` belong to `percentile`"),
        ({"percentile": 0.5, "quantiles": (0.0,)}, "two or more finite numbers that do not fall"),
        ({"percentile": 0.5, "quantiles": (1.0, 0.0)}, "two or more finite numbers that do not fall"),
        ({"percentile": 0.5, "quantiles": (0.0, float("inf"))}, "two or more finite numbers that do not fall"),
    ],
)
def test_safety_refuses_what_makes_no_sense(fields: dict, message: str) -> None:
    with pytest.raises(PartError, match=message):
        ECISafety(scorer="target", **fields)


@pytest.mark.parametrize("rule", [{"relative": 0.0}, {"calibrated": 0.0}, {"calibrated": 1.0}, {"percentile": 1.0}])
def test_the_ends_of_a_range_are_in_it(rule: dict) -> None:
    assert ECISafety(scorer="target", **rule).threshold == next(iter(rule.values()))


@pytest.mark.parametrize(("score", "fits"), [(-0.01, False), (0.0, True), (1.0, True), (1.01, False)])
def test_calibrated_takes_probabilities_alone(
    safety_batch: Callable[[list[float], list[float]], Batch], score: float, fits: bool
) -> None:
    part, batch = ECISafety(scorer="target", calibrated=0.5), safety_batch([0.5, score], [0.9])
    if fits:
        assert check_filter(part, batch).dropped.tolist() == [False, score > 0.5]
    else:
        with pytest.raises(PartError, match="`calibrated` needs probabilities, and scorer `target` gives others"):
            part.judge(batch)


def test_equal_quantiles_in_a_row_are_no_fall() -> None:
    assert ECISafety(scorer="target", percentile=0.5, quantiles=(0.0, 0.5, 0.5, 1.0)).threshold == 0.5


LONG = "the quick brown fox jumps over the lazy dog and runs far away into the deep dark wood where none can follow it"


def test_equal_texts_are_dropped_within_an_example_only(batch_of: BatchOf) -> None:
    batch = with_texts(batch_of(), ["one text", "One  TEXT", "another"], ["one text"], [])
    verdicts = check_filter(Duplicate(), batch)
    assert verdicts.dropped.tolist() == [False, True, False, False]
    assert verdicts.reason(1).rule == "same text"


@pytest.mark.parametrize(
    "part", [Duplicate(near=0.7), Duplicate(near=0.9, by="cosine", encoder=HashedWords(dimensions=2048))]
)
def test_near_duplicates_of_candidates_and_of_positives(batch_of: BatchOf, part: Duplicate) -> None:
    batch = batch_of({"p": LONG.replace("fox", "cat"), "x": "x"}, {"q": "query"}, {"q": ["p"]})
    other = "completely different words about the history of roman law in late antiquity and its many later readers"
    nearly = other.replace("readers", "students")
    texts = [LONG.replace("fox", "cat") + " again", other, nearly, "short one"]
    verdicts = check_filter(part, with_texts(batch, texts))
    assert [r.rule if (r := verdicts.reason(j)) else None for j in range(4)] == [
        "nearly the same as a positive",
        None,
        "nearly the same as a candidate",
        None,
    ]


def test_minhash_estimates_jaccard() -> None:
    from hardneg.filters.duplicate import _jaccard, _minhashes

    a, b = [f"w{i}" for i in range(100)], [f"w{i}" for i in range(10, 110)]
    sketches = _minhashes([" ".join(a), " ".join(b), "something else entirely"])
    triples = [{tuple(words[i : i + 3]) for i in range(98)} for words in (a, b)]
    exact = len(triples[0] & triples[1]) / len(triples[0] | triples[1])
    estimate = _jaccard(sketches, sketches.T)
    assert estimate[0, 1] == pytest.approx(exact, abs=0.12)
    assert estimate[0, 2] == 0
    assert np.diag(estimate).tolist() == [1, 1, 1]


def test_of_three_alike_the_first_stays(batch_of: BatchOf) -> None:
    texts = [LONG, LONG + " now", LONG + " then"]
    verdicts = Duplicate(near=0.8).judge(with_texts(batch_of(), texts, [], []))
    assert verdicts.dropped.tolist() == [False, True, True]


@pytest.mark.parametrize("fields", [{"near": 0.0}, {"near": 1.1}, {"by": "cosine"}, {"by": "cosine", "near": 0.9}])
def test_duplicate_refuses_what_makes_no_sense(fields: dict) -> None:
    with pytest.raises(PartError):
        Duplicate(**fields)


def test_containment_is_weighted_by_idf(batch_of: BatchOf) -> None:
    known = lexicon(batch_of().corpus)
    assert known.idf("the") < known.idf("rome") == known.idf("unheard-of")
    inner, outer = words("the capital of rome"), words("the capital of france")
    shared = sum(known.idf(w) for w in ("the", "capital", "of"))
    assert known.containment(inner, outer) == pytest.approx(shared / (shared + known.idf("rome")))
    assert known.containment(words(""), outer) == 0


def test_copies_of_the_query_and_of_a_positive(batch_of: BatchOf) -> None:
    batch = with_texts(
        batch_of(),
        ["where did the cat", "the cat sat on a mat", "the cat sat on the mat all day", "a dog barked"],
        [],
        [],
    )
    verdicts = check_filter(Copy(query=0.9, positive=0.8), batch)
    rules = [r.rule if (r := verdicts.reason(j)) else None for j in range(4)]
    assert rules == ["copies the query", "copies a positive", "copies a positive", None]
    assert not Copy(query=None, positive=None).judge(batch).dropped.any()


def test_a_passage_with_all_words_of_the_query_and_more_is_no_copy(batch_of: BatchOf) -> None:
    batch = with_texts(batch_of(), ["where did the big black cat sit when heavy rain fell on our town"], [], [])
    assert not Copy(positive=None).judge(batch).dropped.any()


@pytest.mark.parametrize("part", [Duplicate(), Duplicate(near=0.9)])
def test_of_a_controls_text_and_its_twin_the_twin_stays(batch_of: BatchOf, part: Duplicate) -> None:
    """Whatever the order of the generators: a control changes nothing."""
    bare = batch_of()
    texts = {"easy": ["one text of five words"], "new": ["One text of  five words", "another"]}
    lists = {
        name: Candidates.from_lists([[Candidate(0.0, text=text) for text in own], [], []], bare.corpus)
        for name, own in texts.items()
    }
    batch = replace(merge(bare, lists), controls=frozenset({"easy"}))
    assert check_filter(part, batch).dropped.tolist() == [True, False, False]


def test_a_copy_at_the_threshold_is_dropped(batch_of: BatchOf) -> None:
    batch = with_texts(batch_of({"p": "alpha beta"}, {"q": "gamma delta"}, {"q": ["p"]}), ["gamma", "alpha", "other"])
    dropped = [
        check_filter(part, batch).dropped.tolist()
        for part in (Copy(query=1.0, positive=None), Copy(query=None, positive=1.0))
    ]
    assert dropped == [[True, False, False], [False, True, False]]
