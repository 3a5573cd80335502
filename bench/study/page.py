"""Puts the tables of a report into a page that has earlier ones, each by its head, and each row by its first cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def tables(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where each table begins and ends."""
    begin = None
    for number, line in enumerate([*lines, ""]):
        if line.startswith("|"):
            begin = number if begin is None else begin
        elif begin is not None:
            yield begin, number
            begin = None


def known_by(row: str, head: str) -> tuple[str, ...]:
    """A row's first cell, and the second where the first does not say what it is of."""
    return tuple(cells(row)[: 2 if cells(head)[1] in {"predictor", "other"} else 1])


def renewed(page: Sequence[str], report: Sequence[str]) -> list[str]:
    """The page, with the rows of its tables as the report has them, in its order. Rows that a table of the page does
    not have stay out, and tables that only one of the two has stay as they are. Equal heads are taken in turn.
    """
    found = defaultdict(list)
    for begin, end in tables(report):
        found[report[begin]].append(report[begin + 2 : end])
    out: list[str] = []
    last = 0
    for begin, end in tables(page):
        head, rows = page[begin], page[begin + 2 : end]
        if found[head]:
            shown = {known_by(row, head) for row in rows}
            rows = [row for row in found[head].pop(0) if known_by(row, head) in shown]
        out += [*page[last : begin + 2], *rows]
        last = end
    return [*out, *page[last:]]
