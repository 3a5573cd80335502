"""Checks that compare a row with all others."""

from __future__ import annotations

from collections.abc import Iterator

from hardneg.auditing.case import Case, Check
from hardneg.auditing.facts import Facts
from hardneg.auditing.finding import Finding
from hardneg.data.corpus import id_hash


def checks(facts: Facts) -> list[Check]:
    """The checks that know the whole file."""
    positive_in = facts.known_positives()
    queries, passages = facts.reused

    def known_positive(case: Case) -> Iterator[Finding]:
        for number, text, found in case.negatives:
            if (line := int(positive_in[number])) and found not in case.positives and text.contents:
                yield Finding("known_positive", "negative", f"a positive of the same query in line {line}", text)

    def duplicate_row(case: Case) -> Iterator[Finding]:
        if (first := int(facts.first[case.number])) != case.number:
            yield Finding("duplicate_row", "row", f"equal to line {facts.lines[first]}")

    def reused_id(case: Case) -> Iterator[Finding]:
        if queries and case.row.query_id and id_hash(case.row.query_id) in queries:
            yield Finding("reused_id", "query", f"query id `{case.row.query_id}` stands for two queries")
        for side, texts in case.sides if passages else ():
            for text in texts:
                if text.id is not None and id_hash(text.id) in passages:
                    yield Finding("reused_id", side, f"passage id `{text.id}` stands for two texts", text)

    return [known_positive, duplicate_row, reused_id]
