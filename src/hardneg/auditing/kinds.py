"""The kinds of findings, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from hardneg.errors import PartError
from hardneg.kinds import did_you_mean, listed

NEAR = 0.9
"""Jaccard similarity of word triples, repeated ones counted, from which two texts are nearly the same."""
FEWEST_LETTERS = 3
"""Letters and digits below which a text is very short."""
MOST_CHARACTERS = 32_000
"""Characters above which a text is very long: about 8,192 tokens, more than encoders read."""
CONTAINED = 0.5
"""Share of the shorter text's runs of `RUN` words that makes two texts overlap."""
RUN = 13


@dataclass(frozen=True, slots=True)
class Kind:
    """``refused``: whether a cleaned file is without it unless somebody says otherwise. ``needs``: the option without
    which the check cannot run.
    """

    what: str
    refused: bool = True
    needs: Literal["", "model", "against"] = ""


KINDS: dict[str, Kind] = {
    "unreadable": Kind("the line is no row of a known format"),
    "empty_query": Kind("the query has no text"),
    "empty_text": Kind("a positive or a negative has no text"),
    "no_positive": Kind("the row has no positive"),
    "no_negatives": Kind("the row has no negative, although most rows have some"),
    "nonfinite_score": Kind("a score is NaN or infinite"),
    "same_as_positive": Kind("a negative is a positive of its own row"),
    "near_positive": Kind(f"a negative is nearly a positive of its own row (word triples, Jaccard from {NEAR})"),
    "same_as_query": Kind("a negative is the query itself"),
    "near_query": Kind(f"a negative is nearly the query (word triples, Jaccard from {NEAR})"),
    "known_positive": Kind("a negative is a positive of the same query in another row"),
    "duplicate_negative": Kind("a negative stands in its row twice"),
    "duplicate_row": Kind("the row is there already: equal query, positives and negatives"),
    "likely_answer": Kind("a negative may be an answer: its probability is above `calibrated`", needs="model"),
    "evaluation_query": Kind("the query is in an evaluation set, or nearly", needs="against"),
    "evaluation_positive": Kind("a positive is, or contains, an answer of an evaluation set", needs="against"),
    "evaluation_negative": Kind("a negative is, or contains, an answer of an evaluation set", needs="against"),
    "short_row": Kind("the row has fewer negatives than most", refused=False),
    "short_text": Kind(f"a text has fewer than {FEWEST_LETTERS} letters and digits", refused=False),
    "long_text": Kind(f"a text has more than {MOST_CHARACTERS:,} characters", refused=False),
    "reused_id": Kind("an id stands for two different texts", refused=False),
}


def refused(also: Collection[str] = (), keep: Collection[str] = ()) -> frozenset[str]:
    """The kinds that a cleaned file is without: the usual ones, ``also`` these, but not those to ``keep``.

    Raises `PartError` for a kind that does not exist, or that is named in both.
    """
    for name in (*also, *keep):
        if name not in KINDS:
            raise PartError(f"no kind of finding `{name}`{did_you_mean(name, KINDS)}; there are: {listed(KINDS)}")
    if both := sorted(set(also) & set(keep)):
        raise PartError(f"`{both[0]}` is named in both `also` and `keep`; choose one")
    usual = {name for name, kind in KINDS.items() if kind.refused}
    return frozenset((usual | set(also)) - set(keep))
