"""The generator llm against a real server on loopback: what is asked, what becomes of the answers, and rounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support import PASSAGES

from hardneg.data import parquet as columns
from hardneg.data.batch import Batch
from hardneg.data.merge import merge
from hardneg.errors import PartError
from hardneg.filters.copy import Copy
from hardneg.filters.relevance import Relevance
from hardneg.filters.text_quality import TextQuality
from hardneg.generators.bm25 import BM25
from hardneg.generators.llm import LLM
from hardneg.llm.answer_log import answers_of
from hardneg.llm.openai import OpenAI
from hardneg.pipeline import rounds
from hardneg.protocols import Asker
from hardneg.scorers.llm_judge import LLMJudge
from hardneg.testing import FaultServer, check_filter, check_generator, check_scorer

Answer = Callable[[dict[str, Any]], str]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    answers_of.cache_clear()
    yield
    answers_of.cache_clear()


def client(server: FaultServer, **fields: Any) -> OpenAI:
    return OpenAI(**{"model": "any", "base_url": server.url, "concurrency": 4, "timeout": 5.0, **fields})


def said(body: dict[str, Any]) -> str:
    """The user's last message."""
    text: str = body["messages"][-1]["content"]
    return text


def test_the_contract(batch_of: Callable[..., Batch]) -> None:
    batch = batch_of()
    with FaultServer() as server:
        found = check_generator(LLM(client=client(server), per_query=2), batch)
    assert np.diff(found.offsets).tolist() == [2, 2, 2]
    assert (found.rows == -1).all()
    assert found.prompt is not None
    assert found.prompt.startswith("hard_negative.v1@")
    assert found.model == "llm@any"
    assert found.usage is not None
    assert found.usage.requests == server.sent.total() == 3
    assert found.asked is not None
    assert found.asked.tokens.sum() == pytest.approx(found.usage.tokens)


def test_what_is_asked(batch_of: Callable[..., Batch]) -> None:
    batch = batch_of()
    with FaultServer() as server:
        part = LLM(client=client(server, concurrency=1), per_query=2, context=BM25(depth=4), shown=1, top_p=0.8, seed=3)
        part.generate(batch)
    for body, query in zip(server.bodies, batch.queries, strict=True):
        assert query in said(body)
        assert "Write 2 passages of about 6 words" in said(body)
        assert body["top_p"] == 0.8
    assert "paris is the capital of france" in said(server.bodies[1])
    assert "<context 1 " in said(server.bodies[1])
    assert "<context 2 " not in said(server.bodies[1])
    assert len({body["seed"] for body in server.bodies}) == 3
    schema = server.bodies[0]["response_format"]["json_schema"]["schema"]
    assert (schema["properties"]["negatives"]["minItems"], schema["properties"]["negatives"]["maxItems"]) == (2, 2)


def test_answers_become_candidates(batch_of: Callable[..., Batch]) -> None:
    """A passage of the corpus is that passage; a text comes once; blanks and what is over the number go."""
    texts = ["  a new text ", PASSAGES["rain"], "a new text", "", "another", "one too many"]
    with FaultServer(answer=lambda _: json.dumps({"negatives": texts})) as server:
        batch = batch_of()
        found = LLM(client=client(server), per_query=3).generate(batch)
    assert np.diff(found.offsets).tolist() == [3, 3, 3]
    assert found.texts is not None
    assert list(found.texts[:3]) == ["a new text", None, "another"]
    assert batch.corpus.ids(found.rows[1:2]) == ["rain"]


def test_an_example_without_a_usable_answer_has_none(batch_of: Callable[..., Batch]) -> None:
    with FaultServer(
        answer=lambda body: "no" if "loyal" in said({"messages": body["messages"][:2]}) else '{"negatives": ["a text"]}'
    ) as server:
        found = LLM(client=client(server)).generate(batch_of())
    assert np.diff(found.offsets).tolist() == [1, 1, 0]
    assert found.usage is not None
    assert (found.usage.requests, found.usage.failed) == (4, 1)


