"""Negatives that repeat what their own row says: a positive, the query, or another negative."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from hardneg.auditing.case import Case
from hardneg.auditing.finding import Finding
from hardneg.auditing.kinds import NEAR
from hardneg.data.records import normalise

SHINGLE = 3


def check(case: Case) -> Iterator[Finding]:
    """Every negative of the row."""
    positives = set(case.positives)
    seen: dict[int, int] = {}
    for place, (_, text, found) in enumerate(case.negatives, 1):
        if not text.contents:
            continue
        if found in positives:
            yield Finding("same_as_positive", "negative", "equal to a positive of the row", text, 1.0)
        elif found == case.query:
            yield Finding("same_as_query", "negative", "equal to the query", text, 1.0)
        elif (near := _nearest(text.contents, [p.contents for p in case.row.positives])) >= NEAR:
            yield Finding("near_positive", "negative", f"{near:.0%} like a positive of the row", text, near)
        elif (near := _nearest(text.contents, [case.row.query])) >= NEAR:
            yield Finding("near_query", "negative", f"{near:.0%} like the query", text, near)
        if (earlier := seen.setdefault(found, place)) != place:
            yield Finding("duplicate_negative", "negative", f"equal to negative {earlier} of the row", text, 1.0)


def _nearest(text: str, others: Sequence[str]) -> float:
    """The highest similarity to one of the others."""
    count = len(text.split())
    near = [other for other in others if min(count, len(other.split())) >= 0.8 * max(count, len(other.split()))]
    return max((similarity(text, other) for other in near), default=0.0)


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of the word triples of two texts, repeated ones counted; of shorter texts: whether they are
    the same.

    >>> similarity("a b c d", "a b c e")
    0.3333333333333333
    """
    left, right = _triples(one), _triples(other)
    shared = (left & right).total()
    return shared / (left.total() + right.total() - shared)


def _triples(text: str) -> Counter[tuple[str, ...]]:
    words = normalise(text).split()
    return Counter(tuple(words[i : i + SHINGLE]) for i in range(max(len(words) - SHINGLE + 1, 1)))
