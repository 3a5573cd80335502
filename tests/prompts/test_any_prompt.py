"""Whatever bytes a prompt's file holds: a prompt, or a `PartError` that names it. And whatever the texts, they arrive."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from fuzzing import damaged, refused, tried
from hypothesis import given
from hypothesis import strategies as st

from hardneg.errors import PartError
from hardneg.prompts import HERE, Prompt, prompt, released

GOOD = tuple((HERE / f"{name}.md").read_bytes() for name in released())
HURTS = (
    b"---\n", b"\n---\n", b"# system\n", b"# user\n", b"# again\n", b"{query}", b"{", b"}", b"{refused}", b"&a ", b"*a", b"<<: *a", b"[",
    b"!!bool x", b"!!int ''", b"!!timestamp x", b"!!binary a", b"? ", b": ", b"- ", b"\t", b"\x00", b"\xff", b"\r\n", b"version: ", b"=",
    b"9" * 5_000, b"2024-99-99", b"inputs: ", b"output: grades\n", b"- query\n", b"\xef\xbb\xbf", b"0b_", b"190:20:30", b"name: ",
)  # fmt: skip


@tried
@given(damaged(GOOD, HURTS))
def test_a_prompts_file(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "mine.md"
        file.write_bytes(data)
        with refused(PartError, f"prompt {file}: "):
            assert filled(prompt(str(file)), "x")


@tried
@given(st.sampled_from(released()), st.text("{query}<>/ 1\\#é\n\x00"))
def test_any_text_stands_in_the_prompt_as_it_is(name: str, text: str) -> None:
    found = prompt(name)
    if "query" in found.inputs:
        assert re.search(rf"<query ([0-9a-f]{{16}})>\n{re.escape(text)}\n</query \1>", filled(found, text))


def filled(found: Prompt, text: str) -> str:
    texts = {name: 3 if name in ("count", "words") else text if name == "query" else [text] for name in found.inputs}
    return found.messages(texts)[-1].content
