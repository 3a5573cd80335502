"""Keys: taken out of what servers say, in every form in which one is echoed, and found where a job holds one."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from hardneg.errors import PartError

SHORTEST = 6
"""Characters of an encoded form that is looked for: a shorter one occurs by chance."""
WAY_OUT = (
    "a key does not belong in a job, which is copied into the run's folder and its exports; put it into an environment "
    "variable and name that: `api_key_env: NAME`"
)
NAMES = re.compile(
    r"(.*_)?(api_?key|secret(_?key)?|private_?key|access_?key|password|passwd|passphrase|credentials?|authorization"
    r"|cookie)|(.*_)?(access|api|auth|bearer|hf|hub|refresh|security|session)_?token|token|bearer"
)
"""Names under which keys are given."""
LITERAL = re.compile(
    r"""(?<![A-Za-z0-9])(
    sk-[\w-]*?(?=[A-Za-z]*\d)[A-Za-z0-9]{16}
    |(hf|gsk|ghp|gho|ghs)_[A-Za-z0-9]{20}
    |(nvapi|xox[abp]|github_pat|glpat)[-_][\w-]{20}
    |AIza[\w-]{35}
    |AKIA[0-9A-Z]{16}
    |eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.
    |[Bb]earer\s+[\w.~+/=-]{16}
    )|-----BEGIN[ A-Z]*PRIVATE\ KEY-----""",
    re.VERBOSE,
)
"""What keys of well-known providers look like."""


def forms(key: str) -> set[str]:
    """How a key may be written: as it is, escaped, URL-encoded, hexadecimal, and in base64 of a text around it."""
    raw = key.encode()
    in_json = _in_json(key)
    found = {
        in_json,
        in_json.replace("/", "\\/"),
        key.replace("/", "\\/"),
        html.escape(key),
        repr(key)[1:-1],
        raw.hex(),
    }
    for escape in ("%{:02x}", "\\x{:02x}", "\\u{:04x}", "&#{};", "&#x{:x};"):
        found.add("".join(map(escape.format, raw)))
        found.add("".join(chr(byte) if chr(byte).isalnum() else escape.format(byte) for byte in raw))
    for before in range(3):  # where the key begins within three bytes decides its digits
        begin, end = (before * 8 + 5) // 6, (before + len(raw)) * 8 // 6
        for encoded in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encoded(bytes(before) + raw + bytes(2)).decode()[begin:end])
    found |= {encoded(form) for form in (key, *found) for encoded in (quote, quote_plus, _quoted)}
    found |= {again(form) for form in found for again in (_quoted, _in_json)}  # an echo within an echo
    return {key} | {form for form in found if len(form) >= SHORTEST}


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _quoted(text: str) -> str:
    return quote(text, safe="")


class Redaction:
    """Takes every form of a key out of texts. Without a key it leaves them as they are.

    >>> Redaction("sk-0123456789")("no such key: sk%2D0123456789")
    'no such key: [key]'
    """

    def __init__(self, key: str | None) -> None:
        self._forms = sorted({form.lower() for form in forms(key)} if key else (), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._forms)), re.IGNORECASE)

    def found_in(self, text: str) -> bool:
        """Whether a form of the key stands in a text."""
        low = text.lower()  # much faster than the pattern, which is needed for next to no text
        return any(form in low for form in self._forms)

    def __call__(self, text: str) -> str:
        return self._pattern.sub("[key]", text) if self.found_in(text) else text


def refuse(values: Mapping[str, Any], field: str) -> None:
    """Raises `PartError` where the values of a client's field hold a key."""
    for place in in_values(values, (field,)):
        raise PartError(f"`{'.'.join(place)}`: {WAY_OUT}")


def in_values(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The key paths at which a document holds a key: by the name that it has, or by its look."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            here = (*place, str(name))
            named = NAMES.fullmatch(re.sub(r"[-. ]", "_", str(name).lower()))
            if named and isinstance(inner, (str, int)) and not isinstance(inner, bool) and inner != "":
                yield here
            else:
                yield from in_values(inner, here)
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            yield from in_values(inner, (*place, str(number)))
    elif isinstance(value, str) and LITERAL.search(value):
        yield place
