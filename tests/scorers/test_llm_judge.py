"""The judge against a real server on loopback: what it is shown, and what becomes of its grades."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from asking import client, said
from support import PASSAGES

from hardneg.data.batch import Batch
from hardneg.data.candidates import Scores
from hardneg.data.merge import merge
from hardneg.errors import PartError
from hardneg.filters.relevance import Relevance
from hardneg.generators.llm import LLM
from hardneg.llm.openai import OpenAI
from hardneg.scorers.llm_judge import LLMJudge
from hardneg.testing import FaultServer, check_filter, check_scorer

pytestmark = pytest.mark.usefixtures("fresh_answers")
Answer = Callable[[dict[str, Any]], str]


def by_words(body: dict[str, Any]) -> str:
    """Grades 3 what says `capital`, 2 what says `animals`, else 0."""
    text = said(body)
    grades = []
    for number in range(1, text.count("<candidate ") + 1):
        own = text.split(f"<candidate {number} ")[1].split("</candidate")[0]
        grades.append({"candidate": number, "grade": 3 if "capital" in own else 2 if "animals" in own else 0})
    return json.dumps({"grades": grades[::-1]})


@pytest.fixture
def pool(batch_of: Callable[..., Batch]) -> Batch:
    from hardneg.generators.random import Random

    batch = batch_of()
    return merge(batch, {"all": Random(depth=8).generate(batch)})


def test_grades_are_mapped_back(pool: Batch) -> None:
    with FaultServer(answer=by_words) as server:
        judge = LLMJudge(client=client(server), seed=5)
        scores = check_scorer(judge, pool)
    for text, grade in zip(pool.contents(np.arange(len(pool.rows))), scores.negatives.tolist(), strict=True):
        assert grade == (3 if "capital" in text else 2 if "animals" in text else 0), text
    assert scores.positives.tolist() == [3.0] * 4
    assert scores.usage is not None
    assert scores.usage.requests == 3
    assert all(body["temperature"] == 0 for body in server.bodies)
    shown = judge.shown(pool)
    assert [sorted(own.tolist()) for own in shown] != [own.tolist() for own in shown], "shuffled"
    assert [own.tolist() for own in shown] != [own.tolist() for own in replace(judge, seed=6).shown(pool)]


def test_many_candidates_are_several_requests(pool: Batch) -> None:
    with FaultServer(answer=by_words) as server:
        scores = LLMJudge(client=client(server), per_request=3).score(pool)
        whole = LLMJudge(client=client(server)).score(pool)
    assert scores.usage is not None
    assert scores.usage.requests == sum(-(-len(own) // 3) for own in LLMJudge(client=OpenAI(model="any")).shown(pool))
    assert scores.negatives.tolist() == whole.negatives.tolist()


def test_swapped_doubled_and_missing_grades(pool: Batch) -> None:
    entries = [(1, 0), (2, 3), (2, 0), (3, 1), (3, 1), (99, 3)]
    grades = [{"candidate": c, "grade": g} for c, g in entries]
    with FaultServer(answer=lambda _: json.dumps({"grades": grades})) as server:
        judge = LLMJudge(client=client(server))
        scores = judge.score(pool)
    for own in judge.shown(pool):
        assert scores.negatives[own[:3]].tolist() == [0, -1, 1], "two grades are none, the same twice is one"
        assert (scores.negatives[own[3:]] == -1).all()
    verdicts = check_filter(Relevance(scorer="judge", max=1), replace(pool, scores={"judge": scores}))
    assert verdicts.dropped.sum() == 3


def test_only_what_is_near_the_threshold_is_asked_about(pool: Batch) -> None:
    from hardneg.filters.eci_safety import ECISafety
    from hardneg.scorers.bi_encoder import BiEncoder
    from hardneg.testing import HashedWords

    scored = replace(pool, scores={"target": BiEncoder(encoder=HashedWords()).score(pool)})
    safe = ECISafety(scorer="target", margin=0.1)
    with FaultServer(answer=by_words) as server:
        judge = LLMJudge(client=client(server), cascade="safe", near=0.2)
        verdicts = safe.judge(scored)
        scores = judge.score(replace(scored, verdicts={"safe": verdicts}))
    near = np.abs(verdicts.value - verdicts.limit) <= 0.2
    assert 0 < near.sum() < len(near)
    assert ((scores.negatives >= 0) == near).all()


def test_controls_are_not_asked_about(pool: Batch) -> None:
    judge = LLMJudge(client=OpenAI(model="any"))
    assert judge.shown(replace(pool, controls=frozenset({"all"}))) == []


def test_relabelled_passages_are_positives_for_exports(pool: Batch) -> None:
    with FaultServer(answer=by_words) as server:
        judged = replace(pool, scores={"judge": LLMJudge(client=client(server)).score(pool)})
    verdicts = Relevance(scorer="judge", max=2, relabel=True).judge(judged)
    judged = replace(judged, verdicts={"graded": verdicts})
    moved = judged.with_relabelled()
    found = {own.id: [p.id for p in own.positives] for own in moved}
    assert found["q1"][0] == "cat"
    assert sorted(found["q1"][1:]) == ["cats", "dogs", "paris", "rome"]
    assert len(moved.scores["judge"].positives) == len(moved.positive_rows)
    assert set(moved.scores["judge"].positives.tolist()) == {2.0, 3.0}
    assert {d.reasons["graded"].rule for own in moved for d in own.dropped} == {"relabelled"}
    dropped = Relevance(scorer="judge", max=2).judge(judged)
    assert not replace(judged, verdicts={"graded": dropped}).relabelled.any()


def test_a_generated_text_is_never_a_positive(batch_of: Callable[..., Batch]) -> None:
    with FaultServer(
        answer=lambda body: by_words(body) if "<candidate" in said(body) else '{"negatives": ["a capital"]}'
    ) as server:
        batch = batch_of()
        merged = merge(batch, {"written": LLM(client=client(server)).generate(batch)})
        judged = replace(merged, scores={"judge": LLMJudge(client=client(server)).score(merged)})
    verdicts = Relevance(scorer="judge", relabel=True).judge(judged)
    assert [verdicts.reason(j).rule for j in range(3)] == ["relevant"] * 3  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"near": 0.1}, "belong together"),
        ({"per_request": 0}, "`per_request`"),
        ({"prompt": "hard_negative.v1"}, "does not grade"),
        ({"cascade": "safe"}, "belong together"),
        ({"cascade": "safe", "near": 0.0}, "`near` must be above 0, not 0.0"),
        ({"temperature": -1}, "`temperature`"),
    ],
)
def test_wrong_fields_of_the_judge(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(PartError, match=problem):
        LLMJudge(client=OpenAI(model="any"), **fields)


def test_the_twin_of_a_relabelled_passage_is_no_negative(batch_of: Callable[..., Batch]) -> None:
    from hardneg.data.candidates import Scores
    from hardneg.generators.random import Random

    passages = {**PASSAGES, "rome2": "Rome is the  capital of Italy"}
    batch = batch_of(passages)
    full = merge(batch, {"all": Random(depth=9).generate(batch)})
    grades = np.full(len(full.rows), -1.0, np.float32)
    grades[[j for j in range(len(full.rows)) if full.passage(j).id == "rome" and full.owners[j] == 1]] = 3
    full = replace(full, scores={"judge": Scores(grades, np.full(4, 3.0, np.float32))})
    verdicts = Relevance(scorer="judge", relabel=True).judge(full)
    found = {full.passage(j).id: verdicts.reason(j).rule for j in np.flatnonzero(verdicts.dropped)}  # type: ignore[union-attr]
    assert found == {"rome": "relabelled", "rome2": "relevant"}


def test_only_a_sample_is_asked_about(pool: Batch) -> None:
    many = replace(
        pool, scores={"doubt": Scores(np.linspace(0, 0.9, len(pool.rows), dtype=np.float32), np.ones(4, np.float32))}
    )
    judge = LLMJudge(client=OpenAI(model="any"), sample=10, scorer="doubt")
    assert judge.learns
    told = replace(judge, **judge.learn([many]))
    assert not told.learns
    shown = [number for own in told.shown(many) for number in own.tolist()]
    assert 3 <= len(shown) <= 20
    assert sorted(shown) != sorted(n for own in replace(told, seed=1).shown(many) for n in own.tolist())
    with FaultServer(answer=by_words) as server:
        scores = check_scorer(replace(told, client=client(server)), many)
    assert set(np.flatnonzero(scores.negatives >= 0).tolist()) == set(shown)


@pytest.mark.parametrize(
    "fields",
    [
        {"sample": 10},
        {"scorer": "doubt"},
        {"bounds": (0.1,) * 4, "chances": (0.1,) * 5},
        {"sample": 1, "scorer": "d", "chances": (1.0,)},
    ],
)
def test_a_sample_needs_a_scorer(fields: dict[str, Any]) -> None:
    with pytest.raises(PartError, match="belong"):
        LLMJudge(client=OpenAI(model="any"), **fields)
