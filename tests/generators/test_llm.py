"""The generator llm against a real server on loopback: what is asked, and what becomes of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import client, said
from support import PASSAGES

from hardneg.data import parquet as columns
from hardneg.data.batch import Batch
from hardneg.data.merge import merge
from hardneg.errors import ModelError, PartError
from hardneg.generators.bm25 import BM25
from hardneg.generators.llm import LLM
from hardneg.llm.openai import OpenAI
from hardneg.testing import FaultServer, check_generator

pytestmark = pytest.mark.usefixtures("fresh_answers")
Answer = Callable[[dict[str, Any]], str]


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
    assert found.writing is not None
    assert found.writing.tokens.sum() == pytest.approx(found.usage.tokens)


def test_what_is_asked(batch_of: Callable[..., Batch]) -> None:
    batch = batch_of()
    with FaultServer() as server:
        part = LLM(client=client(server, concurrency=1), per_query=2, context="mined", shown=1, top_p=0.8, seed=3)
        part.generate(merge(batch, {"mined": BM25(depth=4).generate(batch)}))
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
        found = LLM(client=client(server, max_failed=0.5)).generate(batch_of())
        with pytest.raises(ModelError, match="1 of 3 answers could not be used, asked twice"):
            LLM(client=client(server)).generate(batch_of())
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


def test_a_changed_prompt_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.md"
    text = "---\nname: mine\nversion: 1\ninputs: [query]\noutput: passages\n---\n# user\n{query}\n"
    labels = []
    for more in ("", "more\n"):
        file.write_text(text + more)
        labels.append(LLM(client=OpenAI(model="any"), prompt=str(file)).identity())
    assert labels[0] != labels[1]


def test_scripts_without_spaces_have_words_too(batch_of: Callable[..., Batch]) -> None:
    from hardneg.data.passage_style import passage_style

    sentence = "机翼上方的气流速度比下方的气流速度快因此产生了升力使飞机能够在空中飞行"
    passages = {f"d{i}": sentence * (i + 1) for i in range(4)}
    how = passage_style(batch_of(passages, {"q": "什么是升力"}, {"q": ["d0"]}).corpus)
    assert how.language == "zh"
    assert how.shortest > 15


def test_each_text_keeps_its_own_note_and_tokens_when_sources_are_merged(batch_of: Callable[..., Batch]) -> None:
    from hardneg.data.candidates import Candidates, Writing

    batch = batch_of()
    texts, writing = ["a", "b", "c", "d"], Writing.of([0, 1, 0, 1], [1.0, 2.0, 3.0, 4.0], ["na", "nb", "nc", "nd"])
    new = np.full(4, -1)
    written = Candidates(np.array([0, 3, 3, 4]), new, np.zeros(4, np.float32), texts, writing=writing)
    merged = merge(batch, {"mined": BM25(depth=2).generate(batch), "written": written})
    found = {n.passage.text: n.origins[0] for own in merged for n in own.negatives if n.passage.text in texts}
    assert {text: (o.round, o.tokens, o.note) for text, o in found.items()} == {
        "a": (0, 1.0, "na"),
        "b": (1, 2.0, "nb"),
        "c": (0, 3.0, "nc"),
        "d": (1, 4.0, "nd"),
    }
