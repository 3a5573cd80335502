"""Rows with fewer negatives than most, or with none, and rows without a positive."""

from __future__ import annotations

from collections.abc import Iterator

from hardneg.auditing.case import Case, Check
from hardneg.auditing.facts import Facts
from hardneg.auditing.finding import Finding


def check_of(facts: Facts) -> Check:
    """The check that knows how long rows of this file are. Labelled pairs have one passage each and pass."""
    typical = facts.typical()

    def check(case: Case) -> Iterator[Finding]:
        if facts.pairs:
            return
        if not case.row.positives:
            yield Finding("no_positive", "row", "no positive")
        count = len(case.row.negatives)
        if not count and typical:
            yield Finding("no_negatives", "row", f"0 negatives, most rows have {typical}", value=0)
        elif count < typical:
            yield Finding("short_row", "row", f"{count} negatives, most rows have {typical}", value=count)

    return check
