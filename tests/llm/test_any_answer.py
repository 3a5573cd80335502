"""Whatever a model answers: a value of the shape, or a ValueError of one line."""

from __future__ import annotations

import pytest
from fuzzing import damaged, refused, tried
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from hardneg.llm.answer_text import LONGEST, parsed, without_thinking
from hardneg.prompts.shapes import SHAPES

GOOD = (
    b'{"negatives": ["one", "two"]}',
    b'<think>so {this}</think>```json\n{"negatives": ["one"], "requirements": ["r"]}\n```',
    b'{"requirements": ["a"], "negatives": [{"broken": 1, "passage": "p"}]}',
    b'{"negatives": [{"domain": "law", "difficulty": "hard", "passage": "p", "answers": false}]}',
    b'{"grades": [{"candidate": 1, "grade": 2}, {"candidate": 2, "grade": 0}]}',
)
HURTS = (
    b"<think>", b"</think>", b"<reasoning>", b"```", b"```json\n", b"{", b"[", b"]", b"}", b'"', b"\\", b"\\ud800", b"\x00", b"NaN",
    b"9" * 5_000, b"1e999", b"-Infinity", b"null", b"true", b'{"a":', b"[[", b'"grade": ', b"\n", b"\xc2\xa0", b"\xff", b"{}",
)  # fmt: skip


@tried
@given(damaged(GOOD, HURTS), st.sampled_from(sorted(SHAPES)))
def test_an_answer(data: bytes, shape: str) -> None:
    with refused(ValueError):
        assert isinstance(parsed(data.decode(errors="replace"), SHAPES[shape]), BaseModel)


@pytest.mark.parametrize(
    "piece", ["<think>", "<think></thinking>", "```\n", "```", "[", '{"a":', "</think>", "<think></think>"]
)
def test_the_longest_answers_take_no_time_to_speak_of(piece: str) -> None:
    """Each would take minutes or hours if the work grew with the square of the length."""
    text = piece * (LONGEST // len(piece))
    assert len(without_thinking(text)) <= len(text)
    with pytest.raises(ValueError, match=r"JSON|empty"):
        parsed(text, next(iter(SHAPES.values())))
