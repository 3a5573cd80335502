"""Prompts: Markdown files with front matter, into which texts are put as data.

The front matter says ``name``, ``version``, ``inputs`` (the placeholders that the text may use), ``output`` (one of
`shapes.SHAPES`) and ``source``. ``# system``, ``# user`` and, for rounds, ``# again`` begin the messages. A placeholder
is an input's name in braces. It is replaced once: what is put in is never looked at again, and stands between marks
that it cannot contain.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from hardneg.data.chat import Message
from hardneg.errors import PartError
from hardneg.kinds import did_you_mean, listed
from hardneg.prompts.shapes import SHAPES, Shape

INPUTS = {
    "query": "the query",
    "positives": "its positives",
    "context": "candidates of another generator",
    "candidates": "what is to be graded",
    "refused": "what was refused before, and why",
    "count": "how many are wanted",
    "words": "how long the corpus's passages are, in words",
}
PLACEHOLDER = re.compile(r"\{(\w+)\}")
SECTION = re.compile(r"^# (system|user|again)\s*$", re.MULTILINE)
HERE = Path(__file__).parent

Texts = Mapping[str, str | int | Sequence[str]]


class Front(BaseModel):
    """The front matter."""

    model_config = ConfigDict(extra="forbid")

    name: str
    version: int
    inputs: list[str]
    output: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as read. ``label`` is ``name.vN@`` and 12 digits of the SHA-256 of the file.

    >>> prompt("query_only.v1").inputs
    ('query', 'count', 'words')
    """

    label: str
    inputs: tuple[str, ...]
    shape: type[Shape]
    sections: Mapping[str, str]

    def fit(self, shapes: Iterable[type[Shape]], does: str, offered: Sequence[str], part: str) -> None:
        """Raises `PartError` unless the prompt answers with one of ``shapes`` and wants nothing but what is offered."""
        if self.shape not in shapes:
            raise PartError(f"`prompt`: {self.label} does not {does}, it answers with {self.shape.__name__}")
        if unknown := [name for name in self.inputs if name not in offered]:
            raise PartError(f"`prompt`: {self.label} wants {listed(unknown)}; {part} is given {listed(offered)}")

    def messages(self, texts: Texts, *, again: bool = False) -> tuple[Message, ...]:
        """The chat: ``texts`` has a value for every input. With ``again`` the section of that name is added."""
        mark = _mark(texts)
        values = {
            name: str(value) if isinstance(value, int) else _fenced(name, value, mark) for name, value in texts.items()
        }

        def filled(section: str) -> str:
            return PLACEHOLDER.sub(lambda found: values[found[1]], self.sections[section]).strip()

        user = "\n\n".join(filled(section) for section in ("user", *(["again"] if again else [])))
        system = (Message("system", self.sections["system"].strip()),) if "system" in self.sections else ()
        return (*system, Message("user", user))


def _mark(texts: Texts) -> str:
    """Sixteen digits that no text can know: a hash of them all."""
    digest = hashlib.blake2b(digest_size=8)
    for value in texts.values():
        for text in [str(value)] if isinstance(value, (int, str)) else value:
            digest.update(text.encode() + b"\0")
    return digest.hexdigest()


def _fenced(name: str, value: str | Sequence[str], mark: str) -> str:
    """Texts between marks, a list numbered from 1."""
    if isinstance(value, str):
        return f"<{name} {mark}>\n{value}\n</{name} {mark}>"
    one = name.removesuffix("s")
    return "\n".join(f"<{one} {i} {mark}>\n{text}\n</{one} {i} {mark}>" for i, text in enumerate(value, 1)) or "(none)"


def released() -> list[str]:
    """The prompts that come with hardneg."""
    return sorted(file.name.removesuffix(".md") for file in HERE.glob("*.md"))


def prompt(name: str) -> Prompt:
    """A prompt by the name of a released one (``hard_negative.v1``) or by the path of a Markdown file.

    Raises `PartError` for one that is not there or is not well made.
    """
    path = Path(name) if name.endswith(".md") else HERE / f"{name}.md"
    if not path.is_file():
        if name.endswith(".md"):
            raise PartError(f"prompt {name}: there is no such file")
        raise PartError(
            f"no prompt is called {name!r}{did_you_mean(name, released())}; there are {listed(released())}, or name "
            "your own file, ending .md"
        )
    return _cached(path, path.read_bytes())


@lru_cache(maxsize=32)
def _cached(path: Path, source: bytes) -> Prompt:
    try:
        return _read(source.decode("utf-8").replace("\r\n", "\n"), hashlib.sha256(source).hexdigest()[:12])
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise PartError(f"prompt {path}: {' '.join(str(error).split())}") from error


def _plain(text: str) -> Any:
    """The value of YAML without anchors, which can make a few lines too large for the memory, and without tags."""
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.NodeEvent) and (event.anchor or getattr(event, "tag", None)):
            raise ValueError("front matter has no anchors, aliases or tags")
    return yaml.safe_load(text)


def _read(text: str, checksum: str) -> Prompt:
    head, mark, body = text.removeprefix("---\n").partition("\n---\n")
    if not text.startswith("---\n") or not mark:
        raise ValueError("it must begin with front matter between two lines of ---")
    try:
        front = Front.model_validate(_plain(head))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"front matter: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if front.output not in SHAPES:
        raise ValueError(f"`output` must be one of {listed(SHAPES)}, not {front.output!r}")
    for name in front.inputs:
        if name not in INPUTS:
            raise ValueError(f"unknown input {name!r}{did_you_mean(name, INPUTS)}; there are {listed(INPUTS)}")
    pieces = SECTION.split(body)
    sections = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    if "user" not in sections or pieces[0].strip():
        raise ValueError("the text must begin with `# system` or `# user`, and have a `# user`")
    for section, words in sections.items():
        allowed = {"system": [], "user": front.inputs, "again": ["refused", "count"]}[section]
        for name in PLACEHOLDER.findall(words):
            if name not in allowed:
                where = "the texts go into `# user`" if section == "system" else f"there are {listed(allowed)}"
                raise ValueError(f"`# {section}` has the placeholder {name!r}, which is none of its inputs; {where}")
    return Prompt(f"{front.name}.v{front.version}@{checksum}", tuple(front.inputs), SHAPES[front.output], sections)
