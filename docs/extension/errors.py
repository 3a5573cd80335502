"""Every error that hardneg raises on purpose: the classes, and all messages as they stand in the code."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import hardneg
from hardneg import errors

SOURCE = Path(hardneg.__file__).parent
CLASSES = {
    name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and issubclass(cls, errors.HardnegError)
}


def classes() -> str:
    """The tree of classes, with exit statuses."""
    tree = (errors.__doc__ or "").split("\n\n")[1]
    return f"```text\n{textwrap.dedent(tree)}\n```"


def messages() -> str:
    """A table for each class."""
    found: dict[str, dict[str, str]] = {}
    for file in sorted(SOURCE.rglob("*.py")):
        room = file.relative_to(SOURCE).parts[0].removesuffix(".py")
        for name, text in _raised(ast.parse(file.read_text(encoding="utf-8"))):
            found.setdefault(name, {}).setdefault(text, room)
    out = []
    for name, texts in sorted(found.items()):
        first = inspect.cleandoc(CLASSES[name].__doc__ or "").split("\n\n")[0]
        rows = "".join(_row(text, room) for text, room in sorted(texts.items()))
        out.append(f"### `{name}`\n\n{first}\n\n| message | what to do | raised in |\n| --- | --- | --- |\n{rows}")
    return "\n\n".join(out)


def _raised(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The class and the message of every error that is made in the code."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called, place = node.func, 0
        if isinstance(called, ast.Attribute) and called.attr == "at" and len(node.args) == 3:
            called, place = called.value, 2
        if isinstance(called, ast.Name) and called.id in CLASSES and (text := _text(node.args[place])):
            yield called.id, text


def _text(node: ast.expr) -> str | None:
    """A message with … for what is filled in. None where it is made elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return " ".join(node.value.split())
    if not isinstance(node, ast.JoinedStr):
        return None
    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    text = " ".join(text.split())
    return text if re.search(r"[a-z]{3}", text) else None


def _row(text: str, room: str) -> str:
    problem, _, remedy = text.rpartition("; ") if "; " in text else (text, "", "")
    return f"| {_cell(problem)} | {_cell(remedy)} | {room} |\n"


def _cell(text: str) -> str:
    """Markdown for a table: marks outside of backticks mean themselves."""
    pieces = text.replace("|", r"\|").split("`")
    if len(pieces) % 2 == 0:
        pieces = [r"\`".join(pieces)]
    return "`".join(
        piece if number % 2 else re.sub(r"([<*_{\[\]])", r"\\\1", piece) for number, piece in enumerate(pieces)
    )
