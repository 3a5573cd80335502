"""What the site has beyond the pages' own text: generated reference, the pages as Markdown, `llms.txt`.

A page asks for generated text by a comment, `<!-- generated: parts filters -->`, which a forge does not show.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from extension import commands, errors, keys, parts
from extension.agents import index

ROOT = Path(__file__).parents[2]
MARKER = re.compile(r"<!-- generated: (\w+)(?: (\S+))? -->")
OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:examples|bench|tests|src|[A-Z]+\.md)[^)]*\)")
"""A link to a file of the repository that is no page of the site: there, its text alone."""

NAMED = re.compile(r"\[[\w-]+\.md\]\((?=[^)]*\.md)")
"""A link whose text is a page's file: in HTML the page's title takes its place."""


def file(path: str) -> str:
    """A file of the repository as a code block."""
    return f"```python\n{(ROOT / path).read_text(encoding='utf-8').rstrip()}\n```"


def python(module: str) -> str:
    """The public names of a module, from their docstrings: what it lists, or else what it defines."""
    listed = "   :imported-members:\n" if hasattr(import_module(module), "__all__") else ""
    return f"```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n{listed}   :show-inheritance:\n```"


GENERATED: dict[str, Callable[..., str]] = {
    "parts": parts.group,
    "mappings": parts.mappings,
    "keys": keys.table,
    "commands": commands.all_commands,
    "errors": errors.messages,
    "classes": errors.classes,
    "file": file,
    "python": python,
}


def expanded(text: str) -> str:
    """A page's text as the site has it."""
    made = MARKER.sub(lambda found: GENERATED[found[1]](*filter(None, [found[2]])), text)
    return OUTSIDE.sub(r"\1", made)


def _expand(_app: Any, _name: str, source: list[str]) -> None:
    source[0] = NAMED.sub("[](", expanded(source[0]))


def _beside(app: Any, exception: Exception | None) -> None:
    """Writes what is no HTML: each page as Markdown, `llms.txt`, the schema of a job."""
    if exception is not None or app.builder.format != "html":
        return
    from hardneg.job.document import schema

    out, texts = Path(app.outdir), {}
    for name in sorted(app.env.found_docs):
        texts[name] = expanded(Path(app.env.doc2path(name)).read_text(encoding="utf-8"))
        (out / f"{name}.md").write_text(texts[name], encoding="utf-8")
    (out / "llms.txt").write_text(index(texts), encoding="utf-8")
    (out / "job.schema.json").write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    """Registers all that with Sphinx."""
    app.connect("source-read", _expand)
    app.connect("build-finished", _beside)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