def test_thinking_is_never_a_negative(batch_of: Callable[..., Batch]) -> None:
    with FaultServer(answer=lambda _: '<think>{"negatives": ["a secret"]}</think>{"negatives": ["told"]}') as server:
        found = LLM(client=client(server)).generate(batch_of())
    assert set(found.texts or ()) == {"told"}


def test_what_the_model_says_of_a_negative_is_kept_to_the_end(batch_of: Callable[..., Batch]) -> None:
    def answer(_: dict[str, Any]) -> str:
        return json.dumps({"requirements": ["in Rome"], "negatives": [{"broken": 1, "passage": "a text"}]})

    with FaultServer(answer=answer) as server:
        batch = batch_of()
        found = LLM(client=client(server), prompt="requirement.v1").generate(batch)
    stored = columns.candidates(columns.candidates_table(found))
    merged = columns.merged(
        batch, columns.merged_table(merge(batch, {"mined": BM25(depth=2).generate(batch), "w": stored}))
    )
    written = [n for own in merged for n in own.negatives if n.origins[0].generator == "w"]
    assert [n.origins[0].note for n in written] == ["breaks: in Rome"] * 3
    assert all(n.origins[0].tokens for n in written)
    assert [n.origins[0].round for n in written] == [0, 0, 0]
    mined = [n for own in merged for n in own.negatives if n.origins[0].generator == "mined"]
    assert {n.origins[0].round for n in mined} == {None}
    assert stored.usage == found.usage


REFUSED = "as an AI language model I write about cats, dogs, rain and towns"
FINE = "the lake is {} miles long and lies in the hills"


def talks_first(body: dict[str, Any]) -> str:
    """Assistant talk beside one good passage, until it is told."""
    numbers = iter(range(sum(map(ord, said(body))), 10**9))
    if "(refused: talk" in said(body):
        wanted = body["response_format"]["json_schema"]["schema"]["properties"]["negatives"]["minItems"]
        return json.dumps({"negatives": [FINE.format(next(numbers)) for _ in range(wanted)]})
    return json.dumps({"negatives": [REFUSED, FINE.format(next(numbers))]})


def test_who_is_short_is_asked_again_with_the_reasons(batch_of: Callable[..., Batch]) -> None:
    with FaultServer(answer=talks_first) as server:
        batch = batch_of()
        part = LLM(client=client(server), per_query=2, rounds=3)
        assert isinstance(part, Asker)
        filters = {"quality": TextQuality(length=False, language=False), "copies": Copy()}
        found = rounds.generate(part, "written", batch, {}, filters)
    assert server.sent.total() == 6, "three examples, once more each, and then nobody is short"
    assert np.diff(found.offsets).tolist() == [3, 3, 3]
    assert found.asked is not None
    assert found.asked.rounds.tolist() == [0, 0, 1] * 3
    assert found.usage is not None
    assert found.usage.requests == 6
    again = [body for body in server.bodies if "cannot be used" in said(body)]
    assert len(again) == 3
    for body in again:
        assert REFUSED in said(body)
        assert "Write 1 others" in said(body)
        assert body["response_format"]["json_schema"]["schema"]["properties"]["negatives"]["maxItems"] == 1
    judged, _ = rounds.trial(batch, "written", found, {}, filters)
    assert part.missing(judged, "written").tolist() == [0, 0, 0]


def test_rounds_end(batch_of: Callable[..., Batch]) -> None:
    with FaultServer(answer=lambda _: json.dumps({"negatives": [REFUSED]})) as server:
        part = LLM(client=client(server), per_query=1, rounds=2)
        found = rounds.generate(part, "written", batch_of(), {}, {"quality": TextQuality(length=False)})
    assert server.sent.total() == 3 * 3
    assert found.asked is not None
    assert sorted(set(found.asked.rounds.tolist())) == [0, 1, 2]


