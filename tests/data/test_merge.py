"""Merging what generators propose, and looking at it as objects."""

from collections.abc import Callable

import numpy as np
import pytest

from hardneg.data.batch import Batch, new_id
from hardneg.data.candidates import Candidates, Scores, Verdicts
from hardneg.data.merge import merge
from hardneg.data.records import Candidate, Origin, Reason


def propose(batch: Batch, *lists: list[tuple[str, float]], new: str = "new:") -> Candidates:
    """Candidates by passage id; an id that begins with ``new:`` is a text."""
    return Candidates.from_lists(
        [
            [
                Candidate(score, text=i[len(new) :]) if i.startswith(new) else Candidate(score, passage_id=i)
                for i, score in own
            ]
            for own in lists
        ],
        batch.corpus,
    )


def passages(batch: Batch) -> list[list[str]]:
    return [
        [batch.passage(j).id for j in range(int(batch.offsets[i]), int(batch.offsets[i + 1]))]
        for i in range(len(batch))
    ]


def test_a_passage_of_two_generators_is_one_candidate_with_two_origins(batch_of: Callable[..., Batch]) -> None:
    batch = batch_of()
    merged = merge(
        batch,
        {
            "a": propose(batch, [("dog", 3.0), ("rain", 2.0)], [], [("rain", 1.0)]),
            "b": propose(batch, [("rain", 0.9), ("rome", 0.1)], [("rome", 0.5)], []),
        },
    )
    assert passages(merged) == [["dog", "rain", "rome"], ["rome"], ["rain"]]
    first = next(iter(merged))
    assert first.negatives[1].origins == (Origin("a", 2, 2.0), Origin("b", 1, pytest.approx(0.9)))
    assert first.negatives[0].origins == (Origin("a", 1, 3.0),)


def test_positives_their_equals_and_the_query_are_never_candidates(batch_of: Callable[..., Batch]) -> None:
    batch = batch_of()
    proposals = propose(
        batch,
        [("cat", 9), ("copy", 8), ("dog", 7), ("new:Where did the CAT sit", 6), ("new:the cat sat  on the mat", 5)],
        [("new:  ", 1), ("new:a new text", 0.5)],
        [("cats", 2), ("dogs", 1), ("cat", 0.5)],
    )
    merged = merge(batch, {"a": proposals})
    assert passages(merged) == [["dog"], [new_id("a new text")], ["cat"]]
    assert [n.passage.text for n in list(merged)[1].negatives] == ["a new text"]


def test_a_new_text_of_two_generators_is_one_candidate(batch_of: Callable[..., Batch]) -> None:
    batch = batch_of()
    one, two = propose(batch, [("new:fresh", 1.0)], [], []), propose(batch, [("new:fresh", 2.0), ("dog", 1.0)], [], [])
    merged = merge(batch, {"a": one, "b": two})
    assert passages(merged) == [[new_id("fresh"), "dog"], [], []]
    assert merged.sources["b"].rank.tolist() == [1, 2]


def test_of_a_passage_named_twice_the_best_rank_stays(batch_of: Callable[..., Batch]) -> None:
    batch = batch_of()
    merged = merge(batch, {"a": propose(batch, [("dog", 3.0), ("rain", 2.0), ("dog", 1.0)], [], [])})
    assert passages(merged)[0] == ["dog", "rain"]
    assert merged.sources["a"].rank.tolist() == [1, 2]
    assert merged.sources["a"].score.tolist() == [3.0, 2.0]


def test_no_generator_and_no_candidates(batch_of: Callable[..., Batch]) -> None:
    batch = batch_of()
    assert passages(merge(batch, {})) == [[], [], []]
    assert passages(merge(batch, {"a": propose(batch, [], [], [])})) == [[], [], []]


def test_a_candidate_that_is_nothing_is_an_error(batch_of: Callable[..., Batch]) -> None:
    batch = batch_of()
    with pytest.raises(ValueError, match="generator `a` proposed a candidate that is neither"):
        merge(batch, {"a": Candidates(np.array([0, 1, 1, 1]), np.array([-1]), np.array([1.0], np.float32))})


def test_dropped_candidates_keep_every_reason(batch_of: Callable[..., Batch]) -> None:
    batch = batch_of()
    merged = merge(batch, {"a": propose(batch, [("dog", 3.0), ("rain", 2.0)], [], [])})
    from dataclasses import replace

    judged = replace(
        merged,
        scores={"s": Scores(np.array([0.7, 0.1], np.float32), np.array([0.7, 0.2, 0.3, 0.4], np.float32))},
        verdicts={
            "one": Verdicts.from_reasons([Reason("margin", 0.7, 0.65), None]),
            "two": Verdicts.from_reasons([Reason("copy", 1.0, 0.9, "of the query"), None]),
        },
    )
    first = next(iter(judged))
    assert [n.passage.id for n in first.negatives] == ["rain"]
    [dropped] = first.dropped
    assert list(dropped.reasons) == ["one", "two"]
    assert str(dropped.reasons["two"]) == "copy: 1.0000 against 0.9000 (of the query)"
    assert first.positive_scores == {"s": (pytest.approx(0.7),)}
    assert judged.kept.tolist() == [False, True]


def test_controls_are_not_trainable_unless_others_propose_the_same(batch_of: Callable[..., Batch]) -> None:
    from dataclasses import replace

    batch = replace(batch_of(), controls=frozenset({"easy"}))
    real, easy = propose(batch, [("dog", 1.0)], [], []), propose(batch, [("dog", 0), ("rain", 0)], [], [])
    assert merge(batch, {"real": real, "easy": easy}).trainable.tolist() == [True, False]
