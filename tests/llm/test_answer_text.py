"""From text to value: lossless repairs, and nothing that is not valid."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from hardneg.llm.answer_text import LONGEST, parsed, without_thinking
from hardneg.prompts.shapes import Grades, Passages, Requirements, Varied

GOOD = '{"negatives": ["one", "two"]}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\n\n  {GOOD}  \n\n\n",
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"Here are the passages:\n```json\n{GOOD}\n```\nI hope that helps!",
        f"Sure: {GOOD} Done.",
        f"<think>first {{this}}, then [that]</think>{GOOD}",
        f"still thinking</think>\n{GOOD}",
        f"<reasoning>\nno\n</reasoning>\n```json\n{GOOD}\n```",
        '{"negatives": ["one", "two"], "remark": "more than was asked for"}',
        '{"negatives": ["one", "two"], "remark": "a </think> inside a <think> string"}',
    ],
)
def test_what_is_repaired(text: str) -> None:
    assert parsed(text, Passages).negatives == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        (" \n\t" * 1_000, "empty"),
        ("<think>and so on", "empty"),
        ("no JSON at all", "no JSON"),
        ('{"negatives": ["one", "tw', "broken JSON"),
        ('{"negatives": "one"}', "negatives: "),
        ('{"negatives": [1, 2]}', "negatives.0: "),
        ('{"negatives": []}', "negatives: "),
        ('{"passages": ["one"]}', "negatives: Field required"),
        ("[]", "the whole: "),
        ('{"negatives": ["one"], "negatives": ["two"]}', "twice"),
        (f"{GOOD} or {GOOD}", "more than one JSON value"),
        ('{"negatives": ["\\ud800"]}', "surrogate"),
        ('{"negatives": ["one", NaN]}', "NaN is no JSON"),
        ("[" * 100_000, "JSON"),
        ("x" * (LONGEST + 1), "characters"),
    ],
)
def test_what_is_not(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parsed(text, Passages)


def test_raw_line_breaks_inside_strings_are_kept() -> None:
    assert parsed('{"negatives": ["one\ntwo\tthree"]}', Passages).negatives == ["one\ntwo\tthree"]


def test_thinking_is_no_part_of_the_answer() -> None:
    assert without_thinking("<think>secret</think>told<think>more secrets") == "told"


def test_the_broken_requirement_is_recorded() -> None:
    found = parsed(
        json.dumps(
            {
                "requirements": ["in Rome", "in 1900"],
                "negatives": [{"broken": 2, "passage": "p"}, {"broken": 9, "passage": "q"}],
            }
        ),
        Requirements,
    )
    assert [draft.note for draft in found.drafts()] == ["breaks: in 1900", "breaks: requirement 9"]


def test_a_passage_that_fails_its_own_check_is_thrown_away() -> None:
    entries = [
        {"domain": "law", "difficulty": "hard", "passage": "p", "answers": False},
        {"domain": "law", "difficulty": "easy", "passage": "q", "answers": True},
    ]
    [draft] = parsed(json.dumps({"negatives": entries}), Varied).drafts()
    assert draft == ("p", "hard, law")


@pytest.mark.parametrize("grade", [-1, 4, 1.5, "high", None])
def test_a_grade_is_one_of_four(grade: object) -> None:
    with pytest.raises(ValueError, match="grade"):
        parsed(json.dumps({"grades": [{"candidate": 1, "grade": grade}]}), Grades)


@given(st.text(max_size=200) | st.text(alphabet='{}[]",:negatives \n`<think>/', max_size=200))
def test_nothing_but_values_and_value_errors(text: str) -> None:
    for shape in (Passages, Grades):
        try:
            assert isinstance(parsed(text, shape), BaseModel)
        except ValueError:
            pass


@given(st.lists(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_whatever_text_is_written_arrives(texts: list[str]) -> None:
    answer = json.dumps({"negatives": texts})
    assert parsed(f"```json\n{answer}\n```", Passages).negatives == texts
    assert parsed(answer, Passages).negatives == texts
