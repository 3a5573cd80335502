"""Texts that are empty, or so short or long that something went wrong with them."""

from __future__ import annotations

from collections.abc import Iterator

from hardneg.auditing.case import Case
from hardneg.auditing.finding import Finding, Side
from hardneg.auditing.kinds import FEWEST_LETTERS, MOST_CHARACTERS
from hardneg.data.training_rows import Text


def check(case: Case) -> Iterator[Finding]:
    """The query and every passage."""
    if not case.row.query.strip():
        yield Finding("empty_query", "query", "the query has no text")
    else:
        yield from _extremes(case.row.query, "query", None)
    for side, texts in case.sides:
        for text in texts:
            if not text.contents:
                yield Finding("empty_text", side, "no text", text)
            else:
                yield from _extremes(text.contents, side, text)


def _extremes(contents: str, side: Side, text: Text | None) -> Iterator[Finding]:
    if len(contents) > MOST_CHARACTERS:
        yield Finding("long_text", side, f"{len(contents):,} characters", text, len(contents))
    elif len(contents) < 40:
        letters = sum(map(str.isalnum, contents))
        if letters < FEWEST_LETTERS:
            yield Finding("short_text", side, f"{letters} letters and digits", text, letters)
