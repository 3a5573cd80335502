"""Who gets the places."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates, Scores, Selection, Verdicts
from hardneg.data.merge import merge
from hardneg.data.records import Candidate, Reason
from hardneg.errors import PartError
from hardneg.selectors.random import Random
from hardneg.selectors.top import Top
from hardneg.testing import check_selector

BatchOf = Callable[..., Batch]


def proposed(batch: Batch, lists: list[list[str]]) -> Candidates:
    return Candidates.from_lists([[Candidate(0.0, passage_id=i) for i in own] for own in lists], batch.corpus)


@pytest.fixture
def batch(batch_of: BatchOf) -> Batch:
    """Two queries; generators `mined` and `written`, control `easy`; candidate c3 of the first query is dropped."""
    passages = {f"c{i}": f"text {i}" for i in range(8)} | {"p": "positive"}
    bare = batch_of(passages, {"q1": "one", "q2": "two"}, {"q1": ["p"], "q2": ["p"]})
    lists = {
        "mined": [["c0", "c1", "c2", "c3", "c4"], ["c0", "c1", "c2"]],
        "written": [["c5", "c6"], ["c5"]],
        "easy": [["c7", "c0"], []],
    }
    merged = merge(bare, {name: proposed(bare, own) for name, own in lists.items()})
    reasons = [None] * len(merged.rows)
    reasons[3] = Reason("margin", 1, 0)
    # scores of q1: c0..c4, c5, c6, c7; of q2: c0..c2, c5
    scores = [0.9, 0.8, 0.7, 0.99, 0.5, 0.2, 0.3, 1.0, 0.4, 0.6, 0.6, 0.1]
    return replace(
        merged,
        scores={"s": Scores(np.array(scores, np.float32), np.ones(2, np.float32))},
        verdicts={"f": Verdicts.from_reasons(reasons)},
        controls=frozenset({"easy"}),
    )


def names(batch: Batch, selection: Selection) -> list[list[str]]:
    chosen = [batch.passage(int(j)).id for j in selection.chosen]
    return [chosen[a:b] for a, b in zip(selection.offsets[:-1], selection.offsets[1:], strict=True)]


def test_top_takes_the_hardest_that_are_kept_and_no_control(batch: Batch) -> None:
    assert names(batch, check_selector(Top(scorer="s", per_query=3), batch)) == [["c0", "c1", "c2"], ["c1", "c2", "c0"]]


def test_short_sets_are_kept(batch: Batch) -> None:
    assert list(map(len, names(batch, check_selector(Top(scorer="s", per_query=9), batch)))) == [6, 4]


def test_a_quota_keeps_places_and_gives_back_those_it_cannot_fill(batch: Batch) -> None:
    selection = check_selector(Top(scorer="s", per_query=4, quota={"written": 2}), batch)
    assert names(batch, selection) == [["c0", "c1", "c6", "c5"], ["c1", "c2", "c0", "c5"]]
    selection = check_selector(Top(scorer="s", per_query=2, quota={"written": 2}), batch)
    assert names(batch, selection) == [["c6", "c5"], ["c1", "c5"]]


@pytest.mark.parametrize("quota", [{"left": 1, "right": 1}, {"right": 1, "left": 1}])
def test_quotas_are_served_by_name_whatever_their_order_in_the_job(batch_of: BatchOf, quota: dict[str, int]) -> None:
    """Who is first has the passage that both proposed, and the other another one of its own."""
    bare = batch_of({f"c{i}": f"text {i}" for i in range(4)} | {"p": "positive"}, {"q": "one"}, {"q": ["p"]})
    merged = merge(bare, {"right": proposed(bare, [["c0", "c2"]]), "left": proposed(bare, [["c0", "c1"]])})
    score = {"c0": 0.9, "c1": 0.1, "c2": 0.2}
    scores = np.array([score[merged.passage(j).id] for j in range(len(merged.rows))], np.float32)
    batch = replace(merged, scores={"s": Scores(scores, np.ones(1, np.float32))})
    assert names(batch, check_selector(Top(scorer="s", per_query=2, quota=quota), batch)) == [["c0", "c2"]]


@pytest.mark.parametrize("part", [Top, Random])
def test_a_quota_may_take_every_place(part: type) -> None:
    assert part(scorer="s", per_query=3, quota={"a": 2, "b": 1}).quota == {"a": 2, "b": 1}


def test_reuse_is_counted_over_the_whole_job(batch: Batch) -> None:
    assert names(batch, check_selector(Top(scorer="s", per_query=2, reuse=1), batch)) == [["c0", "c1"], ["c2", "c5"]]
    first, second = Top(scorer="s", per_query=2, reuse=1).select([batch, batch])
    assert names(batch, first) == [["c0", "c1"], ["c2", "c5"]]
    assert names(batch, second) == [["c4", "c6"], []]  # hardest first, and nothing is left for the second query


def test_random_draws_from_the_window_and_repeats_itself(batch: Batch) -> None:
    window = Random(scorer="s", per_query=2, window=(1, 4))
    drawn = names(batch, check_selector(window, batch))
    assert set(drawn[0]) <= {"c1", "c2", "c4"}
    assert drawn == names(batch, next(window.select([batch])))
    others = [names(batch, next(replace(window, seed=seed).select([batch]))) for seed in range(1, 6)]
    assert any(other != drawn for other in others)


@pytest.mark.parametrize("part", [Top, Random])
@pytest.mark.parametrize("fields", [{"per_query": 0}, {"reuse": 0}, {"per_query": 2, "quota": {"a": 2, "b": 1}}])
def test_places_that_cannot_be_given_out(part: type, fields: dict) -> None:
    with pytest.raises(PartError):
        part(scorer="s", **fields)


def test_a_window_that_is_none() -> None:
    with pytest.raises(PartError, match="`window` must be two places"):
        Random(scorer="s", window=(5, 5))