def test_who_has_nothing_is_asked_anew_without_seeds(batch_of: Callable[..., Batch]) -> None:
    with FaultServer(answer=lambda _: "no JSON") as server:
        part = LLM(client=client(server, max_failed=1.0), per_query=1, rounds=2, seed=None)
        found = rounds.generate(part, "written", batch_of(), {}, {"quality": TextQuality()})
    assert len(found.rows) == 0
    assert server.sent.total() == 3 * 3 * 2
    assert "seed" not in server.bodies[0]


def test_without_rounds_nothing_is_judged(batch_of: Callable[..., Batch]) -> None:
    with FaultServer(answer=lambda _: json.dumps({"negatives": [REFUSED]})) as server:
        rounds.generate(LLM(client=client(server)), "written", batch_of(), {}, {"quality": TextQuality(length=False)})
    assert server.sent.total() == 3


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"per_query": 0}, "`per_query`"),
        ({"rounds": -1}, "`rounds`"),
        ({"temperature": 3}, "`temperature`"),
        ({"top_p": 0}, "`top_p`"),
        ({"prompt": "judge.v1"}, "does not write negatives"),
        ({"prompt": "rewrite.v1"}, "name it by `context`"),
        ({"prompt": "nothing.v1"}, "no prompt is called"),
        ({"prompt": "mine.md"}, "wants `candidates`; a writer is given"),
    ],
)
def test_wrong_fields(fields: dict[str, Any], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.md").write_text(
        "---\nname: mine\nversion: 1\ninputs: [query, candidates]\noutput: passages\n---\n# user\n{query} {candidates}\n"
    )
    with pytest.raises(PartError, match=problem):
        LLM(client=OpenAI(model="any"), **fields)


# ---- the judge


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
        judge = LLMJudge(client=client(server), cascade=safe, near=0.2)
        assert judge.scorer == "target"
        scores = judge.score(scored)
    verdicts = safe.judge(scored)
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
        ({"cascade": Copy(), "near": 0.1}, "must be a filter with a threshold"),
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


def test_a_changed_prompt_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.md"
    text = "---\nname: mine\nversion: 1\ninputs: [query]\noutput: passages\n---\n# user\n{query}\n"
    labels = []
    for more in ("", "more\n"):
        file.write_text(text + more)
        labels.append(LLM(client=OpenAI(model="any"), prompt=str(file)).identity())
    assert labels[0] != labels[1]


def test_scripts_without_spaces_have_words_too(batch_of: Callable[..., Batch]) -> None:
    from hardneg.data.passage_style import style

    sentence = "机翼上方的气流速度比下方的气流速度快因此产生了升力使飞机能够在空中飞行"
    passages = {f"d{i}": sentence * (i + 1) for i in range(4)}
    how = style(batch_of(passages, {"q": "什么是升力"}, {"q": ["d0"]}).corpus)
    assert how.language == "zh"
    assert how.shortest > 15


def test_each_text_keeps_its_own_note_and_tokens_when_sources_are_merged(batch_of: Callable[..., Batch]) -> None:
    from hardneg.data.candidates import Asked, Candidates

    batch = batch_of()
    texts, asked = ["a", "b", "c", "d"], Asked.of([0, 1, 0, 1], [1.0, 2.0, 3.0, 4.0], ["na", "nb", "nc", "nd"])
    new = np.full(4, -1)
    written = Candidates(np.array([0, 3, 3, 4]), new, np.zeros(4, np.float32), texts, asked=asked)
    merged = merge(batch, {"mined": BM25(depth=2).generate(batch), "written": written})
    found = {n.passage.text: n.origins[0] for own in merged for n in own.negatives if n.passage.text in texts}
    assert {text: (o.round, o.tokens, o.note) for text, o in found.items()} == {
        "a": (0, 1.0, "na"),
        "b": (1, 2.0, "nb"),
        "c": (0, 3.0, "nc"),
        "d": (1, 4.0, "nd"),
    }
