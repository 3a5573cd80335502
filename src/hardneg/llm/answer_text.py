"""From the text of an answer to its value: lossless repairs only, and then every answer is validated."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

T = TypeVar("T", bound=BaseModel)

THINKING = ("think", "thinking", "reasoning")
START_OF_THINKING = re.compile(rf"<({'|'.join(THINKING)})>", re.IGNORECASE)
END_OF_THINKING = {name: re.compile(rf"</{name}>", re.IGNORECASE) for name in THINKING}
ANY_END = re.compile(rf"</(?:{'|'.join(THINKING)})>", re.IGNORECASE)
FENCE = re.compile(r"```[\w-]*[ \t]*\n(.*?)\n?```", re.DOTALL)
LONGEST = 1 << 20
"""Characters of an answer that are looked at; no prompt asks for a thousandth of it."""


def without_thinking(text: str) -> str:
    """The answer proper of a model that thinks aloud; empty when it never came to one.

    >>> without_thinking("<think>let me see</think> yes"), without_thinking("let me see</think> yes")
    ('yes', 'yes')
    """
    text = ANY_END.split(_without_pairs(text))[-1]  # some templates open the tag in the prompt
    begun = START_OF_THINKING.search(text)
    return text[: begun.start() if begun else None].strip()


def _without_pairs(text: str) -> str:
    """The text without what stands between a start and the next end of the same name, in time that grows as it does."""
    kept, at, unended = [], 0, set()
    for start in START_OF_THINKING.finditer(text):
        name = start[1].lower()
        if start.start() < at or name in unended:
            continue
        if end := END_OF_THINKING[name].search(text, start.end()):
            kept.append(text[at : start.start()])
            at = end.end()
        else:
            unended.add(name)
    return "".join([*kept, text[at:]])


def parsed(text: str, shape: type[T]) -> T:
    r"""The value of an answer. Thinking, code fences and text around one JSON value are taken away; nothing is guessed.

    Raises ValueError with what is wrong.

    >>> class Sides(BaseModel):
    ...     sides: int
    >>> parsed('Here it is: ```json\\n{"sides": 3}\\n```', Sides).sides
    3
    """
    if len(text) > LONGEST:
        raise ValueError(f"the answer has {len(text):,} characters")
    try:
        value = _value(text)
    except RecursionError as error:
        raise ValueError("JSON of that depth is no answer") from error
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("half of a surrogate pair is no text") from error
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise ValueError(f"{place}: {first['msg']}") from error


def _value(text: str) -> Any:
    """The JSON value of an answer. A text that is JSON as it stands is taken so, whatever its strings hold."""
    try:
        return DECODER.decode(text.strip())
    except json.JSONDecodeError:
        answer = without_thinking(text)
    if not answer:
        raise ValueError("the answer is empty")
    return _json(answer)


def _json(text: str) -> Any:
    """The one JSON value in a text."""
    fenced = FENCE.findall(text)
    for candidate in (text, fenced[0] if len(fenced) == 1 else None):
        if candidate is not None:
            try:
                return DECODER.decode(candidate.strip())
            except json.JSONDecodeError:
                pass
    found = [begin for begin in (text.find("{"), text.find("[")) if begin >= 0]
    if not found:
        raise ValueError("there is no JSON in the answer")
    begin = min(found)
    try:
        value, end = DECODER.raw_decode(text, begin)
    except json.JSONDecodeError as error:
        raise ValueError(f"broken JSON ({error.msg} at character {error.pos})") from error
    if re.search(r"[{\[]", text[end:]):
        raise ValueError("there is more than one JSON value in the answer")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key occurs twice in the JSON")
    return out


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


# strict=False: some grammars of servers let raw line breaks into strings
DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_unique, parse_constant=_no_constant)
