"""What a check says of a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardneg.data.training_rows import Text

Side = Literal["row", "query", "positive", "negative"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. ``text``: the passage that it is about. ``value``: the number that decided, if one did."""

    kind: str
    side: Side
    reason: str
    text: Text | None = None
    value: float | None = None
