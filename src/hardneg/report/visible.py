"""Text that came from data, as it may be shown: nothing in it moves the cursor, hides, or means something to a reader
of Markdown or to a spreadsheet.
"""

from __future__ import annotations

import json
import re
import struct
from typing import Any

UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Control characters but tab and line feed, characters that turn the direction of writing, tags, halves of pairs."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def visible(text: str) -> str:
    r"""The text with its control characters written out; line feeds and tabs stay.

    >>> print(visible("a\x1b[31mred\u202e"))
    a\x1b[31mred\u202e
    """
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    r"""`visible`, with every run of white space as one space.

    >>> one_line("a\n b\x00")
    'a b\\x00'
    """
    return visible(" ".join(text.split()))


def in_markdown(text: str) -> str:
    r"""One line of Markdown, or a cell of a table, in which nothing is a link, HTML, or another cell.

    >>> print(in_markdown("a|b <img> [x](y)"))
    a\|b \<img> \[x](y)
    """
    return re.sub(r"[|<\[]", r"\\\g<0>", one_line(text))


def in_cell(value: Any) -> Any:
    """A cell of CSV. A text that a spreadsheet would take for a formula begins with an apostrophe.

    >>> in_cell("=1+1"), in_cell(-0.5)
    ("'=1+1", -0.5)
    """
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(FORMULA) else "") + visible(value)


def as_json(value: Any, *, ascii_only: bool = False) -> str:
    r"""A JSON document for a program that a person may also see on a terminal.

    >>> as_json(["\u202e", "é"])
    '[\n  "\\u202e",\n  "é"\n]'
    """
    text = json.dumps(value, indent=2, ensure_ascii=ascii_only)
    return UNSEEN.sub(lambda found: "".join(f"\\u{unit:04x}" for unit in _units(found[0])), text)


def _units(character: str) -> tuple[int, ...]:
    """The character in UTF-16, as JSON writes it."""
    encoded = character.encode("utf-16-be", "surrogatepass")
    return struct.unpack(f">{len(encoded) // 2}H", encoded)


def fenced(text: str, language: str) -> str:
    r"""A block of code in Markdown, whose fence is longer than any in the text.

    >>> print(fenced("a", "yaml"))
    ```yaml
    a
    ```
    """
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{visible(text)}\n{fence}"
