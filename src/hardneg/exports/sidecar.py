"""Which query and which passages every row of a training file is about, where the file itself holds texts only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Protocol

from hardneg.exports.rows import Example
from hardneg.files.json_documents import writing

FILE = Path("__provenance__", "rows.jsonl")
"""``datasets`` and the trainers pass over folders whose names begin with two underscores."""


class Record(Protocol):
    """Takes the ids of the next row: the query's, and those of its passages in the order of the row."""

    def __call__(self, query: str, passages: Sequence[str]) -> None: ...


@contextmanager
def recording(folder: Path) -> Iterator[Record]:
    """Writes a line per row, ``{"row": 0, "query_id": "q1", "passage_ids": ["d3", "d7"]}``.

    The run's ``provenance.jsonl`` has origins and scores by the same ids.
    """
    with writing(folder / FILE) as write:
        numbers = count()

        def record(query: str, passages: Sequence[str]) -> None:
            write({"row": next(numbers), "query_id": query, "passage_ids": list(passages)})

        yield record


def recorded(rows: Iterable[Example], record: Record) -> Iterator[Example]:
    """The examples, each recorded as one row: positives first, then negatives."""
    for row in rows:
        record(row.id, [passage.id for passage in (*row.positives, *row.negatives)])
        yield row
