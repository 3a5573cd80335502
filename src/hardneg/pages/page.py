"""A page from a template: one file that asks for nothing, with a content-security policy that names its own script."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from hardneg.report.visible import visible


def page(template: str, *, title: str, data: Any, **context: Any) -> bytes:
    """The page in UTF-8.

    ``template``: a file of this package that extends ``frame.html``; ``<name>.css`` and ``<name>.js`` beside it are
    written into the page where they exist. ``data``: JSON that the script finds in the element ``data``. ``context``:
    what the template shows; every text in it is escaped.
    """
    names = dict.fromkeys(("frame", template.removesuffix(".html")))
    style = "".join(_text(f"{name}.css") for name in names)
    script = "".join(_text(f"{name}.js") for name in names)
    policy = f"default-src 'none'; script-src {_hashed(script)}; style-src {_hashed(style)}; img-src data:"
    text = (
        _environment()
        .get_template(template)
        .render(
            title=title,
            policy=policy + "; base-uri 'none'; form-action 'none'",
            style=Markup(style),  # noqa: S704 - our own files
            script=Markup(script),  # noqa: S704
            data=Markup(embedded(data)),  # noqa: S704 - escaped for where it stands
            **context,
        )
    )
    return text.encode("utf-8", "backslashreplace")


def fragment(template: str, **context: Any) -> str:
    """A piece of HTML with a style of its own, for pages of others. Every text in ``context`` is escaped."""
    style = Markup(_text(template.replace(".html", ".css")))  # noqa: S704 - our own file
    return _environment().get_template(template).render(style=style, **context)


def embedded(value: Any) -> str:
    r"""JSON that may stand inside a ``script`` element: nothing in it ends the element or the line.

    >>> embedded({"text": "</script>\u2028"})
    '{"text":"\\u003c/script>\\u2028"}'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hardneg", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters["code"] = _with_code
    environment.filters["share"] = lambda number, digits=1: f"{number:.{digits}%}"
    return environment


def _with_code(text: str) -> Markup:
    """A sentence in which what stands between two backticks is code.

    >>> print(_with_code("`a` < b"))
    <code>a</code> &lt; b
    """
    parts = visible(text).split("`")
    if len(parts) % 2 == 0:
        return escape(visible(text))
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def _text(name: str) -> str:
    file = files("hardneg.pages") / name
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
