"""What an OpenAI-compatible server says, in our terms."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from hardneg.data.chat import Completion


def completion_of(answer: Any, clean: Callable[[str], str]) -> Completion:
    """A completion of the SDK's answer; ``clean`` takes the key out of it, where a server echoes it.

    Raises ValueError where the server's answer has not the API's form.
    """
    choices = getattr(answer, "choices", None)
    if not choices:
        raise ValueError("the server's answer has no choices")
    choice, usage = choices[0], getattr(answer, "usage", None)
    text = choice.message.content
    return Completion(
        clean(text) if isinstance(text, str) else "",
        clean(str(choice.finish_reason or "stop")),
        _count(getattr(usage, "prompt_tokens", None)),
        _count(getattr(usage, "completion_tokens", None)),
    )


def _count(value: Any) -> int | None:
    """A number of tokens; None for anything that is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait (`retry-after-ms`, or `Retry-After` in seconds or as a date).

    None where it does not say, or says nonsense. A date is held against the server's own clock (`Date`), where it tells
    the time: that of this machine may be wrong.

    >>> retry_after({"retry-after": "3"}), retry_after({"retry-after-ms": "250"}), retry_after({"retry-after": "nan"})
    (3.0, 0.25, None)
    """
    for name, unit in (("retry-after-ms", 1_000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - _now(headers)
            except (ValueError, TypeError, OverflowError):
                continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def _now(headers: Mapping[str, str]) -> float:
    """Seconds since 1970, by the server's clock if it tells."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return time.time()
