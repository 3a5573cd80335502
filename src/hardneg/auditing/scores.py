"""Scores that are no numbers to train on: NaN and infinities, which JSON readers take without a word."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hardneg.auditing.finding import Finding, Side
from hardneg.data.training_rows import NEGATIVE, POSITIVE, Row, Text

if TYPE_CHECKING:
    from hardneg.auditing.case import Case

COLUMNS = ("score", "scores", "pos_scores", "neg_scores", "labels")
Place = tuple[str, int | None]
"""A column of a record, and the place in its list."""


def finite(record: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Place, ...]]:
    """The record with 0 for every score that is not finite, and where those were.

    >>> finite({"neg": ["a", "b"], "neg_scores": [0.5, float("nan")]})
    ({'neg': ['a', 'b'], 'neg_scores': [0.5, 0.0]}, (('neg_scores', 1),))
    """
    out, wrong = dict(record), list[Place]()
    for column in COLUMNS:
        value = record.get(column)
        if _wrong(value):
            wrong.append((column, None))
            out[column] = 0.0
        elif isinstance(value, list) and any(map(_wrong, value)):
            wrong += [(column, place) for place, item in enumerate(value) if _wrong(item)]
            out[column] = [0.0 if _wrong(item) else item for item in value]
    for column in (*POSITIVE, *NEGATIVE):
        value = record.get(column)
        if isinstance(value, list) and any(map(_of_passage, value)):
            wrong += [(column, place) for place, item in enumerate(value) if _of_passage(item)]
            out[column] = [item | {"score": 0.0} if _of_passage(item) else item for item in value]
    return out, tuple(wrong)


def scored(row: Row, place: Place) -> Text | None:
    """The passage that a score belongs to. None where it is the row's, or where that cannot be told."""
    column, number = place
    texts: Sequence[Text] = (*row.positives, *row.negatives)
    if column == "pos_scores":
        texts = row.positives
    elif column == "neg_scores":
        texts = row.negatives
    elif column in ("scores", "labels"):
        one_list = len({text.column for text in texts}) == 1 and all(text.place is not None for text in texts)
        if not one_list:  # the positives' scores, then the negatives'
            return texts[number] if number is not None and number < len(texts) else None
    else:
        texts = [text for text in texts if text.column == column]
    return next((text for text in texts if text.place == number), None)


def check(case: Case) -> Iterator[Finding]:
    """Scores that are not finite, of the passages that they belong to."""
    for column, number in case.wrong:
        text = scored(case.row, (column, number))
        at = f"`{column}`" if number is None else f"entry {number + 1} of `{column}`"
        side: Side = "row" if text is None else "positive" if text in case.row.positives else "negative"
        yield Finding("nonfinite_score", side, f"{at} is not a finite number", text)


def _wrong(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _of_passage(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    scores = item.get("scores")
    return _wrong(item.get("score")) or (isinstance(scores, dict) and any(map(_wrong, scores.values())))
