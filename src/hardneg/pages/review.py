"""The page on which people judge the candidates of a review, in as many files as it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hardneg.pages.page import embedded, page
from hardneg.report.review import SETS, Design

LARGEST = 20_000_000
"""Bytes that one file holds at most, unless a single candidate is larger."""
ROOM = 200_000
"""Bytes for all that is not about single candidates."""


def pages(
    design: Design, cases: Sequence[dict[str, Any]], stem: str, *, annotator: str = "", blind: bool = True
) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file: ``<stem>.html``, or ``<stem>-001.html`` and so on.

    ``cases`` are those of `report.review.drawn`. ``blind``: the page does not hold who found a candidate, what it
    scored, and who refused it.
    """
    parts = list(_parts(cases))
    names = [f"{stem}.html"] if len(parts) == 1 else [f"{stem}-{n:03}.html" for n in range(1, len(parts) + 1)]
    for part, (first, own) in enumerate(parts):
        texts: dict[str, int] = {}
        data = {
            "review": design.id,
            "set": SETS[design.set],
            "annotator": annotator,
            "sizes": design.sizes,
            "expected": design.expected,
            "strata": [stratum for *_, stratum in design.items],
            "first": first,
            "part": part,
            "parts": len(parts),
            "items": [_item(case, texts, blind) for case in own],
            "texts": list(texts),
        }
        yield names[part], page("review.html", title=f"Review of {SETS[design.set]}", data=data, parts=names, part=part)


def _item(case: dict[str, Any], texts: dict[str, int], blind: bool) -> dict[str, Any]:
    """A case with numbers for its texts, which many cases may share."""

    def number(text: str) -> int:
        return texts.setdefault(text, len(texts))

    return {
        "query_id": case["query_id"],
        "id": case["id"],
        "query": number(case["query"]),
        "text": number(case["text"]),
        "positives": [number(text) for text in case["positives"]],
        **({} if blind else {"details": case["details"]}),
    }


def _parts(cases: Sequence[dict[str, Any]]) -> Iterator[tuple[int, Sequence[dict[str, Any]]]]:
    """Runs of cases, each with the place of its first, that fit into a file."""
    begin, size = 0, 0
    for place, case in enumerate(cases):
        more = len(embedded(case).encode("utf-8", "backslashreplace"))
        if size and size + more > LARGEST - ROOM:
            yield begin, cases[begin:place]
            begin, size = place, 0
        size += more
    yield begin, cases[begin:]
